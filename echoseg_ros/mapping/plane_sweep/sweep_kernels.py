"""The cost volume of a plane sweep, as numba kernels.

The images of other views are swept over planes parallel to the reference image (Collins 1996). The similarity is the
zero-mean normalised cross-correlation (ZNCC), which does not depend on gain and offset of the exposure. Results repeat
bit for bit and do not depend on the number of threads.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from echoseg_ros.types import Float32Array

# Half the side of the correlation window without its centre, pixels: the window is 5 x 5.
RADIUS = 2
# Standard deviation of brightness (0..1) below which a window contains noise, not texture.
NOISE = 0.006
# Image rows that a thread handles at a time: their part of the volume fits the cache.
ROWS = 16
# Similarity that marks a view which does not show the pixel; below any ZNCC.
UNSEEN = -2.0
# Cost of a pixel and plane that no view shows; the cost of ZNCC 0.
NEUTRAL = 1.0

_F = np.float32
_ZERO, _ONE, _HALF = _F(0), _F(1), _F(0.5)
_WINDOW = 2 * RADIUS + 1
_AREA = _F(_WINDOW * _WINDOW)
_NOISE2 = _F(NOISE * NOISE)
_UNSEEN, _NEUTRAL = _F(UNSEEN), _F(NEUTRAL)
_NEAR = _F(1e-6)


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def sweep(
    reference: Float32Array, images: Float32Array, warps: Float32Array, inverse_depths: Float32Array
) -> Float32Array:
    """Cost [H, W, P] in 0..2 of every pixel at every inverse depth: 1 - mean ZNCC of the two best views.

    With only the two best views, a surface may be hidden from the others. reference: [H, W] grey 0..1; images: [S, H, W];
    warps: [S, 12], a 3x3 matrix A by rows and a vector e: pixel (x, y) at inverse depth w appears in the view at
    A (x, y, 1) + w e, homogeneous; inverse_depths: [P].
    """
    height, width = reference.shape
    cost = np.empty((height, width, inverse_depths.shape[0]), np.float32)
    for chunk in nb.prange((height + ROWS - 1) // ROWS):
        first = chunk * ROWS
        _sweep_rows(first, min(first + ROWS, height), reference, images, warps, inverse_depths, cost)
    return cost


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _sweep_rows(
    first: int,
    last: int,
    reference: Float32Array,
    images: Float32Array,
    warps: Float32Array,
    inverse_depths: Float32Array,
    cost: Float32Array,
) -> None:
    """Write the cost of the rows first..last-1. Long because the buffers of all views and planes are set up once."""
    width, count, planes = reference.shape[1], images.shape[0], inverse_depths.shape[0]
    rows, padded = last - first, width + 2 * RADIUS
    reference_rows = np.empty((rows + 2 * RADIUS, padded), np.float32)
    warped_rows = np.empty((rows + 2 * RADIUS, padded), np.float32)
    for r in range(rows + 2 * RADIUS):
        reference_rows[r, RADIUS : RADIUS + width] = reference[min(max(first + r - RADIUS, 0), reference.shape[0] - 1)]
        _pad(reference_rows[r], width)
    sums, squares = np.empty((rows, width), np.float32), np.empty((rows, width), np.float32)
    products, columns = np.empty((rows, width), np.float32), np.empty((3, padded), np.float32)
    mean, spread = np.empty((rows, width), np.float32), np.empty((rows, width), np.float32)
    _window_sums(reference_rows, reference_rows, columns, sums, squares, products)
    for r in range(rows):
        for x in range(width):
            mean[r, x] = sums[r, x] / _AREA
            spread[r, x] = max(squares[r, x] / _AREA - mean[r, x] * mean[r, x], _ZERO) + _NOISE2
    inside_view, coordinates = np.empty((rows, width), np.float32), np.empty((4, width), np.float32)
    for x in range(width):
        coordinates[0, x] = _F(x) + _HALF
    best, second = np.empty((rows, width), np.float32), np.empty((rows, width), np.float32)
    for p in range(planes):
        best[:] = _UNSEEN
        second[:] = _UNSEEN
        for s in range(count):
            _warp(first, rows, images[s], warps[s], inverse_depths[p], coordinates, warped_rows, inside_view)
            _window_sums(reference_rows, warped_rows, columns, sums, squares, products)
            for r in range(rows):
                _update_best_two(
                    mean[r], spread[r], sums[r], squares[r], products[r], inside_view[r], best[r], second[r]
                )
        for r in range(rows):
            for x in range(width):
                high, low = best[r, x], second[r, x]
                low = high if low == _UNSEEN else low
                cost[first + r, x, p] = _NEUTRAL if high == _UNSEEN else _ONE - _HALF * (high + low)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _pad(row: Float32Array, width: int) -> None:
    """Repeat the border pixels of a row in its padding."""
    for k in range(RADIUS):
        row[k] = row[RADIUS]
        row[RADIUS + width + k] = row[RADIUS + width - 1]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _warp(
    first: int,
    rows: int,
    image: Float32Array,
    warp: Float32Array,
    inverse_depth: float,
    coordinates: Float32Array,
    warped_rows: Float32Array,
    inside_view: Float32Array,
) -> None:
    """Warp the other view's image to the reference rows and their padding at one inverse depth.

    inside_view: [rows, W] 1 where the warped pixel lies inside the other view; coordinates: [4, W] pixel centres x of the
    columns, then work space for the x, y and inside flag of a row.
    """
    height, width = image.shape
    pixels = image.reshape(-1)
    for r in range(rows + 2 * RADIUS):
        y = _F(min(max(first + r - RADIUS, 0), height - 1)) + _HALF
        bx = warp[1] * y + warp[2] + inverse_depth * warp[9]
        by = warp[4] * y + warp[5] + inverse_depth * warp[10]
        bz = warp[7] * y + warp[8] + inverse_depth * warp[11]
        _coordinates(warp[0], warp[3], warp[6], bx, by, bz, _F(height - 1), coordinates)
        if r >= RADIUS and r < RADIUS + rows:
            inside_view[r - RADIUS] = coordinates[3]
        _interpolate(pixels, height, width, coordinates[1], coordinates[2], warped_rows[r, RADIUS:])
        _pad(warped_rows[r], width)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _coordinates(
    ax: float, ay: float, az: float, bx: float, by: float, bz: float, high_y: float, coordinates: Float32Array
) -> None:  # fmt: skip
    """Project (a x + b) for one row: pixel positions, 0 at a pixel's centre, clamped to the image; 1 where inside it."""
    xs, us, vs, inside = coordinates[0], coordinates[1], coordinates[2], coordinates[3]
    high_x = _F(xs.shape[0] - 1)
    for k in range(xs.shape[0]):
        x = xs[k]
        z = az * x + bz
        front = z > _NEAR
        scale = _ONE / (z if front else _ONE)
        u, v = (ax * x + bx) * scale - _HALF, (ay * x + by) * scale - _HALF
        visible = front & (u >= _ZERO) & (u <= high_x) & (v >= _ZERO) & (v <= high_y)
        inside[k] = _ONE if visible else _ZERO
        u = u if u > _ZERO else _ZERO
        v = v if v > _ZERO else _ZERO
        us[k] = u if u < high_x else high_x
        vs[k] = v if v < high_y else high_y


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _interpolate(
    pixels: Float32Array, height: int, width: int, us: Float32Array, vs: Float32Array, out: Float32Array
) -> None:
    """Bilinear samples of an image [height * width] at positions inside it."""
    last_i, last_j = np.uint64(height - 2), np.uint64(width - 2)
    stride, one = np.uint64(width), np.uint64(1)
    for k in range(us.shape[0]):
        u, v = us[k], vs[k]
        i, j = np.uint64(np.int32(v)), np.uint64(np.int32(u))
        i, j = i if i < last_i else last_i, j if j < last_j else last_j
        a, b = v - _F(np.int32(i)), u - _F(np.int32(j))
        at = i * stride + j
        left, right = pixels[at], pixels[at + one]
        low_left, low_right = pixels[at + stride], pixels[at + stride + one]
        top = left + b * (right - left)
        out[k] = top + a * (low_left + b * (low_right - low_left) - top)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _window_sums(
    reference_rows: Float32Array,
    warped_rows: Float32Array,
    columns: Float32Array,
    sums: Float32Array,
    squares: Float32Array,
    products: Float32Array,
) -> None:
    """Sums over each window of warped_rows, of its square, and of its product with reference_rows: [rows, W].

    reference_rows, warped_rows: [rows + 4, W + 4] with padding; columns: [3, W + 4] work space.
    """
    rows, width = sums.shape
    for r in range(rows):
        c0, c1, c2 = columns[0], columns[1], columns[2]
        o0, o1, o2, o3, o4 = (
            reference_rows[r],
            reference_rows[r + 1],
            reference_rows[r + 2],
            reference_rows[r + 3],
            reference_rows[r + 4],
        )
        t0, t1, t2, t3, t4 = (
            warped_rows[r],
            warped_rows[r + 1],
            warped_rows[r + 2],
            warped_rows[r + 3],
            warped_rows[r + 4],
        )
        for x in range(width + 2 * RADIUS):
            a, b, c, d, e = t0[x], t1[x], t2[x], t3[x], t4[x]
            c0[x] = a + b + c + d + e
            c1[x] = a * a + b * b + c * c + d * d + e * e
            c2[x] = a * o0[x] + b * o1[x] + c * o2[x] + d * o3[x] + e * o4[x]
        _sum_columns(c0, sums[r])
        _sum_columns(c1, squares[r])
        _sum_columns(c2, products[r])


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _sum_columns(columns: Float32Array, out: Float32Array) -> None:
    """Write the sums [W] over five consecutive columns [W + 4]."""
    a, b, c, d, e = columns, columns[1:], columns[2:], columns[3:], columns[4:]
    for x in range(out.shape[0]):
        out[x] = a[x] + b[x] + c[x] + d[x] + e[x]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _update_best_two(
    mean: Float32Array,
    spread: Float32Array,
    sums: Float32Array,
    squares: Float32Array,
    products: Float32Array,
    inside_view: Float32Array,
    best: Float32Array,
    second: Float32Array,
) -> None:
    """Update the two best ZNCC of each pixel of a row with those of another view."""
    for x in range(mean.shape[0]):
        other = sums[x] / _AREA
        variance = squares[x] / _AREA - other * other
        variance = (variance if variance > _ZERO else _ZERO) + _NOISE2
        score = (products[x] / _AREA - mean[x] * other) / _F(math.sqrt(spread[x] * variance))
        score = score if inside_view[x] > _ZERO else _UNSEEN
        high = best[x]
        best[x] = score if score > high else high
        low = high if score > high else score
        second[x] = low if low > second[x] else second[x]
