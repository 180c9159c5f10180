"""The forward and backward pass of all replicates, which leaves each gradient where the optimizer reads it."""
import copy
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from lth.errors import LthError
from lth.models.network import Buffers, Network
from lth.training.engines.batches import Batches
from lth.training.engines.exact_batch_norm import use_exact_batch_norm
from lth.training.engines.norm_interpolation import NormInterpolation


def _draw_nothing(_step: int) -> None:
    """Draw no random numbers."""


class Backward(NamedTuple):
    """A pass for weights (R, N) in place, and these weights as the optimizer must see them.

    `parameters` are views into the weights, each dense in memory; `views` returns the same views into another vector
    (R, N). `run` maps the columns (B,) of a batch in its epoch to losses (R,) and numbers of correct predictions (R,);
    it sets the parameters' `.grad` and updates the buffers. If layers read a copy of the first weights in another
    precision, it is `copied` (R, W): it has to be updated with the weights, and the parameters are views into it.
    `draw` draws the random numbers of a step, before `run`.
    """

    parameters: list[Tensor]
    views: Callable[[Tensor], list[Tensor]]
    run: Callable[[Tensor], tuple[Tensor, Tensor]]
    copied: Tensor | None = None
    draw: Callable[[int], None] = _draw_nothing


def make_backward(network: Network, weights: Tensor, buffers: Buffers, batches: Batches) -> Backward:
    """The pass of a network for these weights (R, N) and buffers (R, ...), in place."""

    return (single_backward if len(weights) == 1 else _stacked)(network, weights, buffers, batches)


def single_backward(
        network: Network, weights: Tensor, buffers: Buffers, batches: Batches, *,
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        convert: Callable[[nn.Module], object] = use_exact_batch_norm) -> Backward:
    """The pass of one network, whose module is changed by `convert`, for a `loss` of logits and labels.

    The optimizer reads autograd's gradients: a copy into a flat vector takes 0.10 of 1.4 ms.
    """

    module = network.bind(weights[0], {name: buffer[0] for name, buffer in buffers.items()})
    convert(module)
    named = dict(module.named_parameters())
    parameters: list[Tensor] = [named[slot.name] for slot in network.layout.slots]
    interpolation = NormInterpolation.of(batches.task)

    def forward(images: Tensor) -> Tensor:
        used = interpolation.apply(named, interpolation.shares[0]) if interpolation else None
        logits: Tensor = functional_call(module, used, (images,)) if used else module(images)
        return logits

    def run(columns: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = batches.batch(columns)
        for parameter in parameters:
            parameter.grad = None
        logits = forward(images[0])
        value = loss(logits.to(weights.dtype), labels[0])
        value.backward()
        return value.detach()[None], (logits.detach().argmax(1) == labels[0]).sum()[None]
    draw = interpolation.draw if interpolation else _draw_nothing
    return Backward(parameters, lambda vector: list(network.layout.unpack(vector[0]).values()), run, draw=draw)


def _stacked(network: Network, weights: Tensor, buffers: Buffers, batches: Batches) -> Backward:
    """For several networks, by vmap. BatchNorm's buffers are stacked arguments and are returned as an extra result.

    The optimizer steps the vector as one parameter: fused optimizers treat a view with gaps, such as one layer of all
    replicates, as dense memory, and give wrong results without an error.
    """

    if any(isinstance(layer, (nn.RNNBase, nn.RNNCellBase)) for layer in network.module.modules()):
        raise LthError(f'{network.settings.name} has recurrent layers, of which torch cannot train several seeds at '
                       'once. Give one seed at a time.')
    module = copy.deepcopy(network.module).train()
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.register_forward_pre_hook(_convert_inputs)
    parameters = network.layout.unpack(weights)
    weights.grad = torch.zeros_like(weights)
    gradients = network.layout.unpack(weights.grad)
    interpolation = NormInterpolation.of(batches.task)
    shares = weights.new_zeros(len(weights), 0) if interpolation is None else interpolation.shares

    def loss_of(
            named: Mapping[str, Tensor], state: Buffers, images: Tensor, labels: Tensor, share: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Buffers]]:
        state = {name: buffer.clone() for name, buffer in state.items()}
        if interpolation:
            named = {**named, **interpolation.apply(named, share)}
        logits = functional_call(module, {**named, **state}, (images,))
        return F.cross_entropy(logits.to(weights.dtype), labels), ((logits.argmax(1) == labels).sum(), state)

    stacked = vmap(grad_and_value(loss_of, has_aux=True))

    def run(columns: Tensor) -> tuple[Tensor, Tensor]:
        named, (losses, (correct, state)) = stacked(parameters, buffers, *batches.batch(columns), shares)
        for name, gradient in gradients.items():
            gradient.copy_(named[name])
        for name, buffer in buffers.items():
            buffer.copy_(state[name])
        return losses, correct
    draw = interpolation.draw if interpolation else _draw_nothing
    return Backward([weights], lambda vector: [vector], run, draw=draw)


def _convert_inputs(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Convert the input of a BatchNorm layer to the type of its statistics: under vmap it takes no mixture, as bf16."""

    dtype = next((buffer.dtype for buffer in layer.buffers() if buffer.is_floating_point()), None)
    return tuple(tensor.to(dtype or tensor.dtype) for tensor in inputs)
