"""Dense layers as one sparse matrix over units, its weights stored unit by unit, the bias of each unit first.

Example: 3 inputs, 2 hidden units, 1 output. The flat vector has the hidden weights at 0 to 5, the output's weights at 6
and 7, the hidden biases at 8 and 9, the output's bias at 10. Kept are all biases and four weights:

    hidden unit 0 reads input 0 (index 0) and input 2 (index 2)
    hidden unit 1 reads input 1 (index 4)
    the output reads hidden unit 0 (index 6)

Nothing reads hidden unit 1. So it is not connected: it keeps its weights but gets no gradient, and input 1 is not read.

    row of values     0: ones   1: input 0   2: input 2   3: hidden 0   4: hidden 1   5: output

    unit              hidden 0     hidden 1     output
    weight, index     8   0   2    9   4        10   6
    column            0   1   2    0   0        0    3       the row that the weight multiplies; 0 if never used
    slices            unit 0: weights 0 to 3    unit 2: weights 5 to 7

forward:   row 3 = relu(w[0] · row 0 + w[1] · row 1 + w[2] · row 2),   row 5 = w[5] · row 0 + w[6] · row 3
backward:  the gradient of w[6] is the sum over images of delta(output) · row 3, and delta(hidden 0) = w[6] ·
           delta(output) where row 3 > 0
"""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lth.training.engines.chains import DenseLayer
from lth.training.engines.sparse_cpu.conv_layout import Features
from lth.training.engines.sparse_cpu.kernels.data import Matrix, Slices

_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]
# A tile has at least this many rows, which are 24 KiB, and on average at least this many weights of each unit.
_TILE_ROWS, _TILE_WEIGHTS = 96, 24


class KeptWeights(NamedTuple):
    """The kept weights of a layer, unit by unit, the bias of each unit first, in the order of its inputs."""

    units: _Ints  # unit of the layer
    columns: _Ints  # 0 for a bias, else 1 + the input
    indices: _Ints  # index in the flat vector
    shape: tuple[int, int]  # number of units, number of inputs


def kept_weights(layer: DenseLayer, mask: _Bools) -> KeptWeights:
    """The kept weights of a layer, given the mask of the flat vector (N,)."""

    weight, bias = layer
    count, inputs = weight.shape
    positions = np.flatnonzero(mask[weight.start:weight.stop])
    units = positions // inputs
    columns = positions - units * inputs + 1
    biased = np.flatnonzero(mask[bias.start:bias.stop]) if bias else positions[:0]
    at = np.searchsorted(units, biased)
    return KeptWeights(
        np.insert(units, at, biased), np.insert(columns, at, 0),
        np.insert(weight.start + positions, at, bias.start + biased if bias else biased), (count, inputs))


def connected_units(layers: Sequence[KeptWeights]) -> list[_Bools]:
    """Which inputs of the first layer, then which units of each layer, are connected to the output by kept weights."""

    connected = [np.ones(layers[-1].shape[0], dtype=bool)]
    for layer in reversed(layers):
        connected.append(_read(layer, connected[-1])[1:])
    return connected[::-1]


def dense_matrix(layers: Sequence[KeptWeights], connected: Sequence[_Bools], features: Features) -> Matrix:
    """The matrix of the kept weights. The first layer reads `features`."""

    rows, start = [features.rows], features.first_row + features.outputs
    for layer in layers[:-1]:
        rows.append(start + np.arange(layer.shape[0]))
        start += layer.shape[0]
    columns = [np.concatenate([[0], row])[layer.columns] for row, layer in zip(rows, layers, strict=True)]
    units = features.outputs + sum(layer.shape[0] for layer in layers)
    slices = _slices(layers, connected[1:], features.outputs)
    return Matrix(np.concatenate(columns).astype(np.int32), slices, units, layers[-1].shape[0])


def _read(layer: KeptWeights, connected: _Bools) -> _Bools:
    """The columns, of 1 + inputs, that connected units read."""

    read = np.zeros(1 + layer.shape[1], dtype=bool)
    read[layer.columns[connected[layer.units]]] = True
    return read


def _slices(layers: Sequence[KeptWeights], connected: Sequence[_Bools], first_unit: int) -> Slices:
    """The slices of all layers; the units of the first layer are numbered from `first_unit` on."""

    slices, entry, unit = [], 0, first_unit
    for layer, units in zip(layers, connected, strict=True):
        slices.append(_layer_slices(layer, units, entry, unit))
        entry, unit = entry + len(layer.units), unit + layer.shape[0]
    return Slices(*map(np.concatenate, zip(*slices, strict=True)))


def _layer_slices(layer: KeptWeights, connected: _Bools, entry: int, unit: int) -> Slices:
    """The slices of a layer's connected units. The layer's first weight is `entry`, its first unit `unit`."""

    read, connected_numbers = _read(layer, connected), np.flatnonzero(connected)
    rows, weights = int(np.count_nonzero(read)), int(np.count_nonzero(connected[layer.units]))
    tiles = max(1, min(rows // _TILE_ROWS, weights // (_TILE_WEIGHTS * max(1, len(connected_numbers)))))
    # Tiles start at columns between which about the same number of columns is read.
    edges = np.searchsorted(read.cumsum(), np.arange(1, tiles) * rows // tiles, side='right')
    tile_of_column = np.searchsorted(edges, np.arange(len(read)), side='right')
    counts = np.bincount(layer.units * tiles + tile_of_column[layer.columns], minlength=layer.shape[0] * tiles)
    stops = (entry + counts.cumsum()).reshape(-1, tiles)
    order, tile = np.tile(connected_numbers, tiles), np.arange(tiles).repeat(len(connected_numbers))
    starts = stops - counts.reshape(-1, tiles)
    return Slices(unit + order, starts[order, tile], stops[order, tile], tile == 0, tile == tiles - 1)
