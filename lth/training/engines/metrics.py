"""Loss and accuracy over many images: large batches, counters that stay on the device, one wait at the end."""
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap
from torch.nn.modules.batchnorm import _BatchNorm

from lth.datasets import Split, Stream
from lth.models.network import Network, replicate_buffers
from lth.training.engines.batches import Preprocessing
from lth.training.engines.dropout_rng import same_noise
from lth.training.engines.exact_batch_norm import use_exact_batch_norm
from lth.training.engines.precision import precision_context
from lth.training.state import Metrics, State
from lth.training.task import Task

# 1000 images of CIFAR's size; fewer if they are larger: at 224 pixels 55 images take 1.4 GB in VGG-19's first layer.
_MAX_IMAGES, _MAX_VALUES = 1000, 2 ** 23


def evaluate(task: Task, state: State, indices: Sequence[Tensor] | None, _token: object = None, /) -> Metrics:
    """Each replicate's metrics, as `Engine.evaluate` of an engine that prepares nothing."""

    split = task.data.test if indices is None else task.data.train
    if indices is None:
        indices = [torch.arange(len(split.labels))] * len(state.weights)
    if len(state.weights) > 1 and task.network.stackable and isinstance(split.images, Tensor):
        return _evaluate_stacked(task, state.weights, split, torch.stack(list(indices)))
    rows: list[tuple[float, float]] = []
    for replicate, weights in enumerate(state.weights):
        buffers = replicate_buffers(state.buffers, replicate)
        with same_noise(task, replicate):
            loss, correct = summed_metrics(task, weights, buffers, split, indices[replicate]).tolist()
        rows.append((loss / len(indices[replicate]), correct / len(indices[replicate])))
    return Metrics(*zip(*rows, strict=True))


@torch.inference_mode()
def summed_metrics(
        task: Task, weights: Tensor, buffers: dict[str, Tensor], split: Split, indices: Tensor) -> Tensor:
    """The sum of the losses and the number of correct predictions of one network, weights (N,): float64 (2,)."""

    device, size = weights.device, evaluation_batch_size(task.network)
    loss, correct = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
    batched_labels = split.labels[indices.to(device)].split(size)
    for images, labels in zip(_batches(split.images, indices, size), batched_labels, strict=True):
        check(task)
        with precision_context(task):
            logits = task.network.logits(weights, buffers, _inputs(task, images, weights)).to(weights.dtype)
        loss += F.cross_entropy(logits, labels, reduction='sum')
        correct += (logits.argmax(1) == labels).sum()
    return torch.stack([loss, correct])


@torch.inference_mode()
def _evaluate_stacked(task: Task, weights: Tensor, split: Split, indices: Tensor) -> Metrics:
    """The metrics of stacked replicates, weights (R, N) on images (R, n), by batched matrix products.

    One after the other they would take a GPU longer than the training in between.
    """

    assert isinstance(split.images, Tensor)
    indices = indices.to(weights.device)
    loss, correct = (torch.zeros(len(weights), dtype=torch.float64, device=weights.device) for _ in range(2))
    stacked_logits = vmap(lambda weights, images: task.network.logits(weights, {}, images))
    for rows in indices.split(evaluation_batch_size(task.network), 1):
        check(task)
        with precision_context(task):
            inputs = _inputs(task, split.images[rows].flatten(0, 1), weights)
            logits = stacked_logits(weights, inputs.unflatten(0, rows.shape)).to(weights.dtype)
        labels = split.labels[rows]
        loss += F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='none').view(rows.shape).sum(1)
        correct += (logits.argmax(2) == labels).sum(1)
    count = indices.shape[1]
    return Metrics(tuple((loss / count).tolist()), tuple((correct / count).tolist()))


@torch.no_grad()
def reestimate_batch_norm(task: Task, state: State, *, at_most: int = 10_000) -> State:
    """The state with BatchNorm's running statistics computed again, over at most this many training images.

    The images are not augmented. A network without BatchNorm keeps its state.
    """

    if not task.network.has_batch_norm:
        return state
    buffers = {name: buffer.clone() for name, buffer in state.buffers.items()}
    for replicate, weights in enumerate(state.weights):
        module = task.network.bind(weights, replicate_buffers(buffers, replicate)).eval()
        use_exact_batch_norm(module)
        for layer in module.modules():
            if isinstance(layer, _BatchNorm) and layer.track_running_stats:
                layer.train().reset_running_stats()
                layer.momentum = None  # torch then averages over all batches
        indices = task.splits[replicate][0][:at_most]
        for images in _batches(task.data.train.images, indices, evaluation_batch_size(task.network)):
            check(task)
            with precision_context(task), same_noise(task, replicate):
                module(_inputs(task, images, weights))
    return replace(state, buffers=buffers)


def training_batches(task: Task, indices: Tensor, size: int, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield these training images without augmentation as the network's input, and their labels, in batches of `size`:
    (B, C, H, W) in the precision and on the device of the weights, (B,).
    """

    train = task.data.train
    labels = train.labels[indices.to(train.labels.device)].split(size)
    for images, batch_labels in zip(_batches(train.images, indices, size), labels, strict=True):
        check(task)
        yield _inputs(task, images, weights), batch_labels.to(weights.device)


def evaluation_batch_size(network: Network) -> int:
    """The number of images that are evaluated at once."""

    return max(1, min(_MAX_IMAGES, _MAX_VALUES // math.prod(network.shape)))


def check(task: Task) -> None:
    """End the process here if it was asked to: on a CPU, measuring can take longer than a signal may wait."""

    if task.checkpoints:
        task.checkpoints.check()


def _inputs(task: Task, images: Tensor, weights: Tensor) -> Tensor:
    """Images as the network's input without augmentation, in the weights' precision."""

    return Preprocessing.of(task, weights.device).crop_center(images.to(weights.device)).to(weights.dtype)


def _batches(images: Tensor | Stream, indices: Tensor, size: int) -> Iterator[Tensor]:
    if isinstance(images, Tensor):
        return (images[rows.to(images.device)] for rows in indices.split(size))
    return images.batches(indices, size)
