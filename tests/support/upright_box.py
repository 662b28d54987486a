"""A slow reference for boxes around points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.transform import Rotation

from echoseg_ros.types import Box, Float64Array


def upright_box(points_map: NDArray[np.floating[Any]], trim: float = 0.01) -> Box:
    """Smallest upright box (its z is that of the map) around points [N, 3], N >= 1, without the `trim` share at each face.

    The footprint is the rectangle of smallest area along an edge of the convex hull (rotating calipers). Raises ValueError
    without points.
    """
    points = np.asarray(points_map, dtype=float)
    if len(points) == 0:
        raise ValueError("a box needs at least one point")
    xy = points[:, :2]
    best_yaw, best_area = 0.0, np.inf
    for yaw in _hull_edge_yaws(xy):
        low, high = _trimmed_extent(xy @ _rotation2(yaw), trim)
        area = float(np.prod(high - low))
        if area < best_area - 1e-12:
            best_yaw, best_area = yaw, area
    rotation2 = _rotation2(best_yaw)
    low, high = _trimmed_extent(xy @ rotation2, trim)
    z_low, z_high = _trimmed_extent(points[:, 2:], trim)
    center = np.append(rotation2 @ ((low + high) / 2), (z_low + z_high) / 2)
    size = np.append(high - low, z_high - z_low)
    return Box(center, size, Rotation.from_euler("z", best_yaw).as_quat())


def _hull_edge_yaws(xy: Float64Array) -> Float64Array:
    try:
        hull = xy[ConvexHull(xy).vertices]
    except (QhullError, ValueError):
        return np.zeros(1)
    edges = np.roll(hull, -1, axis=0) - hull
    return np.unique(np.round(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2), 4))


def _rotation2(yaw: float) -> Float64Array:
    return np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])


def _trimmed_extent(values: Float64Array, trim: float) -> tuple[Float64Array, Float64Array]:
    low, high = np.quantile(values, [trim, 1 - trim], axis=0)
    return low, high
