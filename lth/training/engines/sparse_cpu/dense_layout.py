"""A network of dense layers as a sparse matrix over units: which surviving weight lies between which two."""
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth.training.engines.sparse_cpu.kernels import LANES, SIDE, STAGE, Filters, Matrix, Room, Runs
from lth.training.engines.sparse_cpu.supported import DenseLayer

_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]
_Floats = NDArray[np.float32]
# A tile has at least so many rows, which are 24 KiB, and so many that a unit has that many weights on it.
_ROWS, _WEIGHTS = 96, 24
# Mean and standard deviation of each channel.
Averages = tuple[tuple[float, ...], tuple[float, ...]]
# Of a network without convolutions.
_NO_FILTERS = Filters(
    stages=np.zeros(0, dtype=STAGE), pointers=np.zeros(1, dtype=np.int64), offsets=np.zeros(0, dtype=np.int32),
    biases=np.zeros(0, dtype=np.int64), silent=np.zeros(0, dtype=bool), leaving=np.zeros(1, dtype=np.int64),
    slopes=np.zeros(0, dtype=np.int32), entries=np.zeros(0, dtype=np.int64), weights=0)


class Extent(NamedTuple):
    """How many rows of values come before the units of the matrix, and how many there are of slopes and winners."""

    front: int
    slopes: int
    winners: int


class Wiring(NamedTuple):
    """A matrix with the places of its weights in the network's vector, (E,), those of convolutions before it first; the
    rows that it wants; and how often a row is multiplied by a weight.
    """

    matrix: Matrix
    places: _Ints
    filters: Filters
    extent: Extent
    work: int


def wired(layers: list[DenseLayer], alive: _Bools, averages: Averages | None) -> Wiring:
    """The matrix of the weights and biases that are alive: (N,); inputs are standardized if there are `averages`."""

    masks = [_augmented(layer, alive) for layer in layers]
    heard = _heard(masks)
    pixels = np.flatnonzero(masks[0][heard[1], 1:].any(0))
    found = [mask.nonzero() for mask in masks]
    columns = [rows[entries] for rows, (_, entries) in zip(_rows(layers, pixels), found, strict=True)]
    places = [_places(layer)[there] for layer, there in zip(layers, found, strict=True)]
    last = max(layers[0].weight.shape[1] - SIDE, 0)
    mean, std = moments(pixels, layers[0].weight.shape[1], averages)
    matrix = Matrix(
        columns=np.concatenate(columns).astype(np.int32), runs=_runs(masks, heard[1:]), units=sum(map(len, masks)),
        inputs=pixels, rows=1 + np.arange(len(pixels)), blocks=np.unique(np.minimum(pixels // SIDE * SIDE, last)),
        mean=mean, std=std, classes=len(masks[-1]))
    return Wiring(matrix, np.concatenate(places), _NO_FILTERS, Extent(1 + len(pixels), 0, 0), sum(map(len, places)))


def moments(pixels: _Ints, of_pixels: int, averages: Averages | None) -> tuple[_Floats, _Floats]:
    """Mean and deviation of the channel in which each of these pixels lies; nothing without `averages`."""

    if averages is None:
        return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
    mean, std = (np.array(values, dtype=np.float32) for values in averages)
    channels = pixels // (of_pixels // len(mean))
    return mean[channels], std[channels]


def room_for(wiring: Wiring, pixels: int) -> Room:
    """Memory for a step, which torch begins where a vector of the processor may."""

    extent, units = wiring.extent, wiring.matrix.units
    values = torch.zeros(extent.front + units, LANES)
    values[0] = 1
    turned = torch.zeros(max(pixels, SIDE), LANES, dtype=torch.uint8)
    deltas, scratch, slopes, winners = (
        torch.zeros(rows, LANES).numpy() for rows in (units, 4, extent.slopes, extent.winners))
    leaving = np.zeros(len(wiring.filters.entries), dtype=np.float32)
    return Room(turned.numpy(), values.numpy(), deltas, scratch, slopes, winners, leaving)


def bytes_of(images: Tensor) -> NDArray[np.uint8]:
    """Pictures as rows of bytes, at least a square wide: (n, C, H, W) -> (n, pixels)."""

    flat = images.reshape(len(images), -1)
    missing = SIDE - flat.shape[1]
    return (torch.nn.functional.pad(flat, (0, missing)) if missing > 0 else flat).contiguous().numpy()


def _augmented(layer: DenseLayer, alive: _Bools) -> _Bools:
    """What is alive of a layer, the biases as its first column: (units, 1 + inputs)."""

    weight, bias = layer
    units = weight.shape[0]
    biases = alive[bias.start:bias.stop] if bias else np.zeros(units, dtype=bool)
    return np.concatenate([biases[:, None], alive[weight.start:weight.stop].reshape(weight.shape)], 1)


def _places(layer: DenseLayer) -> _Ints:
    """Where the numbers of a layer lie in the vector, the biases as its first column: (units, 1 + inputs)."""

    weight, bias = layer
    units = weight.shape[0]
    biases = np.arange(units) + (bias.start if bias else 0)
    return np.concatenate([biases[:, None], np.arange(weight.start, weight.stop).reshape(weight.shape)], 1)


def _heard(masks: list[_Bools]) -> list[_Bools]:
    """Which inputs, and which units of each layer, reach the output: what they do not reach has no gradient."""

    heard: list[_Bools] = [np.ones(len(masks[-1]), dtype=bool)]
    for mask in reversed(masks):
        heard.append(np.any(mask[heard[-1], 1:], axis=0))
    return heard[::-1]


def _runs(masks: list[_Bools], heard: list[_Bools]) -> Runs:
    """The runs of all layers."""

    runs, entry, unit = [], 0, 0
    for mask, units in zip(masks, heard, strict=True):
        runs.append(_layer_runs(mask, np.flatnonzero(units), entry, unit))
        entry, unit = entry + int(mask.sum()), unit + len(mask)
    return Runs(*map(np.concatenate, zip(*runs, strict=True)))


def _layer_runs(mask: _Bools, heard: _Ints, entry: int, unit: int) -> Runs:
    """Those of the units of a layer that are heard; its weights begin at `entry`, its units at `unit`."""

    read = mask[heard].any(0)
    rows, weights = int(read.sum()), int(mask[heard].sum())
    tiles = max(1, min(rows // _ROWS, weights // (_WEIGHTS * max(1, len(heard)))))
    edges = [0, *np.searchsorted(read.cumsum(), np.arange(1, tiles) * rows // tiles, side='right')]
    counts = np.add.reduceat(mask, edges, axis=1, dtype=np.int64)
    stops = entry + counts.cumsum().reshape(counts.shape)
    order, tile = np.tile(heard, tiles), np.arange(tiles).repeat(len(heard))
    return Runs(unit + order, (stops - counts)[order, tile], stops[order, tile], tile == 0, tile == tiles - 1)


def _rows(layers: list[DenseLayer], pixels: _Ints) -> list[_Ints]:
    """For each layer the row of values that each of its columns weighs; 0, never looked at, for pixels left out."""

    first = np.zeros(layers[0].weight.shape[1], dtype=np.int64)
    first[pixels] = 1 + np.arange(len(pixels))
    rows, start = [np.concatenate([[0], first])], 1 + len(pixels)
    for layer in layers[:-1]:
        units = layer.weight.shape[0]
        rows.append(np.concatenate([[0], start + np.arange(units)]))
        start += units
    return rows
