"""A network of dense layers as a sparse matrix over units: which surviving weight lies between which two."""
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lth.engines.kernels import LANES, SIDE, Matrix, Room, Runs
from lth.network import Network
from lth.vectors import Slot

_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]
# A tile has at least so many rows, which are 24 KiB, and so many that a unit has that many weights on it.
_ROWS, _WEIGHTS = 96, 24
# Mean and standard deviation of each channel.
Averages = tuple[tuple[float, ...], tuple[float, ...]]


class Dense(NamedTuple):
    """One dense layer: the slots of its weight and of its bias, if it has one."""

    weight: Slot
    bias: Slot | None


class Wiring(NamedTuple):
    """A matrix with the places of its weights in the network's vector: (E,)."""

    matrix: Matrix
    places: _Ints


def chain(network: Network) -> list[Dense] | None:
    """The layers from input to output if they are dense layers with ReLU between them and nothing else, else None."""

    layers = _unfolded(network.module)
    if layers and isinstance(layers[0], nn.Flatten) and (layers[0].start_dim, layers[0].end_dim) == (1, -1):
        layers = layers[1:]
    dense, between = layers[::2], layers[1::2]
    if len(dense) != len(between) + 1 or not all(layer.__class__ is nn.ReLU for layer in between):
        return None
    slots = {slot.name: slot for slot in network.layout.slots}
    names = {id(parameter): name for name, parameter in network.module.named_parameters()}
    found = []
    for layer in dense:
        if not isinstance(layer, nn.Linear) or layer.__class__ is not nn.Linear or id(layer.weight) not in names:
            return None
        found.append(Dense(slots[names[id(layer.weight)]],
                           slots[names[id(layer.bias)]] if layer.bias is not None else None))
    once = len({one.weight.name for one in found}) == len(found) and len(slots) == sum(map(_tensors, found))
    return found if once and math.prod(network.shape) == found[0].weight.shape[1] else None


def wired(layers: list[Dense], alive: _Bools, averages: Averages | None) -> Wiring:
    """The matrix of the weights and biases that are alive: (N,); inputs are standardized if there are `averages`."""

    masks = [_augmented(layer, alive) for layer in layers]
    heard = _heard(masks)
    pixels = np.flatnonzero(masks[0][heard[1], 1:].any(0))
    found = [mask.nonzero() for mask in masks]
    columns = [rows[entries] for rows, (_, entries) in zip(_rows(layers, pixels), found, strict=True)]
    places = [_places(layer)[there] for layer, there in zip(layers, found, strict=True)]
    last, nothing = max(layers[0].weight.shape[1] - SIDE, 0), np.zeros(0, dtype=np.float32)
    matrix = Matrix(
        columns=np.concatenate(columns).astype(np.int32), runs=_runs(masks, heard[1:]),
        units=sum(map(len, masks)), inputs=pixels, blocks=np.unique(np.minimum(pixels // SIDE * SIDE, last)),
        mean=nothing, std=nothing, classes=len(masks[-1]))
    if averages:
        mean, std = (np.array(values, dtype=np.float32) for values in averages)
        channels = pixels // (layers[0].weight.shape[1] // len(mean))
        matrix = matrix._replace(mean=mean[channels], std=std[channels])
    return Wiring(matrix, np.concatenate(places))


def room_for(matrix: Matrix, pixels: int) -> Room:
    """Memory for a step, which torch begins where a vector of the processor may."""

    values = torch.zeros(1 + len(matrix.inputs) + matrix.units, LANES)
    values[0] = 1
    turned = torch.zeros(max(pixels, SIDE), LANES, dtype=torch.uint8)
    return Room(turned.numpy(), values.numpy(), torch.zeros(matrix.units, LANES).numpy(), torch.zeros(4, LANES).numpy())


def bytes_of(images: Tensor) -> NDArray[np.uint8]:
    """Pictures as rows of bytes, at least a square wide: (n, C, H, W) -> (n, pixels)."""

    flat = images.reshape(len(images), -1)
    missing = SIDE - flat.shape[1]
    return (torch.nn.functional.pad(flat, (0, missing)) if missing > 0 else flat).contiguous().numpy()


def _unfolded(module: nn.Module) -> list[nn.Module]:
    """The layers of a sequence, those of sequences in it included, that do something."""

    if not isinstance(module, nn.Sequential) or module.__class__ is not nn.Sequential:
        return [] if isinstance(module, nn.Identity) else [module]
    return [layer for child in module for layer in _unfolded(child)]


def _tensors(layer: Dense) -> int:
    return 1 + (layer.bias is not None)


def _augmented(layer: Dense, alive: _Bools) -> _Bools:
    """What is alive of a layer, the biases as its first column: (units, 1 + inputs)."""

    weight, bias = layer
    units = weight.shape[0]
    biases = alive[bias.start:bias.stop] if bias else np.zeros(units, dtype=bool)
    return np.concatenate([biases[:, None], alive[weight.start:weight.stop].reshape(weight.shape)], 1)


def _places(layer: Dense) -> _Ints:
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


def _rows(layers: list[Dense], pixels: _Ints) -> list[_Ints]:
    """For each layer the row of values that each of its columns weighs; 0, never looked at, for pixels left out."""

    first = np.zeros(layers[0].weight.shape[1], dtype=np.int64)
    first[pixels] = 1 + np.arange(len(pixels))
    rows, start = [np.concatenate([[0], first])], 1 + len(pixels)
    for layer in layers[:-1]:
        units = layer.weight.shape[0]
        rows.append(np.concatenate([[0], start + np.arange(units)]))
        start += units
    return rows
