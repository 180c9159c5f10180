"""Convolutions with ReLU and optional 2 × 2 max-pooling, forward and backward, for 64 images.

The positions of a channel are rows of values, in a margin of zeros (conv_layout.py). A weight multiplies the row at a
fixed offset from the first corner of the kernel, so a position costs one multiplication and one addition per weight.
The outputs of the last convolution are the first units of the dense layers' matrix.
"""
from typing import Any

from lth.training.engines.sparse_cpu.kernels.compiler import compiled
from lth.training.engines.sparse_cpu.kernels.data import Convolutions, Parameters, Workspace
from lth.training.engines.sparse_cpu.kernels.lanes import (
    load, muladd, splat, store, where_equal, where_greater, where_greater_or_nan)
from lth.training.engines.sparse_cpu.kernels.shuffles import lane_sum


@compiled
def forward(convolutions: Convolutions, workspace: Workspace, weights: Any) -> None:
    """Write the outputs of all connected channels, four positions (2 × 2) at a time: what they read is then cached."""

    for layer in convolutions.layers:
        for y in range(0, layer.height, 2):
            for x in range(0, layer.width, 2):
                position = layer.input_row + y * layer.input_line + x
                for channel in range(layer.first, layer.stop):
                    if convolutions.unconnected[channel]:
                        continue
                    bias = convolutions.biases[channel]
                    four = weighted_sums(
                        workspace.values, position, layer.input_line, weights, convolutions.offsets,
                        convolutions.incoming[channel], convolutions.incoming[channel + 1],
                        splat(weights[bias] if bias >= 0 else 0.))
                    if layer.pooled:
                        write_pooled(layer, workspace, channel - layer.first, y // 2, x // 2, four)
                        continue
                    write_output(layer, workspace, channel - layer.first, y, x, four[0])
                    write_output(layer, workspace, channel - layer.first, y, x + 1, four[1])
                    write_output(layer, workspace, channel - layer.first, y + 1, x, four[2])
                    write_output(layer, workspace, channel - layer.first, y + 1, x + 1, four[3])


@compiled
def backward(convolutions: Convolutions, workspace: Workspace, parameters: Parameters) -> None:
    """Add to the gradient of all weights and biases. The first rows of deltas are the last convolution's outputs'."""

    last = len(convolutions.layers) - 1
    for number in range(last, -1, -1):
        layer = convolutions.layers[number]
        if number == last:
            height, width = output_size(layer)
            for feature in range((layer.stop - layer.first) * height * width):
                line = feature // width
                delta = load(workspace.deltas, feature)
                write_conv_deltas(layer, workspace, line // height, line % height, feature % width, delta)
        else:
            backward_to_inputs(convolutions, convolutions.layers[number + 1], layer, workspace, parameters.weights)
        add_gradient(convolutions, layer, workspace, parameters)


@compiled
def weighted_sums(  # pylint: disable=too-many-arguments,too-many-positional-arguments # all that a sum reads
        rows: Any, position: int, line: int, weights: Any, offsets: Any, start: int, stop: int, initial: Any) -> Any:
    """The sums of weights[start:stop] × rows at four positions (2 × 2) from row `position` on, lines `line` apart."""

    sum1, sum2, sum3, sum4 = initial, initial, initial, initial
    for entry in range(start, stop):
        weight, row = splat(weights[entry]), position + offsets[entry]
        sum1 = muladd(weight, load(rows, row), sum1)
        sum2 = muladd(weight, load(rows, row + 1), sum2)
        sum3 = muladd(weight, load(rows, row + line), sum3)
        sum4 = muladd(weight, load(rows, row + line + 1), sum4)
    return sum1, sum2, sum3, sum4


@compiled
def write_output(  # pylint: disable=too-many-positional-arguments # one position of one channel
        layer: Any, workspace: Workspace, channel: int, y: int, x: int, total: Any) -> None:
    """Write one output after ReLU, unless its position is beyond the edge."""

    if y < layer.height and x < layer.width:
        store(workspace.values, output_row(layer, channel, y, x), where_greater(splat(0.), total, splat(0.), total))


@compiled
def write_pooled(  # pylint: disable=too-many-positional-arguments # one position of one channel
        layer: Any, workspace: Workspace, channel: int, y: int, x: int, four: Any) -> None:
    """Write the largest of four sums after ReLU, and which one it is: the first of equal ones, as in torch."""

    winner, largest = splat(0.), four[0]
    winner = where_greater_or_nan(four[1], largest, splat(1.), winner)
    largest = where_greater_or_nan(four[1], largest, four[1], largest)
    winner = where_greater_or_nan(four[2], largest, splat(2.), winner)
    largest = where_greater_or_nan(four[2], largest, four[2], largest)
    winner = where_greater_or_nan(four[3], largest, splat(3.), winner)
    largest = where_greater_or_nan(four[3], largest, four[3], largest)
    output = where_greater(splat(0.), largest, splat(0.), largest)
    store(workspace.values, output_row(layer, channel, y, x), output)
    store(workspace.winners, winner_row(layer, channel, y, x), where_greater(largest, splat(0.), winner, splat(4.)))


@compiled
def output_size(layer: Any) -> tuple[int, int]:
    """(height, width) of a layer's output, after pooling."""

    return (layer.height // 2, layer.width // 2) if layer.pooled else (layer.height, layer.width)


@compiled
def output_row(layer: Any, channel: int, y: int, x: int) -> int:
    """The row of values of an output."""

    row: int = layer.output_row + channel * layer.output_channel + y * layer.output_line + x
    return row


@compiled
def winner_row(layer: Any, channel: int, y: int, x: int) -> int:
    """The row of winners of a pooled output."""

    height, width = output_size(layer)
    row: int = layer.winner_row + (channel * height + y) * width + x
    return row


@compiled
def write_conv_deltas(  # pylint: disable=too-many-positional-arguments # one position of one channel
        layer: Any, workspace: Workspace, channel: int, y: int, x: int, delta: Any) -> None:
    """Write the deltas before pooling and ReLU from the delta of an output, unless its position is beyond the edge."""

    height, width = output_size(layer)
    if y >= height or x >= width:
        return
    start, line = layer.delta_row + channel * layer.delta_channel, layer.delta_line
    if not layer.pooled:
        value = load(workspace.values, output_row(layer, channel, y, x))
        store(workspace.conv_deltas, start + y * line + x, where_greater(value, splat(0.), delta, splat(0.)))
        return
    winner, row = load(workspace.winners, winner_row(layer, channel, y, x)), start + 2 * (y * line + x)
    store(workspace.conv_deltas, row, where_equal(winner, splat(0.), delta, splat(0.)))
    store(workspace.conv_deltas, row + 1, where_equal(winner, splat(1.), delta, splat(0.)))
    store(workspace.conv_deltas, row + line, where_equal(winner, splat(2.), delta, splat(0.)))
    store(workspace.conv_deltas, row + line + 1, where_equal(winner, splat(3.), delta, splat(0.)))


@compiled
def backward_to_inputs(
        convolutions: Convolutions, layer: Any, below: Any, workspace: Workspace, weights: Any) -> None:
    """Write the deltas of the convolution below a layer from the layer's deltas."""

    for entry in range(convolutions.outgoing[below.first], convolutions.outgoing[below.stop]):
        workspace.outgoing[entry] = weights[convolutions.outgoing_weights[entry]]
    origin, (height, width) = layer.delta_row - layer.delta_margin, output_size(below)
    for y in range(0, height, 2):
        for x in range(0, width, 2):
            position = origin + y * layer.delta_line + x
            for channel in range(below.first, below.stop):
                if convolutions.unconnected[channel]:
                    continue
                four = weighted_sums(
                    workspace.conv_deltas, position, layer.delta_line, workspace.outgoing,
                    convolutions.outgoing_offsets, convolutions.outgoing[channel], convolutions.outgoing[channel + 1],
                    splat(0.))
                write_conv_deltas(below, workspace, channel - below.first, y, x, four[0])
                write_conv_deltas(below, workspace, channel - below.first, y, x + 1, four[1])
                write_conv_deltas(below, workspace, channel - below.first, y + 1, x, four[2])
                write_conv_deltas(below, workspace, channel - below.first, y + 1, x + 1, four[3])


@compiled
def add_gradient(convolutions: Convolutions, layer: Any, workspace: Workspace, parameters: Parameters) -> None:
    """Add to the gradient of a layer's weights and biases, four positions (2 × 2) at a time."""

    values, deltas, gradient = workspace.values, workspace.conv_deltas, parameters.gradient
    line, delta_line = layer.input_line, layer.delta_line
    for y in range(0, layer.height, 2):
        for x in range(0, layer.width, 2):
            position = layer.input_row + y * line + x
            for channel in range(layer.first, layer.stop):
                if convolutions.unconnected[channel]:
                    continue
                # Deltas beyond the edge are 0.
                delta = layer.delta_row + (channel - layer.first) * layer.delta_channel + y * delta_line + x
                delta1, delta2 = load(deltas, delta), load(deltas, delta + 1)
                delta3, delta4 = load(deltas, delta + delta_line), load(deltas, delta + delta_line + 1)
                if convolutions.biases[channel] >= 0:
                    total = muladd(splat(1.), delta1, muladd(splat(1.), delta2, muladd(splat(1.), delta3, delta4)))
                    gradient[convolutions.biases[channel]] += lane_sum(total)
                for entry in range(convolutions.incoming[channel], convolutions.incoming[channel + 1]):
                    row = position + convolutions.offsets[entry]
                    total = muladd(delta1, load(values, row), splat(0.))
                    total = muladd(delta2, load(values, row + 1), total)
                    total = muladd(delta3, load(values, row + line), total)
                    total = muladd(delta4, load(values, row + line + 1), total)
                    gradient[entry] += lane_sum(total)
