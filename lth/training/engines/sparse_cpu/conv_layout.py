"""Convolutions as lists of kept weights: which row of values each weight multiplies, and which delta it multiplies.

The rows of values are: a row of ones, the pixels channel by channel, the outputs of each convolution channel by
channel, then the units of the dense layers. The positions of a channel lie line by line in a margin of zeros, which is
the padding of the next convolution. The outputs of the last convolution have no margin: dense layers read them.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lth.training.engines.chains import ConvLayer
from lth.training.engines.sparse_cpu.kernels.data import CONVOLUTION, Convolutions

_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]


class Features(NamedTuple):
    """The inputs of the dense layers, and what computes them."""

    rows: _Ints  # row of values of each input of the first dense layer; 0 if it is not read
    first_row: int  # first row of values of the dense layers' matrix
    outputs: int  # number of outputs of the last convolution, the first units of this matrix
    pixels: _Ints  # index of each pixel that is read
    pixel_rows: _Ints  # its row of values
    pixel_count: int  # number of pixels of an image, read or not
    convolutions: Convolutions
    indices: _Ints  # index of each weight of the convolutions in the flat vector
    conv_deltas: int = 0  # number of rows of deltas before pooling
    winners: int = 0  # number of rows of winners
    work: int = 0  # multiplications of a row by a weight, forward


class _Channels(NamedTuple):
    """Rows of some channels from `start` on; each channel has a margin of rows before and after its positions."""

    start: int
    channels: int
    size: tuple[int, int]
    before: int
    after: int

    @property
    def line(self) -> int:
        """Number of rows from one line to the next."""

        return self.size[1] + self.before + self.after

    @property
    def channel(self) -> int:
        """Number of rows from one channel to the next."""

        return self.line * (self.size[0] + self.before + self.after)

    @property
    def first(self) -> int:
        """The row of the first position of the first channel."""

        return self.start + self.before * (self.line + 1)

    @property
    def end(self) -> int:
        """The row after all rows that 2 × 2 positions at the edge of the last channel may read."""

        return self.start + self.channels * self.channel + self.line + 2

    def rows(self) -> _Ints:
        """The row of each position: (channels × height × width,)."""

        channels, ys, xs = (np.arange(count) for count in (self.channels, *self.size))
        return (self.first + (channels * self.channel)[:, None, None] + (ys * self.line)[:, None] + xs).ravel()


class _KeptWeights(NamedTuple):
    """The kept weights of a convolution, sorted by output channel."""

    output: _Ints  # output channel
    input: _Ints  # input channel
    y: _Ints  # row in the kernel
    x: _Ints  # column in the kernel
    indices: _Ints  # index in the flat vector


def pixels_only(read: _Bools) -> Features:
    """The features of a chain without convolutions: the pixels that are `read`."""

    pixels = np.flatnonzero(read)
    pixel_rows, nothing = 1 + np.arange(len(pixels)), np.zeros(0, dtype=np.int64)
    rows = np.zeros(len(read), dtype=np.int64)
    rows[pixels] = pixel_rows
    convolutions = Convolutions(
        layers=np.zeros(0, dtype=CONVOLUTION), incoming=np.zeros(1, dtype=np.int64),
        offsets=nothing.astype(np.int32), biases=nothing, unconnected=nothing.astype(bool),
        outgoing=np.zeros(1, dtype=np.int64), outgoing_offsets=nothing.astype(np.int32), outgoing_weights=nothing,
        weights=0)
    return Features(rows, 1 + len(pixels), 0, pixels, pixel_rows, len(read), convolutions, nothing)


def conv_layout(layers: Sequence[ConvLayer], kept: _Bools, read: _Bools) -> Features:
    """The features that convolutions compute, of which the dense layers read some: `kept` (N,), `read` (features,)."""

    values, deltas = _value_channels(layers), _delta_channels(layers)
    weights = [_kept_weights(layer, kept) for layer in layers]
    unconnected = _unconnected(layers, weights, read)
    count = sum(len(part.indices) for part in weights)
    biases, bias_indices = _biases(layers, kept, count)
    records, winners = _records(layers, values, deltas)
    outgoing, outgoing_offsets, outgoing_weights = _outgoing(layers, weights, unconnected, deltas)
    offsets = [part.input * channels.channel + part.y * channels.line + part.x
               for part, channels in zip(weights, values)]
    convolutions = Convolutions(
        layers=records, incoming=_starts(layers, [part.output for part in weights], axis=0),
        offsets=np.concatenate(offsets).astype(np.int32), biases=biases, unconnected=np.concatenate(unconnected),
        outgoing=outgoing, outgoing_offsets=outgoing_offsets, outgoing_weights=outgoing_weights,
        weights=count + len(bias_indices))
    first_row, pixel_rows = values[-1].start, values[0].rows()
    work = sum(len(part.indices) * layer.positions for part, layer in zip(weights, layers))
    return Features(
        np.where(read, first_row + np.arange(len(read)), 0), first_row, len(read), np.arange(len(pixel_rows)),
        pixel_rows, len(pixel_rows), convolutions, np.concatenate([*(part.indices for part in weights), bias_indices]),
        deltas[-1].end, winners, work)


def _value_channels(layers: Sequence[ConvLayer]) -> list[_Channels]:
    """Rows of values of the pixels and of each convolution's outputs."""

    first = layers[0]
    channels = [_Channels(1, first.weight.shape[1], first.input_size, first.padding, first.padding)]
    margins = [*(layer.padding for layer in layers[1:]), 0]
    for layer, margin in zip(layers, margins, strict=True):
        channels.append(_Channels(channels[-1].end, layer.weight.shape[0], layer.output_size, margin, margin))
    return channels


def _delta_channels(layers: Sequence[ConvLayer]) -> list[_Channels]:
    """Rows of each convolution's deltas before pooling, in a margin so that inputs can read all deltas they affect."""

    channels, start = list[_Channels](), 0
    for layer in layers:
        margin = layer.kernel_size - 1 - layer.padding
        channels.append(_Channels(start, layer.weight.shape[0], layer.conv_size, margin, max(margin, 1)))
        start = channels[-1].end
    return channels


def _kept_weights(layer: ConvLayer, kept: _Bools) -> _KeptWeights:
    slot = layer.weight
    outputs, inputs, side, _ = slot.shape
    # The flat vector has weights as (out, height, width, in). Here channels come first, since all positions of an input
    # channel are close in memory.
    mask = kept[slot.start:slot.stop].reshape(outputs, side, side, inputs).transpose(0, 3, 1, 2)
    output, source, y, x = mask.nonzero()
    return _KeptWeights(output, source, y, x, slot.start + ((output * side + y) * side + x) * inputs + source)


def _unconnected(layers: Sequence[ConvLayer], weights: Sequence[_KeptWeights], read: _Bools) -> list[_Bools]:
    """For each convolution, which channels no connected channel reads; for the last one, no connected unit."""

    positions = math.prod(layers[-1].output_size)
    unconnected: list[_Bools] = [~np.any(read.reshape(-1, positions), axis=1)]
    for layer, part in zip(reversed(layers[1:]), reversed(weights[1:])):
        sources = part.input[~unconnected[-1][part.output]]
        unconnected.append(~np.isin(np.arange(layer.weight.shape[1]), sources))
    return unconnected[::-1]


def _biases(layers: Sequence[ConvLayer], kept: _Bools, start: int) -> tuple[_Ints, _Ints]:
    """The number of each channel's bias, counted from `start`, -1 for none; their indices in the flat vector."""

    indices = np.full(sum(layer.weight.shape[0] for layer in layers), -1)
    channel = 0
    for layer in layers:
        if layer.bias:
            mask = kept[layer.bias.start:layer.bias.stop]
            indices[channel + np.flatnonzero(mask)] = layer.bias.start + np.flatnonzero(mask)
        channel += layer.weight.shape[0]
    return np.where(indices >= 0, start + (indices >= 0).cumsum() - 1, -1), indices[indices >= 0]


def _records(
        layers: Sequence[ConvLayer], values: Sequence[_Channels], deltas: Sequence[_Channels],
) -> tuple[NDArray[np.void], int]:
    """The kernels' record of each convolution, and the number of rows of winners."""

    records, first, winners = np.zeros(len(layers), dtype=CONVOLUTION), 0, 0
    for number, (layer, source, target, delta) in enumerate(zip(layers, values, values[1:], deltas)):
        channels, (height, width) = layer.weight.shape[0], layer.output_size
        used = (2 * height, 2 * width) if layer.pooled else layer.conv_size
        records[number] = (
            first, first + channels, source.start, source.line, *used, layer.pooled, target.first, target.channel,
            target.line, delta.first, delta.channel, delta.line, delta.first - delta.start, winners)
        first, winners = first + channels, winners + channels * height * width * layer.pooled
    return records, winners


def _outgoing(
        layers: Sequence[ConvLayer], weights: Sequence[_KeptWeights], unconnected: Sequence[_Bools],
        deltas: Sequence[_Channels]) -> tuple[_Ints, NDArray[np.int32], _Ints]:
    """`outgoing`, `outgoing_offsets` and `outgoing_weights` of `Convolutions`. Pixels need no deltas."""

    offsets, numbers, sources = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], list[_Ints]()
    start = len(weights[0].indices)
    for layer, part, channels, skip in zip(layers[1:], weights[1:], deltas[1:], unconnected[1:]):
        used = np.flatnonzero(~skip[part.output])
        used = used[part.input[used].argsort(kind='stable')]
        far = layer.kernel_size - 1
        offset = part.output * channels.channel + (far - part.y) * channels.line + far - part.x
        offsets.append(offset[used])
        numbers.append(start + used)
        sources.append(part.input[used])
        start += len(part.indices)
    # Units, not channels, read the last convolution.
    starts = _starts(layers[1:], sources, axis=1)
    starts = np.concatenate([starts, np.full(layers[-1].weight.shape[0], starts[-1])])
    return starts, np.concatenate(offsets).astype(np.int32), np.concatenate(numbers)


def _starts(layers: Sequence[ConvLayer], channels: Sequence[_Ints], *, axis: int) -> _Ints:
    """Where the weights of each channel start, and the end; `axis` is 0 for output channels, 1 for input channels."""

    counts = [np.bincount(numbers, minlength=layer.weight.shape[axis])
              for layer, numbers in zip(layers, channels, strict=True)]
    return np.concatenate([[0], *counts]).cumsum()
