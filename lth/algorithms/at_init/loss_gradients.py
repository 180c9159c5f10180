"""The loss of one network on its first training batches, and gradients with respect to its prunable weights."""
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from lth.algorithms.at_init.base import Statistics
from lth.models.flat_parameters import Layout
from lth.models.network import Buffers
from lth.training.engines.batches import Batches
from lth.training.engines.dropout_rng import seed_dropout
from lth.training.task import Task


class BatchLoss(Protocol):
    """The loss of the training batch of this number, with the same images and the same dropout at each call. Tensors in
    `replaced` are used instead of the parameters of these names.
    """

    def __call__(self, number: int, replaced: Mapping[str, Tensor] | None = None) -> Tensor: ...


def batch_losses(
        task: Task, weights: Tensor, buffers: Buffers, *, batches: int, temperature: float = 1.,
        statistics: Statistics = 'batch') -> tuple[Sequence[Tensor], BatchLoss]:
    """The prunable parameters of one network, as leaves of the graph, and the loss of its first training batches.
    `weights` and `buffers` are not changed. The network is in training mode, unless BatchNorm uses running statistics.
    """

    module = bind_contiguous(task, weights, buffers)
    module.train(statistics == 'batch')
    epoch = Batches(task, weights.dtype)
    epoch.start_epoch(0)
    inputs = [epoch.batch(columns) for columns in epoch.columns[:batches]]

    def loss(number: int, replaced: Mapping[str, Tensor] | None = None) -> Tensor:
        images, labels = inputs[number]
        with seed_dropout(task) as begin_noise:
            begin_noise(number)
            images = images[0].contiguous()
            logits = module(images) if replaced is None else functional_call(module, dict(replaced), (images,))
            return F.cross_entropy(logits / temperature, labels[0])
    return prunable_parameters(task.network.layout, module), loss


def bind_contiguous(task: Task, weights: Tensor, buffers: Buffers) -> nn.Module:
    """A module in training mode with copies of weights (N,) and buffers. All is contiguous in memory: BatchNorm of
    other formats is less exact, and masks at 2% density of ResNet-20 then differ from those of double precision in 55
    places instead of 14.
    """

    layout = task.network.layout.contiguous()
    return replace(task.network, layout=layout).bind(
        layout.pack(task.network.layout.unpack(weights)), {name: buffer.clone() for name, buffer in buffers.items()})


def prunable_parameters(layout: Layout, module: nn.Module) -> Sequence[Tensor]:
    """The prunable parameters of a module, in the order of the layout."""

    parameters = dict(module.named_parameters())
    return [parameters[slot.name] for slot in layout.prunable_slots]


def mean_gradient(layout: Layout, parameters: Sequence[Tensor], loss: BatchLoss, *, batches: int) -> Tensor:
    """The gradient of the mean loss of the first batches with respect to the prunable weights: (P,)."""

    gradients = [pack_prunable(layout, torch.autograd.grad(loss(number), parameters, materialize_grads=True))
                 for number in range(batches)]
    return torch.stack(gradients).mean(0)


def pack_prunable(layout: Layout, tensors: Sequence[Tensor]) -> Tensor:
    """One vector (P,) from one tensor for each prunable parameter."""

    return layout.pack({slot.name: tensor for slot, tensor in zip(layout.prunable_slots, tensors, strict=True)})
