"""Small turns of the other cameras that make them fit a depth image, as numba kernels.

A pose that comes a few milliseconds early or late is mostly wrong by a turn. Gauss-Newton on the difference of the images,
all turns and every pixel's inverse depth at once; the depths are eliminated pixel by pixel (Schur complement).
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float32Array

# Differences of locally normalised brightness beyond this count linearly, not squared.
HUBER = 0.5
# Pull of a pixel's inverse depth to what it was, in squared normalised brightness per plane.
STAY = 0.1

_F = np.float32
_ZERO, _ONE, _HALF = _F(0), _F(1), _F(0.5)
_HUBER, _STAY, _NEAR = _F(HUBER), _F(STAY), _F(1e-6)


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def normal_equations(
    reference: Float32Array,
    inverse: Float32Array,
    images: Float32Array,
    warps: Float32Array,
    lens: Float32Array,
    step: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(H [rows, 3 S, 3 S], b [rows, 3 S]) of the turns of S cameras (radians, their own axes), a part for each row.

    reference: [H, W], images: [S, H, W], both locally normalised; inverse: [H, W] inverse depth, 0 = left out; warps: [S, 12]
    as for the sweep; lens: [4] fx fy cx cy; step: inverse depth from plane to plane.
    """
    height, width = reference.shape
    count = images.shape[0]
    hessians, gradients = np.zeros((height, 3 * count, 3 * count)), np.zeros((height, 3 * count))
    for row in nb.prange(height):
        by_turn, by_depth = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
        residual, weight = np.zeros(count, np.float32), np.zeros(count, np.float32)
        hessian, gradient = hessians[row], gradients[row]
        for column in range(width):
            w = inverse[row, column]
            if w <= _ZERO:
                continue
            _linearise(
                row, column, w, reference, images, warps, lens, step, by_turn, by_depth, residual, weight
            )  # fmt: skip
            bend, slope = _STAY, _ZERO
            for s in range(count):
                bend += weight[s] * by_depth[s] * by_depth[s]
                slope += weight[s] * by_depth[s] * residual[s]
            for s in range(count):
                share = weight[s] * by_depth[s] / bend
                for i in range(3):
                    jacobian = by_turn[s, i]
                    gradient[3 * s + i] += jacobian * (weight[s] * residual[s] - share * slope)
                    for j in range(3):
                        hessian[3 * s + i, 3 * s + j] += weight[s] * jacobian * by_turn[s, j]
                    for t in range(count):
                        factor = share * weight[t] * by_depth[t] * jacobian
                        for j in range(3):
                            hessian[3 * s + i, 3 * t + j] -= factor * by_turn[t, j]
    return hessians, gradients


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def moved(
    reference: Float32Array,
    inverse: Float32Array,
    images: Float32Array,
    warps: Float32Array,
    lens: Float32Array,
    step: float,
    turns: Float32Array,
) -> Float32Array:
    """Inverse depths [H, W] that fit best after the turns [S, 3], at most a plane away; arguments as above."""
    height, width = reference.shape
    count = images.shape[0]
    result = np.zeros((height, width), np.float32)
    for row in nb.prange(height):
        by_turn, by_depth = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
        residual, weight = np.zeros(count, np.float32), np.zeros(count, np.float32)
        for column in range(width):
            w = inverse[row, column]
            if w <= _ZERO:
                continue
            _linearise(
                row, column, w, reference, images, warps, lens, step, by_turn, by_depth, residual, weight
            )  # fmt: skip
            bend, slope = _STAY, _ZERO
            for s in range(count):
                turned = residual[s]
                for i in range(3):
                    turned += by_turn[s, i] * turns[s, i]
                bend += weight[s] * by_depth[s] * by_depth[s]
                slope += weight[s] * by_depth[s] * turned
            result[row, column] = max(w - step * min(max(slope / bend, -_ONE), _ONE), _F(1e-3) * step)
    return result


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _linearise(
    row: int,
    column: int,
    w: float,
    reference: Float32Array,
    images: Float32Array,
    warps: Float32Array,
    lens: Float32Array,
    step: float,
    by_turn: Float32Array,
    by_depth: Float32Array,
    residual: Float32Array,
    weight: Float32Array,
) -> None:
    """Residual of one pixel in each image, its derivatives and its weight; weight 0 where an image does not show it."""
    height, width = reference.shape
    x, y = _F(column) + _HALF, _F(row) + _HALF
    for s in range(images.shape[0]):
        m, image = warps[s], images[s]
        weight[s] = _ZERO
        z = m[6] * x + m[7] * y + m[8] + w * m[11]
        if z <= _NEAR:
            continue
        u, v = (m[0] * x + m[1] * y + m[2] + w * m[9]) / z, (m[3] * x + m[4] * y + m[5] + w * m[10]) / z
        left, top = u - _HALF, v - _HALF
        if left < _ZERO or top < _ZERO or left >= _F(width - 1) or top >= _F(height - 1):
            continue
        i, j = int(top), int(left)
        a, b = top - _F(i), left - _F(j)
        c00, c01, c10, c11 = image[i, j], image[i, j + 1], image[i + 1, j], image[i + 1, j + 1]
        across, down = (_ONE - a) * (c01 - c00) + a * (c11 - c10), (_ONE - b) * (c10 - c00) + b * (c11 - c01)
        difference = c00 + b * (c01 - c00) + a * down - reference[row, column]
        p, q = (u - lens[2]) / lens[0], (v - lens[3]) / lens[1]
        gx, gy = across * lens[0], down * lens[1]
        by_turn[s, 0] = -gx * p * q - gy * (_ONE + q * q)
        by_turn[s, 1] = gx * (_ONE + p * p) + gy * p * q
        by_turn[s, 2] = gy * p - gx * q
        by_depth[s] = step * (across * (m[9] - u * m[11]) + down * (m[10] - v * m[11])) / z
        residual[s] = difference
        weight[s] = min(_HUBER / max(abs(difference), _F(1e-6)), _ONE)
