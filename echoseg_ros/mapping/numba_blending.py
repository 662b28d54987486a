"""Front-to-back blending and its gradient as numba kernels.

A tile is one loop turn: it writes its own pixels and its own slots (one per Gaussian and tile), and slots are summed in
a fixed order afterwards. So results do not depend on the number of threads and repeat bit by bit.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from echoseg_ros.mapping.numba_projection import (
    BLUE,
    CONIC_A,
    CONIC_B,
    CONIC_C,
    DEPTH,
    GREEN,
    OPACITY,
    RED,
    TILE_HEIGHT,
    TILE_WIDTH,
    Floats,
    Ints,
    U,
    V,
)
from echoseg_ros.mapping.numba_tiles import (
    CHECK_EVERY,
    F32,
    FAST_MATH,
    ONE,
    PIXELS,
    PLANE,
    STOP,
    ZERO,
    all_done,
    alpha_at,
    row_span,
    tile_coordinates,
)
from echoseg_ros.mapping.rasterizer import ALPHA_MAX

_ALPHA_MAX = F32(ALPHA_MAX)


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_MATH)
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
    """Add one Gaussian to a tile. Planes: 0 transmittance (negative once done), 1-4 rgb and depth, 5-6 x y."""
    for p in range(begin, end):
        dx, dy = u - buffer[p + np.uint64(5) * PLANE], v - buffer[p + np.uint64(6) * PLANE]
        _, alpha = alpha_at(dx, dy, a, b, c, opacity)
        before = buffer[p]
        after = before * (ONE - alpha)
        stop = after <= STOP
        weight = ZERO if stop else alpha * before
        buffer[p] = -abs(before) if stop else after
        buffer[p + PLANE] += weight * red
        buffer[p + np.uint64(2) * PLANE] += weight * green
        buffer[p + np.uint64(3) * PLANE] += weight * blue
        buffer[p + np.uint64(4) * PLANE] += weight * depth


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def blend(ordered: Floats, starts: Ints, pair_rank: Ints, order: Ints, width: int, height: int, tiles_x: int) -> Floats:
    """Planes [5, H, W]: rgb, sum of w z, transmittance left."""
    planes = np.zeros((5, height, width), np.float32)
    for n in nb.prange(len(order)):
        tile = order[n]
        tile_y, tile_x = tile // tiles_x, tile % tiles_x
        buffer = np.zeros(7 * PIXELS, np.float32)
        buffer[:PIXELS] = ONE
        tile_coordinates(buffer, 5 * PIXELS, 6 * PIXELS)
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
        if (pair - first) % CHECK_EVERY == 0 and all_done(buffer):
            return
        g = ordered[pair_rank[pair]]
        begin, end = row_span(g, tile_x, tile_y)
        u, v = g[U] - F32(tile_x * TILE_WIDTH), g[V] - F32(tile_y * TILE_HEIGHT)
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


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST_MATH)
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

    Planes: 0 transmittance, 1 what is still behind (sum of w q minus the gradient of alpha's share), 2-5 gradients of rgb
    and depth, 6-7 x y; q is the pixel's gradient times the Gaussian's colour and depth.
    """
    s0, s1, s2, s3, s4, s5 = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    s6, s7, s8, s9 = ZERO, ZERO, ZERO, ZERO
    for p in range(begin, end):
        dx, dy = u - buffer[p + np.uint64(6) * PLANE], v - buffer[p + np.uint64(7) * PLANE]
        raw, alpha = alpha_at(dx, dy, a, b, c, opacity)
        before = buffer[p]
        after = before * (ONE - alpha)
        stop = after <= STOP
        weight = ZERO if stop else alpha * before
        buffer[p] = -abs(before) if stop else after
        d_red, d_green = buffer[p + np.uint64(2) * PLANE], buffer[p + np.uint64(3) * PLANE]
        d_blue, d_depth = buffer[p + np.uint64(4) * PLANE], buffer[p + np.uint64(5) * PLANE]
        q = red * d_red + green * d_green + blue * d_blue + depth * d_depth
        behind = buffer[p + PLANE] - weight * q
        buffer[p + PLANE] = behind
        d_alpha = before * q - behind / (ONE - alpha)
        counts = (weight > ZERO) & (raw <= _ALPHA_MAX)
        g = -raw * d_alpha if counts else ZERO
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

    A slot holds sums over the tile's pixels: the exponent's gradient g, then g dx, g dy, g dx^2, g dx dy, g dy^2, then
    the gradients of rgb and depth.
    """
    height, width = planes.shape[1], planes.shape[2]
    slots = np.zeros((len(pair_rank), 10), np.float32)
    for n in nb.prange(len(order)):
        tile = order[n]
        tile_y, tile_x = tile // tiles_x, tile % tiles_x
        buffer = np.zeros(8 * PIXELS, np.float32)
        tile_coordinates(buffer, 6 * PIXELS, 7 * PIXELS)
        for y in range(min(TILE_HEIGHT, height - tile_y * TILE_HEIGHT)):
            for x in range(min(TILE_WIDTH, width - tile_x * TILE_WIDTH)):
                p, i, j = y * TILE_WIDTH + x, tile_y * TILE_HEIGHT + y, tile_x * TILE_WIDTH + x
                behind = -gradients[4, i, j] * planes[4, i, j]
                for k in range(4):
                    buffer[(k + 2) * PIXELS + p] = gradients[k, i, j]
                    behind += gradients[k, i, j] * planes[k, i, j]
                buffer[p], buffer[PIXELS + p] = ONE, behind
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
        if (pair - first) % CHECK_EVERY == 0 and all_done(buffer):
            return
        g = ordered[pair_rank[pair]]
        begin, end = row_span(g, tile_x, tile_y)
        u, v = g[U] - F32(tile_x * TILE_WIDTH), g[V] - F32(tile_y * TILE_HEIGHT)
        _unblend_gaussian(
            buffer, begin, end, u, v, g[CONIC_A], g[CONIC_B], g[CONIC_C], g[OPACITY], g[RED], g[GREEN], g[BLUE],
            g[DEPTH], slots, pair_slot[pair],
        )  # fmt: skip
