"""What all tile kernels share: the order of the Gaussians, the tile lists, and a Gaussian's reach and alpha in a tile."""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from echoseg_ros.mapping.numba_projection import (
    CONIC_A,
    CONIC_B,
    CONIC_C,
    DEPTH,
    LEVEL,
    REACH,
    RECORD,
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
FAST_MATH = {"reassoc", "contract", "nsz", "arcp"}
# Every so many Gaussians a tile looks whether all its pixels are done.
CHECK_EVERY = 16

F32 = np.float32
ZERO, HALF, ONE = F32(0), F32(0.5), F32(1)
STOP = F32(TRANSMITTANCE_STOP)
# Planes of a tile's buffer lie this far apart; unsigned, so that numba needs no check for negative indices.
PLANE = np.uint64(PIXELS)
_ALPHA_MIN, _ALPHA_MAX = F32(ALPHA_MIN), F32(ALPHA_MAX)
# Rounding may not cost a pixel at the rim.
_MARGIN_PX = F32(0.01)
_LOG2_E = F32(1.4426950408889634)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def exp2(t: float) -> float:
    """2^t for t in [-126, 0], to 2e-7 relative: a polynomial and the exponent's bits; SIMD without a library."""
    whole = np.int32(t - HALF)  # truncation towards zero, so this rounds: fraction in [-0.5, 0.5]
    f = t - F32(whole)
    p = F32(1.535336188319500e-4)
    p = p * f + F32(1.339887440266574e-3)
    p = p * f + F32(9.618437357674640e-3)
    p = p * f + F32(5.550332471162809e-2)
    p = p * f + F32(2.402264791363012e-1)
    p = p * f + F32(6.931472028550421e-1)
    p = p * f + ONE
    bits = np.int32((whole + np.int32(127)) << np.int32(23))
    return p * np.int32(bits).view(np.float32)


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def alpha_at(dx: float, dy: float, a: float, b: float, c: float, opacity: float) -> tuple[float, float]:
    """(unclipped alpha, alpha after clipping and the 1/255 threshold) at an offset from the centre."""
    exponent = HALF * (a * dx * dx + c * dy * dy) + b * dx * dy
    raw = opacity * exp2(max(-exponent * _LOG2_E, F32(-60.0)))
    alpha = min(raw, _ALPHA_MAX)
    return raw, (alpha if alpha >= _ALPHA_MIN else ZERO)


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
    """Tiles dealt to the threads in turn: neighbours cost alike, so each thread gets its share of the busy ones."""
    order = np.empty(tiles, np.int64)
    n = 0
    for first in range(threads):
        for tile in range(first, tiles, threads):
            order[n] = tile
            n += 1
    return order


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def tile_coordinates(buffer: Floats, offset_x: int, offset_y: int) -> None:
    """Pixel centres relative to the tile into two planes of the buffer."""
    for y in range(TILE_HEIGHT):
        for x in range(TILE_WIDTH):
            buffer[offset_x + y * TILE_WIDTH + x] = F32(x) + HALF
            buffer[offset_y + y * TILE_WIDTH + x] = F32(y) + HALF


@nb.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def row_span(record: Floats, tile_x: int, tile_y: int) -> tuple[int, int]:
    """First and end pixel (within the tile) of the rows where a Gaussian's ellipse crosses the tile's columns."""
    a, b, c = record[CONIC_A], record[CONIC_B], record[CONIC_C]
    left = F32(tile_x * TILE_WIDTH) + HALF - record[U]
    right = left + F32(TILE_WIDTH - 1)
    # The ellipse's highest point lies at column `lean`, its lowest at -lean; elsewhere its outline ends at the tile's side.
    lean = -b * record[REACH] / a
    low_x, high_x = min(max(-lean, left), right), min(max(lean, left), right)
    determinant = a * c - b * b
    low_root, high_root = (
        record[LEVEL] * c - low_x * low_x * determinant,
        record[LEVEL] * c - high_x * high_x * determinant,
    )
    if low_root < ZERO or high_root < ZERO:
        return np.uint64(0), np.uint64(0)
    offset = record[V] - F32(tile_y * TILE_HEIGHT) - HALF
    low = offset + (-b * low_x - F32(math.sqrt(low_root))) / c - _MARGIN_PX
    high = offset + (-b * high_x + F32(math.sqrt(high_root))) / c + _MARGIN_PX
    top = np.int64(math.ceil(max(low, ZERO)))
    end = np.int64(math.floor(min(high, F32(TILE_HEIGHT - 1)))) + 1
    return np.uint64(top * TILE_WIDTH), np.uint64(max(end, top) * TILE_WIDTH)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def all_done(buffer: Floats) -> bool:
    """Whether no pixel of the tile takes any more."""
    for p in range(PIXELS):
        if buffer[p] > ZERO:
            return False
    return True
