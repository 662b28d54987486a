"""From the network's votes to labels: pixels that agree on the middle and the size of their object are one object.

The clustering is greedy, the best agreement first, with a reach that grows with the voted size, as in Neven et al.,
"Instance Segmentation by Jointly Optimizing Spatial Embeddings and Clustering Bandwidth", CVPR 2019.
"""

from __future__ import annotations

import numba
import numpy as np
from scipy import ndimage

from echoseg_ros.masks.connected_labels import label_linked
from echoseg_ros.types import FloatImage

UNJUDGED = -1
# A pixel is of an object from this probability on, and may be from the lower one on.
_OBJECT, _PERHAPS = 0.5, 0.3
# Votes are counted in cells of this many pixels and of this much log size.
_CELL_PX, _CELL_LOG_SIZE = 4.0, 0.4
_SIZE_LEVELS = 14
_SMALLEST_SIDE_PX = 2.0
# Votes agree within this share of the object's side, at least so many pixels, and this much log size.
_REACH_SHARE, _LEAST_REACH_PX, _REACH_LOG_SIZE = 0.42, 3.0, 0.6
# What is left over joins the nearest object within this many times the reach.
_LEFT_OVER_REACH = 2.0
# A group is an object if it holds this share of the area that its pixels vote for, and this many pixels.
_LEAST_FILL = 0.2
LEAST_PX = 12
_MAX_OBJECTS = 120
# Groups that touch are one object that the votes did not hold together when their middles are this near, as a share of the
# side that they vote for, and both together are no larger than that.
_JOIN_SHARE, _JOIN_LOG_SIZE, _JOIN_AREA = 0.7, 0.7, 2.1
# An object reaches this far in depth from its middle: a share of its side, and of its distance.
_DEEP_SHARE, _DEEP_SLACK = 0.7, 0.03
# Pixels that the votes left out go to the label beside them, this far.
_GROW_PX = 3.0


def group(probability: FloatImage, middle_px: FloatImage, side_px: FloatImage) -> np.ndarray:
    """[H, W] int32 labels: 1..K objects, 0 none, UNJUDGED where it is open whether there is one, or which.

    probability: [H, W] of an object; middle_px: [H/2, W/2, 2] voted middle x and y in pixels of the full size; side_px:
    [H/2, W/2] voted root of the area, likewise. H and W are even.
    """
    height, width = probability.shape
    coarse = probability.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    rows, columns = np.nonzero(coarse > 0.5 * (_OBJECT + _PERHAPS))
    small = np.zeros(coarse.shape, np.int32)
    if len(rows):
        side = np.maximum(side_px[rows, columns], _SMALLEST_SIDE_PX)
        votes = np.column_stack([middle_px[rows, columns], np.log(side)]).astype(np.float32)
        agreement = _agreement(votes, coarse[rows, columns], height, width)
        small[rows, columns] = _clusters(votes, agreement)
        small = _joined(small, votes, rows, columns)
    labels = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    return _finished(labels, probability)


def enlarged(labels: np.ndarray, probability: FloatImage) -> np.ndarray:
    """The labels of a smaller image at the size [H, W] of `probability`, with outlines where that has them."""
    height, width = probability.shape
    if labels.shape == (height, width):
        return labels
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    grown = _grown(labels, labels > 0, 1.0)[np.ix_(rows, columns)]
    unsure = np.where(probability > _PERHAPS, UNJUDGED, 0)
    return np.where((probability > _OBJECT) & (grown > 0), grown, unsure).astype(np.int32)


def _agreement(votes: FloatImage, weight: FloatImage, height: int, width: int) -> FloatImage:
    """[N] how many votes lie about each vote."""
    level = np.clip((votes[:, 2] - np.log(_SMALLEST_SIDE_PX)) / _CELL_LOG_SIZE, 0, _SIZE_LEVELS - 1).astype(int)
    row = np.clip(votes[:, 1] / _CELL_PX, 0, height / _CELL_PX - 1).astype(int)
    column = np.clip(votes[:, 0] / _CELL_PX, 0, width / _CELL_PX - 1).astype(int)
    shape = (_SIZE_LEVELS, int(height / _CELL_PX) + 1, int(width / _CELL_PX) + 1)
    counts = np.bincount(np.ravel_multi_index((level, row, column), shape), weight, int(np.prod(shape)))
    counts = ndimage.gaussian_filter(counts.reshape(shape).astype(np.float32), (0.7, 1.0, 1.0), truncate=2.0)
    return np.asarray(counts[level, row, column], np.float32)


@numba.njit(cache=True, nogil=True)
def _distance(vote, centre):  # type: ignore[no-untyped-def]
    """Squared distance of a vote from a centre [3], 1 = at the reach."""
    reach = max(_REACH_SHARE * np.exp(centre[2]), _LEAST_REACH_PX)
    x, y = (vote[0] - centre[0]) / reach, (vote[1] - centre[1]) / reach
    size = (vote[2] - centre[2]) / _REACH_LOG_SIZE
    return x * x + y * y + size * size


@numba.njit(cache=True, nogil=True)
def _clusters(votes, agreement):  # type: ignore[no-untyped-def]
    """[N] int32 group of each vote, 1..K, 0 = none."""
    count = len(votes)
    owner = np.zeros(count, np.int32)
    tried = np.zeros(count, np.bool_)
    centres = np.zeros((_MAX_OBJECTS, 3), np.float32)
    order = np.argsort(-agreement)
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
        accepted = 4 * members >= LEAST_PX and 4 * members >= _LEAST_FILL * area
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
    for i in range(count):
        if owner[i] == 0:
            nearest = np.float32(_LEFT_OVER_REACH**2)
            for k in range(found):
                distance = _distance(votes[i], centres[k])
                if distance < nearest:
                    nearest = distance
                    owner[i] = k + 1
    return owner


def _joined(small: np.ndarray, votes: FloatImage, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The labels at half size with pieces of one object made one, the nearest first."""
    owner = small[rows, columns]
    count = int(owner.max(initial=0))
    area = np.bincount(owner, minlength=count + 1).astype(float)
    sums = np.stack([np.bincount(owner, votes[:, k], count + 1) for k in range(3)], axis=1)
    target = np.arange(count + 1)
    pairs = _touching(small)
    while pairs:
        apart = {pair: _apart(area, sums, *pair) for pair in pairs}
        a, b = min(apart, key=lambda pair: apart[pair])
        if apart[a, b] >= 1:
            break
        area[a], sums[a] = area[a] + area[b], sums[a] + sums[b]
        target[target == b] = a
        renamed = {tuple(sorted((a if i == b else i, a if j == b else j))) for i, j in pairs}
        pairs = {(i, j) for i, j in renamed if i != j}
    return np.asarray(target[small], np.int32)


def _apart(area: np.ndarray, sums: np.ndarray, a: int, b: int) -> float:
    """How far two groups are from being one object, below 1 = they are one. area: in pixels at half size."""
    middles = sums[[a, b]] / area[[a, b], None]
    side = float(np.exp(middles[:, 2].max()))
    if 4 * (area[a] + area[b]) > _JOIN_AREA * side**2:
        return np.inf
    near = float(np.hypot(*(middles[0, :2] - middles[1, :2]))) / (_JOIN_SHARE * side)
    return max(near, abs(float(middles[0, 2] - middles[1, 2])) / _JOIN_LOG_SIZE)


def _touching(labels: np.ndarray) -> set[tuple[int, int]]:
    """Pairs (a < b) of labels that are neighbours in the image, across at most one pixel."""
    found: set[tuple[int, int]] = set()
    for reach in (1, 2):
        for one, other in ((labels[:, :-reach], labels[:, reach:]), (labels[:-reach], labels[reach:])):
            edge = (one > 0) & (other > 0) & (one != other)
            both = np.sort(np.column_stack([one[edge], other[edge]]), axis=1)
            found.update((int(a), int(b)) for a, b in np.unique(both, axis=0))
    return found


def without_background(labels: np.ndarray, depth_m: FloatImage, focal_px: float) -> np.ndarray:
    """The labels without pixels that lie much farther or nearer than their object is large: seen past its edge.

    depth_m: [H, W], 0 = unknown: such pixels stay.
    """
    labels = labels.copy()
    for label, window in enumerate(ndimage.find_objects(np.maximum(labels, 0)), start=1):
        if window is None:
            continue
        inside, depth = labels[window] == label, depth_m[window]
        known = inside & (depth > 0)
        if not known.any():
            continue
        middle_m = float(np.median(depth[known]))
        side_m = np.sqrt(float(inside.sum())) * middle_m / focal_px
        off = known & (np.abs(depth - middle_m) > _DEEP_SHARE * side_m + _DEEP_SLACK * middle_m)
        labels[window][off] = 0
    return labels


def _finished(labels: np.ndarray, probability: FloatImage) -> np.ndarray:
    """Labels at the full size: outlines by the probability, crumbs taken away, numbered without gaps."""
    sure = probability > _OBJECT
    labels = _without_crumbs(np.where(sure, labels, 0))
    labels = np.where(sure, _grown(labels, labels > 0, _GROW_PX), 0)
    area = np.bincount(labels.ravel())
    kept = area >= LEAST_PX
    kept[0] = False
    labels = np.where(kept, np.cumsum(kept), 0)[labels]
    unsure = (probability > _PERHAPS) & (labels == 0)
    return np.where(unsure, UNJUDGED, labels).astype(np.int32)


def _without_crumbs(labels: np.ndarray) -> np.ndarray:
    """The labels without pieces that are cut off from the rest of their object and small beside it."""
    right = labels == np.roll(labels, -1, axis=1)
    down = labels == np.roll(labels, -1, axis=0)
    pieces, count = label_linked(labels > 0, right, down)
    size = np.bincount(pieces.ravel(), minlength=count + 1)
    whole = np.bincount(labels.ravel())
    crumb = size[pieces] < 0.15 * whole[labels]
    return np.where(crumb, 0, labels)


def _grown(labels: np.ndarray, known: np.ndarray, reach_px: float) -> np.ndarray:
    """The labels, and the nearest one where there is none within the reach."""
    if not known.any():
        return labels
    distance, nearest = ndimage.distance_transform_edt(~known, return_indices=True)
    return np.where(distance <= reach_px, labels[nearest[0], nearest[1]], labels)
