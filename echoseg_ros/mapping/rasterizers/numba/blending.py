"""Front-to-back blending and its gradient, as numba kernels.

Each tile is one iteration. It writes its own pixels and its own slots (one for each pair of Gaussian and tile); the slots
are summed in a fixed order afterwards. Therefore results repeat bit for bit and do not depend on the number of threads.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from echoseg_ros.mapping.rasterizers.conventions import ALPHA_MAX, IntArray
from echoseg_ros.mapping.rasterizers.numba.projection import (
    BLUE,
    CURVE_YY,
    DEPTH,
    GREEN,
    RED,
    SLOT,
    TILE_HEIGHT,
    TILE_WIDTH,
    V,
)
from echoseg_ros.mapping.rasterizers.numba.simd import (
    LANES,
    aligned,
    load,
    negative,
    splat,
    store,
    totals,
    where_at_least,
)
from echoseg_ros.mapping.rasterizers.numba.tiles import (
    CHECK_EVERY,
    F32,
    ONE,
    PIXELS,
    STOP,
    ZERO,
    all_done,
    alpha_at,
    exponent_terms,
    find_spans,
    lane_offsets,
)
from echoseg_ros.types import Float32Array

_ALPHA_MAX = F32(ALPHA_MAX)


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def blend(
    records: Float32Array, starts: IntArray, pair_row: IntArray, order: IntArray, width: int, height: int, tiles_x: int
) -> tuple[Float32Array, IntArray]:
    """(planes [5, H, W]: rgb, sum of w z, remaining transmittance; spans [P, 2] of the pairs for the backward pass).

    records: [N, RECORD]; starts: [T + 1], pair_row: [P] tile lists, see tiles.tile_lists; order: [T] order of the tiles.
    """
    planes = np.empty((5, height, width), np.float32)
    pair_span = np.empty((len(pair_row), 2), np.uint8)
    for n in nb.prange(len(order)):
        tile = order[n]
        tile_y, tile_x = tile // tiles_x, tile % tiles_x
        buffer = aligned(5 * PIXELS)
        buffer[:PIXELS], buffer[PIXELS:] = ONE, ZERO
        _blend_tile(records, pair_row, pair_span, starts[tile], starts[tile + 1], tile_x, tile_y, buffer)
        for y in range(min(TILE_HEIGHT, height - tile_y * TILE_HEIGHT)):
            for x in range(min(TILE_WIDTH, width - tile_x * TILE_WIDTH)):
                p, i, j = y * TILE_WIDTH + x, tile_y * TILE_HEIGHT + y, tile_x * TILE_WIDTH + x
                for k in range(4):
                    planes[k, i, j] = buffer[(k + 1) * PIXELS + p]
                planes[4, i, j] = abs(buffer[p])
    return planes, pair_span


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _blend_tile(
    records: Float32Array,
    pair_row: IntArray,
    pair_span: IntArray,
    first: int,
    last: int,
    tile_x: int,
    tile_y: int,
    buffer: Float32Array,
) -> None:
    """Blend the Gaussians of a tile into its buffer, front to back.

    Planes of the buffer: 0 transmittance, negative once the pixel is done; 1-4 rgb and depth.
    """
    columns, lines = lane_offsets()
    stop, zero = splat(STOP), splat(ZERO)
    for pair in range(first, last):
        if (pair - first) % CHECK_EVERY == 0:
            if all_done(buffer):
                return
            find_spans(records, pair_row, pair_span, pair, min(pair + CHECK_EVERY, last), tile_x, tile_y)
        i = np.uint64(pair_row[pair])
        begin, end = np.int64(pair_span[pair, 0]), np.int64(pair_span[pair, 1])
        _, constant, linear = exponent_terms(records, i, tile_x, columns)
        top, quadratic = splat(records[i, V] - F32(tile_y * TILE_HEIGHT)) - lines, records[i, CURVE_YY]
        red, green = splat(records[i, RED]), splat(records[i, GREEN])
        blue, depth = splat(records[i, BLUE]), splat(records[i, DEPTH])
        for p in range(begin, end, LANES):
            dy = top - F32(p // TILE_WIDTH)
            _, alpha = alpha_at(constant + dy * (linear + quadratic * dy))
            before = load(buffer, p)
            weight = alpha * before
            after = before - weight
            store(buffer, p, where_at_least(stop, after, negative(before), after))
            weight = where_at_least(stop, after, zero, weight)
            store(buffer, p + PIXELS, load(buffer, p + PIXELS) + weight * red)
            store(buffer, p + 2 * PIXELS, load(buffer, p + 2 * PIXELS) + weight * green)
            store(buffer, p + 3 * PIXELS, load(buffer, p + 3 * PIXELS) + weight * blue)
            store(buffer, p + 4 * PIXELS, load(buffer, p + 4 * PIXELS) + weight * depth)


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def blend_backward(
    records: Float32Array,
    starts: IntArray,
    pair_row: IntArray,
    pair_slot: IntArray,
    pair_span: IntArray,
    order: IntArray,
    tiles_x: int,
    planes: Float32Array,
    gradients: Float32Array,
) -> Float32Array:
    """Slots [P * SLOT] of the pairs from the gradients [5, H, W] by rgb, sum of w z, and alpha.

    A slot holds sums over the tile's pixels: the gradient g by the exponent, then g dx, g dy, g dx^2, g dx dy, g dy^2,
    then the gradients by rgb and depth; the rest is 0. planes, pair_span: results of `blend`.
    """
    height, width = planes.shape[1], planes.shape[2]
    slots: Float32Array = aligned(len(pair_row) * SLOT)
    for n in nb.prange(len(order)):
        tile = order[n]
        tile_y, tile_x = tile // tiles_x, tile % tiles_x
        buffer = aligned(6 * PIXELS)
        buffer[:] = ZERO
        for y in range(min(TILE_HEIGHT, height - tile_y * TILE_HEIGHT)):
            for x in range(min(TILE_WIDTH, width - tile_x * TILE_WIDTH)):
                p, i, j = y * TILE_WIDTH + x, tile_y * TILE_HEIGHT + y, tile_x * TILE_WIDTH + x
                behind = -gradients[4, i, j] * planes[4, i, j]
                for k in range(4):
                    buffer[(k + 2) * PIXELS + p] = gradients[k, i, j]
                    behind += gradients[k, i, j] * planes[k, i, j]
                buffer[p], buffer[PIXELS + p] = ONE, behind
        _blend_tile_backward(
            records, pair_row, pair_slot, pair_span, starts[tile], starts[tile + 1], tile_x, tile_y, buffer, slots
        )
    return slots


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _blend_tile_backward(
    records: Float32Array,
    pair_row: IntArray,
    pair_slot: IntArray,
    pair_span: IntArray,
    first: int,
    last: int,
    tile_x: int,
    tile_y: int,
    buffer: Float32Array,
    slots: Float32Array,
) -> None:
    """Sum the gradients of each Gaussian of a tile over the pixels into its slot, front to back.

    Planes of the buffer: 0 transmittance; 1 contribution of the Gaussians behind (sum of w q, minus the share of the
    gradient by alpha); 2-5 gradients by rgb and depth. q is the gradient at the pixel times the Gaussian's colour and
    depth.
    """
    columns, lines = lane_offsets()
    stop, zero, one = splat(STOP), splat(ZERO), splat(ONE)
    done = False
    for pair in range(first, last):
        done = done or ((pair - first) % CHECK_EVERY == 0 and all_done(buffer))
        slot = np.int64(pair_slot[pair])
        if done:
            store(slots, slot * SLOT, zero)
            continue
        i = np.uint64(pair_row[pair])
        begin, end = np.int64(pair_span[pair, 0]), np.int64(pair_span[pair, 1])
        dx, constant, linear = exponent_terms(records, i, tile_x, columns)
        top, quadratic = splat(records[i, V] - F32(tile_y * TILE_HEIGHT)) - lines, records[i, CURVE_YY]
        red, green = splat(records[i, RED]), splat(records[i, GREEN])
        blue, depth = splat(records[i, BLUE]), splat(records[i, DEPTH])
        # Each lane keeps its column, so dx is constant for it and enters after the loop.
        sum_g, sum_gy, sum_gyy = zero, zero, zero
        sum_red, sum_green, sum_blue, sum_depth = zero, zero, zero, zero
        for p in range(begin, end, LANES):
            dy = top - F32(p // TILE_WIDTH)
            raw, alpha = alpha_at(constant + dy * (linear + quadratic * dy))
            before = load(buffer, p)
            weight = alpha * before
            after = before - weight
            store(buffer, p, where_at_least(stop, after, negative(before), after))
            weight = where_at_least(stop, after, zero, weight)
            d_red, d_green = load(buffer, p + 2 * PIXELS), load(buffer, p + 3 * PIXELS)
            d_blue, d_depth = load(buffer, p + 4 * PIXELS), load(buffer, p + 5 * PIXELS)
            q = red * d_red + green * d_green + blue * d_blue + depth * d_depth
            behind = load(buffer, p + PIXELS) - weight * q
            store(buffer, p + PIXELS, behind)
            g = raw * (behind / (one - alpha) - before * q)
            g = where_at_least(zero, weight, zero, where_at_least(splat(_ALPHA_MAX), raw, g, zero))
            gy = g * dy
            sum_g, sum_gy, sum_gyy = sum_g + g, sum_gy + gy, sum_gyy + gy * dy
            sum_red, sum_green = sum_red + weight * d_red, sum_green + weight * d_green
            sum_blue, sum_depth = sum_blue + weight * d_blue, sum_depth + weight * d_depth
        gx = sum_g * dx
        sums = totals((sum_g, gx, sum_gy, gx * dx, sum_gy * dx, sum_gyy, sum_red, sum_green, sum_blue, sum_depth))
        store(slots, slot * SLOT, sums)
