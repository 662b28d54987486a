"""Adjustment of the rotations of neighbour views to a depth image, as numba kernels.

The pose error of a stamp that is wrong by a few milliseconds is mostly a rotation. Gauss-Newton minimises the difference
of the images over all rotations and the inverse depth of every pixel at once; the inverse depths are eliminated pixel by
pixel (Schur complement).
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float32Array

# Difference of normalised brightness above which a residual counts linearly, not squared.
HUBER_LIMIT = 0.5
# Weight of the prior that keeps an inverse depth at its value, squared normalised brightness per squared plane step.
DEPTH_PRIOR = 0.1

_F = np.float32
_ZERO, _ONE, _HALF = _F(0), _F(1), _F(0.5)
_HUBER_LIMIT, _DEPTH_PRIOR, _NEAR = _F(HUBER_LIMIT), _F(DEPTH_PRIOR), _F(1e-6)


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def normal_equations(
    reference: Float32Array,
    inverse_depth: Float32Array,
    images: Float32Array,
    warps: Float32Array,
    lens: Float32Array,
    step: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normal equations (H [rows, 3 S, 3 S], b [rows, 3 S]) of the rotations of S cameras, one part for each image row.

    Rotations are in rad about each camera's own axes. reference: [H, W], images: [S, H, W], both locally normalised;
    inverse_depth: [H, W], 0 = not used; warps: [S, 12], see sweep_kernels.sweep; lens: [4] fx fy cx cy; step: difference
    of inverse depth between planes.
    """
    height, width = reference.shape
    count = images.shape[0]
    hessians, gradients = np.zeros((height, 3 * count, 3 * count)), np.zeros((height, 3 * count))
    for row in nb.prange(height):
        by_rotation, by_depth = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
        residual, weight = np.zeros(count, np.float32), np.zeros(count, np.float32)
        hessian, gradient = hessians[row], gradients[row]
        for column in range(width):
            w = inverse_depth[row, column]
            if w <= _ZERO:
                continue
            _linearise(
                row, column, w, reference, images, warps, lens, step, by_rotation, by_depth, residual, weight
            )  # fmt: skip
            depth_curvature, depth_slope = _DEPTH_PRIOR, _ZERO
            for s in range(count):
                depth_curvature += weight[s] * by_depth[s] * by_depth[s]
                depth_slope += weight[s] * by_depth[s] * residual[s]
            for s in range(count):
                share = weight[s] * by_depth[s] / depth_curvature
                for i in range(3):
                    jacobian = by_rotation[s, i]
                    gradient[3 * s + i] += jacobian * (weight[s] * residual[s] - share * depth_slope)
                    for j in range(3):
                        hessian[3 * s + i, 3 * s + j] += weight[s] * jacobian * by_rotation[s, j]
                    for t in range(count):
                        factor = share * weight[t] * by_depth[t] * jacobian
                        for j in range(3):
                            hessian[3 * s + i, 3 * t + j] -= factor * by_rotation[t, j]
    return hessians, gradients


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def adjusted_inverse_depths(
    reference: Float32Array,
    inverse_depth: Float32Array,
    images: Float32Array,
    warps: Float32Array,
    lens: Float32Array,
    step: float,
    rotations: Float32Array,
) -> Float32Array:
    """Inverse depths [H, W] that fit best after the rotations [S, 3], changed by at most one plane step.

    Other arguments as for normal_equations.
    """
    height, width = reference.shape
    count = images.shape[0]
    result = np.zeros((height, width), np.float32)
    for row in nb.prange(height):
        by_rotation, by_depth = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
        residual, weight = np.zeros(count, np.float32), np.zeros(count, np.float32)
        for column in range(width):
            w = inverse_depth[row, column]
            if w <= _ZERO:
                continue
            _linearise(
                row, column, w, reference, images, warps, lens, step, by_rotation, by_depth, residual, weight
            )  # fmt: skip
            depth_curvature, depth_slope = _DEPTH_PRIOR, _ZERO
            for s in range(count):
                rotated_residual = residual[s]
                for i in range(3):
                    rotated_residual += by_rotation[s, i] * rotations[s, i]
                depth_curvature += weight[s] * by_depth[s] * by_depth[s]
                depth_slope += weight[s] * by_depth[s] * rotated_residual
            result[row, column] = max(w - step * min(max(depth_slope / depth_curvature, -_ONE), _ONE), _F(1e-3) * step)
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
    by_rotation: Float32Array,
    by_depth: Float32Array,
    residual: Float32Array,
    weight: Float32Array,
) -> None:
    """Write the residual, derivatives and weight of one pixel in each image; weight 0 where it lies outside the image.

    by_rotation: [S, 3], by_depth: [S] derivatives of the residual, the latter per plane step; w: inverse depth.
    """
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
        by_rotation[s, 0] = -gx * p * q - gy * (_ONE + q * q)
        by_rotation[s, 1] = gx * (_ONE + p * p) + gy * p * q
        by_rotation[s, 2] = gy * p - gx * q
        by_depth[s] = step * (across * (m[9] - u * m[11]) + down * (m[10] - v * m[11])) / z
        residual[s] = difference
        weight[s] = min(_HUBER_LIMIT / max(abs(difference), _F(1e-6)), _ONE)
