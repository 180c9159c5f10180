"""Loss and accuracy over many pictures: large batches, counters kept on the device, one wait at the end."""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lth.datasets import Split, sampling
from lth.engines.arithmetic import arithmetic
from lth.task import Score, State, Task

_BATCH = 1000


def score(task: Task, state: State, pictures: Sequence[Tensor] | None) -> Score:
    """The replicates' scores on training-set pictures by their numbers, one (n,) each, or on the test set if None."""

    train, test = task.data.train, task.data.test
    rows: list[tuple[float, float]] = []
    for replicate, weights in enumerate(state.weights):
        split = test
        if pictures is not None:
            chosen = pictures[replicate].to(task.engine.device)
            split = Split(train.images[chosen], train.labels[chosen])
        buffers = {name: buffer[replicate] for name, buffer in state.buffers.items()}
        rows.append(_score(task, weights, buffers, split))
    return Score(*zip(*rows, strict=True))


@torch.inference_mode()
def _score(task: Task, weights: Tensor, buffers: dict[str, Tensor], split: Split) -> tuple[float, float]:
    """Mean loss and share of right answers of one network; pictures are never augmented here."""

    device = weights.device
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (task.data.mean, task.data.std))
    loss, correct = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
    for images, labels in zip(split.images.split(_BATCH), split.labels.split(_BATCH), strict=True):
        with arithmetic(task):
            pictures = sampling.normalized(images, task.data_settings, mean, std).to(weights.dtype)
            logits = task.network.logits(weights, buffers, pictures).to(weights.dtype)
        loss += F.cross_entropy(logits, labels, reduction='sum')
        correct += (logits.argmax(1) == labels).sum()
    count = len(split.labels)
    return float(loss) / count, float(correct) / count
