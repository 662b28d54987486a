"""What all tile kernels share: the order of the Gaussians, the tile lists, and a Gaussian's reach and alpha in a tile."""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from echoseg_ros.mapping.rasterizers.conventions import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_STOP
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
    Ints,
    U,
    V,
)
from echoseg_ros.mapping.rasterizers.numba.simd import LANES, exp2, largest, load, smaller, splat, where_at_least
from echoseg_ros.types import Float32Array

PIXELS = TILE_WIDTH * TILE_HEIGHT
# A vector holds this many rows of a tile.
ROWS = LANES // TILE_WIDTH
# Every so many Gaussians a tile looks whether all its pixels are done.
CHECK_EVERY = 16

F32 = np.float32
ZERO, HALF, ONE = F32(0), F32(0.5), F32(1)
STOP = F32(TRANSMITTANCE_STOP)
_ALPHA_MIN, _ALPHA_MAX = F32(ALPHA_MIN), F32(ALPHA_MAX)
# Rounding may not cost a pixel at the rim.
_MARGIN_PX = F32(0.01)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def alpha_at(exponent: Any) -> tuple[Any, Any]:
    """(2^exponent: alpha as it is, alpha after clipping and the 1/255 threshold)."""
    raw = exp2(exponent)
    alpha = smaller(raw, splat(_ALPHA_MAX))
    return raw, where_at_least(alpha, splat(_ALPHA_MIN), alpha, splat(ZERO))


@nb.njit(cache=True, nogil=True, error_model="numpy")
def depth_order(records: Float32Array, rectangles: Ints) -> Ints:
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


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def bin_tiles(rows: Ints, rectangles: Ints, tiles_x: int, tiles_y: int, bands: int) -> tuple[Ints, Ints, Ints, Ints]:
    """The list of every tile, front to back.

    Returns (offsets [N + 1]: slots of each Gaussian, starts [T + 1]: pairs of each tile, pair_row [P]: the Gaussian,
    pair_slot [P]: where the pair's results go). Each of the bands of tiles is one loop turn; their number changes nothing.
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
    rows: Ints,
    rectangles: Ints,
    offsets: Ints,
    first_y: int,
    end_y: int,
    tiles_x: int,
    fill: Ints,
    pair_row: Ints,
    pair_slot: Ints,
) -> None:
    """Append every Gaussian to the lists of the tiles it touches in the tile rows first_y..end_y-1."""
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
def tile_order(tiles: int, threads: int) -> Ints:
    """Tiles dealt to the threads in turn: neighbours cost alike, so each thread gets its share of the busy ones."""
    order = np.empty(tiles, np.int64)
    n = 0
    for first in range(threads):
        for tile in range(first, tiles, threads):
            order[n] = tile
            n += 1
    return order


@nb.njit(cache=True, nogil=True, error_model="numpy")
def lane_offsets() -> tuple[Any, Any]:
    """Columns and rows, x and y, of a vector's pixel centres from the top left corner of the first, as two vectors."""
    places = np.empty(2 * LANES, np.float32)
    for lane in range(LANES):
        places[lane], places[LANES + lane] = F32(lane % TILE_WIDTH) + HALF, F32(lane // TILE_WIDTH) + HALF
    return load(places, 0), load(places, LANES)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def find_spans(
    records: Float32Array, pair_row: Ints, pair_span: Ints, first: int, last: int, tile_x: int, tile_y: int
) -> None:
    """Into pair_span [P, 2]: first and end pixel (within the tile) of the vectors that a Gaussian's ellipse crosses.

    For some pairs at once, without branches: were it done one by one, the processor could not guess how many vectors
    come next and would wait for the square roots each time.
    """
    for pair in range(first, last):
        i = np.uint64(pair_row[pair])
        left = F32(tile_x * TILE_WIDTH) + HALF - records[i, U]
        right = left + F32(TILE_WIDTH - 1)
        # The ellipse is highest at column `lean` and lowest at -lean; elsewhere its outline ends at the tile's side.
        lean, tilt, reach2, narrowing = records[i, LEAN], records[i, TILT], records[i, REACH2], records[i, NARROWING]
        low_x, high_x = min(max(-lean, left), right), min(max(lean, left), right)
        low_root, high_root = reach2 - low_x * low_x * narrowing, reach2 - high_x * high_x * narrowing
        offset = records[i, V] - F32(tile_y * TILE_HEIGHT) - HALF
        low = offset + tilt * low_x - F32(math.sqrt(max(low_root, ZERO))) - _MARGIN_PX
        high = offset + tilt * high_x + F32(math.sqrt(max(high_root, ZERO))) + _MARGIN_PX
        # Positive, so that cutting off the fraction rounds down.
        top = np.int32(max(low, ZERO) + F32(0.9999))
        end = np.int32(min(max(high, -ONE), F32(TILE_HEIGHT - 1)) + ONE)
        hit = np.int32((min(low_root, high_root) >= ZERO) & (end > top))
        pair_span[pair, 0] = hit * (top // ROWS * LANES)
        pair_span[pair, 1] = hit * ((end + ROWS - 1) // ROWS * LANES)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def exponent_terms(records: Float32Array, i: int, tile_x: int, columns: Any) -> tuple[Any, Any, Any]:
    """Offsets dx of a tile's columns from a Gaussian's centre, and log2 of alpha at dy as two terms: first + dy * second.

    (without CURVE_YY dy^2). columns: x of the vector's pixels within the tile.
    """
    dx = splat(records[i, U] - F32(tile_x * TILE_WIDTH)) - columns
    return dx, records[i, PEAK] + records[i, CURVE_XX] * dx * dx, records[i, CURVE_XY] * dx


@nb.njit(cache=True, nogil=True, error_model="numpy")
def all_done(buffer: Float32Array) -> bool:
    """Whether no pixel of the tile takes any more."""
    for p in range(0, PIXELS, LANES):
        if largest(load(buffer, p)) > ZERO:
            return False
    return True
