"""Convolutions of all replicates as calls of the Triton kernels: forward, and the gradients of inputs and weights.

Activations are (R, B, C, H, W), stored channels-last; weights are (R, O, C, k, k) with k = 1 or 3 and padding k // 2,
stored channels-last like in the flat vector. Tensors in another order are copied first. Products are added in float32.
"""
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lth.training.engines.cuda import kernels

# The gradient of the weights is a sum over positions, which so many programs share: four for each core of an H100.
_PROGRAMS = 512


class Tile(NamedTuple):
    """Positions per step of a kernel, its warps, and the steps of its loop that are in memory at a time."""

    block: int
    warps: int
    stages: int


class Geometry(NamedTuple):
    """Sizes of a convolution, named like the kernels' constants."""

    height: int
    width: int
    out_height: int
    out_width: int
    channels: int
    units: int
    size: int
    stride: int


def geometry(inputs: Sequence[int], weights: Sequence[int], stride: int) -> Geometry:
    """The sizes of a convolution, from the shapes of its inputs and weights."""

    channels, height, width = inputs[2:]
    return Geometry(
        height, width, -(-height // stride), -(-width // stride), channels, weights[1], weights[3], stride)


def default_tile(sizes: Geometry, dtype: torch.dtype, *, sums_positions: bool = False) -> Tile:
    """A tile of which no kernel spills registers on an A100 or H100. It was not chosen by measurements yet.

    `sums_positions`: for the gradient of the weights.
    """

    wide = max(sizes.channels, sizes.units) > 32
    if dtype == torch.bfloat16:
        return Tile(64 if sums_positions else 128, 8 if wide and not sums_positions else 4, 2)
    return Tile(32, 8, 2) if wide else Tile(64, 4, 2)


def convolve(inputs: Tensor, weights: Tensor, stride: int, tile: Tile | None = None) -> Tensor:
    """The outputs (R, B, O, h, w) of inputs (R, B, C, H, W)."""

    sizes = geometry(inputs.shape, weights.shape, stride)
    tile = tile or default_tile(sizes, inputs.dtype)
    outputs = empty_activations(inputs, sizes.units, sizes.out_height, sizes.out_width)
    inputs, weights = _channels_last(inputs), _dense_weights(weights)
    blocks = _blocks(inputs.shape[1] * sizes.out_height * sizes.out_width, tile)
    kernels.convolutions.convolve[(blocks, len(inputs))](
        inputs, weights, outputs, inputs.shape[1], weights.stride(0), **_constants(sizes, tile, inputs.dtype))
    return outputs


def input_gradient(
        deltas: Tensor, weights: Tensor, image_size: tuple[int, int], stride: int, tile: Tile | None = None) -> Tensor:
    """The gradient of the inputs (R, B, C, H, W) from that of the outputs; `image_size` is (H, W)."""

    sizes = geometry((*deltas.shape[:2], weights.shape[2], *image_size), weights.shape, stride)
    tile = tile or default_tile(sizes, deltas.dtype)
    gradient = empty_activations(deltas, sizes.channels, sizes.height, sizes.width)
    deltas, weights = _channels_last(deltas), _dense_weights(weights)
    blocks = _blocks(deltas.shape[1] * sizes.height * sizes.width, tile)
    kernels.convolutions.convolve_deltas[(blocks, len(deltas))](
        deltas, weights, gradient, deltas.shape[1], weights.stride(0), **_constants(sizes, tile, deltas.dtype))
    return gradient


def weight_gradient(deltas: Tensor, inputs: Tensor, size: int, stride: int, tile: Tile | None = None) -> Tensor:
    """The gradient of the weights (R, O, C, size, size), from inputs and the gradient of the outputs."""

    replicates, images, units = deltas.shape[:3]
    sizes = geometry(inputs.shape, (replicates, units, inputs.shape[2], size, size), stride)
    tile = tile or default_tile(sizes, deltas.dtype, sums_positions=True)
    blocks = _blocks(images * sizes.out_height * sizes.out_width, tile)
    parts = min(blocks, -(-_PROGRAMS // (replicates * size ** 2)))
    # Parts are added in the same order in every run.
    partial = deltas.new_empty(replicates, parts, units, size, size, sizes.channels, dtype=torch.float32)
    kernels.convolutions.correlate[(parts, size ** 2, replicates)](
        _channels_last(inputs), _channels_last(deltas), partial, images, -(-blocks // parts) * tile.block,
        **_constants(sizes, tile, deltas.dtype))
    return partial.sum(1).to(deltas.dtype).permute(0, 1, 4, 2, 3)


def empty_activations(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    """An uninitialized tensor (R, B, channels, height, width), stored channels-last."""

    return like.new_empty(*like.shape[:2], height, width, channels).permute(0, 1, 4, 2, 3)


def constants(sizes: Geometry, tile: Tile) -> dict[str, int]:
    """The constants of a kernel but for its precision."""

    return sizes._asdict() | {
        'channel_block': _channel_block(sizes.channels), 'unit_block': _channel_block(sizes.units),
        'block': tile.block}


def _constants(sizes: Geometry, tile: Tile, dtype: torch.dtype) -> dict[str, Any]:
    """The constants and options of a launch."""

    tf32 = dtype == torch.float32 and torch.backends.cudnn.allow_tf32
    return constants(sizes, tile) | {
        'precision': 'tf32' if tf32 else 'ieee', 'num_warps': tile.warps, 'num_stages': tile.stages}


def _channel_block(channels: int) -> int:
    return max(16, 1 << (channels - 1).bit_length())


def _blocks(positions: int, tile: Tile) -> int:
    return -(-positions // tile.block)


def _channels_last(activations: Tensor) -> Tensor:
    """Activations in memory order (R, B, H, W, C), copied if they have another."""

    return activations.permute(0, 1, 3, 4, 2).contiguous()


def _dense_weights(weights: Tensor) -> Tensor:
    """Weights as (R, O, k, k, C), dense but for gaps between replicates; copied if they are not."""

    weights = weights.permute(0, 1, 3, 4, 2)
    return weights if weights[0].is_contiguous() else weights.contiguous()
