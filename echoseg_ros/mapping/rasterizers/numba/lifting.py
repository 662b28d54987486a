"""Feature images and exact sums of blending weights per label, as numba kernels over the tile lists."""

from __future__ import annotations

import numba as nb
import numpy as np

from echoseg_ros.mapping.rasterizers.conventions import IntArray
from echoseg_ros.mapping.rasterizers.numba.projection import CURVE_YY, TILE_HEIGHT, TILE_WIDTH, V
from echoseg_ros.mapping.rasterizers.numba.simd import LANES, aligned, load, negative, splat, store, where_at_least
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


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _blend_weights(
    buffer: Float32Array, records: Float32Array, pair_row: IntArray, pair: int, tile_x: int, tile_y: int
) -> tuple[int, int]:
    """Write the blending weights of a pair's Gaussian in its tile; returns the first and end pixel that have one.

    Planes of the buffer: 0 transmittance, negative once the pixel is done; 1 weights.
    """
    columns, lines = lane_offsets()
    i, span = np.uint64(pair_row[pair]), np.empty((1, 2), np.uint8)
    find_spans(records, pair_row[pair : pair + 1], span, 0, 1, tile_x, tile_y)
    begin, end = np.int64(span[0, 0]), np.int64(span[0, 1])
    _, constant, linear = exponent_terms(records, i, tile_x, columns)
    top, quadratic = splat(records[i, V] - F32(tile_y * TILE_HEIGHT)) - lines, records[i, CURVE_YY]
    for p in range(begin, end, LANES):
        dy = top - F32(p // TILE_WIDTH)
        _, alpha = alpha_at(constant + dy * (linear + quadratic * dy))
        before = load(buffer, p)
        weight = alpha * before
        after = before - weight
        store(buffer, p, where_at_least(splat(STOP), after, negative(before), after))
        store(buffer, p + PIXELS, where_at_least(splat(STOP), after, splat(ZERO), weight))
    return begin, end


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def blend_features(
    records: Float32Array,
    features: Float32Array,
    starts: IntArray,
    pair_row: IntArray,
    order: IntArray,
    width: int,
    height: int,
    tiles_x: int,
) -> tuple[Float32Array, Float32Array]:
    """([H, W, C] sums of w * feature, [H, W] alpha) of features [N, C]; other arguments as in blending.blend."""
    channels = features.shape[1]
    image = np.zeros((height, width, channels), np.float32)
    alpha = np.zeros((height, width), np.float32)
    for n in nb.prange(len(order)):
        tile = order[n]
        tile_y, tile_x = tile // tiles_x, tile % tiles_x
        buffer = aligned(2 * PIXELS)
        buffer[:PIXELS] = ONE
        sums = np.zeros((channels, PIXELS), np.float32)
        for pair in range(starts[tile], starts[tile + 1]):
            if (pair - starts[tile]) % CHECK_EVERY == 0 and all_done(buffer):
                break
            row = pair_row[pair]
            begin, end = _blend_weights(buffer, records, pair_row, pair, tile_x, tile_y)
            for k in range(channels):
                value = features[row, k]
                for p in range(begin, end):
                    sums[k, p] += buffer[PIXELS + p] * value
        for y in range(min(TILE_HEIGHT, height - tile_y * TILE_HEIGHT)):
            for x in range(min(TILE_WIDTH, width - tile_x * TILE_WIDTH)):
                p, i, j = y * TILE_WIDTH + x, tile_y * TILE_HEIGHT + y, tile_x * TILE_WIDTH + x
                alpha[i, j] = ONE - abs(buffer[p])
                for k in range(channels):
                    image[i, j, k] = sums[k, p]
    return image, alpha


@nb.njit(cache=True, nogil=True, error_model="numpy")
def tile_labels(labels: IntArray, classes: int, tiles_x: int, tiles_y: int) -> tuple[IntArray, IntArray, IntArray]:
    """The distinct labels of every tile; a tile contains only a few of all classes.

    Returns (starts [T + 1] of the tiles in values; values: labels of all tiles, concatenated; label_indices [H, W] int32:
    index of a pixel's label in the list of its tile, -1 for labels outside 0..classes-1).
    """
    height, width = labels.shape
    starts = np.zeros(tiles_x * tiles_y + 1, np.int64)
    values = np.empty(height * width, np.int32)
    label_indices = np.full((height, width), -1, np.int32)
    for tile in range(tiles_x * tiles_y):
        first = starts[tile]
        count = 0
        for i in range(tile // tiles_x * TILE_HEIGHT, min((tile // tiles_x + 1) * TILE_HEIGHT, height)):
            for j in range(tile % tiles_x * TILE_WIDTH, min((tile % tiles_x + 1) * TILE_WIDTH, width)):
                label = labels[i, j]
                if label < 0 or label >= classes:
                    continue
                k = 0
                while k < count and values[first + k] != label:
                    k += 1
                if k == count:
                    values[first + k] = label
                    count += 1
                label_indices[i, j] = k
        starts[tile + 1] = first + count
    return starts, values, label_indices


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def lift_tiles(
    records: Float32Array,
    starts: IntArray,
    pair_row: IntArray,
    order: IntArray,
    tiles_x: int,
    label_indices: IntArray,
    label_starts: IntArray,
    sum_starts: IntArray,
) -> Float32Array:
    """Sums of weights for each pair and each label of its tile, flat; those of a tile start at sum_starts[tile]."""
    height, width = label_indices.shape
    sums = np.zeros(sum_starts[-1], np.float32)
    for n in nb.prange(len(order)):
        tile = order[n]
        tile_y, tile_x = tile // tiles_x, tile % tiles_x
        count = label_starts[tile + 1] - label_starts[tile]
        indices = np.full(PIXELS, -1, np.int32)
        buffer = aligned(2 * PIXELS)
        buffer[:PIXELS] = ZERO
        for y in range(min(TILE_HEIGHT, height - tile_y * TILE_HEIGHT)):
            for x in range(min(TILE_WIDTH, width - tile_x * TILE_WIDTH)):
                buffer[y * TILE_WIDTH + x] = ONE
                indices[y * TILE_WIDTH + x] = label_indices[tile_y * TILE_HEIGHT + y, tile_x * TILE_WIDTH + x]
        for pair in range(starts[tile], starts[tile + 1]):
            done = pair - starts[tile]
            if done % CHECK_EVERY == 0 and all_done(buffer):
                break
            begin, end = _blend_weights(buffer, records, pair_row, pair, tile_x, tile_y)
            base = sum_starts[tile] + done * count
            for p in range(begin, end):
                if indices[p] >= 0:
                    sums[base + indices[p]] += buffer[PIXELS + p]
    return sums


@nb.njit(cache=True, nogil=True, error_model="numpy")
def gather_lifted(
    pair_row: IntArray,
    starts: IntArray,
    label_starts: IntArray,
    label_values: IntArray,
    sum_starts: IntArray,
    sums: Float32Array,
    count: int,
    classes: int,
) -> Float32Array:
    """Sums [N, classes] of the tiles' sums for each Gaussian, in the order of the tiles."""
    lifted = np.zeros((count, classes), np.float32)
    for tile in range(len(starts) - 1):
        labels = label_starts[tile + 1] - label_starts[tile]
        at = sum_starts[tile]
        for pair in range(starts[tile], starts[tile + 1]):
            row = pair_row[pair]
            for k in range(labels):
                lifted[row, label_values[label_starts[tile] + k]] += sums[at]
                at += 1
    return lifted
