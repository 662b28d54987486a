"""A SIMD vector of float32 for numba kernels, so that their speed does not depend on the auto-vectoriser.

LLVM splits a vector where the registers of the machine are narrower, so the kernels run on any CPU. A product may be fused
into a sum; no operation is reordered, so a kernel repeats bit for bit. Vectors mix with float32 scalars in + - * /.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import extending, types
from numba.core.datamodel import models
from numba.extending import overload, register_model
from numba.np.arrayobj import make_array

# Numbers in a vector: one register of AVX-512, two of AVX2, four of SSE or NEON.
LANES = 16

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
# Any: numba's annotation of the result does not describe how it is called.
intrinsic: Any = extending.intrinsic

_FLAGS = ("contract", "nsz")
_Build = Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]
# 1.5 * 2^23: after adding it, the low bits hold the nearest integer of a float.
_ROUNDER = 12582912.0
# Minimax polynomial of 2^f for f in [-0.5, 0.5], highest power first; relative error 2e-7.
_EXP2 = (0.00132735716, 0.00968061075, 0.0555076841, 0.240220047,
         0.693146886, 1.0000001)  # fmt: skip
# Least exponent t: 2^t is negligible below it, and the bits of the exponent would overflow.
_LOWEST = -60.0


class VectorType(types.Type):
    """numba's type of a vector."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


VECTOR = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _FLOATS)  # type: ignore[no-untyped-call]


def _is_vector(*args: Any) -> bool:
    return all(isinstance(arg, VectorType) for arg in args)


def _unary(build: Callable[[ir.IRBuilder, ir.Value], ir.Value], result: types.Type = VECTOR) -> Any:
    @intrinsic
    def operation(typingctx: Any, a: Any) -> Any:
        if _is_vector(a):
            return result(a), lambda context, builder, signature, values: build(builder, *values)
        return None

    return operation


def _binary(build: _Build) -> Any:
    @intrinsic
    def operation(typingctx: Any, a: Any, b: Any) -> Any:
        if _is_vector(a, b):
            return VECTOR(a, b), lambda context, builder, signature, values: build(builder, *values)
        return None

    return operation


def _selecting(comparison: str) -> Any:
    @intrinsic
    def operation(typingctx: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
        def build(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
            return builder.select(builder.fcmp_ordered(comparison, values[0], values[1]), values[2], values[3])

        return (VECTOR(a, b, yes, no), build) if _is_vector(a, b, yes, no) else None

    return operation


def _filled(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [value] * LANES)


def _build_exp2(builder: ir.IRBuilder, t: ir.Value) -> ir.Value:
    t = _build_larger(builder, t, _filled(_LOWEST))
    shifted = builder.fadd(t, _filled(_ROUNDER))
    f = builder.fsub(t, builder.fsub(shifted, _filled(_ROUNDER)))
    power = _filled(_EXP2[0])
    for coefficient in _EXP2[1:]:
        power = builder.fadd(builder.fmul(power, f, flags=_FLAGS), _filled(coefficient), flags=_FLAGS)
    exponent = builder.shl(builder.bitcast(shifted, _INTS), ir.Constant(_INTS, [23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(power, _INTS), exponent), _FLOATS)


def _build_negative(builder: ir.IRBuilder, a: ir.Value) -> ir.Value:
    sign = ir.Constant(_INTS, [-(2**31)] * LANES)
    return builder.bitcast(builder.or_(builder.bitcast(a, _INTS), sign), _FLOATS)


def _build_larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _build_smaller(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def _build_sum(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.fadd(a, b, flags=_FLAGS)


def _folding(combine: _Build) -> Callable[[ir.IRBuilder, ir.Value], ir.Value]:
    """Combine all lanes into a scalar, one half with the other each time, which fixes the order."""

    def build(builder: ir.IRBuilder, a: ir.Value) -> ir.Value:
        width = LANES
        while width > 1:
            width //= 2
            low, high = (ir.Constant(ir.VectorType(_INT, width), list(range(k, k + width))) for k in (0, width))
            a = combine(builder, builder.shuffle_vector(a, a, low), builder.shuffle_vector(a, a, high))
        return builder.extract_element(a, ir.Constant(_INT, 0))

    return build


exp2 = _unary(_build_exp2)
"""2^t for t <= 126, with relative error 2e-7; results below 2^-60 become 2^-60."""
negative = _unary(_build_negative)
"""-|a|"""
largest = _unary(_folding(_build_larger), types.float32)
"""The largest lane."""
smaller = _binary(_build_smaller)
"""The smaller value in each lane."""
where_at_least = _selecting(">=")
"""where_at_least(a, b, yes, no): in each lane yes if a >= b, else no."""


@intrinsic
def totals(typingctx: Any, vectors: Any) -> Any:
    """A vector whose lane k is the sum of the lanes of vectors[k], 0 beyond them; vectors: tuple of at most LANES.

    Pairs of vectors are folded into one, which takes far fewer steps than one sum after the other.
    """

    def build(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        given = [builder.extract_value(values[0], k) for k in range(vectors.count)]
        return _folded(builder, given + [None] * (LANES - len(given)))

    if isinstance(vectors, types.UniTuple) and _is_vector(vectors.dtype):
        return VECTOR(vectors), build
    return None


def _folded(builder: ir.IRBuilder, vectors: list[ir.Value | None]) -> ir.Value | None:
    """A vector with one block of lanes for each input vector; the sum of block k is the sum of vectors[k]."""
    if len(vectors) == 1:
        return vectors[0]
    evens, odds = _folded(builder, vectors[::2]), _folded(builder, vectors[1::2])
    if evens is None:
        return None
    half = LANES // len(vectors)
    low = [side + block + k for block in range(0, LANES, 2 * half) for side in (0, LANES) for k in range(half)]
    mask = ir.VectorType(_INT, LANES)
    pair = evens, odds or _filled(0.0)
    parts = (builder.shuffle_vector(*pair, ir.Constant(mask, [k + shift for k in low])) for shift in (0, half))
    return _build_sum(builder, *parts)


@intrinsic
def splat(typingctx: Any, value: Any) -> Any:
    """A vector with the same float32 in all lanes."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        first = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), values[0], ir.Constant(_INT, 0))
        return builder.shuffle_vector(first, first, ir.Constant(_INTS, [0] * LANES))

    return (VECTOR(types.float32), build) if isinstance(value, types.Float) else None


def _address(context: Any, builder: ir.IRBuilder, array_type: Any, array: ir.Value, index: ir.Value) -> ir.Value:
    data = make_array(array_type)(  # type: ignore[no-untyped-call]
        context, builder, array
    ).data
    return builder.bitcast(builder.gep(data, [index]), _FLOATS.as_pointer())


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """Read the vector array[index:index + LANES]; array: [M] contiguous float32; bounds are not checked."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        return builder.load(_address(context, builder, signature.args[0], *values), align=4)

    return VECTOR(array, types.int64), build


@intrinsic
def store(typingctx: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write a vector to array[index:index + LANES]; array: [M] contiguous float32; bounds are not checked."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, values: list[ir.Value]) -> ir.Value:
        builder.store(values[2], _address(context, builder, signature.args[0], *values[:2]), align=4)
        return context.get_dummy_value()

    return types.none(array, types.int64, vector), build


@nb.njit(cache=True, nogil=True, error_model="numpy")
def aligned(count: int) -> Any:
    """An uninitialised float32 array of this length in which each vector lies in one cache line."""
    spare = np.empty(count + LANES, np.float32)
    first = -(spare.ctypes.data // 4) % LANES
    return spare[first : first + count]


def _define_operator(symbol: Any, build: _Build) -> None:
    operation = _binary(build)

    @overload(symbol, strict=False)  # the annotations of the typing function differ from those of the implementation
    def of_vectors(a: Any, b: Any) -> Any:
        if _is_vector(a, b):
            return lambda a, b: operation(a, b)
        if _is_vector(a) and isinstance(b, types.Float):
            return lambda a, b: operation(a, splat(b))
        if _is_vector(b) and isinstance(a, types.Float):
            return lambda a, b: operation(splat(a), b)
        return None


_define_operator(operator.add, _build_sum)
_define_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b, flags=_FLAGS))
_define_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b, flags=_FLAGS))
_define_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b, flags=_FLAGS))
