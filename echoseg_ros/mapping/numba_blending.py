"""Tile lists and front-to-back blending as numba kernels.

A tile is one loop turn: it writes its own pixels and its own slots (one per Gaussian and tile), and slots are summed in a
fixed order afterwards. So results do not depend on the number of threads and repeat bit by bit.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from echoseg_ros.mapping.numba_projection import (
    BLUE,
    CONIC_A,
    CONIC_B,
    CONIC_C,
    DEPTH,
    GREEN,
    LEVEL,
    OPACITY,
    REACH,
    RECORD,
    RED,
    TILE_HEIGHT,
    TILE_WIDTH,
    Floats,
    Ints,
    U,
    V,
)
from echoseg_ros.mapping.rasterizer import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_STOP

PIXELS = TILE_WIDTH * TILE_HEIGHT
# Sums may be reordered for SIMD; nothing that changes with the run.
_FAST = {"reassoc", "contract", "nsz", "arcp"}
# Every so many Gaussians a tile looks whether all its pixels are done.
_CHECK_EVERY = 16

_F = np.float32
_ZERO, _HALF, _ONE = _F(0), _F(0.5), _F(1)
_ALPHA_MIN, _ALPHA_MAX, _STOP = _F(ALPHA_MIN), _F(ALPHA_MAX), _F(TRANSMITTANCE_STOP)
# Rounding may not cost a pixel at the rim.
_MARGIN_PX = _F(0.01)
_LOG2_E = _F(1.4426950408889634)
_N = np.uint64(PIXELS)
_U1 = np.uint64(1)
_W = np.uint64(TILE_WIDTH)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _exp2(t: float) -> float:
    """2^t for t in [-126, 0], to 2e-7 relative: Cephes-style polynomial and the exponent's bits; SIMD without a library."""
    whole = np.int32(t - _HALF)  # truncation towards zero, so this rounds: fraction in [-0.5, 0.5]
    f = t - _F(whole)
    p = _F(1.535336188319500e-4)
    p = p * f + _F(1.339887440266574e-3)
    p = p * f + _F(9.618437357674640e-3)
    p = p * f + _F(5.550332471162809e-2)
    p = p * f + _F(2.402264791363012e-1)
    p = p * f + _F(6.931472028550421e-1)
    p = p * f + _ONE
    bits = np.int32((whole + np.int32(127)) << np.int32(23))
    return p * np.int32(bits).view(np.float32)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def depth_order(records: Floats, rectangles: Ints) -> Ints:
    """Rows of the visible Gaussians, front to back (stable radix sort of the depths' bits; depths are positive)."""
    count = 0
    for i in range(len(rectangles)):
        count += rectangles[i, 1] > rectangles[i, 0]
    keys, rows = np.empty(count, np.uint32), np.empty(count, np.int32)
    n = 0
    for i in range(len(rectangles)):
        if rectangles[i, 1] > rectangles[i, 0]:
            keys[n], rows[n] = np.float32(records[i, DEPTH]).view(np.uint32), i
            n += 1
    other_keys, other_rows = np.empty_like(keys), np.empty_like(rows)
    for shift in (0, 11, 22):
        starts = np.zeros(2049, np.int64)
        for k in range(count):
            starts[((keys[k] >> np.uint32(shift)) & np.uint32(2047)) + 1] += 1
        for b in range(2048):
            starts[b + 1] += starts[b]
        for k in range(count):
            b = (keys[k] >> np.uint32(shift)) & np.uint32(2047)
            at = starts[b]
            starts[b] = at + 1
            other_keys[at], other_rows[at] = keys[k], rows[k]
        keys, other_keys = other_keys, keys
        rows, other_rows = other_rows, rows
    return rows


@nb.njit(cache=True, nogil=True, error_model="numpy")
def bin_tiles(
    rows: Ints, records: Floats, rectangles: Ints, tiles_x: int, tiles_y: int
) -> tuple[Floats, Ints, Ints, Ints, Ints]:
    """Records sorted front to back and the list of every tile.

    Returns (sorted records [V, RECORD], offsets [V + 1]: slots of each Gaussian, starts [T + 1]: pairs of each tile,
    pair_rank [P]: index into the sorted records, pair_slot [P]: where the pair's results go).
    """
    visible = len(rows)
    ordered = np.empty((visible, RECORD), np.float32)
    offsets = np.zeros(visible + 1, np.int64)
    starts = np.zeros(tiles_x * tiles_y + 1, np.int64)
    for r in range(visible):
        i = rows[r]
        for k in range(RECORD):
            ordered[r, k] = records[i, k]
        x0, x1, y0, y1 = rectangles[i, 0], rectangles[i, 1], rectangles[i, 2], rectangles[i, 3]
        offsets[r + 1] = offsets[r] + (x1 - x0) * (y1 - y0)
        for y in range(y0, y1):
            for x in range(x0, x1):
                starts[y * tiles_x + x + 1] += 1
    for tile in range(tiles_x * tiles_y):
        starts[tile + 1] += starts[tile]
    fill = starts[:-1].copy()
    pair_rank, pair_slot = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int32)
    for r in range(visible):
        i, slot = rows[r], offsets[r]
        for y in range(rectangles[i, 2], rectangles[i, 3]):
            for x in range(rectangles[i, 0], rectangles[i, 1]):
                at = fill[y * tiles_x + x]
                fill[y * tiles_x + x] = at + 1
                pair_rank[at], pair_slot[at] = r, slot
                slot += 1
    return ordered, offsets, starts, pair_rank, pair_slot


@nb.njit(cache=True, nogil=True, error_model="numpy")
def tile_order(tiles: int, threads: int) -> Ints:
    """Tiles dealt to the threads in turn: neighbouring tiles cost alike, so each thread gets its share of the busy ones."""
    order = np.empty(tiles, np.int64)
    n = 0
    for first in range(threads):
        for tile in range(first, tiles, threads):
            order[n] = tile
            n += 1
    return order


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _tile_coordinates(buffer: Floats, offset_x: int, offset_y: int) -> None:
    """Pixel centres relative to the tile into two planes of the buffer."""
    for y in range(TILE_HEIGHT):
        for x in range(TILE_WIDTH):
            buffer[offset_x + y * TILE_WIDTH + x] = _F(x) + _HALF
            buffer[offset_y + y * TILE_WIDTH + x] = _F(y) + _HALF


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _row_span(record: Floats, tile_x: int, tile_y: int) -> tuple[int, int]:
    """First and end pixel (within the tile) of the rows where a Gaussian's ellipse crosses the tile's columns."""
    a, b, c = record[CONIC_A], record[CONIC_B], record[CONIC_C]
    left = _F(tile_x * TILE_WIDTH) + _HALF - record[U]
    right = left + _F(TILE_WIDTH - 1)
    # The ellipse's lowest point lies at column `lean`, its highest at -lean; elsewhere it ends where its outline crosses.
    lean = -b * record[REACH] / a
    low_x, high_x = min(max(-lean, left), right), min(max(lean, left), right)
    determinant = a * c - b * b
    low_root, high_root = (
        record[LEVEL] * c - low_x * low_x * determinant,
        record[LEVEL] * c - high_x * high_x * determinant,
    )
    if low_root < _ZERO or high_root < _ZERO:
        return np.uint64(0), np.uint64(0)
    offset = record[V] - _F(tile_y * TILE_HEIGHT) - _HALF
    low = offset + (-b * low_x - _F(math.sqrt(low_root))) / c - _MARGIN_PX
    high = offset + (-b * high_x + _F(math.sqrt(high_root))) / c + _MARGIN_PX
    top = np.int64(math.ceil(max(low, _ZERO)))
    end = np.int64(math.floor(min(high, _F(TILE_HEIGHT - 1)))) + 1
    return np.uint64(top * TILE_WIDTH), np.uint64(max(end, top) * TILE_WIDTH)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _all_done(buffer: Floats) -> bool:
    for p in range(PIXELS):
        if buffer[p] > _ZERO:
            return False
    return True


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _alpha(dx: float, dy: float, a: float, b: float, c: float, opacity: float) -> tuple[float, float]:
    """(unclipped alpha, alpha after clipping and the 1/255 threshold) at an offset from the centre."""
    exponent = _HALF * (a * dx * dx + c * dy * dy) + b * dx * dy
    raw = opacity * _exp2(max(-exponent * _LOG2_E, _F(-60.0)))
    alpha = min(raw, _ALPHA_MAX)
    return raw, (alpha if alpha >= _ALPHA_MIN else _ZERO)


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _blend_gaussian(
    buffer: Floats,
    begin: int,
    end: int,
    u: float,
    v: float,
    a: float,
    b: float,
    c: float,
    opacity: float,
    red: float,
    green: float,
    blue: float,
    depth: float,
) -> None:
    """Add one Gaussian to a tile. Planes: 0 transmittance (negative once the pixel is done), 1-4 rgb and depth, 5-6 x y."""
    for p in range(begin, end):
        dx, dy = u - buffer[p + np.uint64(5) * _N], v - buffer[p + np.uint64(6) * _N]
        _, alpha = _alpha(dx, dy, a, b, c, opacity)
        before = buffer[p]
        after = before * (_ONE - alpha)
        stop = after <= _STOP
        weight = _ZERO if stop else alpha * before
        buffer[p] = -abs(before) if stop else after
        buffer[p + _N] += weight * red
        buffer[p + np.uint64(2) * _N] += weight * green
        buffer[p + np.uint64(3) * _N] += weight * blue
        buffer[p + np.uint64(4) * _N] += weight * depth


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def blend(ordered: Floats, starts: Ints, pair_rank: Ints, order: Ints, width: int, height: int, tiles_x: int) -> Floats:
    """Planes [5, H, W]: rgb, sum of w z, transmittance left."""
    planes = np.zeros((5, height, width), np.float32)
    for n in nb.prange(len(order)):
        tile = order[n]
        tile_y, tile_x = tile // tiles_x, tile % tiles_x
        buffer = np.zeros(7 * PIXELS, np.float32)
        buffer[:PIXELS] = _ONE
        _tile_coordinates(buffer, 5 * PIXELS, 6 * PIXELS)
        _blend_tile(ordered, starts[tile], starts[tile + 1], pair_rank, tile_x, tile_y, buffer)
        for y in range(min(TILE_HEIGHT, height - tile_y * TILE_HEIGHT)):
            for x in range(min(TILE_WIDTH, width - tile_x * TILE_WIDTH)):
                p = y * TILE_WIDTH + x
                for k in range(4):
                    planes[k, tile_y * TILE_HEIGHT + y, tile_x * TILE_WIDTH + x] = buffer[(k + 1) * PIXELS + p]
                planes[4, tile_y * TILE_HEIGHT + y, tile_x * TILE_WIDTH + x] = abs(buffer[p])
    return planes


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _blend_tile(
    ordered: Floats, first: int, last: int, pair_rank: Ints, tile_x: int, tile_y: int, buffer: Floats
) -> None:
    for pair in range(first, last):
        if (pair - first) % _CHECK_EVERY == 0 and _all_done(buffer):
            return
        g = ordered[pair_rank[pair]]
        begin, end = _row_span(g, tile_x, tile_y)
        u, v = g[U] - _F(tile_x * TILE_WIDTH), g[V] - _F(tile_y * TILE_HEIGHT)
        _blend_gaussian(
            buffer,
            begin,
            end,
            u,
            v,
            g[CONIC_A],
            g[CONIC_B],
            g[CONIC_C],
            g[OPACITY],
            g[RED],
            g[GREEN],
            g[BLUE],
            g[DEPTH],
        )


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _unblend_gaussian(
    buffer: Floats,
    begin: int,
    end: int,
    u: float,
    v: float,
    a: float,
    b: float,
    c: float,
    opacity: float,
    red: float,
    green: float,
    blue: float,
    depth: float,
    slots: Floats,
    k: int,
) -> None:
    """Gradients of one Gaussian in one tile, added up over its pixels into row k of slots [P, 10].

    Planes: 0 transmittance, 1 what is still behind (sum of w q minus the gradient of alpha's share), 2-5 gradients of rgb and
    depth, 6-7 x y; q is the pixel's gradient times the Gaussian's colour and depth.
    """
    s0, s1, s2, s3, s4, s5 = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    s6, s7, s8, s9 = _ZERO, _ZERO, _ZERO, _ZERO
    for p in range(begin, end):
        dx, dy = u - buffer[p + np.uint64(6) * _N], v - buffer[p + np.uint64(7) * _N]
        raw, alpha = _alpha(dx, dy, a, b, c, opacity)
        before = buffer[p]
        after = before * (_ONE - alpha)
        stop = after <= _STOP
        weight = _ZERO if stop else alpha * before
        buffer[p] = -abs(before) if stop else after
        d_red, d_green = buffer[p + np.uint64(2) * _N], buffer[p + np.uint64(3) * _N]
        d_blue, d_depth = buffer[p + np.uint64(4) * _N], buffer[p + np.uint64(5) * _N]
        q = red * d_red + green * d_green + blue * d_blue + depth * d_depth
        behind = buffer[p + _N] - weight * q
        buffer[p + _N] = behind
        d_alpha = before * q - behind / (_ONE - alpha)
        counts = (weight > _ZERO) & (raw <= _ALPHA_MAX)
        g = -raw * d_alpha if counts else _ZERO
        s0 += g
        s1 += g * dx
        s2 += g * dy
        s3 += g * dx * dx
        s4 += g * dx * dy
        s5 += g * dy * dy
        s6 += weight * d_red
        s7 += weight * d_green
        s8 += weight * d_blue
        s9 += weight * d_depth
    slots[k, 0], slots[k, 1], slots[k, 2], slots[k, 3], slots[k, 4], slots[k, 5] = s0, s1, s2, s3, s4, s5
    slots[k, 6], slots[k, 7], slots[k, 8], slots[k, 9] = s6, s7, s8, s9


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def blend_backward(
    ordered: Floats,
    starts: Ints,
    pair_rank: Ints,
    pair_slot: Ints,
    order: Ints,
    tiles_x: int,
    planes: Floats,
    gradients: Floats,
) -> Floats:
    """Slots [P, 10] from the gradients [5, H, W] of rgb, sum of w z, and alpha.

    A slot holds sums over the tile's pixels: the exponent's gradient g, then g dx, g dy, g dx^2, g dx dy, g dy^2, then the
    gradients of rgb and depth.
    """
    height, width = planes.shape[1], planes.shape[2]
    slots = np.zeros((len(pair_rank), 10), np.float32)
    for n in nb.prange(len(order)):
        tile = order[n]
        tile_y, tile_x = tile // tiles_x, tile % tiles_x
        buffer = np.zeros(8 * PIXELS, np.float32)
        _tile_coordinates(buffer, 6 * PIXELS, 7 * PIXELS)
        for y in range(min(TILE_HEIGHT, height - tile_y * TILE_HEIGHT)):
            for x in range(min(TILE_WIDTH, width - tile_x * TILE_WIDTH)):
                p, i, j = y * TILE_WIDTH + x, tile_y * TILE_HEIGHT + y, tile_x * TILE_WIDTH + x
                behind = -gradients[4, i, j] * planes[4, i, j]
                for k in range(4):
                    buffer[(k + 2) * PIXELS + p] = gradients[k, i, j]
                    behind += gradients[k, i, j] * planes[k, i, j]
                buffer[p], buffer[PIXELS + p] = _ONE, behind
        _unblend_tile(ordered, starts[tile], starts[tile + 1], pair_rank, pair_slot, tile_x, tile_y, buffer, slots)
    return slots


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _unblend_tile(
    ordered: Floats,
    first: int,
    last: int,
    pair_rank: Ints,
    pair_slot: Ints,
    tile_x: int,
    tile_y: int,
    buffer: Floats,
    slots: Floats,
) -> None:
    for pair in range(first, last):
        if (pair - first) % _CHECK_EVERY == 0 and _all_done(buffer):
            return
        g = ordered[pair_rank[pair]]
        begin, end = _row_span(g, tile_x, tile_y)
        u, v = g[U] - _F(tile_x * TILE_WIDTH), g[V] - _F(tile_y * TILE_HEIGHT)
        _unblend_gaussian(
            buffer, begin, end, u, v, g[CONIC_A], g[CONIC_B], g[CONIC_C], g[OPACITY], g[RED], g[GREEN], g[BLUE],
            g[DEPTH], slots, pair_slot[pair],
        )  # fmt: skip
