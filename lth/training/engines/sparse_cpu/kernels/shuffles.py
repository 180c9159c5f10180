"""Operations that move numbers between lanes: sums over the 64 images, and the transposition of images."""
from typing import Any

from llvmlite import ir
from numba.core import types

from lth.training.engines.sparse_cpu.kernels.lanes import (
    BYTE, FLOAT, INT, LANES, LONG, VECTOR, address, emit_muladd, operation)

# Side of the squares in which images are transposed.
BLOCK = 16


@operation
def lane_sum(_typing: Any, lanes: Any) -> Any:
    """The sum of all lanes, halves added to halves."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        vector, count = arguments[0], LANES
        while count > 1:
            count //= 2
            vector = _add_halves(builder, vector, count)
        return builder.extract_element(vector, ir.Constant(INT, 0))
    return types.float32(lanes), code


@operation
def add_products(_typing: Any, sums: Any, first: Any, lanes: Any, array: Any, rows: Any) -> Any:
    """For i = first … first + 3: add to sums[i] the sum over all lanes of lanes · array[rows[i]].

    The last additions of the four sums are shared, with 9 shuffles in total instead of 24.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointer(argument: int, index: Any, element: Any) -> Any:
            return address(context, builder, (signature.args[argument], arguments[argument]), index, element)
        start = context.cast(builder, arguments[1], signature.args[1], types.int64)
        numbers = builder.load(pointer(4, start, ir.VectorType(INT, 4)), align=4)
        products = []
        for i in range(4):
            row = builder.zext(builder.extract_element(numbers, ir.Constant(INT, i)), LONG)
            values = builder.load(pointer(3, builder.mul(row, LONG(LANES)), VECTOR), align=4)
            products.append(_folded_product(builder, arguments[2], values))
        target = pointer(0, start, ir.VectorType(FLOAT, 4))
        builder.store(builder.fadd(builder.load(target, align=4), _four_sums(builder, products)), target, align=4)
        return context.get_dummy_value()
    return types.void(sums, first, lanes, array, rows), code


@operation
def transpose_block(_typing: Any, images: Any, rows: Any, lane: Any, pixel: Any, transposed: Any) -> Any:
    """Copy 16 pixels of 16 images, the bytes images[rows[lane + i], pixel + j], to transposed[pixel + j, lane + i].

    Interleaving line i with line i + 8 four times transposes a square of 16 × 16.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        line_type = ir.VectorType(BYTE, BLOCK)

        def pointer(argument: int, index: Any, element: Any) -> Any:
            return address(context, builder, (signature.args[argument], arguments[argument]), index, element)
        lane, pixel = (context.cast(builder, arguments[i], signature.args[i], types.int64) for i in (2, 3))
        width = builder.extract_value(
            context.make_array(signature.args[0])(context, builder, arguments[0]).shape, 1)
        lines = []
        for i in range(BLOCK):
            image = builder.load(pointer(1, builder.add(lane, LONG(i)), LONG))
            start = builder.add(builder.mul(image, width), pixel)
            lines.append(builder.load(pointer(0, start, line_type), align=1))
        for i, line in enumerate(_transposed(builder, lines)):
            start = builder.add(builder.mul(builder.add(pixel, LONG(i)), LONG(LANES)), lane)
            builder.store(line, pointer(4, start, line_type), align=1)
        return context.get_dummy_value()
    return types.void(images, rows, lane, pixel, transposed), code


def _pick(builder: Any, left: Any, right: Any, indices: list[int]) -> Any:
    """The numbers at these indices of the concatenation of two vectors."""

    return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(INT, len(indices)), indices))


def _add_halves(builder: Any, vector: Any, half: int) -> Any:
    """The first `half` numbers of a vector plus the next `half`."""

    return builder.fadd(*(_pick(builder, vector, vector, list(range(start, start + half))) for start in (0, half)))


def _folded_product(builder: Any, left: Any, right: Any) -> Any:
    """left · right, the four quarters added: 16 numbers."""

    quarter = LANES // 4

    def part(lanes: Any, start: int) -> Any:
        return _pick(builder, lanes, lanes, list(range(start, start + quarter)))
    product = builder.fmul(part(left, 0), part(right, 0))
    for start in range(quarter, LANES, quarter):
        product = emit_muladd(builder, part(left, start), part(right, start), product)
    return product


def _four_sums(builder: Any, vectors: list[Any]) -> Any:
    """The sums of four vectors of 16 numbers, as a vector of four. Shuffles within groups of four are fast."""

    first = _add_groups(builder, vectors[0], vectors[1], [0, 4, 1, 5], [2, 6, 3, 7])
    last = _add_groups(builder, vectors[2], vectors[3], [0, 4, 1, 5], [2, 6, 3, 7])
    sums = _add_groups(builder, first, last, [0, 1, 4, 5], [2, 3, 6, 7])
    return _add_halves(builder, _add_halves(builder, sums, 8), 4)


def _add_groups(builder: Any, left: Any, right: Any, low: list[int], high: list[int]) -> Any:
    """In each group of four numbers, the ones at `low` plus the ones at `high`. 4 to 7 mean the right vector's."""

    def part(half: list[int]) -> Any:
        indices = [group + index % 4 + index // 4 * 16 for group in range(0, 16, 4) for index in half]
        return _pick(builder, left, right, indices)
    return builder.fadd(part(low), part(high))


def _transposed(builder: Any, lines: list[Any]) -> list[Any]:
    """The columns of 16 lines of 16 bytes."""

    half = BLOCK // 2

    def interleave(i: int, start: int) -> Any:
        indices = [number for left in range(start, start + half) for number in (left, left + BLOCK)]
        return _pick(builder, lines[i], lines[i + half], indices)
    for _ in range(4):
        lines = [interleave(i, start) for i in range(half) for start in (0, half)]
    return lines
