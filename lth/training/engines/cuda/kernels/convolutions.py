"""Convolutions of all replicates at once: the replicate is a dimension of the grid, so that the small convolutions of
several networks fill a GPU together.

Shapes in memory: activations (R, B, height, width, channels), weights (R, outputs, taps, channels), where the taps of a
3×3 kernel are its 9 positions. Each is a sum over taps of matrix products on the tensor cores: activations at the
tap's offset (positions × channels) times the tap's weights. Kernels are square, 1×1 or 3×3, and see half their size
outside the image, as zeros. Channels and outputs are padded to blocks, powers of two from 16.

For example, a 3×3 convolution with stride 2 reads rows -1, 0 and 1 for row 0 of its outputs, rows 1, 2, 3 for row 1.
"""
import triton.language as tl

from lth.training.engines.cuda.kernels.compiler import kernel

# pylint: disable=too-many-arguments,too-many-positional-arguments,too-many-locals # kernels have no records


@kernel
def convolve(
        inputs: tl.tensor, weights: tl.tensor, outputs: tl.tensor, images: tl.int32, weight_stride: tl.int64,
        height: tl.constexpr, width: tl.constexpr, out_height: tl.constexpr, out_width: tl.constexpr,
        channels: tl.constexpr, units: tl.constexpr, size: tl.constexpr, stride: tl.constexpr,
        channel_block: tl.constexpr, unit_block: tl.constexpr, block: tl.constexpr, precision: tl.constexpr) -> None:
    """Write the outputs at a block of positions. Grid: blocks, replicates."""

    replicate = tl.program_id(1).to(tl.int64)
    inputs += replicate * images * height * width * channels
    outputs += replicate * images * out_height * out_width * units
    weights += replicate * weight_stride
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < images * out_height * out_width
    image, y, x = place // (out_height * out_width), place // out_width % out_height, place % out_width
    channel, unit = tl.arange(0, channel_block), tl.arange(0, unit_block)
    sums = tl.full((block, unit_block), 0., tl.float32)
    for tap in range(size * size):
        row = y * stride + tap // size - size // 2
        column = x * stride + tap % size - size // 2
        valid = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        values = read_matrix(inputs, (image * height + row) * width + column, channel, valid, channels, channel_block)
        taps = unit[None, :] * (size * size * channels) + tap * channels + channel[:, None]
        matrix = read_weights(weights + taps, unit[None, :], channel[:, None], units, channels)
        sums = tl.dot(values, matrix, sums, input_precision=precision)
    write_matrix(outputs, place, unit, inside, sums, units, unit_block)


@kernel
def convolve_deltas(
        deltas: tl.tensor, weights: tl.tensor, gradient: tl.tensor, images: tl.int32, weight_stride: tl.int64,
        height: tl.constexpr, width: tl.constexpr, out_height: tl.constexpr, out_width: tl.constexpr,
        channels: tl.constexpr, units: tl.constexpr, size: tl.constexpr, stride: tl.constexpr,
        channel_block: tl.constexpr, unit_block: tl.constexpr, block: tl.constexpr, precision: tl.constexpr) -> None:
    """Write the gradient of the inputs at a block of positions, from that of the outputs. Grid: blocks, replicates."""

    replicate = tl.program_id(1).to(tl.int64)
    deltas += replicate * images * out_height * out_width * units
    gradient += replicate * images * height * width * channels
    weights += replicate * weight_stride
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < images * height * width
    image, y, x = place // (height * width), place // width % height, place % width
    channel, unit = tl.arange(0, channel_block), tl.arange(0, unit_block)
    sums = tl.full((block, channel_block), 0., tl.float32)
    for tap in range(size * size):
        # `stride` times the row and column of the output that reads this position with this tap.
        row = y + size // 2 - tap // size
        column = x + size // 2 - tap % size
        valid = inside & (row >= 0) & (row < out_height * stride) & (column >= 0) & (column < out_width * stride)
        if stride > 1:
            valid &= (row % stride == 0) & (column % stride == 0)
        source = (image * out_height + row // stride) * out_width + column // stride
        values = read_matrix(deltas, source, unit, valid, units, unit_block)
        taps = unit[:, None] * (size * size * channels) + tap * channels + channel[None, :]
        matrix = read_weights(weights + taps, unit[:, None], channel[None, :], units, channels)
        sums = tl.dot(values, matrix, sums, input_precision=precision)
    write_matrix(gradient, place, channel, inside, sums, channels, channel_block)


@kernel
def correlate(
        inputs: tl.tensor, deltas: tl.tensor, partial: tl.tensor, images: tl.int32, part: tl.int32,
        height: tl.constexpr, width: tl.constexpr, out_height: tl.constexpr, out_width: tl.constexpr,
        channels: tl.constexpr, units: tl.constexpr, size: tl.constexpr, stride: tl.constexpr,
        channel_block: tl.constexpr, unit_block: tl.constexpr, block: tl.constexpr, precision: tl.constexpr) -> None:
    """Write the gradient of one tap's weights, summed over `part` positions, to `partial` (R, parts, units, taps,
    channels). Grid: parts, taps, replicates.
    """

    tap, replicate = tl.program_id(1), tl.program_id(2).to(tl.int64)
    count = images * out_height * out_width
    inputs += replicate * images * height * width * channels
    deltas += replicate * count * units
    partial += (replicate * tl.num_programs(0) + tl.program_id(0)) * units * size * size * channels
    channel, unit = tl.arange(0, channel_block), tl.arange(0, unit_block)
    sums = tl.full((unit_block, channel_block), 0., tl.float32)
    for start in range(0, part, block):
        place = tl.program_id(0) * part + start + tl.arange(0, block)
        inside = place < count
        image, y, x = place // (out_height * out_width), place // out_width % out_height, place % out_width
        row = y * stride + tap // size - size // 2
        column = x * stride + tap % size - size // 2
        valid = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        values = read_matrix(inputs, (image * height + row) * width + column, channel, valid, channels, channel_block)
        rows = read_matrix(deltas, place, unit, inside, units, unit_block)
        sums = tl.dot(tl.trans(rows), values, sums, input_precision=precision)
    taps = unit[:, None] * (size * size * channels) + tap * channels + channel[None, :]
    tl.store(partial + taps, sums, (unit < units)[:, None] & (channel < channels)[None, :])


@kernel
def read_matrix(
        pointer: tl.tensor, row: tl.tensor, column: tl.tensor, valid: tl.tensor, columns: tl.constexpr,
        block: tl.constexpr) -> tl.tensor:
    """Rows of a matrix with `columns` columns; 0 where a row is not valid or a column is not there."""

    mask = valid[:, None]
    # A row that needs no mask for columns is read 16 bytes at a time.
    if columns < block:
        mask = mask & (column < columns)[None, :]
    return tl.load(pointer + row[:, None] * columns + column[None, :], mask, 0.)


@kernel
def write_matrix(
        pointer: tl.tensor, row: tl.tensor, column: tl.tensor, valid: tl.tensor, values: tl.tensor,
        columns: tl.constexpr, block: tl.constexpr) -> None:
    """Write rows of a matrix with `columns` columns."""

    mask = valid[:, None]
    if columns < block:
        mask = mask & (column < columns)[None, :]
    tl.store(pointer + row[:, None] * columns + column[None, :], values.to(pointer.dtype.element_ty), mask)


@kernel
def read_weights(
        pointers: tl.tensor, unit: tl.tensor, channel: tl.tensor, units: tl.constexpr, channels: tl.constexpr,
) -> tl.tensor:
    """The weights of one tap between the units and channels that are there; 0 for others."""

    return tl.load(pointers, (unit < units) & (channel < channels), 0.)
