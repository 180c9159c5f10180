"""Loss and accuracy over many pictures: large batches, counters kept on the device, one wait at the end."""
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap
from torch.nn.modules.batchnorm import _BatchNorm

from lth.datasets import Split, Stream, sampling
from lth.training.engines.precision import precision_context
from lth.training.task import Metrics, State, Task

# A thousand pictures of CIFAR's size, fewer larger ones: 55 of 224 pixels take VGG-19's first layer 1.4 GB.
_MOST, _NUMBERS = 1000, 2 ** 23


def evaluate(task: Task, state: State, pictures: Sequence[Tensor] | None) -> Metrics:
    """The replicates' scores on training-set pictures by their numbers, one (n,) each, or on the test set if None."""

    split = task.data.test if pictures is None else task.data.train
    if len(state.weights) > 1 and task.network.stackable and isinstance(split.images, Tensor):
        return _stacked(task, state.weights, split, pictures)
    rows: list[tuple[float, float]] = []
    for replicate, weights in enumerate(state.weights):
        chosen = torch.arange(len(split.labels)) if pictures is None else pictures[replicate]
        buffers = {name: buffer[replicate] for name, buffer in state.buffers.items()}
        rows.append(_score(task, weights, buffers, split, chosen))
    return Metrics(*zip(*rows, strict=True))


@torch.inference_mode()
def _score(
        task: Task, weights: Tensor, buffers: dict[str, Tensor], split: Split, chosen: Tensor) -> tuple[float, float]:
    """Mean loss and share of right answers of one network on some pictures; none is augmented here."""

    device, size = weights.device, _size(task)
    loss, correct = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
    labels_of = split.labels[chosen.to(device)].split(size)
    for images, labels in zip(_batches(split.images, chosen, size), labels_of, strict=True):
        with precision_context(task):
            pictures = _seen(task, images, weights)
            logits = task.network.logits(weights, buffers, pictures).to(weights.dtype)
        loss += F.cross_entropy(logits, labels, reduction='sum')
        correct += (logits.argmax(1) == labels).sum()
    return float(loss) / len(chosen), float(correct) / len(chosen)


@torch.inference_mode()
def _stacked(task: Task, weights: Tensor, split: Split, pictures: Sequence[Tensor] | None) -> Metrics:
    """The same for replicates that are stacked, (R, N), as batched products: one by one they would take the GPU longer
    than the training in between.
    """

    assert isinstance(split.images, Tensor)
    device, numbers = weights.device, torch.arange(len(split.labels))
    chosen = torch.stack(list(pictures or [numbers] * len(weights))).to(device)
    loss, correct = (torch.zeros(len(weights), dtype=torch.float64, device=device) for _ in range(2))
    logits_of = vmap(lambda weights, images: task.network.logits(weights, {}, images))
    for rows in chosen.split(_size(task), 1):
        with precision_context(task):
            seen = _seen(task, split.images[rows].flatten(0, 1), weights)
            logits = logits_of(weights, seen.unflatten(0, rows.shape)).to(weights.dtype)
        labels = split.labels[rows]
        loss += F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='none').view(rows.shape).sum(1)
        correct += (logits.argmax(2) == labels).sum(1)
    count = chosen.shape[1]
    return Metrics(tuple((loss / count).tolist()), tuple((correct / count).tolist()))


@torch.no_grad()
def reestimate_batch_norm(task: Task, state: State, pictures: Sequence[Tensor]) -> State:
    """The state with the running statistics of every BatchNorm averaged anew over training-set pictures, by their
    numbers, one (n,) for each replicate; none is augmented. Itself if there is no BatchNorm.
    """

    if not task.network.has_batch_norm:
        return state
    buffers = {name: buffer.clone() for name, buffer in state.buffers.items()}
    for replicate, weights in enumerate(state.weights):
        module = task.network.bind(weights, {name: buffer[replicate] for name, buffer in buffers.items()}).eval()
        for layer in module.modules():
            if isinstance(layer, _BatchNorm) and layer.track_running_stats:
                layer.train().reset_running_stats()
                layer.momentum = None  # torch's way to ask for the plain average of all batches
        for images in _batches(task.data.train.images, pictures[replicate], _size(task)):
            with precision_context(task):
                module(_seen(task, images, weights))
    return replace(state, buffers=buffers)


def _size(task: Task) -> int:
    """How many pictures at once."""

    return max(1, min(_MOST, _NUMBERS // math.prod(task.network.shape)))


def _seen(task: Task, images: Tensor, weights: Tensor) -> Tensor:
    """Pictures as the network sees them when it is measured, in the weights' precision."""

    mean, std = (torch.tensor(values, device=weights.device).view(-1, 1, 1)
                 for values in (task.data.mean, task.data.std))
    shown = sampling.center_crop(images.to(weights.device), task.network.shape[1:])
    return sampling.normalize(shown, task.data_settings, mean, std).to(weights.dtype)


def _batches(images: Tensor | Stream, chosen: Tensor, size: int) -> Iterator[Tensor]:
    if isinstance(images, Tensor):
        return (images[rows.to(images.device)] for rows in chosen.split(size))
    return images.batches(chosen, size)
