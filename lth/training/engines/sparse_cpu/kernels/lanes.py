"""Vectors of 64 single-precision numbers, one per image, for compiled functions: load, store and arithmetic.

They are LLVM vectors, which LLVM lowers to AVX-512, AVX2, SSE or NEON. To add an operation, write a function of types
that returns the signature and a function that emits LLVM code, and decorate it with `operation`.
"""
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

LANES = 64

FLOAT, BYTE, INT, LONG = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
VECTOR, _INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)


class _Lanes(types.Type):  # type: ignore[misc] # pylint: disable=abstract-method # Python has no such number
    """numba's type of 64 single-precision numbers."""

    def __init__(self) -> None:
        super().__init__(name='Lanes')  # type: ignore[no-untyped-call]


LANES_TYPE = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    """Lanes are stored as an LLVM vector."""

    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, VECTOR)  # type: ignore[no-untyped-call]


def operation(typing_function: Callable[..., Any]) -> Any:
    """An operation that compiled functions may call."""

    return intrinsic(typing_function)


def address(context: Any, builder: Any, array: tuple[Any, Any], index: Any, element: Any) -> Any:
    """Address of item `index` of an array, given as its type and value, as a pointer to an `element`."""

    data = context.make_array(array[0])(context, builder, array[1]).data
    return builder.bitcast(builder.gep(data, [index]), element.as_pointer())


def emit_muladd(builder: Any, factor1: Any, factor2: Any, addend: Any) -> Any:
    """factor1 · factor2 + addend, fused if the processor can."""

    function_type = ir.FunctionType(factor1.type, [factor1.type] * 3)
    name = f'llvm.fmuladd.v{factor1.type.count}f32'
    function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
    return builder.call(function, [factor1, factor2, addend])


def _row_address(context: Any, builder: Any, signature: Any, arguments: Any, element: Any) -> Any:
    """Address of row arguments[1] of the array arguments[0], (rows, 64)."""

    row = context.cast(builder, arguments[1], signature.args[1], types.int64)
    array = signature.args[0], arguments[0]
    return address(context, builder, array, builder.mul(row, row.type(LANES)), element)


def _constant(value: float) -> Any:
    return ir.Constant(VECTOR, [value] * LANES)


@operation
def load(_typing: Any, array: Any, row: Any) -> Any:
    """Row `row` of an array (rows, 64)."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_row_address(context, builder, signature, arguments, VECTOR), align=4)
    return LANES_TYPE(array, row), code


@operation
def store(_typing: Any, array: Any, row: Any, lanes: Any) -> Any:
    """Write lanes into row `row` of an array (rows, 64)."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _row_address(context, builder, signature, arguments, VECTOR), align=4)
        return context.get_dummy_value()
    return types.void(array, row, lanes), code


@operation
def load_scaled(_typing: Any, array: Any, row: Any) -> Any:
    """Row `row` of an array of bytes (rows, 64), divided by 255: exact by a product and its remainder, both fused."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _row_address(context, builder, signature, arguments, ir.VectorType(BYTE, LANES))
        pixels, factor = builder.uitofp(builder.load(pointer, align=1), VECTOR), _constant(float(np.float32(1 / 255)))
        product = builder.fmul(pixels, factor)
        remainder = emit_muladd(builder, product, _constant(-255.), pixels)
        return emit_muladd(builder, remainder, factor, product)
    return LANES_TYPE(array, row), code


@operation
def splat(_typing: Any, value: Any) -> Any:
    """The same number in all lanes."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.cast(builder, arguments[0], signature.args[0], types.float32)
        undefined = ir.Constant(VECTOR, ir.Undefined)
        first = builder.insert_element(undefined, number, ir.Constant(INT, 0))
        return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))
    return LANES_TYPE(value), code


@operation
def muladd(_typing: Any, factor1: Any, factor2: Any, addend: Any) -> Any:
    """factor1 · factor2 + addend."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return emit_muladd(builder, *arguments)
    return LANES_TYPE(factor1, factor2, addend), code


@operation
def divide(_typing: Any, numerator: Any, denominator: Any) -> Any:
    """numerator / denominator, correctly rounded."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fdiv(*arguments)
    return LANES_TYPE(numerator, denominator), code


def _where(condition: Callable[[Any, Any, Any], Any]) -> Any:
    """The operation (left, right, if_true, if_false): each lane of `if_true` where the condition holds."""

    def where(_typing: Any, left: Any, right: Any, if_true: Any, if_false: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.select(condition(builder, *arguments[:2]), *arguments[2:])
        return LANES_TYPE(left, right, if_true, if_false), code
    return operation(where)


where_greater = _where(lambda builder, left, right: builder.fcmp_ordered('>', left, right))
where_equal = _where(lambda builder, left, right: builder.fcmp_ordered('==', left, right))
# Also met where `left` is NaN: torch's max-pool takes a NaN as the maximum.
where_greater_or_nan = _where(lambda builder, left, right: builder.or_(
    builder.fcmp_ordered('>', left, right), builder.fcmp_unordered('uno', left, left)))


@operation
def exponential(_typing: Any, lanes: Any) -> Any:
    """e to the power of lanes of at most 0, within two units in the last place; 0 below -87, where single precision
    loses digits; NaN stays NaN.

    x = n ln 2 + r, and e^r is a polynomial (that of Cephes' expf). Adding 1.5 · 2^23 rounds to n and leaves n in the
    lowest bits.
    """

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        exponent, magic = arguments[0], _constant(12582912.)
        too_low = builder.fcmp_ordered('<', exponent, _constant(-87.))
        exponent = builder.select(too_low, _constant(-87.), exponent)
        shifted = emit_muladd(builder, exponent, _constant(1.44269504), magic)
        power = builder.fsub(shifted, magic)
        rest = emit_muladd(builder, power, _constant(-0.693359375), exponent)
        rest = emit_muladd(builder, power, _constant(2.12194440e-4), rest)
        series = _constant(1.9875691500e-4)
        for factor in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1., 1.):
            series = emit_muladd(builder, series, rest, _constant(factor))
        bits = builder.shl(builder.bitcast(shifted, _INTS), ir.Constant(_INTS, [23] * LANES))
        scale = builder.bitcast(builder.add(bits, ir.Constant(_INTS, [127 << 23] * LANES)), VECTOR)
        return builder.select(too_low, _constant(0.), builder.fmul(series, scale))
    return LANES_TYPE(lanes), code
