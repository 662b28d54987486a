"""What several views say alike about a surface, as a numba kernel."""

from __future__ import annotations

import numba as nb
import numpy as np

from echoseg_ros.types import Float32Array

_F = np.float32
_ZERO, _ONE, _HALF = _F(0), _F(1), _F(0.5)


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def agree(
    inverse: Float32Array,
    weight: Float32Array,
    others: Float32Array,
    weights: Float32Array,
    warps: Float32Array,
    backs: Float32Array,
    tolerance: float,
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """(mean inverse depth [H, W] of the views that agree, how many others do [H, W], how many look through it [H, W]).

    inverse, weight: [H, W] inverse depth (0 = none) and trust; others, weights: [S, H, W] the same of other views; warps:
    [S, 12] as for the sweep; backs: [S, 4] the row of T_view_other that gives depth in this view, over the other's
    pixels: d_here = d_other (b0 x + b1 y + b2) + b3; tolerance: relative difference of depths that still agree.
    """
    height, width = inverse.shape
    mean, votes = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    against = np.zeros((height, width), np.float32)
    for row in nb.prange(height):
        for column in range(width):
            w = inverse[row, column]
            if w <= _ZERO:
                continue
            x, y = _F(column) + _HALF, _F(row) + _HALF
            total, trust = weight[row, column] * w, weight[row, column]
            for s in range(others.shape[0]):
                m, back = warps[s], backs[s]
                z = m[6] * x + m[7] * y + m[8] + w * m[11]
                if z <= _F(1e-6):
                    continue
                u, v = (m[0] * x + m[1] * y + m[2] + w * m[9]) / z, (m[3] * x + m[4] * y + m[5] + w * m[10]) / z
                there = _sample(others[s], u - _HALF, v - _HALF, tolerance)
                if there <= _ZERO:
                    continue
                depth = (back[0] * u + back[1] * v + back[2]) / there + back[3]
                ratio = depth * w
                if abs(ratio - _ONE) <= tolerance:
                    votes[row, column] += _ONE
                    share = weights[s, min(int(v), height - 1), min(int(u), width - 1)]
                    total += share / depth
                    trust += share
                elif ratio > _ONE + _F(3) * tolerance:
                    against[row, column] += _ONE
            mean[row, column] = total / max(trust, _F(1e-9))
    return mean, votes, against


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _sample(inverse: Float32Array, u: float, v: float, tolerance: float) -> float:
    """Inverse depth between four pixels (exact on planes); the nearest one's at an edge; 0 where there is none."""
    height, width = inverse.shape
    if u < -_HALF or v < -_HALF or u >= _F(width) - _HALF or v >= _F(height) - _HALF:
        return _ZERO
    i, j = min(max(int(v), 0), height - 2), min(max(int(u), 0), width - 2)
    a, b = min(max(v - _F(i), _ZERO), _ONE), min(max(u - _F(j), _ZERO), _ONE)
    c00, c01, c10, c11 = inverse[i, j], inverse[i, j + 1], inverse[i + 1, j], inverse[i + 1, j + 1]
    low, high = min(c00, c01, c10, c11), max(c00, c01, c10, c11)
    if low > _ZERO and high <= low * (_ONE + _F(3) * tolerance):
        top, bottom = c00 + b * (c01 - c00), c10 + b * (c11 - c10)
        return top + a * (bottom - top)
    return inverse[i + (1 if a > _HALF else 0), j + (1 if b > _HALF else 0)]
