"""SIMD vectors of the kernels, lane by lane against numpy."""

from __future__ import annotations

import numba as nb
import numpy as np

from echoseg_ros.mapping.rasterizers.numba import simd
from echoseg_ros.types import Float32Array

LANES = simd.LANES
load, store, splat, exp2 = simd.load, simd.store, simd.splat, simd.exp2
smaller, negative, where_at_least = simd.smaller, simd.negative, simd.where_at_least
totals, largest, aligned = simd.totals, simd.largest, simd.aligned


@nb.njit()
def every_operation(a: Float32Array, b: Float32Array, out: Float32Array, scalar: np.float32) -> float:
    x, y = load(a, 0), load(b, 0)
    store(out, 0, x + y * scalar)
    store(out, LANES, (scalar - x) / y)
    store(out, 2 * LANES, smaller(x, y))
    store(out, 3 * LANES, negative(x))
    store(out, 4 * LANES, where_at_least(x, y, x, splat(scalar)))
    store(out, 5 * LANES, totals((x, y, x * y)))
    maximum: float = largest(x)
    return maximum


@nb.njit()
def powers(a: Float32Array, out: Float32Array) -> None:
    for k in range(0, len(a), LANES):
        store(out, k, exp2(load(a, k)))


def test_operations_lane_by_lane() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=LANES).astype(np.float32), random.uniform(1, 2, LANES).astype(np.float32)
    scalar = np.float32(0.7)
    out = np.empty(6 * LANES, np.float32)
    assert every_operation(a, b, out, scalar) == a.max()
    sums = np.zeros(LANES)
    sums[:3] = a.sum(), b.sum(), (a * b).sum()
    want = [a + b * scalar, (scalar - a) / b, np.minimum(a, b), -np.abs(a), np.where(a >= b, a, scalar), sums]
    np.testing.assert_allclose(out.reshape(6, LANES), want, rtol=1e-5, atol=1e-6)


def test_exp2_has_float32_accuracy() -> None:
    t = np.linspace(-59, 20, 1000 * LANES).astype(np.float32)
    out = np.empty_like(t)
    powers(t, out)
    np.testing.assert_allclose(out, np.exp2(t.astype(float)), rtol=2.5e-7)
    powers(np.full(LANES, -1e30, np.float32), out)
    np.testing.assert_allclose(out[:LANES], 2.0**-60, rtol=1e-6)


def test_aligned_arrays_start_at_a_cache_line() -> None:
    for count in (1, 100, 4096):
        array = aligned(count)
        assert len(array) == count and array.ctypes.data % (4 * LANES) == 0
