"""The sparse engine's compiled code: a whole step over the surviving weights, for 64 pictures at a time.

A network is one sparse matrix over units. Row 0 of the activations is constantly 1, then come the inputs that are read,
then the units layer by layer, each row with the values of 64 pictures (lanes): so a weight, be it a bias, which weighs
row 0, is one multiplication of a row and one addition. The weights lie unit by unit (CSR), `columns` tells the row
that each of them weighs. A run is a unit's weights on one tile, as many rows as stay in the fastest cache while all
units of a layer read them.

Convolutions stand before that matrix, if there are any. The pictures of a channel are a plane of rows, one for each
place, in a margin of zeros: a weight weighs the rows that lie where it says (`offsets`), seen from the place that is
summed. What the last of them puts out are the first units of the matrix. They have no runs, so it leaves their values
alone, and gathers their deltas.

All of it stands in this one file, since numba's cache does not notice that an imported file has changed. Lanes are
LLVM's own vectors, which it lowers to AVX-512, AVX2, SSE or NEON alike. No fast-math: a NaN must stay one.
"""
# Loops count: that is what becomes vectors.
# pylint: disable=consider-using-enumerate
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

# An optimizer's settings: betas, epsilon and decay; or momentum, whether by Nesterov, decay and nothing.
Settings = tuple[float, float, float, float]
F = TypeVar('F', bound=Callable[..., Any])

LANES = 64
# Pictures are turned in squares of this side.
SIDE = 16
ADAM, ADAMW, SGD = range(3)

_FLOAT, _BYTE, _INT, _LONG = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_VECTOR, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)


def compiled(function: F) -> F:
    """The function as machine code, which lets other threads run; kept between sessions where a folder can be written.
    """

    try:
        return cast(F, numba.njit(cache=True, nogil=True, error_model='numpy')(function))
    except RuntimeError:  # no folder for the cache can be written
        return cast(F, numba.njit(nogil=True, error_model='numpy')(function))


def operation(code: Callable[..., Any]) -> Any:
    """An operation that compiled functions may use; its arguments are types when it is compiled, numbers when it runs.
    """

    return intrinsic(code)


class _Lanes(types.Type):  # type: ignore[misc] # pylint: disable=abstract-method # no number of Python is one
    """The type of 64 numbers of single precision."""

    def __init__(self) -> None:
        super().__init__(name='Lanes')  # type: ignore[no-untyped-call]


_LANES = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    """Lanes are a vector of LLVM."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _splat(builder: Any, value: Any, kind: Any = _VECTOR) -> Any:
    """A vector with the same number everywhere."""

    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_INT, 0))
    zeros = ir.Constant(ir.VectorType(_INT, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def _constant(value: float) -> Any:
    return ir.Constant(_VECTOR, [value] * LANES)


def _place(context: Any, builder: Any, array: tuple[Any, Any], index: Any, kind: Any) -> Any:
    """The address of number `index`, counted from the first, of an array, its type and itself, as the address of
    something of this kind.
    """

    data = context.make_array(array[0])(context, builder, array[1]).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _row(context: Any, builder: Any, signature: Any, arguments: Any, kind: Any) -> Any:
    """The address of row `arguments[1]`, of 64 numbers, in the array `arguments[0]`."""

    row = context.cast(builder, arguments[1], signature.args[1], types.int64)
    array = signature.args[0], arguments[0]
    return _place(context, builder, array, builder.mul(row, row.type(LANES)), kind)


def _muladd(builder: Any, one: Any, other: Any, more: Any) -> Any:
    """one · other + more, fused where the processor can."""

    kind = ir.FunctionType(one.type, [one.type] * 3)
    name = f'llvm.fmuladd.v{one.type.count}f32'
    fused = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(fused, [one, other, more])


def _picked(builder: Any, one: Any, other: Any, places: list[int]) -> Any:
    """The numbers of two vectors, one behind the other, at these places."""

    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INT, len(places)), places))


def _folded_product(builder: Any, one: Any, other: Any) -> Any:
    """one · other, its quarters added up: 16 numbers."""

    quarters = [[_picked(builder, lanes, lanes, list(range(start, start + LANES // 4))) for lanes in (one, other)]
                for start in range(0, LANES, LANES // 4)]
    product = builder.fmul(*quarters[0])
    for some, others in quarters[1:]:
        product = _muladd(builder, some, others, product)
    return product


def _totals(builder: Any, vectors: list[Any]) -> Any:
    """The sums of four vectors of 16 numbers each, as a vector of four. Fours stay in their places, which is fast."""

    def added(one: Any, other: Any, low: list[int], high: list[int]) -> Any:
        halves = ([four + place % 4 + place // 4 * 16 for four in range(0, 16, 4) for place in half]
                  for half in (low, high))
        return builder.fadd(*(_picked(builder, one, other, half) for half in halves))
    first, last = (added(one, other, [0, 4, 1, 5], [2, 6, 3, 7]) for one, other in (vectors[:2], vectors[2:]))
    fours = added(first, last, [0, 1, 4, 5], [2, 3, 6, 7])
    for half in (8, 4):
        fours = builder.fadd(*(_picked(builder, fours, fours, list(range(start, start + half))) for start in (0, half)))
    return fours


@operation
def load(_typing: Any, array: Any, _row_number: Any) -> Any:
    """Row `row` of an array (rows, 64)."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_row(context, builder, signature, arguments, _VECTOR), align=4)
    return _LANES(array, _row_number), code


@operation
def store(_typing: Any, array: Any, _row_number: Any, lanes: Any) -> Any:
    """Puts lanes into row `row` of an array (rows, 64)."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _row(context, builder, signature, arguments, _VECTOR), align=4)
        return context.get_dummy_value()
    return types.void(array, _row_number, lanes), code


@operation
def splat(_typing: Any, _value: Any) -> Any:
    """The same number in all lanes."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, context.cast(builder, arguments[0], signature.args[0], types.float32))
    return _LANES(_value), code


@operation
def muladd(_typing: Any, one: Any, other: Any, more: Any) -> Any:
    """one · other + more."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _muladd(builder, *arguments)
    return _LANES(one, other, more), code


@operation
def total(_typing: Any, lanes: Any) -> Any:
    """The sum of all lanes, halves added to halves."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        vector, count = arguments[0], LANES
        while count > 1:
            count //= 2
            low, high = (ir.Constant(ir.VectorType(_INT, count), list(range(start, start + count)))
                         for start in (0, count))
            vector = builder.fadd(builder.shuffle_vector(vector, vector, low),
                                  builder.shuffle_vector(vector, vector, high))
        return builder.extract_element(vector, ir.Constant(_INT, 0))
    return types.float32(lanes), code


@operation
def add_products(_typing: Any, sums: Any, _first: Any, lanes: Any, array: Any, numbers: Any) -> Any:
    """Adds to sums[first … first + 3] those of the lanes times rows numbers[first … first + 3] of an array (rows, 64).

    Four at a time their last sums are taken in common, with in all 9 shuffles instead of 24.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def at(array: int, index: Any, kind: Any) -> Any:
            return _place(context, builder, (signature.args[array], arguments[array]), index, kind)
        first = context.cast(builder, arguments[1], signature.args[1], types.int64)
        rows = builder.load(at(4, first, ir.VectorType(_INT, 4)), align=4)
        products = []
        for i in range(4):
            row = builder.zext(builder.extract_element(rows, ir.Constant(_INT, i)), _LONG)
            lanes_there = builder.load(at(3, builder.mul(row, _LONG(LANES)), _VECTOR), align=4)
            products.append(_folded_product(builder, arguments[2], lanes_there))
        place = at(0, first, ir.VectorType(_FLOAT, 4))
        builder.store(builder.fadd(builder.load(place, align=4), _totals(builder, products)), place, align=4)
        return context.get_dummy_value()
    return types.void(sums, _first, lanes, array, numbers), code


@operation
def relu(_typing: Any, lanes: Any) -> Any:
    """0 where a lane is below 0; a NaN stays one."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        below = builder.fcmp_ordered('<', arguments[0], _constant(0.))
        return builder.select(below, _constant(0.), arguments[0])
    return _LANES(lanes), code


@operation
def gated(_typing: Any, lanes: Any, gate: Any) -> Any:
    """The lanes where the gate is above 0, else 0."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        opened = builder.fcmp_ordered('>', arguments[1], _constant(0.))
        return builder.select(opened, arguments[0], _constant(0.))
    return _LANES(lanes, gate), code


@operation
def greater(_typing: Any, one: Any, other: Any, if_so: Any, if_not: Any) -> Any:
    """`if_so` where one is above the other, else `if_not`."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        above = builder.fcmp_ordered('>', arguments[0], arguments[1])
        return builder.select(above, arguments[2], arguments[3])
    return _LANES(one, other, if_so, if_not), code


@operation
def beats(_typing: Any, one: Any, other: Any, if_so: Any, if_not: Any) -> Any:
    """`if_so` where one is above the other or no number, else `if_not`: what torch's pooling looks for."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        above = builder.fcmp_ordered('>', arguments[0], arguments[1])
        either = builder.or_(above, builder.fcmp_unordered('uno', arguments[0], arguments[0]))
        return builder.select(either, arguments[2], arguments[3])
    return _LANES(one, other, if_so, if_not), code


@operation
def matching(_typing: Any, lanes: Any, labels: Any, _label: Any) -> Any:
    """The lanes whose label is this one, else 0."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        label = _splat(builder, context.cast(builder, arguments[2], signature.args[2], types.float32))
        return builder.select(builder.fcmp_ordered('==', arguments[1], label), arguments[0], _constant(0.))
    return _LANES(lanes, labels, _label), code


@operation
def quotient(_typing: Any, one: Any, other: Any) -> Any:
    """One over the other, as exactly as floats can."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fdiv(*arguments)
    return _LANES(one, other), code


@operation
def exponential(_typing: Any, lanes: Any) -> Any:
    """e to lanes of at most 0, to two units in the last place; 0 below -87, where floats lose digits; NaN stays NaN.

    x = n ln 2 + r, and e^r is a polynomial (the one of Cephes' expf). Adding 1.5 · 2^23 rounds to n and leaves n in the
    lowest bits.
    """

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        given, magic = arguments[0], _constant(12582912.)
        least = builder.fcmp_ordered('<', given, _constant(-87.))
        given = builder.select(least, _constant(-87.), given)
        shifted = _muladd(builder, given, _constant(1.44269504), magic)
        power = builder.fsub(shifted, magic)
        rest = _muladd(builder, power, _constant(-0.693359375), given)
        rest = _muladd(builder, power, _constant(2.12194440e-4), rest)
        series = _constant(1.9875691500e-4)
        for factor in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1., 1.):
            series = _muladd(builder, series, rest, _constant(factor))
        bits = builder.shl(builder.bitcast(shifted, _INTS), ir.Constant(_INTS, [23] * LANES))
        scale = builder.bitcast(builder.add(bits, ir.Constant(_INTS, [127 << 23] * LANES)), _VECTOR)
        return builder.select(least, _constant(0.), builder.fmul(series, scale))
    return _LANES(lanes), code


@operation
def turn(_typing: Any, images: Any, rows: Any, _lane: Any, _pixel: Any, turned: Any) -> Any:
    """Writes 16 pixels of 16 pictures as 16 rows of `turned` (pixels, 64): those of images (n, pixels) that are in
    rows[lane …], from `pixel` on, to the lanes from `lane` on. Interleaving line i with line i + 8 four times turns a
    square.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        square, number = ir.VectorType(_BYTE, SIDE), ir.IntType(64)
        halves = [ir.Constant(ir.VectorType(_INT, SIDE), [start + half for i in range(SIDE // 2)
                                                          for half in (i, i + SIDE)]) for start in (0, SIDE // 2)]
        lane, pixel = (context.cast(builder, arguments[place], signature.args[place], types.int64) for place in (2, 3))
        width = builder.extract_value(
            context.make_array(signature.args[0])(context, builder, arguments[0]).shape, 1)

        def at(array: int, index: Any, kind: Any) -> Any:
            return _place(context, builder, (signature.args[array], arguments[array]), index, kind)
        lines = []
        for i in range(SIDE):
            picture = builder.load(at(1, builder.add(lane, number(i)), number))
            start = builder.add(builder.mul(picture, width), pixel)
            lines.append(builder.load(at(0, start, square), align=1))
        for _ in range(4):
            lines = [builder.shuffle_vector(lines[i], lines[i + SIDE // 2], half)
                     for i in range(SIDE // 2) for half in halves]
        for i, line in enumerate(lines):
            start = builder.add(builder.mul(builder.add(pixel, number(i)), number(LANES)), lane)
            builder.store(line, at(4, start, square), align=1)
        return context.get_dummy_value()
    return types.void(images, rows, _lane, _pixel, turned), code


@operation
def scaled(_typing: Any, turned: Any, _row_number: Any) -> Any:
    """Row `row` of bytes (pixels, 64) over 255: a product, and its remainder fused, give what division gives."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _row(context, builder, signature, arguments, ir.VectorType(_BYTE, LANES))
        pixels, part = builder.uitofp(builder.load(place, align=1), _VECTOR), _constant(float(np.float32(1 / 255)))
        guess = builder.fmul(pixels, part)
        rest = _muladd(builder, guess, _constant(-255.), pixels)
        return _muladd(builder, rest, part, guess)
    return _LANES(turned, _row_number), code


class Runs(NamedTuple):
    """Layer by layer, tile by tile and unit by unit; units that nothing reads which is heard have none: (G,) each."""

    units: Any
    starts: Any  # where the weights begin
    stops: Any  # and end
    opens: Any  # whether it is its unit's first
    closes: Any  # and last


class Matrix(NamedTuple):
    """A network's surviving weights as a matrix; E weights, U units, of which the last `classes` are the output."""

    columns: Any  # (E,) the row of values that each weight weighs
    runs: Runs
    units: int  # U, those that the last convolution puts out included
    inputs: Any  # the pixels that are read
    rows: Any  # the row of values of each of them
    blocks: Any  # the squares of pixels in which they lie, by their first pixels
    mean: Any  # of each input, and
    std: Any  # what standardizes it; both are empty where pictures are only scaled
    classes: int


# What the kernels know of a convolution: the channels that it puts out, as numbers among those of all convolutions;
# the rows of a plane that it reads, height and width of its sums, as many of them as are used, and whether it pools
# them; the row of values of its first output, and rows to the next channel and line; the same of its slopes, and rows
# from there up to what a weight at the far corner weighs; its first row of winners.
STAGE = np.dtype([(name, np.int64) for name in (
    'first', 'stop', 'source', 'across', 'height', 'width', 'pooled', 'target', 'target_plane', 'target_across',
    'slopes', 'slopes_plane', 'slopes_across', 'margin', 'winners')])


class Filters(NamedTuple):
    """The surviving weights of convolutions: C channels that are put out, E weights."""

    stages: Any  # STAGE, one for each convolution
    pointers: Any  # (C + 1,) where the weights into each channel begin
    offsets: Any  # (E,) what each weight weighs, in rows from the place that is summed
    biases: Any  # (C,) the place of each channel's bias among the weights, -1 if it has none
    silent: Any  # (C,) whether nothing that is heard reads the channel
    leaving: Any  # (C + 1,) where the weights that leave each channel begin, in the two that follow
    slopes: Any  # which slopes each of them hands down, in rows from the place that they are handed to
    entries: Any  # which weight it is
    weights: int  # how many weights and biases stand before those of the matrix


class Room(NamedTuple):
    """What a step writes: pixels turned, values of what is read and of units, the deltas of units (U, 64), rows for the
    loss; and for convolutions the slopes of their sums, by which the loss rises, which of four places won in pooling
    (4: none), and the weights that leave channels in their order.
    """

    turned: Any
    values: Any
    deltas: Any
    scratch: Any
    slopes: Any
    winners: Any
    leaving: Any


class Pictures(NamedTuple):
    """All pictures of a split (n, pixels) as bytes, and their classes (n,)."""

    images: Any
    labels: Any


class Vectors(NamedTuple):
    """The weights, their gradient, and the optimizer's two vectors; those that it has not are empty."""

    weights: Any
    gradient: Any
    first: Any
    second: Any


@compiled
def turn_all(images: Any, rows: Any, blocks: Any, turned: Any) -> None:
    """Bytes of the pictures rows (64,) as turned (pixels, 64): the squares that begin at `blocks`."""

    for lane in range(0, LANES, SIDE):
        for block in blocks:
            turn(images, rows, lane, block, turned)


@compiled
def feed(matrix: Matrix, room: Room, turned: Any) -> None:
    """The inputs that are read, from the bytes of 64 pictures (pixels, 64)."""

    for position in range(len(matrix.inputs)):
        pixels = scaled(turned, matrix.inputs[position])
        if len(matrix.mean):
            centered = muladd(splat(1.), pixels, splat(-matrix.mean[position]))
            pixels = quotient(centered, splat(matrix.std[position]))
        store(room.values, matrix.rows[position], pixels)


@compiled
def forward(matrix: Matrix, room: Room, weights: Any) -> None:
    """The values of all units that are heard, with ReLU but for the output."""

    runs, first, hidden = matrix.runs, len(room.values) - matrix.units, matrix.units - matrix.classes
    for run in range(len(runs.units)):
        unit = runs.units[run]
        sums = splat(0.) if runs.opens[run] else load(room.values, first + unit)
        for entry in range(runs.starts[run], runs.stops[run]):
            sums = muladd(splat(weights[entry]), load(room.values, matrix.columns[entry]), sums)
        store(room.values, first + unit, relu(sums) if runs.closes[run] and unit < hidden else sums)


@compiled
def judged(
        matrix: Matrix, room: Room, labels: Any, rows: Any, count: int, batch: int) -> tuple[float, int]:
    """Cross-entropy of the first `count` pictures: the sum of losses, and how many are right. The deltas of the output
    become the gradient of the mean over `batch` pictures.
    """

    output, last = len(room.values) - matrix.classes, len(room.deltas) - matrix.classes
    best, top = splat(0.), load(room.values, output)
    for place in range(1, matrix.classes):
        logits = load(room.values, output + place)
        best = greater(logits, top, splat(place), best)
        top = greater(logits, top, logits, top)
    sums = splat(0.)
    for place in range(matrix.classes):
        share = exponential(muladd(splat(-1.), top, load(room.values, output + place)))
        store(room.deltas, last + place, share)
        sums = muladd(splat(1.), share, sums)
    store(room.scratch, 0, top)
    store(room.scratch, 1, sums)
    store(room.scratch, 2, best)
    part = np.float32(1 / batch)
    for lane in range(LANES):
        room.scratch[3, lane] = part if lane < count else np.float32(0)
    scale = quotient(load(room.scratch, 3), sums)
    for place in range(matrix.classes):
        store(room.deltas, last + place, muladd(load(room.deltas, last + place), scale, splat(0.)))
    loss, right = 0., 0
    for lane in range(count):
        label = labels[rows[lane]]
        room.deltas[last + label, lane] -= part
        loss += math.log(room.scratch[1, lane]) - (room.values[output + label, lane] - room.scratch[0, lane])
        right += room.scratch[2, lane] == label
    return loss, right


@compiled
def backward(matrix: Matrix, room: Room, vectors: Vectors) -> None:
    """The deltas of the hidden units that are heard, from those of the output; adds up the gradient of the weights.

    From the last run to the first, so that a unit's delta is whole when its turn comes. Weights are met in the order
    in which they lie: by the units that they leave, a network of 1,000 units a layer takes 5 times as long.
    """

    runs, first, hidden = matrix.runs, len(room.values) - matrix.units, matrix.units - matrix.classes
    for unit in range(hidden):
        store(room.deltas, unit, splat(0.))
    for run in range(len(runs.units) - 1, -1, -1):
        unit, start, stop = runs.units[run], runs.starts[run], runs.stops[run]
        delta = load(room.deltas, unit)
        if unit < hidden:
            delta = gated(delta, load(room.values, first + unit))
        fours = stop - (stop - start) % 4
        for entry in range(start, fours, 4):
            add_products(vectors.gradient, entry, delta, room.values, matrix.columns)
        for entry in range(fours, stop):
            vectors.gradient[entry] += total(muladd(delta, load(room.values, matrix.columns[entry]), splat(0.)))
        if start < stop and matrix.columns[stop - 1] >= first:
            for entry in range(start, stop):
                below = matrix.columns[entry] - first
                if below >= 0:
                    more = muladd(splat(vectors.weights[entry]), delta, load(room.deltas, below))
                    store(room.deltas, below, more)


@compiled
def summed(  # pylint: disable=too-many-arguments,too-many-positional-arguments # what a sum is made of
        rows: Any, place: int, across: int, weights: Any, offsets: Any, start: int, stop: int, begin: Any) -> Any:
    """The sums of the weights from `start` to `stop` at four places, two by two, the first at row `place`."""

    one, two, three, four = begin, begin, begin, begin
    for entry in range(start, stop):
        weight, row = splat(weights[entry]), place + offsets[entry]
        one = muladd(weight, load(rows, row), one)
        two = muladd(weight, load(rows, row + 1), two)
        three = muladd(weight, load(rows, row + across), three)
        four = muladd(weight, load(rows, row + across + 1), four)
    return one, two, three, four


@compiled
def pool(stage: Any, room: Room, channel: int, y: int, x: int, four: Any) -> None:
    """Puts out the greatest of four sums, the first of equals, if it is above 0; and which it is."""

    best, top = splat(0.), four[0]
    best, top = beats(four[1], top, splat(1.), best), beats(four[1], top, four[1], top)
    best, top = beats(four[2], top, splat(2.), best), beats(four[2], top, four[2], top)
    best, top = beats(four[3], top, splat(3.), best), beats(four[3], top, four[3], top)
    store(room.values, stage.target + channel * stage.target_plane + y * stage.target_across + x, relu(top))
    store(room.winners, winner_of(stage, channel, y, x), greater(top, splat(0.), best, splat(4.)))


@compiled
def winner_of(stage: Any, channel: int, y: int, x: int) -> int:
    """The row of the winner at this place of the pooled plane."""

    line: int = channel * (stage.height // 2) + y
    row: int = stage.winners + line * (stage.width // 2) + x
    return row


@compiled
def put(stage: Any, room: Room, channel: int, y: int, x: int, sums: Any) -> None:
    """Puts out a sum, if it is above 0 and its place is none beyond the edge."""

    if y < stage.height and x < stage.width:
        store(room.values, stage.target + channel * stage.target_plane + y * stage.target_across + x, relu(sums))


@compiled
def convolve(filters: Filters, room: Room, weights: Any) -> None:
    """The values of all channels that are heard. Four places of all channels before the next four: what they read is
    then in the cache.
    """

    for stage in filters.stages:
        across, first, pooled = stage.across, stage.first, stage.pooled
        for y in range(0, stage.height, 2):
            for x in range(0, stage.width, 2):
                place = stage.source + y * across + x
                for channel in range(first, stage.stop):
                    if filters.silent[channel]:
                        continue
                    bias = filters.biases[channel]
                    four = summed(room.values, place, across, weights, filters.offsets, filters.pointers[channel],
                                  filters.pointers[channel + 1], splat(weights[bias] if bias >= 0 else 0.))
                    if pooled:
                        pool(stage, room, channel - first, y // 2, x // 2, four)
                        continue
                    put(stage, room, channel - first, y, x, four[0])
                    put(stage, room, channel - first, y, x + 1, four[1])
                    put(stage, room, channel - first, y + 1, x, four[2])
                    put(stage, room, channel - first, y + 1, x + 1, four[3])


@compiled
def add_gradient(filters: Filters, stage: Any, room: Room, vectors: Vectors) -> None:
    """Adds up the gradient of the weights and biases of a convolution from its slopes, four places at a time."""

    across, slopes_across, one = stage.across, stage.slopes_across, splat(1.)
    for y in range(0, stage.height, 2):
        for x in range(0, stage.width, 2):
            place = stage.source + y * across + x
            for channel in range(stage.first, stage.stop):
                if filters.silent[channel]:
                    continue
                slope = stage.slopes + (channel - stage.first) * stage.slopes_plane + y * slopes_across + x
                # Beyond the edge they are 0.
                first, second = load(room.slopes, slope), load(room.slopes, slope + 1)
                third, fourth = load(room.slopes, slope + slopes_across), load(room.slopes, slope + slopes_across + 1)
                if filters.biases[channel] >= 0:
                    sums = muladd(one, first, muladd(one, second, muladd(one, third, fourth)))
                    vectors.gradient[filters.biases[channel]] += total(sums)
                for entry in range(filters.pointers[channel], filters.pointers[channel + 1]):
                    row = place + filters.offsets[entry]
                    sums = muladd(first, load(room.values, row), splat(0.))
                    sums = muladd(second, load(room.values, row + 1), sums)
                    sums = muladd(third, load(room.values, row + across), sums)
                    sums = muladd(fourth, load(room.values, row + across + 1), sums)
                    vectors.gradient[entry] += total(sums)


@compiled
def settle(stage: Any, room: Room, channel: int, y: int, x: int, delta: Any) -> None:
    """Makes the delta of what a channel put out at a place the slopes of its sums: of the one that won, if it pools."""

    height, width = (stage.height // 2, stage.width // 2) if stage.pooled else (stage.height, stage.width)
    if y >= height or x >= width:
        return
    plane, across = stage.slopes + channel * stage.slopes_plane, stage.slopes_across
    if not stage.pooled:
        value = load(room.values, stage.target + channel * stage.target_plane + y * stage.target_across + x)
        store(room.slopes, plane + y * across + x, gated(delta, value))
        return
    winner, place = load(room.winners, winner_of(stage, channel, y, x)), plane + 2 * (y * across + x)
    store(room.slopes, place, matching(delta, winner, 0.))
    store(room.slopes, place + 1, matching(delta, winner, 1.))
    store(room.slopes, place + across, matching(delta, winner, 2.))
    store(room.slopes, place + across + 1, matching(delta, winner, 3.))


@compiled
def hand_down(filters: Filters, stage: Any, below: Any, room: Room, weights: Any) -> None:
    """The slopes of the convolution below from those of a stage."""

    across, halved = stage.slopes_across, 2 if below.pooled else 1
    for entry in range(filters.leaving[below.first], filters.leaving[below.stop]):
        room.leaving[entry] = weights[filters.entries[entry]]
    origin = stage.slopes - stage.margin
    for y in range(0, below.height // halved, 2):
        for x in range(0, below.width // halved, 2):
            place = origin + y * across + x
            for channel in range(below.first, below.stop):
                if filters.silent[channel]:
                    continue
                four = summed(room.slopes, place, across, room.leaving, filters.slopes, filters.leaving[channel],
                              filters.leaving[channel + 1], splat(0.))
                settle(below, room, channel - below.first, y, x, four[0])
                settle(below, room, channel - below.first, y, x + 1, four[1])
                settle(below, room, channel - below.first, y + 1, x, four[2])
                settle(below, room, channel - below.first, y + 1, x + 1, four[3])


@compiled
def backward_convolutions(filters: Filters, room: Room, vectors: Vectors) -> None:
    """Adds up the gradient of all convolutions, from the deltas of what the last one put out: the first in the room."""

    last = len(filters.stages) - 1
    for number in range(last, -1, -1):
        stage = filters.stages[number]
        if number == last:
            height, width = (stage.height // 2, stage.width // 2) if stage.pooled else (stage.height, stage.width)
            for feature in range((stage.stop - stage.first) * height * width):
                line = feature // width
                settle(stage, room, line // height, line % height, feature % width, load(room.deltas, feature))
        else:
            hand_down(filters, filters.stages[number + 1], stage, room, vectors.weights)
        add_gradient(filters, stage, room, vectors)


@compiled
def adam(vectors: Vectors, step: int, rate: float, settings: Settings, decoupled: bool) -> None:
    """Adam's step number `step`, counted from 1, and a clean gradient; a decoupled decay shrinks the weights."""

    weights, gradient, first, second = vectors
    beta1, beta2 = settings[:2]
    # In double precision, rounded once: in single it costs 5e-4 after 50 steps.
    size = np.float32(rate / (1 - beta1 ** step))
    root = np.float32(math.sqrt(1 - beta2 ** step))
    kept, part1, part2, least = np.float32(beta2), np.float32(1 - beta1), np.float32(1 - beta2), np.float32(settings[2])
    shrink, pull = np.float32(1 - rate * settings[3] if decoupled else 1), np.float32(0 if decoupled else settings[3])
    for entry in range(len(weights)):
        weight = weights[entry] * shrink
        slope = gradient[entry] + pull * weight
        first[entry] += part1 * (slope - first[entry])
        second[entry] = kept * second[entry] + part2 * slope * slope
        weights[entry] = weight - size * first[entry] / (np.sqrt(second[entry]) / root + least)
        gradient[entry] = 0


@compiled
def sgd(vectors: Vectors, rate: float, settings: Settings) -> None:
    """A step of SGD, and a clean gradient."""

    weights, gradient, first, _ = vectors
    kept, nesterov, pull = np.float32(settings[0]), settings[1] != 0, np.float32(settings[2])
    size = np.float32(rate)
    for entry in range(len(weights)):
        slope = gradient[entry] + pull * weights[entry]
        if len(first):
            first[entry] = kept * first[entry] + slope
            slope = slope + kept * first[entry] if nesterov else first[entry]
        weights[entry] -= size * slope
        gradient[entry] = 0


@compiled
def train(  # pylint: disable=too-many-arguments,too-many-positional-arguments # all that a step reads and writes
        filters: Filters, matrix: Matrix, room: Room, vectors: Vectors, pictures: Pictures, rows: Any, batch: int,
        rule: int, settings: Settings, rates: Any, step: int, losses: Any, correct: Any) -> None:
    """A step for each of rows (steps, multiples of 64), the first of them number `step` of the optimizer's, counted
    from 1; writes each step's mean loss and right answers.
    """

    behind = Vectors(vectors.weights[filters.weights:], vectors.gradient[filters.weights:],
                     vectors.first[filters.weights:], vectors.second[filters.weights:])
    for index in range(len(rows)):
        loss, right = 0., 0
        for start in range(0, batch, LANES):
            chunk, count = rows[index, start:start + LANES], min(LANES, batch - start)
            turn_all(pictures.images, chunk, matrix.blocks, room.turned)
            feed(matrix, room, room.turned)
            convolve(filters, room, vectors.weights)
            forward(matrix, room, behind.weights)
            more, found = judged(matrix, room, pictures.labels, chunk, count, batch)
            loss, right = loss + more, right + found
            backward(matrix, room, behind)
            backward_convolutions(filters, room, vectors)
        losses[index], correct[index] = loss / batch, right
        if rule == SGD:
            sgd(vectors, rates[index], settings)
        else:
            adam(vectors, step + index, rates[index], settings, rule == ADAMW)


@compiled
def turned_once(images: Any, rows: Any, turned: Any) -> None:
    """All pixels of the pictures in rows, 64 at a time: turned (chunks, pixels, 64)."""

    blocks = np.minimum(np.arange(0, images.shape[1], SIDE), images.shape[1] - SIDE)
    for chunk in range(len(turned)):
        turn_all(images, rows[chunk * LANES:(chunk + 1) * LANES], blocks, turned[chunk])


@compiled
def score(  # pylint: disable=too-many-positional-arguments # as above
        filters: Filters, matrix: Matrix, room: Room, weights: Any, turned: Any, labels: Any, rows: Any, count: int,
) -> tuple[float, int]:
    """The sum of losses and the right answers of the first `count` pictures of rows, which were turned before."""

    loss, right = 0., 0
    for chunk in range(len(turned)):
        feed(matrix, room, turned[chunk])
        convolve(filters, room, weights)
        forward(matrix, room, weights[filters.weights:])
        start = chunk * LANES
        more, found = judged(matrix, room, labels, rows[start:start + LANES], min(LANES, count - start), LANES)
        loss, right = loss + more, right + found
    return loss, right
