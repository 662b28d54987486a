"""Shared parts of the tile kernels: order of the Gaussians, tile lists, and extent and alpha of a Gaussian in a tile."""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from echoseg_ros.mapping.rasterizers.conventions import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_STOP, IntArray
from echoseg_ros.mapping.rasterizers.numba.projection import (
    CURVE_XX,
    CURVE_XY,
    DEPTH,
    LEAN,
    NARROWING,
    PEAK,
    REACH2,
    TILE_HEIGHT,
    TILE_WIDTH,
    TILT,
    U,
    V,
)
from echoseg_ros.mapping.rasterizers.numba.simd import LANES, exp2, largest, load, smaller, splat, where_at_least
from echoseg_ros.types import Float32Array

# Pixels of a tile.
PIXELS = TILE_WIDTH * TILE_HEIGHT
# Rows of a tile in one vector.
ROWS = LANES // TILE_WIDTH
# Gaussians between two checks whether all pixels of a tile are done.
CHECK_EVERY = 16

F32 = np.float32
ZERO, HALF, ONE = F32(0), F32(0.5), F32(1)
STOP = F32(TRANSMITTANCE_STOP)
_ALPHA_MIN, _ALPHA_MAX = F32(ALPHA_MIN), F32(ALPHA_MAX)
# Widening of a Gaussian's extent, pixels, so that rounding does not lose a pixel at its border.
_MARGIN_PX = F32(0.01)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def alpha_at(exponent: Any) -> tuple[Any, Any]:
    """(alpha = 2^exponent, alpha after clipping and the threshold of 1/255)."""
    raw = exp2(exponent)
    alpha = smaller(raw, splat(_ALPHA_MAX))
    return raw, where_at_least(alpha, splat(_ALPHA_MIN), alpha, splat(ZERO))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def depth_order(records: Float32Array, rectangles: IntArray) -> IntArray:
    """Rows of the visible Gaussians, front to back: stable radix sort of the bits of the depths, which are positive."""
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


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def tile_lists(
    rows: IntArray, rectangles: IntArray, tiles_x: int, tiles_y: int, bands: int
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """The list of Gaussians of every tile, front to back; a pair is one Gaussian in one tile.

    Returns (offsets [N + 1]: first slot of each Gaussian; starts [T + 1]: first pair of each tile; pair_row [P]: row of
    the pair's Gaussian; pair_slot [P]: slot for the pair's results). Each of the `bands` of tile rows is one iteration; the
    number of bands does not change the result.
    """
    count = len(rectangles)
    offsets = np.empty(count + 1, np.int64)
    offsets[0] = 0
    starts = np.zeros(tiles_x * tiles_y + 1, np.int64)
    for i in range(count):
        x0, x1, y0, y1 = rectangles[i, 0], rectangles[i, 1], rectangles[i, 2], rectangles[i, 3]
        offsets[i + 1] = offsets[i] + (x1 - x0) * (y1 - y0)
        for y in range(y0, y1):
            for x in range(x0, x1):
                starts[y * tiles_x + x + 1] += 1
    for tile in range(tiles_x * tiles_y):
        starts[tile + 1] += starts[tile]
    fill = starts[:-1].copy()
    pair_row, pair_slot = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int32)
    for band in nb.prange(bands):
        _fill_band(
            rows, rectangles, offsets, band * tiles_y // bands, (band + 1) * tiles_y // bands, tiles_x, fill, pair_row,
            pair_slot,
        )  # fmt: skip
    return offsets, starts, pair_row, pair_slot


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _fill_band(
    rows: IntArray,
    rectangles: IntArray,
    offsets: IntArray,
    first_y: int,
    end_y: int,
    tiles_x: int,
    fill: IntArray,
    pair_row: IntArray,
    pair_slot: IntArray,
) -> None:
    """Append every Gaussian to the lists of the tiles that it touches in the tile rows first_y..end_y-1."""
    for row in rows:
        x0, x1, y0, y1 = rectangles[row, 0], rectangles[row, 1], rectangles[row, 2], rectangles[row, 3]
        for y in range(max(y0, first_y), min(y1, end_y)):
            slot = offsets[row] + (y - y0) * (x1 - x0)
            for x in range(x0, x1):
                at = fill[y * tiles_x + x]
                fill[y * tiles_x + x] = at + 1
                pair_row[at], pair_slot[at] = row, slot
                slot += 1


@nb.njit(cache=True, nogil=True, error_model="numpy")
def tile_order(tiles: int, threads: int) -> IntArray:
    """Order of the tiles that deals them to the threads in turn: adjacent tiles cost alike, so the threads share the load."""
    order = np.empty(tiles, np.int64)
    n = 0
    for first in range(threads):
        for tile in range(first, tiles, threads):
            order[n] = tile
            n += 1
    return order


@nb.njit(cache=True, nogil=True, error_model="numpy")
def lane_offsets() -> tuple[Any, Any]:
    """Offsets x and y of the pixel centres of a vector from the top left corner of its first pixel, as two vectors."""
    places = np.empty(2 * LANES, np.float32)
    for lane in range(LANES):
        places[lane], places[LANES + lane] = F32(lane % TILE_WIDTH) + HALF, F32(lane // TILE_WIDTH) + HALF
    return load(places, 0), load(places, LANES)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def find_spans(
    records: Float32Array, pair_row: IntArray, pair_span: IntArray, first: int, last: int, tile_x: int, tile_y: int
) -> None:
    """Write into pair_span [P, 2] the first and end pixel (in the tile) of the vectors that a Gaussian's ellipse crosses.

    Several pairs at once, without branches. One pair at a time would make the processor wait for the square roots, because
    it cannot predict the number of vectors.
    """
    for pair in range(first, last):
        i = np.uint64(pair_row[pair])
        left = F32(tile_x * TILE_WIDTH) + HALF - records[i, U]
        right = left + F32(TILE_WIDTH - 1)
        # The ellipse has its extreme y at columns lean and -lean; if they lie outside the tile, at the tile's side.
        lean, tilt, reach2, narrowing = records[i, LEAN], records[i, TILT], records[i, REACH2], records[i, NARROWING]
        low_x, high_x = min(max(-lean, left), right), min(max(lean, left), right)
        low_root, high_root = reach2 - low_x * low_x * narrowing, reach2 - high_x * high_x * narrowing
        offset = records[i, V] - F32(tile_y * TILE_HEIGHT) - HALF
        low = offset + tilt * low_x - F32(math.sqrt(max(low_root, ZERO))) - _MARGIN_PX
        high = offset + tilt * high_x + F32(math.sqrt(max(high_root, ZERO))) + _MARGIN_PX
        # Positive, so that truncation rounds down.
        top = np.int32(max(low, ZERO) + F32(0.9999))
        end = np.int32(min(max(high, -ONE), F32(TILE_HEIGHT - 1)) + ONE)
        hit = np.int32((min(low_root, high_root) >= ZERO) & (end > top))
        pair_span[pair, 0] = hit * (top // ROWS * LANES)
        pair_span[pair, 1] = hit * ((end + ROWS - 1) // ROWS * LANES)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def exponent_terms(records: Float32Array, i: int, tile_x: int, columns: Any) -> tuple[Any, Any, Any]:
    """(offsets dx of a tile's columns from the Gaussian's centre, constant term, linear term of log2(alpha) in dy).

    log2(alpha) is constant + dy * linear + CURVE_YY dy^2. columns: x of the vector's pixels in the tile.
    """
    dx = splat(records[i, U] - F32(tile_x * TILE_WIDTH)) - columns
    return dx, records[i, PEAK] + records[i, CURVE_XX] * dx * dx, records[i, CURVE_XY] * dx


@nb.njit(cache=True, nogil=True, error_model="numpy")
def all_done(buffer: Float32Array) -> bool:
    """Whether all pixels of the tile are done (transmittance negative or 0)."""
    for p in range(0, PIXELS, LANES):
        if largest(load(buffer, p)) > ZERO:
            return False
    return True
