"""Convolutions of all replicates as operators of torch, with gradients and a rule for vmap.

The operators have no rule for transforms that compute gradients within vmap; autograd computes them outside
(stacked_pass.py). Compilers see each operator as a whole.
"""
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lth.training.engines.cuda import convolution_kernels
from lth.training.engines.cuda.convolution_kernels import empty_activations, geometry


@torch.library.custom_op('lth::convolution', mutates_args=())
def convolution(inputs: Tensor, weights: Tensor, stride: int) -> Tensor:
    """Convolve images (R, B, C, H, W) with the weights (R, O, C, k, k) of their replicate."""

    return convolution_kernels.convolve(inputs, weights, stride)


@torch.library.custom_op('lth::convolution_input_gradient', mutates_args=())
def input_gradient(deltas: Tensor, weights: Tensor, height: int, width: int, stride: int) -> Tensor:
    """The gradient of the inputs (R, B, C, height, width), from that of the outputs."""

    return convolution_kernels.input_gradient(deltas, weights, (height, width), stride)


@torch.library.custom_op('lth::convolution_weight_gradient', mutates_args=())
def weight_gradient(deltas: Tensor, inputs: Tensor, size: int, stride: int) -> Tensor:
    """The gradient of the weights (R, O, C, size, size), from inputs and the gradient of the outputs."""

    return convolution_kernels.weight_gradient(deltas, inputs, size, stride)


@convolution.register_fake
def _fake_outputs(inputs: Tensor, weights: Tensor, stride: int) -> Tensor:
    sizes = geometry(inputs.shape, weights.shape, stride)
    return empty_activations(inputs, sizes.units, sizes.out_height, sizes.out_width)


@input_gradient.register_fake
def _fake_input_gradient(deltas: Tensor, weights: Tensor, height: int, width: int, stride: int) -> Tensor:
    del stride
    return empty_activations(deltas, weights.shape[2], height, width)


@weight_gradient.register_fake
def _fake_weight_gradient(deltas: Tensor, inputs: Tensor, size: int, stride: int) -> Tensor:
    del stride
    return deltas.new_empty(len(deltas), deltas.shape[2], size, size, inputs.shape[2]).permute(0, 1, 4, 2, 3)


def _save_for_backward(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    del output
    ctx.save_for_backward(*inputs[:2])
    ctx.stride = inputs[2]


def _gradients(ctx: Any, deltas: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    inputs, weights = ctx.saved_tensors
    of_inputs, of_weights = None, None
    if ctx.needs_input_grad[0]:
        of_inputs = input_gradient(deltas, weights, inputs.shape[3], inputs.shape[4], ctx.stride)
    if ctx.needs_input_grad[1]:
        of_weights = weight_gradient(deltas, inputs, weights.shape[3], ctx.stride)
    return of_inputs, of_weights, None


def _vmap_rule(operator: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, int]]:
    """The rule of an operator whose first two arguments are tensors: vmap's dimension joins the replicates."""

    def rule(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Tensor, int]:
        tensors = [argument.expand(info.batch_size, *argument.shape) if dim is None else argument.movedim(dim, 0)
                   for argument, dim in zip(arguments[:2], in_dims)]
        result = operator(*(tensor.flatten(0, 1) for tensor in tensors), *arguments[2:])
        return result.unflatten(0, (info.batch_size, -1)), 0
    return rule


convolution.register_autograd(_gradients, setup_context=_save_for_backward)
for _operator in (convolution, input_gradient, weight_gradient):
    _operator.register_vmap(_vmap_rule(_operator))
