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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lth.training.engines.chains import DenseLayer
from lth.training.engines.sparse_cpu.conv_layout import Features
from lth.training.engines.sparse_cpu.kernels.data import Matrix, Slices

_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]
# A tile has at least this many rows, which are 24 KiB, and on average at least this many weights of each unit.
_TILE_ROWS, _TILE_WEIGHTS = 96, 24


def dense_matrix(masks: Sequence[_Bools], connected: Sequence[_Bools], features: Features) -> Matrix:
    """The matrix of the kept weights. The first layer reads `features`."""

    rows, start = [features.rows], features.first_row + features.outputs
    for mask in masks[:-1]:
        rows.append(start + np.arange(len(mask)))
        start += len(mask)
    columns = [np.concatenate([[0], layer])[mask.nonzero()[1]] for layer, mask in zip(rows, masks, strict=True)]
    units = features.outputs + sum(len(mask) for mask in masks)
    slices = _slices(masks, connected[1:], features.outputs)
    return Matrix(np.concatenate(columns).astype(np.int32), slices, units, len(masks[-1]))


def with_bias(layer: DenseLayer, vector: NDArray[Any]) -> NDArray[Any]:
    """The layer's part of a flat vector, biases as the first column, 0 if it has none: (N,) -> (units, 1 + inputs)."""

    weight, bias = layer
    biases = vector[bias.start:bias.stop] if bias else np.zeros(weight.shape[0], dtype=vector.dtype)
    return np.concatenate([biases[:, None], vector[weight.start:weight.stop].reshape(weight.shape)], 1)


def connected_units(masks: Sequence[_Bools]) -> list[_Bools]:
    """Which inputs of the first layer, then which units of each layer, are connected to the output by kept weights."""

    connected: list[_Bools] = [np.ones(len(masks[-1]), dtype=bool)]
    for mask in reversed(masks):
        connected.append(np.any(mask[connected[-1], 1:], axis=0))
    return connected[::-1]


def _slices(masks: Sequence[_Bools], connected: Sequence[_Bools], first_unit: int) -> Slices:
    """The slices of all layers; the units of the first layer are numbered from `first_unit` on."""

    slices, entry, unit = [], 0, first_unit
    for mask, units in zip(masks, connected, strict=True):
        slices.append(_layer_slices(mask, np.flatnonzero(units), entry, unit))
        entry, unit = entry + int(mask.sum()), unit + len(mask)
    return Slices(*map(np.concatenate, zip(*slices, strict=True)))


def _layer_slices(mask: _Bools, connected: _Ints, entry: int, unit: int) -> Slices:
    """The slices of a layer's connected units. The layer's first weight is `entry`, its first unit `unit`."""

    read = mask[connected].any(0)
    rows, weights = int(read.sum()), int(mask[connected].sum())
    tiles = max(1, min(rows // _TILE_ROWS, weights // (_TILE_WEIGHTS * max(1, len(connected)))))
    # Tiles start at columns between which about the same number of columns is read.
    edges = [0, *np.searchsorted(read.cumsum(), np.arange(1, tiles) * rows // tiles, side='right')]
    counts = np.add.reduceat(mask, edges, axis=1, dtype=np.int64)
    stops = entry + counts.cumsum().reshape(counts.shape)
    order, tile = np.tile(connected, tiles), np.arange(tiles).repeat(len(connected))
    return Slices(unit + order, (stops - counts)[order, tile], stops[order, tile], tile == 0, tile == tiles - 1)
