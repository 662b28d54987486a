"""Holes in an instance: Gaussians without votes for it that its own Gaussians enclose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from echoseg_ros.objects.instance_body import rows_in_box

# Nearest neighbours by which free Gaussians are connected to patches.
_CONNECTED = 6
# Nearest neighbours that count as the surroundings of a patch.
_AROUND = 12
# Share of the surroundings that must belong to the instance for a patch to be a hole.
_MIN_ENCLOSED_SHARE = 0.75


def hole_rows(points: NDArray[np.float32], member: NDArray[np.bool_], free: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows of the free Gaussians that lie in holes of an instance.

    points: [N, 3] centres, metres; member: [N] bool, Gaussians of the instance; free: [N] bool, Gaussians of no instance.
    """
    low, high = points[member].min(axis=0), points[member].max(axis=0)
    margin = 0.1 * float((high - low).max())
    near = rows_in_box(points, low - margin, high + margin)
    open_ = np.flatnonzero(free[near])
    if not len(open_) or len(near) <= _AROUND:
        return open_[:0]
    tree = cKDTree(points[near], balanced_tree=False, compact_nodes=False)
    _, beside = tree.query(points[near[open_]], k=_AROUND + 1)
    beside = beside[:, 1:]
    patch = np.full(len(near), -1)
    patch[open_] = _patches(open_, beside[:, :_CONNECTED], len(near))
    count = int(patch.max()) + 1
    outside = np.any((points[near] < low) | (points[near] > high), axis=1)
    is_open = np.bincount(patch[open_], weights=outside[open_], minlength=count) > 0
    own = np.repeat(patch[open_], _AROUND)
    other = patch[beside.ravel()] != own
    around = np.bincount(own[other], minlength=count)
    shut = np.bincount(own[other], weights=member[near][beside.ravel()[other]], minlength=count)
    is_hole = ~is_open & (shut >= _MIN_ENCLOSED_SHARE * np.maximum(around, 1))
    rows: NDArray[np.intp] = near[open_[is_hole[patch[open_]]]]
    return rows


def _patches(rows: NDArray[np.intp], beside: NDArray[np.intp], count: int) -> NDArray[np.int32]:
    """[R] number of the patch of each of the rows; beside: [R, K] their neighbours among `count` points."""
    number = np.full(count, -1)
    number[rows] = np.arange(len(rows))
    to = number[beside]
    a, b = np.repeat(np.arange(len(rows)), beside.shape[1])[to.ravel() >= 0], to.ravel()[to.ravel() >= 0]
    _, labels = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(len(rows), len(rows))), directed=False)
    return np.asarray(labels, np.int32)
