"""Agreement of the inverse depths of several views about a surface, as a numba kernel."""

from __future__ import annotations

import numba as nb
import numpy as np

from echoseg_ros.types import Float32Array

_F = np.float32
_ZERO, _ONE, _HALF = _F(0), _F(1), _F(0.5)
_NO_DEPTH: float = _F(0)


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def count_agreement(
    inverse_depth: Float32Array,
    weight: Float32Array,
    other_inverse_depths: Float32Array,
    other_weights: Float32Array,
    warps: Float32Array,
    backs: Float32Array,
    tolerance: float,
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """(mean inverse depth of the agreeing views, number of confirming views, number of contradicting views), [H, W] each.

    A view contradicts if it sees through the surface. inverse_depth, weight: [H, W] inverse depth (0 = none) and its
    weight; other_inverse_depths, other_weights: [S, H, W] the same of the other views; warps: [S, 12], see
    sweep_kernels.sweep; backs: [S, 4] with depth_here = depth_other (b0 x + b1 y + b2) + b3 for pixel (x, y) of the other
    view; tolerance: largest relative difference of agreeing depths.
    """
    height, width = inverse_depth.shape
    mean, confirmations = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    contradictions = np.zeros((height, width), np.float32)
    for row in nb.prange(height):
        for column in range(width):
            w = inverse_depth[row, column]
            if w <= _ZERO:
                continue
            x, y = _F(column) + _HALF, _F(row) + _HALF
            total, total_weight = weight[row, column] * w, weight[row, column]
            for s in range(other_inverse_depths.shape[0]):
                m, back = warps[s], backs[s]
                z = m[6] * x + m[7] * y + m[8] + w * m[11]
                if z <= _F(1e-6):
                    continue
                u, v = (m[0] * x + m[1] * y + m[2] + w * m[9]) / z, (m[3] * x + m[4] * y + m[5] + w * m[10]) / z
                other_inverse = _sample(other_inverse_depths[s], u - _HALF, v - _HALF, tolerance)
                if other_inverse <= _ZERO:
                    continue
                depth = (back[0] * u + back[1] * v + back[2]) / other_inverse + back[3]
                ratio = depth * w
                if abs(ratio - _ONE) <= tolerance:
                    confirmations[row, column] += _ONE
                    share = other_weights[s, min(int(v), height - 1), min(int(u), width - 1)]
                    total += share / depth
                    total_weight += share
                elif ratio > _ONE + _F(3) * tolerance:
                    contradictions[row, column] += _ONE
            mean[row, column] = total / max(total_weight, _F(1e-9))
    return mean, confirmations, contradictions


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _sample(inverse_depth: Float32Array, u: float, v: float, tolerance: float) -> float:
    """Inverse depth between four pixels (exact on planes); at an edge that of the nearest pixel; 0 = none."""
    height, width = inverse_depth.shape
    if u < -_HALF or v < -_HALF or u >= _F(width) - _HALF or v >= _F(height) - _HALF:
        return _NO_DEPTH
    i, j = min(max(int(v), 0), height - 2), min(max(int(u), 0), width - 2)
    a, b = min(max(v - _F(i), _ZERO), _ONE), min(max(u - _F(j), _ZERO), _ONE)
    c00, c01, c10, c11 = (
        inverse_depth[i, j],
        inverse_depth[i, j + 1],
        inverse_depth[i + 1, j],
        inverse_depth[i + 1, j + 1],
    )
    low, high = min(c00, c01, c10, c11), max(c00, c01, c10, c11)
    if low > _ZERO and high <= low * (_ONE + _F(3) * tolerance):
        top, bottom = c00 + b * (c01 - c00), c10 + b * (c11 - c10)
        interpolated: float = top + a * (bottom - top)
        return interpolated
    nearest: float = inverse_depth[i + (1 if a > _HALF else 0), j + (1 if b > _HALF else 0)]
    return nearest
