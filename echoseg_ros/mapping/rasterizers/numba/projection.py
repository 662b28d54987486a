"""Projection of Gaussians and its gradient, as numba kernels with one independent iteration for each Gaussian.

The forward pass is EWA splatting (Zwicker et al. 2001); the backward pass is the gradient of its closed form. All
float32.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from echoseg_ros.mapping.rasterizers.conventions import (
    ALPHA_MIN,
    EPS_2D_PX2,
    FOV_MARGIN,
    MAX_EXTENT_SIGMA,
    NEAR_PLANE,
    IntArray,
)
from echoseg_ros.mapping.rasterizers.numba.simd import LANES, aligned, load, splat, store
from echoseg_ros.types import Float32Array

# Size of a tile, pixels. The width is half an AVX-512 register or one AVX2 register, so that few lanes of a vector lie
# outside a small Gaussian.
TILE_WIDTH, TILE_HEIGHT = 8, 16

# Columns of the record of a projected Gaussian. log2 of alpha at an offset (dx, dy) from the centre is
# PEAK + CURVE_XX dx^2 + CURVE_XY dx dy + CURVE_YY dy^2. The ellipse on which alpha equals its threshold crosses column
# dx at TILT dx -+ sqrt(REACH2 - NARROWING dx^2) and has its extreme y at column offsets -+ LEAN.
U, V, PEAK, CURVE_XX, CURVE_XY, CURVE_YY, RED, GREEN, BLUE, DEPTH, TILT, REACH2, NARROWING, LEAN = range(14)
# Columns of a record including padding to a cache line.
RECORD = 16
# Numbers that the backward pass of a tile returns for a Gaussian: ten sums, padded to a vector.
SLOT = LANES

_F = np.float32
_EPS, _NEAR, _EXTENT, _ALPHA_MIN = _F(EPS_2D_PX2), _F(NEAR_PLANE), _F(MAX_EXTENT_SIGMA), _F(ALPHA_MIN)
_LN2, _LOG2_E, _LN_ALPHA_MIN = _F(math.log(2)), _F(1 / math.log(2)), _F(math.log(ALPHA_MIN))
_ZERO, _HALF, _ONE, _TWO = _F(0), _F(0.5), _F(1), _F(2)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _clamped_slope(x: float, z: float, focal: float, centre: float, size: float) -> tuple[float, bool]:
    """(ray slope x / z, clamped a little outside the image; whether it was inside the limits)."""
    margin = _F(FOV_MARGIN) * _HALF * size / focal
    low, high = -centre / focal - margin, (size - centre) / focal + margin
    slope = x / z
    return min(max(slope, low), high), low <= slope <= high


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _rotation(qw: float, qx: float, qy: float, qz: float) -> tuple[float, ...]:
    """The nine entries of the rotation matrix of a unit quaternion, row by row."""
    return (
        _ONE - _TWO * (qy * qy + qz * qz), _TWO * (qx * qy - qw * qz), _TWO * (qx * qz + qw * qy),
        _TWO * (qx * qy + qw * qz), _ONE - _TWO * (qx * qx + qz * qz), _TWO * (qy * qz - qw * qx),
        _TWO * (qx * qz - qw * qy), _TWO * (qy * qz + qw * qx), _ONE - _TWO * (qx * qx + qy * qy),
    )  # fmt: skip


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _unit(quats: Float32Array, i: int) -> tuple[float, float, float, float, float]:
    """Row i of quats [N, 4] normalised to length 1, and the factor of the normalisation."""
    qw, qx, qy, qz = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    inverse = _ONE / max(_F(math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)), _F(1e-12))
    return qw * inverse, qx * inverse, qy * inverse, qz * inverse, inverse


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _in_camera(means: Float32Array, i: int, view: Float32Array) -> tuple[float, float, float]:
    """Row i of means [N, 3] in the camera frame."""
    mx, my, mz = means[i, 0], means[i, 1], means[i, 2]
    x = view[0, 0] * mx + view[0, 1] * my + view[0, 2] * mz + view[0, 3]
    y = view[1, 0] * mx + view[1, 1] * my + view[1, 2] * mz + view[1, 3]
    z = view[2, 0] * mx + view[2, 1] * my + view[2, 2] * mz + view[2, 3]
    return x, y, z


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _jacobian_row(slope: float, focal: float, z: float, view: Float32Array, axis: int) -> tuple[float, float, float]:
    """Derivative of a pixel coordinate by the point in the map, at a clamped slope; axis: 0 for u, 1 for v."""
    f = focal / z
    return (
        f * (view[axis, 0] - slope * view[2, 0]),
        f * (view[axis, 1] - slope * view[2, 1]),
        f * (view[axis, 2] - slope * view[2, 2]),
    )


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def project(
    means: Float32Array,
    quats: Float32Array,
    scales: Float32Array,
    opacities: Float32Array,
    rgb: Float32Array,
    view: Float32Array,
    lens: Float32Array,
    chunks: int,
) -> tuple[Float32Array, IntArray]:
    """(records [N, RECORD], tile rectangles [N, 4] x0, x1, y0, y1; empty where the Gaussian is not in view).

    view: [3, 4] T_camera_map; lens: [6] fx fy cx cy width height.
    """
    count = means.shape[0]
    records = aligned(count * RECORD).reshape((count, RECORD))
    rectangles = np.zeros((count, 4), np.int32)
    for chunk in nb.prange(chunks):
        for i in range(chunk * count // chunks, (chunk + 1) * count // chunks):
            _project_one(i, means, quats, scales, opacities, rgb, view, lens, records, rectangles)
    return records, rectangles


@nb.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _project_one(
    i: int,
    means: Float32Array,
    quats: Float32Array,
    scales: Float32Array,
    opacities: Float32Array,
    rgb: Float32Array,
    view: Float32Array,
    lens: Float32Array,
    records: Float32Array,
    rectangles: IntArray,
) -> None:
    """Write the record and the rectangle of Gaussian i. Long because it is one closed form."""
    x, y, z = _in_camera(means, i, view)
    opacity = opacities[i]
    if not (z >= _NEAR and opacity >= _ALPHA_MIN):
        return
    fx, fy, cx, cy, width, height = lens[0], lens[1], lens[2], lens[3], lens[4], lens[5]
    slope_x, _ = _clamped_slope(x, z, fx, cx, width)
    slope_y, _ = _clamped_slope(y, z, fy, cy, height)
    u0, u1, u2 = _jacobian_row(slope_x, fx, z, view, 0)
    v0, v1, v2 = _jacobian_row(slope_y, fy, z, view, 1)
    qw, qx, qy, qz, _ = _unit(quats, i)
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(qw, qx, qy, qz)
    s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
    # The three scaled axes of the Gaussian in the image.
    au0, au1, au2 = (
        (u0 * r00 + u1 * r10 + u2 * r20) * s0,
        (u0 * r01 + u1 * r11 + u2 * r21) * s1,
        (u0 * r02 + u1 * r12 + u2 * r22) * s2,
    )
    av0, av1, av2 = (
        (v0 * r00 + v1 * r10 + v2 * r20) * s0,
        (v0 * r01 + v1 * r11 + v2 * r21) * s1,
        (v0 * r02 + v1 * r12 + v2 * r22) * s2,
    )
    a, c = au0 * au0 + au1 * au1 + au2 * au2 + _EPS, av0 * av0 + av1 * av1 + av2 * av2 + _EPS
    b = au0 * av0 + au1 * av1 + au2 * av2
    determinant = a * c - b * b
    if not determinant > _ZERO:
        return
    u, v = fx * x / z + cx, fy * y / z + cy
    peak = _F(math.log(opacity))
    extent = min(_EXTENT, _F(math.sqrt(max(_TWO * (peak - _LN_ALPHA_MIN), _ZERO))) + _F(1e-3))
    radius_u, radius_v = extent * _F(math.sqrt(a)), extent * _F(math.sqrt(c))
    if not (u + radius_u > _ZERO and u - radius_u < width and v + radius_v > _ZERO and v - radius_v < height):
        return
    # The centre of pixel k is at k + 0.5; a row is touched if its centre is within the radius.
    first_row, last_row = (
        math.ceil(max(v - radius_v - _HALF, _ZERO)),
        math.floor(min(v + radius_v - _HALF, height - _ONE)),
    )
    first_column = math.ceil(max(u - radius_u - _HALF, _ZERO))
    last_column = math.floor(min(u + radius_u - _HALF, width - _ONE))
    if first_row > last_row or first_column > last_column:
        return
    rectangles[i, 0], rectangles[i, 1] = first_column // TILE_WIDTH, last_column // TILE_WIDTH + 1
    rectangles[i, 2], rectangles[i, 3] = first_row // TILE_HEIGHT, last_row // TILE_HEIGHT + 1
    inverse = _ONE / determinant
    records[i, U], records[i, V], records[i, DEPTH] = u, v, z
    records[i, PEAK] = peak * _LOG2_E
    records[i, CURVE_XX], records[i, CURVE_YY] = -_HALF * _LOG2_E * c * inverse, -_HALF * _LOG2_E * a * inverse
    records[i, CURVE_XY] = _LOG2_E * b * inverse
    records[i, RED], records[i, GREEN], records[i, BLUE] = rgb[i, 0], rgb[i, 1], rgb[i, 2]
    records[i, TILT], records[i, REACH2] = b / a, extent * extent * determinant / a
    records[i, NARROWING], records[i, LEAN] = determinant / (a * a), extent * b / _F(math.sqrt(c))


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def project_backward(
    means: Float32Array,
    quats: Float32Array,
    scales: Float32Array,
    opacities: Float32Array,
    view: Float32Array,
    lens: Float32Array,
    records: Float32Array,
    offsets: IntArray,
    slots: Float32Array,
    chunks: int,
) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array, Float32Array]:
    """Gradients of means, quats, scales, opacities and rgb, in the shapes of these.

    records: [N, RECORD]; offsets: [N + 1] first slot of each Gaussian; slots: [P * SLOT], see blending.blend_backward.
    """
    count = means.shape[0]
    d_means, d_quats = np.zeros((count, 3), np.float32), np.zeros((count, 4), np.float32)
    d_scales, d_rgb = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
    d_opacities = np.zeros(count, np.float32)
    for chunk in nb.prange(chunks):
        added = np.empty(SLOT, np.float32)
        for i in range(chunk * count // chunks, (chunk + 1) * count // chunks):
            if offsets[i] == offsets[i + 1]:
                continue
            sums = splat(_ZERO)
            for k in range(offsets[i], offsets[i + 1]):
                sums = sums + load(slots, k * SLOT)
            store(added, 0, sums)
            g, gx, gy, gxx, gxy, gyy = added[0], added[1], added[2], added[3], added[4], added[5]
            red, green, blue, depth = added[6], added[7], added[8], added[9]
            d_opacities[i] = -g / opacities[i]
            d_rgb[i, 0], d_rgb[i, 1], d_rgb[i, 2] = red, green, blue
            a, b = -_TWO * _LN2 * records[i, CURVE_XX], -_LN2 * records[i, CURVE_XY]
            c = -_TWO * _LN2 * records[i, CURVE_YY]
            _backward_one(
                i, means, quats, scales, view, lens, a, b, c, gx, gy, gxx, gxy, gyy, depth, d_means, d_quats, d_scales
            )
    return d_means, d_quats, d_scales, d_opacities, d_rgb


@nb.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _backward_one(
    i: int,
    means: Float32Array,
    quats: Float32Array,
    scales: Float32Array,
    view: Float32Array,
    lens: Float32Array,
    a: float,
    b: float,
    c: float,
    gx: float,
    gy: float,
    gxx: float,
    gxy: float,
    gyy: float,
    d_depth: float,
    d_means: Float32Array,
    d_quats: Float32Array,
    d_scales: Float32Array,
) -> None:
    """Chain rule from the moments of the exponent's gradient to centre, quaternion and scales.

    Long because it is one closed form.
    """
    x, y, z = _in_camera(means, i, view)
    fx, fy = lens[0], lens[1]
    slope_x, inside_x = _clamped_slope(x, z, fx, lens[2], lens[4])
    slope_y, inside_y = _clamped_slope(y, z, fy, lens[3], lens[5])
    u0, u1, u2 = _jacobian_row(slope_x, fx, z, view, 0)
    v0, v1, v2 = _jacobian_row(slope_y, fy, z, view, 1)
    qw, qx, qy, qz, shrink = _unit(quats, i)
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = _rotation(qw, qx, qy, qz)
    s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
    # The gradient by the conic is G, half the moments; by the covariance it is D = -conic G conic.
    ga, gb, gc = _HALF * gxx, _HALF * gxy, _HALF * gyy
    pa, pb, qa, qb = a * ga + b * gb, a * gb + b * gc, b * ga + c * gb, b * gb + c * gc
    da, db, dc = -_TWO * (pa * a + pb * b), -_TWO * (pa * b + pb * c), -_TWO * (qa * b + qb * c)
    # The covariance is A A^T with rows A_u = J_u R S and A_v = J_v R S, so dA = 2 D A. First J R, then the gradients
    # times S.
    m0, m1, m2 = u0 * r00 + u1 * r10 + u2 * r20, u0 * r01 + u1 * r11 + u2 * r21, u0 * r02 + u1 * r12 + u2 * r22
    n0, n1, n2 = v0 * r00 + v1 * r10 + v2 * r20, v0 * r01 + v1 * r11 + v2 * r21, v0 * r02 + v1 * r12 + v2 * r22
    p0, p1, p2 = (da * m0 + db * n0) * s0, (da * m1 + db * n1) * s1, (da * m2 + db * n2) * s2
    w0, w1, w2 = (db * m0 + dc * n0) * s0, (db * m1 + dc * n1) * s1, (db * m2 + dc * n2) * s2
    d_scales[i, 0], d_scales[i, 1], d_scales[i, 2] = m0 * p0 + n0 * w0, m1 * p1 + n1 * w1, m2 * p2 + n2 * w2
    p0, p1, p2, w0, w1, w2 = p0 * s0, p1 * s1, p2 * s2, w0 * s0, w1 * s1, w2 * s2
    # Gradient by R: g_jk = J_u[j] p_k + J_v[j] w_k.
    g01, g02, g10 = u0 * p1 + v0 * w1, u0 * p2 + v0 * w2, u1 * p0 + v1 * w0
    g12, g20, g21 = u1 * p2 + v1 * w2, u2 * p0 + v2 * w0, u2 * p1 + v2 * w1
    g00, g11, g22 = u0 * p0 + v0 * w0, u1 * p1 + v1 * w1, u2 * p2 + v2 * w2
    dw = _TWO * (qz * (g10 - g01) + qy * (g02 - g20) + qx * (g21 - g12))
    dx = _TWO * (qy * (g01 + g10) + qz * (g02 + g20) + qw * (g21 - g12) - _TWO * qx * (g11 + g22))
    dy = _TWO * (qx * (g01 + g10) + qz * (g12 + g21) + qw * (g02 - g20) - _TWO * qy * (g00 + g22))
    dz = _TWO * (qx * (g02 + g20) + qy * (g12 + g21) + qw * (g10 - g01) - _TWO * qz * (g00 + g11))
    along = dw * qw + dx * qx + dy * qy + dz * qz
    d_quats[i, 0], d_quats[i, 1] = (dw - along * qw) * shrink, (dx - along * qx) * shrink
    d_quats[i, 2], d_quats[i, 3] = (dy - along * qy) * shrink, (dz - along * qz) * shrink
    # Gradients by the rows of the Jacobian, along the camera's axes.
    ju0, ju1, ju2 = r00 * p0 + r01 * p1 + r02 * p2, r10 * p0 + r11 * p1 + r12 * p2, r20 * p0 + r21 * p1 + r22 * p2
    jv0, jv1, jv2 = r00 * w0 + r01 * w1 + r02 * w2, r10 * w0 + r11 * w1 + r12 * w2, r20 * w0 + r21 * w1 + r22 * w2
    ux, uz = (
        ju0 * view[0, 0] + ju1 * view[0, 1] + ju2 * view[0, 2],
        ju0 * view[2, 0] + ju1 * view[2, 1] + ju2 * view[2, 2],
    )
    vy, vz = (
        jv0 * view[1, 0] + jv1 * view[1, 1] + jv2 * view[1, 2],
        jv0 * view[2, 0] + jv1 * view[2, 1] + jv2 * view[2, 2],
    )
    d_u, d_v = a * gx + b * gy, b * gx + c * gy
    fxz, fyz = fx / (z * z), fy / (z * z)
    d_x, d_y = fx / z * d_u, fy / z * d_v
    d_z = d_depth - fxz * (x * d_u + ux - slope_x * uz) - fyz * (y * d_v + vy - slope_y * vz)
    if inside_x:
        d_x -= fxz * uz
        d_z += fxz * slope_x * uz
    if inside_y:
        d_y -= fyz * vz
        d_z += fyz * slope_y * vz
    d_means[i, 0] = view[0, 0] * d_x + view[1, 0] * d_y + view[2, 0] * d_z
    d_means[i, 1] = view[0, 1] * d_x + view[1, 1] * d_y + view[2, 1] * d_z
    d_means[i, 2] = view[0, 2] * d_x + view[1, 2] * d_y + view[2, 2] * d_z
