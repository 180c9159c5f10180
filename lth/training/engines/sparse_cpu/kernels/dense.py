"""Inputs, dense layers and the loss, forward and backward, for 64 images."""
# numba compiles loops over indices best.
# pylint: disable=consider-using-enumerate
import math
from typing import Any

import numpy as np

from lth.training.engines.sparse_cpu.kernels.compiler import compiled
from lth.training.engines.sparse_cpu.kernels.data import Inputs, Matrix, Parameters, Workspace
from lth.training.engines.sparse_cpu.kernels.lanes import (
    LANES, divide, exponential, load, load_scaled, muladd, splat, store, where_greater)
from lth.training.engines.sparse_cpu.kernels.shuffles import add_products, lane_sum


@compiled
def read_inputs(inputs: Inputs, workspace: Workspace, transposed: Any) -> None:
    """Write the values of the inputs from the bytes of 64 images, (pixels, 64)."""

    for index in range(len(inputs.pixels)):
        pixels = load_scaled(transposed, inputs.pixels[index])
        if len(inputs.mean):
            centered = muladd(splat(1.), pixels, splat(-inputs.mean[index]))
            pixels = divide(centered, splat(inputs.std[index]))
        store(workspace.values, inputs.rows[index], pixels)


@compiled
def forward(matrix: Matrix, workspace: Workspace, weights: Any) -> None:
    """Write the values of all connected units, after ReLU except for the output."""

    values, slices = workspace.values, matrix.slices
    first, hidden = len(values) - matrix.units, matrix.units - matrix.classes
    for index in range(len(slices.units)):
        unit = slices.units[index]
        total = splat(0.) if slices.is_first[index] else load(values, first + unit)
        for entry in range(slices.starts[index], slices.stops[index]):
            total = muladd(splat(weights[entry]), load(values, matrix.columns[entry]), total)
        if slices.is_last[index] and unit < hidden:
            total = where_greater(splat(0.), total, splat(0.), total)
        store(values, first + unit, total)


@compiled
def predict(matrix: Matrix, workspace: Workspace) -> Any:
    """The class with the largest logit and this logit, of each image."""

    output = len(workspace.values) - matrix.classes
    best, largest = splat(0.), load(workspace.values, output)
    for label in range(1, matrix.classes):
        logits = load(workspace.values, output + label)
        best = where_greater(logits, largest, splat(label), best)
        largest = where_greater(logits, largest, logits, largest)
    return best, largest


@compiled
def cross_entropy(  # pylint: disable=too-many-positional-arguments # one chunk of a batch
        matrix: Matrix, workspace: Workspace, labels: Any, rows: Any, count: int,
        batch_size: int) -> tuple[float, int]:
    """The sum of the losses of the first `count` images and the number of correct predictions.

    Writes the deltas of the output: the gradient of the mean loss over `batch_size` images.
    """

    values, deltas, scratch = workspace.values, workspace.deltas, workspace.scratch
    output, output_delta = len(values) - matrix.classes, len(deltas) - matrix.classes
    best, largest = predict(matrix, workspace)
    total = splat(0.)
    for label in range(matrix.classes):
        power = exponential(muladd(splat(-1.), largest, load(values, output + label)))
        store(deltas, output_delta + label, power)
        total = muladd(splat(1.), power, total)
    store(scratch, 0, largest)
    store(scratch, 1, total)
    store(scratch, 2, best)
    share = np.float32(1 / batch_size)
    for lane in range(LANES):
        scratch[3, lane] = share if lane < count else np.float32(0)
    scale = divide(load(scratch, 3), total)
    for label in range(matrix.classes):
        store(deltas, output_delta + label, muladd(load(deltas, output_delta + label), scale, splat(0.)))
    loss, correct = 0., 0
    for lane in range(count):
        label = labels[rows[lane]]
        deltas[output_delta + label, lane] -= share
        loss += math.log(scratch[1, lane]) - (values[output + label, lane] - scratch[0, lane])
        correct += scratch[2, lane] == label
    return loss, correct


@compiled
def backward(matrix: Matrix, workspace: Workspace, parameters: Parameters) -> None:
    """Write the deltas of the connected hidden units and add to the gradient of the weights.

    From the last slice to the first, so that a unit's delta is complete before it is used. Weights are visited as they
    are stored: sorted by the unit that they leave, a network of 1,000 units per layer takes 5 times as long.
    """

    values, deltas, slices = workspace.values, workspace.deltas, matrix.slices
    first, hidden = len(values) - matrix.units, matrix.units - matrix.classes
    for unit in range(hidden):
        store(deltas, unit, splat(0.))
    for index in range(len(slices.units) - 1, -1, -1):
        unit, start, stop = slices.units[index], slices.starts[index], slices.stops[index]
        delta = load(deltas, unit)
        if unit < hidden:
            delta = where_greater(load(values, first + unit), splat(0.), delta, splat(0.))
        rest = stop - (stop - start) % 4
        for entry in range(start, rest, 4):
            add_products(parameters.gradient, entry, delta, values, matrix.columns)
        for entry in range(rest, stop):
            parameters.gradient[entry] += lane_sum(muladd(delta, load(values, matrix.columns[entry]), splat(0.)))
        if start < stop and matrix.columns[stop - 1] >= first:
            for entry in range(start, stop):
                below = matrix.columns[entry] - first
                if below >= 0:
                    store(deltas, below, muladd(splat(parameters.weights[entry]), delta, load(deltas, below)))
