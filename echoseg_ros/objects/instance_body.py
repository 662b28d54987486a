"""The body of an instance: its points without floaters, and the upright box around it."""

from __future__ import annotations

import cv2
import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from echoseg_ros.types import Box, Float64Array

# Cell of the grid by which points are connected: points within about two cells are connected.
_CELL_M = 0.02
# Size of a part, as a share of the largest one, from which it belongs to the body.
_MIN_PART = 0.25
# Most cells along one axis.
_MAX_CELLS = 128
# Horizontal distance from the object, between which points count as its supporting surface.
_RING_M = (0.01, 0.06)
# Height of the supporting surface: at most this far below the object's lowest point ...
_GAP_BELOW_M = 0.05
# ... and at most this far above it.
_GAP_ABOVE_M = 0.02
# Points that a supporting surface needs.
_MIN_SUPPORT_POINTS = 10
# Median deviation of their heights that it may have.
_MAX_SUPPORT_SPREAD_M = 0.008
# A Gaussian extends beyond its centre by half the distance to its n-th neighbour ...
_NEIGHBOUR = 4
# ... and at most this far.
_MAX_REACH_M = 0.01
# Points from which the median spacing is taken, about.
_REACH_POINTS = 150
# Share of points left out at each face of the box.
_TRIM = 0.015


def connected_parts(points: NDArray[np.float32]) -> NDArray[np.int32]:
    """[N] number of the connected part of each of the points [N, 3], metres."""
    low = points.min(axis=0)
    cell_m = max(_CELL_M, float(np.ptp(points, axis=0).max()) / _MAX_CELLS)
    cells = ((points - low) / cell_m).astype(int) + 1
    grid = np.zeros(cells.max(axis=0) + 2, bool)
    grid[tuple(cells.T)] = True
    joined, _ = ndimage.label(ndimage.binary_dilation(grid), structure=np.ones((3, 3, 3)))
    return np.asarray(joined[tuple(cells.T)], np.int32)


def without_floaters(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[N] bool: which of the points [N, 3] belong to the large connected parts."""
    part = connected_parts(points)
    size = np.bincount(part)
    return np.asarray(size[part] >= _MIN_PART * size.max())


def body_box(points: NDArray[np.float32]) -> Box:
    """Upright box of smallest footprint around Gaussians with centres [N, 3], without the outermost share of points at each face.

    The footprint's direction is that of the minimum-area rectangle; faster than trying all edges
    with the trimmed extent.
    """
    exact: Float64Array = np.asarray(points, dtype=float)
    middle = exact[:, :2].mean(axis=0)
    inner = _trimmed(exact)
    corners = cv2.boxPoints(cv2.minAreaRect((inner[:, :2] - middle).astype(np.float32)))
    edge = corners[1] - corners[0]
    yaw = float(np.arctan2(edge[1], edge[0])) % (np.pi / 2)
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    turned = np.column_stack([(exact[:, :2] - middle) @ turn, exact[:, 2]])
    low, high = np.quantile(turned, [_TRIM, 1 - _TRIM], axis=0)
    reach_m = _reach_m(exact)
    low, high = low - reach_m, high + reach_m
    center = (low + high) / 2
    center[:2] = turn @ center[:2] + middle
    return Box(center, high - low, Rotation.from_euler("z", yaw).as_quat())


@numba.njit(cache=True, nogil=True)
def _is_within(points: np.ndarray, low: np.ndarray, high: np.ndarray, found: np.ndarray) -> None:
    for i in range(len(points)):
        inside = True
        for axis in range(3):
            inside &= low[axis] <= points[i, axis] <= high[axis]
        found[i] = inside


def rows_in_box(points: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.intp]:
    """Rows of the points [N, 3] in the box between two corners [3]."""
    found = np.zeros(len(points), bool)
    _is_within(points, low.astype(np.float32), high.astype(np.float32), found)
    return np.flatnonzero(found)


def _reach_m(points: Float64Array) -> float:
    """Extent of the Gaussians beyond their centres [N, 3], estimated from their spacing, metres."""
    if len(points) <= _NEIGHBOUR:
        return 0.0
    some = points[:: 1 + len(points) // _REACH_POINTS]
    distance, _ = cKDTree(points).query(some, k=[_NEIGHBOUR + 1])
    return min(0.5 * float(np.median(distance)), _MAX_REACH_M)


def _trimmed(points: Float64Array) -> Float64Array:
    low, high = np.quantile(points, [_TRIM, 1 - _TRIM], axis=0)
    inner = points[((points >= low) & (points <= high)).all(axis=1)]
    return inner if len(inner) >= 3 else points


def lowered_to_support(box: Box, others: NDArray[np.float32]) -> Box:
    """The box with its bottom lowered to the supporting surface, if there is one among the points `others` [M, 3].

    In a noisy depth image the lowest centimetres of an object cannot be told from its support, so masks end too high.
    """
    yaw_axes = Rotation.from_quat(box.quaternion_xyzw).as_matrix()[:2, :2]
    below_m = box.center_m[2] - box.size_m[2] / 2 - others[:, 2]
    near = others[(below_m > -_GAP_ABOVE_M) & (below_m < _GAP_BELOW_M)]
    outside = (np.abs((near[:, :2] - box.center_m[:2]) @ yaw_axes) - box.size_m[:2] / 2).max(axis=1)
    heights = near[(outside > _RING_M[0]) & (outside < _RING_M[1]), 2]
    if len(heights) < _MIN_SUPPORT_POINTS:
        return box
    support_m = float(np.median(heights))
    drop_m = box.center_m[2] - box.size_m[2] / 2 - support_m
    if drop_m <= 0 or float(np.median(np.abs(heights - support_m))) > _MAX_SUPPORT_SPREAD_M:
        return box
    shift = np.array([0.0, 0.0, drop_m])
    return Box(box.center_m - shift / 2, box.size_m + shift, box.quaternion_xyzw)
