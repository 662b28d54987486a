"""Clusters the network's votes: pixels that vote for the same centre and size form one object.

The clustering is greedy, highest density of votes first, with a bandwidth that grows with the voted size, as in Neven et
al., "Instance Segmentation by Jointly Optimizing Spatial Embeddings and Clustering Bandwidth", CVPR 2019.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from echoseg_ros.masks.connected_labels import label_components
from echoseg_ros.masks.protocol import UNJUDGED
from echoseg_ros.types import Float64Array, FloatImage

# Probability above which a pixel shows an object.
_OBJECT_PROBABILITY = 0.5
# Probability above which a pixel without label is unjudged, not background.
_UNSURE_PROBABILITY = 0.3
# Votes are counted in cells of this side, pixels, ...
_CELL_PX = 4.0
# ... and of this extent in log size.
_CELL_LOG_SIZE = 0.4
# Cells along the log size.
_SIZE_LEVELS = 14
# Least side of an object (square root of its area) that a vote states, pixels.
_MIN_SIDE_PX = 2.0
# Votes belong to a cluster within this share of its side from its centre, ...
_REACH_SHARE = 0.42
# ... at least this distance, pixels, ...
_MIN_REACH_PX = 3.0
# ... and this difference in log size.
_REACH_LOG_SIZE = 0.6
# Votes without cluster join the nearest one within this multiple of its reach.
_REST_REACH = 2.0
# Least share of the voted area that the pixels of an object cover.
_MIN_FILL = 0.2
# Least size of an object, pixels.
MIN_PX = 12
# Objects in a view at most.
_MAX_OBJECTS = 120
# Clusters that touch are one object if their centres are nearer than this share of the voted side, ...
_JOIN_SHARE = 0.7
# ... their log sizes differ by less than this, ...
_JOIN_LOG_SIZE = 0.7
# ... and their area together is at most this multiple of the voted one.
_JOIN_AREA = 2.1
# An object extends in depth from its median by at most this share of its side ...
_DEPTH_SHARE_OF_SIDE = 0.7
# ... and this share of its distance.
_DEPTH_SHARE_OF_RANGE = 0.03
# Pixels of an object without label take the nearest label within this distance, pixels.
_GROW_PX = 3.0
# Pieces of an object smaller than this share of it are removed.
_MIN_PIECE_SHARE = 0.15


def cluster_votes(probability: FloatImage, centre_px: FloatImage, side_px: FloatImage) -> NDArray[np.int32]:
    """[H, W] labels: 1..K objects, 0 background, UNJUDGED where it is open whether there is an object, or which one.

    probability: [H, W] of an object; centre_px: [H/2, W/2, 2] voted centre x and y in pixels of the full size; side_px:
    [H/2, W/2] voted side (square root of the area) in pixels of the full size. H and W are even.
    """
    height, width = probability.shape
    coarse = probability.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    rows, columns = np.nonzero(coarse > 0.5 * (_OBJECT_PROBABILITY + _UNSURE_PROBABILITY))
    half_size = np.zeros(coarse.shape, np.int32)
    if len(rows):
        side = np.maximum(side_px[rows, columns], _MIN_SIDE_PX)
        votes = np.column_stack([centre_px[rows, columns], np.log(side)]).astype(np.float32)
        density = _vote_density(votes, coarse[rows, columns], height, width)
        half_size[rows, columns] = _cluster(votes, density)
        half_size = _join_pieces(half_size, votes, rows, columns)
    labels = np.repeat(np.repeat(half_size, 2, axis=0), 2, axis=1)
    return _refine_outlines(labels, probability)


def resized_labels(labels: NDArray[np.int32], probability: FloatImage) -> NDArray[np.int32]:
    """The labels of a smaller image at the size [H, W] of `probability`, which determines the outlines."""
    height, width = probability.shape
    if labels.shape == (height, width):
        return labels
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    grown = _grown(labels, labels > 0, 1.0)[np.ix_(rows, columns)]
    unsure = np.where(probability > _UNSURE_PROBABILITY, UNJUDGED, 0)
    return np.where((probability > _OBJECT_PROBABILITY) & (grown > 0), grown, unsure).astype(np.int32)


def _vote_density(votes: FloatImage, weight: FloatImage, height: int, width: int) -> FloatImage:
    """[N] sum of the weights of the votes around each vote [N, 3]: centre x, y and log side."""
    level = np.clip((votes[:, 2] - np.log(_MIN_SIDE_PX)) / _CELL_LOG_SIZE, 0, _SIZE_LEVELS - 1).astype(int)
    row = np.clip(votes[:, 1] / _CELL_PX, 0, height / _CELL_PX - 1).astype(int)
    column = np.clip(votes[:, 0] / _CELL_PX, 0, width / _CELL_PX - 1).astype(int)
    shape = (_SIZE_LEVELS, int(height / _CELL_PX) + 1, int(width / _CELL_PX) + 1)
    counts = np.bincount(np.ravel_multi_index((level, row, column), shape), weight, int(np.prod(shape)))
    counts = ndimage.gaussian_filter(counts.reshape(shape).astype(np.float32), (0.7, 1.0, 1.0), truncate=2.0)
    return np.asarray(counts[level, row, column], np.float32)


@numba.njit(cache=True, nogil=True)
def _distance(vote, centre):  # type: ignore[no-untyped-def]
    """Squared distance of a vote [3] from a cluster [3] (centre x, y, log side); 1 = at the reach."""
    reach = max(_REACH_SHARE * np.exp(centre[2]), _MIN_REACH_PX)
    x, y = (vote[0] - centre[0]) / reach, (vote[1] - centre[1]) / reach
    size = (vote[2] - centre[2]) / _REACH_LOG_SIZE
    return x * x + y * y + size * size


@numba.njit(cache=True, nogil=True)
def _cluster(votes, density):  # type: ignore[no-untyped-def]
    """[N] int32 cluster 1..K of each vote [N, 3], 0 = none; seeds in order of falling density."""
    count = len(votes)
    owner = np.zeros(count, np.int32)
    tried = np.zeros(count, np.bool_)
    centres = np.zeros((_MAX_OBJECTS, 3), np.float32)
    order = np.argsort(-density)
    found = 0
    for seed in order:
        if tried[seed] or owner[seed] > 0:
            continue
        if found == _MAX_OBJECTS:
            break
        centre = votes[seed].copy()
        members = 0
        for step in range(3):
            total = np.zeros(3, np.float32)
            members = 0
            for i in range(count):
                if owner[i] == 0 and _distance(votes[i], centre) < 1:
                    total += votes[i]
                    members += 1
            if members == 0:
                break
            if step < 2:
                centre = total / members
        area = np.exp(2 * centre[2])
        accepted = 4 * members >= MIN_PX and 4 * members >= _MIN_FILL * area
        for i in range(count):
            if owner[i] == 0 and _distance(votes[i], centre) < 1:
                if accepted:
                    owner[i] = found + 1
                else:
                    tried[i] = True
        tried[seed] = True
        if accepted:
            centres[found] = centre
            found += 1
    _assign_rest(votes, centres[:found], owner)
    return owner


@numba.njit(cache=True, nogil=True)
def _assign_rest(votes, centres, owner):  # type: ignore[no-untyped-def]
    """Give each vote without cluster the nearest one of the clusters [K, 3] within _REST_REACH; changes `owner`."""
    for i in range(len(votes)):
        if owner[i] == 0:
            nearest = np.float32(_REST_REACH**2)
            for k in range(len(centres)):
                distance = _distance(votes[i], centres[k])
                if distance < nearest:
                    nearest = distance
                    owner[i] = k + 1


def _join_pieces(
    half_size: NDArray[np.int32], votes: FloatImage, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int32]:
    """The labels at half size with clusters of one object joined, lowest join cost first."""
    owner = half_size[rows, columns]
    count = int(owner.max(initial=0))
    area = np.bincount(owner, minlength=count + 1).astype(float)
    sums: Float64Array = np.stack([np.bincount(owner, votes[:, k], count + 1) for k in range(3)], axis=1)
    target = np.arange(count + 1)
    pairs = _adjacent_pairs(half_size)
    while pairs:
        cost = {pair: _join_cost(area, sums, *pair) for pair in pairs}
        a, b = min(cost, key=lambda pair: cost[pair])
        if cost[a, b] >= 1:
            break
        area[a], sums[a] = area[a] + area[b], sums[a] + sums[b]
        target[target == b] = a
        renamed = {tuple(sorted((a if i == b else i, a if j == b else j))) for i, j in pairs}
        pairs = {(i, j) for i, j in renamed if i != j}
    return np.asarray(target[half_size], np.int32)


def _join_cost(area: Float64Array, sums: Float64Array, a: int, b: int) -> float:
    """Cost of joining clusters a and b; below 1 they are one object.

    area: [K + 1] in pixels at half size; sums: [K + 1, 3] of the votes.
    """
    means = sums[[a, b]] / area[[a, b], None]
    side = float(np.exp(means[:, 2].max()))
    if 4 * (area[a] + area[b]) > _JOIN_AREA * side**2:
        return np.inf
    distance = float(np.hypot(*(means[0, :2] - means[1, :2]))) / (_JOIN_SHARE * side)
    return max(distance, abs(float(means[0, 2] - means[1, 2])) / _JOIN_LOG_SIZE)


def _adjacent_pairs(labels: NDArray[np.int32]) -> set[tuple[int, int]]:
    """Pairs (a < b) of labels that touch in the image, with at most one pixel between them."""
    found: set[tuple[int, int]] = set()
    for reach in (1, 2):
        for one, other in ((labels[:, :-reach], labels[:, reach:]), (labels[:-reach], labels[reach:])):
            edge = (one > 0) & (other > 0) & (one != other)
            both = np.sort(np.column_stack([one[edge], other[edge]]), axis=1)
            found.update((int(a), int(b)) for a, b in np.unique(both, axis=0))
    return found


def without_background_pixels(labels: NDArray[np.int32], depth_m: FloatImage, focal_px: float) -> NDArray[np.int32]:
    """The labels without pixels whose depth differs from the object's by more than its size: they show the background.

    depth_m: [H, W], 0 = unknown; pixels without depth keep their label.
    """
    labels = labels.copy()
    for label, window in enumerate(ndimage.find_objects(np.maximum(labels, 0)), start=1):
        if window is None:
            continue
        inside, depth = labels[window] == label, depth_m[window]
        known = inside & (depth > 0)
        if not known.any():
            continue
        median_m = float(np.median(depth[known]))
        side_m = np.sqrt(float(inside.sum())) * median_m / focal_px
        off = known & (np.abs(depth - median_m) > _DEPTH_SHARE_OF_SIDE * side_m + _DEPTH_SHARE_OF_RANGE * median_m)
        labels[window][off] = 0
    return labels


def _refine_outlines(labels: NDArray[np.int32], probability: FloatImage) -> NDArray[np.int32]:
    """Labels at full size 1..K without gaps: outlines by the probability, without small pieces and small objects."""
    sure = probability > _OBJECT_PROBABILITY
    labels = _without_small_pieces(np.where(sure, labels, 0))
    labels = np.where(sure, _grown(labels, labels > 0, _GROW_PX), 0)
    area = np.bincount(labels.ravel())
    kept = area >= MIN_PX
    kept[0] = False
    labels = np.where(kept, np.cumsum(kept), 0)[labels]
    unsure = (probability > _UNSURE_PROBABILITY) & (labels == 0)
    return np.where(unsure, UNJUDGED, labels).astype(np.int32)


def _without_small_pieces(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The labels without pieces that are separate from the rest of their object and small against it."""
    right = labels == np.roll(labels, -1, axis=1)
    down = labels == np.roll(labels, -1, axis=0)
    pieces, count = label_components(labels > 0, right, down)
    size = np.bincount(pieces.ravel(), minlength=count + 1)
    object_size = np.bincount(labels.ravel())
    small = size[pieces] < _MIN_PIECE_SHARE * object_size[labels]
    return np.where(small, 0, labels)


def _grown(labels: NDArray[np.int32], known: NDArray[np.bool_], reach_px: float) -> NDArray[np.int32]:
    """The labels; pixels that are not `known` take the nearest known label within the reach."""
    if not known.any():
        return labels
    distance, nearest = ndimage.distance_transform_edt(~known, return_indices=True)
    return np.where(distance <= reach_px, labels[nearest[0], nearest[1]], labels)
