"""A chain with convolutions as lists of surviving weights: where the planes of channels lie, and who reads what.

The rows of values are, in order: the row of ones, the planes of the pictures, those of each convolution's channels, and
the units of the dense layers' matrix, of which the last convolution's outputs are the first.
"""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lth.training.engines.sparse_cpu import dense_layout
from lth.training.engines.sparse_cpu.dense_layout import Averages, Extent, Wiring
from lth.training.engines.sparse_cpu.kernels import SIDE, STAGE, Filters, Matrix
from lth.training.engines.sparse_cpu.supported import Chain, ConvLayer

_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]


class _Planes(NamedTuple):
    """The rows of some channels from `start` on, each in a margin of zeros: so many lines before it and behind."""

    start: int
    channels: int
    size: tuple[int, int]
    before: int
    behind: int

    @property
    def across(self) -> int:
        """Rows from one line of a plane to the next."""

        return self.size[1] + self.before + self.behind

    @property
    def plane(self) -> int:
        """Rows from one channel to the next."""

        return self.across * (self.size[0] + self.before + self.behind)

    @property
    def origin(self) -> int:
        """The row of the first place of the first channel."""

        return self.start + self.before * (self.across + 1)

    @property
    def stop(self) -> int:
        """The first row behind the last channel."""

        return self.start + self.channels * self.plane

    @property
    def beyond(self) -> int:
        """The first row behind what four places at the last edge may look at."""

        return self.stop + self.across + 2

    def rows(self) -> _Ints:
        """The row of each place of each channel: (channels, height, width)."""

        channels, lines, places = (np.arange(count) for count in (self.channels, *self.size))
        return self.origin + (channels * self.plane)[:, None, None] + (lines * self.across)[:, None] + places


class _Kept(NamedTuple):
    """The surviving weights of a convolution, those into each channel together, one array of each: the channel that it
    enters and the one that it leaves, line and column in the filter, and its place in the network's vector.
    """

    entered: _Ints
    left: _Ints
    line: _Ints
    column: _Ints
    place: _Ints


def wired(chain: Chain, alive: _Bools, averages: Averages | None) -> Wiring:
    """The weights and biases that are alive, (N,), as lists and matrix; pictures are standardized if there are
    `averages`.
    """

    if not chain.convolutions:
        return dense_layout.wired(chain.dense, alive, averages)
    layers, behind = chain.convolutions, dense_layout.wired(chain.dense, alive, None)
    values, slopes = _values(layers), _slopes(layers)
    kept = [_kept(layer, alive) for layer in layers]
    silent = _silent(layers, kept, behind.matrix.inputs)
    biases, bias_places = _biases(layers, alive, sum(len(one.place) for one in kept))
    stages, winners = _stages(layers, values, slopes)
    leaving, handed, entries = _leaving(layers, kept, silent, slopes)
    filters = Filters(
        stages=stages, pointers=_pointers(layers, [one.entered for one in kept], side=0),
        offsets=np.concatenate([one.left * planes.plane + one.line * planes.across + one.column
                                for one, planes in zip(kept, values)]).astype(np.int32),
        biases=biases, silent=np.concatenate(silent), leaving=leaving, slopes=handed, entries=entries,
        weights=sum(len(one.place) for one in kept) + len(bias_places))
    front = values[-1].start
    matrix = _behind(behind.matrix, front, values, averages)
    work = sum(len(one.place) * layer.positions for one, layer in zip(kept, layers))
    return Wiring(
        matrix, np.concatenate([*(one.place for one in kept), bias_places, behind.places]), filters,
        Extent(front, slopes[-1].beyond, winners), work + len(behind.places))


def _values(layers: Sequence[ConvLayer]) -> list[_Planes]:
    """The planes of the pictures and of what each convolution puts out."""

    planes = [_Planes(1, layers[0].weight.shape[1], layers[0].input_size, layers[0].padding, layers[0].padding)]
    margins = [*(layer.padding for layer in layers[1:]), 0]
    for layer, margin in zip(layers, margins, strict=True):
        planes.append(_Planes(planes[-1].beyond, layer.weight.shape[0], layer.output_size, margin, margin))
    return planes


def _slopes(layers: Sequence[ConvLayer]) -> list[_Planes]:
    """The planes of the slopes of each convolution's sums; a margin lets each input see all that it enters."""

    planes, start = list[_Planes](), 0
    for layer in layers:
        margin = layer.kernel_size - 1 - layer.padding
        planes.append(_Planes(start, layer.weight.shape[0], layer.conv_size, margin, max(margin, 1)))
        start = planes[-1].beyond
    return planes


def _kept(layer: ConvLayer, alive: _Bools) -> _Kept:
    slot = layer.weight
    out, inputs, side, _ = slot.shape
    # Weights lie as (out, height, width, in); a plane is looked at as a whole, so channels come before places here.
    mask = alive[slot.start:slot.stop].reshape(out, side, side, inputs).transpose(0, 3, 1, 2)
    entered, left, line, column = mask.nonzero()
    return _Kept(entered, left, line, column, slot.start + ((entered * side + line) * side + column) * inputs + left)


def _silent(layers: Sequence[ConvLayer], kept: Sequence[_Kept], read: _Ints) -> list[_Bools]:
    """For each convolution the channels that do not reach the output, since no channel that does reads them, or no
    unit: `read` are the outputs of the last that units read.
    """

    places = layers[-1].output_size[0] * layers[-1].output_size[1]
    silent = [~np.isin(np.arange(layers[-1].weight.shape[0]), read // places)]
    for layer, one in zip(reversed(layers[1:]), reversed(kept[1:])):
        silent.append(~np.isin(np.arange(layer.weight.shape[1]), one.left[~silent[-1][one.entered]]))
    return silent[::-1]


def _biases(layers: Sequence[ConvLayer], alive: _Bools, start: int) -> tuple[_Ints, _Ints]:
    """The number of each channel's bias among the weights, from `start` on, -1 for none; their places in the vector."""

    places = np.concatenate([
        np.where(alive[layer.bias.start:layer.bias.stop], np.arange(layer.bias.start, layer.bias.stop), -1)
        if layer.bias else np.full(layer.weight.shape[0], -1) for layer in layers])
    return np.where(places >= 0, start + (places >= 0).cumsum() - 1, -1), places[places >= 0]


def _stages(
        layers: Sequence[ConvLayer], values: Sequence[_Planes], slopes: Sequence[_Planes],
) -> tuple[NDArray[np.void], int]:
    """What the kernels know of each convolution, and how many rows of winners there are."""

    stages, first, winners = np.zeros(len(layers), dtype=STAGE), 0, 0
    for number, (layer, source, target, slope) in enumerate(zip(layers, values, values[1:], slopes)):
        channels, (height, width) = layer.weight.shape[0], layer.output_size
        used = (2 * height, 2 * width) if layer.pooled else layer.conv_size
        margin = slope.origin - slope.start
        stages[number] = (
            first, first + channels, source.start, source.across, *used, layer.pooled, target.origin, target.plane,
            target.across, slope.origin, slope.plane, slope.across, margin, winners)
        first, winners = first + channels, winners + channels * height * width * layer.pooled
    return stages, winners


def _leaving(
        layers: Sequence[ConvLayer], kept: Sequence[_Kept], silent: Sequence[_Bools], slopes: Sequence[_Planes],
) -> tuple[_Ints, NDArray[np.int32], _Ints]:
    """The weights that leave each channel for one that is heard: where they begin, what each hands down, and which they
    are. Nothing is handed down to the pictures.
    """

    handed, entries, left, start = list[_Ints](), list[_Ints](), list[_Ints](), 0
    for number, (layer, one, planes) in enumerate(zip(layers, kept, slopes, strict=True)):
        if number:
            useful = np.flatnonzero(~silent[number][one.entered])
            useful = useful[one.left[useful].argsort(kind='stable')]
            far = layer.kernel_size - 1
            entries.append(start + useful)
            left.append(one.left[useful])
            handed.append((one.entered * planes.plane + (far - one.line) * planes.across + far - one.column)[useful])
        start += len(one.place)
    # From the last convolution on matter units.
    pointers = _pointers(layers[1:], left, side=1)
    pointers = np.concatenate([pointers, np.full(layers[-1].weight.shape[0], pointers[-1])])
    nothing = np.zeros(0, dtype=np.int64)
    return pointers, np.concatenate([nothing, *handed]).astype(np.int32), np.concatenate([nothing, *entries])


def _pointers(layers: Sequence[ConvLayer], channels: Sequence[_Ints], *, side: int) -> _Ints:
    """Where the weights of each channel begin, those of all layers one behind the other; `side` 0: of those entered."""

    counts = [np.bincount(one, minlength=layer.weight.shape[side]) for layer, one in zip(layers, channels, strict=True)]
    return np.concatenate([[0], *counts]).cumsum()


def _behind(matrix: Matrix, front: int, values: Sequence[_Planes], averages: Averages | None) -> Matrix:
    """The matrix of the dense layers with the last convolution's outputs, from row `front` on, as its first units."""

    features = values[-1].stop - front
    units = front + features + np.arange(matrix.units)
    columns = np.concatenate([[0], front + matrix.inputs, units])[matrix.columns].astype(np.int32)
    rows = values[0].rows().ravel()
    blocks = np.unique(np.minimum(np.arange(0, len(rows), SIDE), max(len(rows) - SIDE, 0)))
    mean, std = dense_layout.moments(np.arange(len(rows)), len(rows), averages)
    return matrix._replace(
        columns=columns, runs=matrix.runs._replace(units=features + matrix.runs.units), units=features + matrix.units,
        inputs=np.arange(len(rows)), rows=rows, blocks=blocks, mean=mean, std=std)
