"""Loss and accuracy over many pictures: large batches, counters kept on the device, one wait at the end."""
import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lth.datasets import Split, Stream, sampling
from lth.engines.arithmetic import arithmetic
from lth.task import Score, State, Task

# A thousand pictures of CIFAR's size, fewer larger ones: 55 of 224 pixels take VGG-19's first layer 1.4 GB.
_MOST, _NUMBERS = 1000, 2 ** 23


def score(task: Task, state: State, pictures: Sequence[Tensor] | None) -> Score:
    """The replicates' scores on training-set pictures by their numbers, one (n,) each, or on the test set if None."""

    split = task.data.test if pictures is None else task.data.train
    rows: list[tuple[float, float]] = []
    for replicate, weights in enumerate(state.weights):
        chosen = torch.arange(len(split.labels)) if pictures is None else pictures[replicate]
        buffers = {name: buffer[replicate] for name, buffer in state.buffers.items()}
        rows.append(_score(task, weights, buffers, split, chosen))
    return Score(*zip(*rows, strict=True))


@torch.inference_mode()
def _score(
        task: Task, weights: Tensor, buffers: dict[str, Tensor], split: Split, chosen: Tensor) -> tuple[float, float]:
    """Mean loss and share of right answers of one network on some pictures; none is augmented here."""

    device = weights.device
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (task.data.mean, task.data.std))
    loss, correct = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
    size = max(1, min(_MOST, _NUMBERS // math.prod(task.network.shape)))
    labels_of = split.labels[chosen.to(device)].split(size)
    for images, labels in zip(_batches(split.images, chosen, size), labels_of, strict=True):
        with arithmetic(task):
            shown = sampling.centered(images.to(device), task.network.shape[1:])
            pictures = sampling.normalized(shown, task.data_settings, mean, std).to(weights.dtype)
            logits = task.network.logits(weights, buffers, pictures).to(weights.dtype)
        loss += F.cross_entropy(logits, labels, reduction='sum')
        correct += (logits.argmax(1) == labels).sum()
    return float(loss) / len(chosen), float(correct) / len(chosen)


def _batches(images: Tensor | Stream, chosen: Tensor, size: int) -> Iterator[Tensor]:
    if isinstance(images, Tensor):
        return (images[rows.to(images.device)] for rows in chosen.split(size))
    return images.batches(chosen, size)
