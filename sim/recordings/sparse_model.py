"""Sparse models of rendered views like those of COLMAP: points on surfaces with their tracks, in a world frame of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import apply, inverse, project, transform
from echoseg_ros.io.colmap import ColmapImage, ColmapModel, ColmapPoints
from echoseg_ros.types import Camera, Float64Array
from echoseg_sim.rooms.render import RenderedView
from echoseg_sim.rooms.scene import Geometry, is_unoccluded

# Features of a view at most.
_POINTS_PER_VIEW = 80
# Least quality of a corner, relative to the best corner of the view.
_CORNER_QUALITY = 0.01
# Least distance between corners: the image's width divided by this.
_CORNER_SPACING = 40
# Border of the image without features, in parts of its width.
_BORDER = 0.01
# Largest angle between two views of a point in which its feature is matched, rad.
_MAX_VIEW_CHANGE_RAD = np.deg2rad(40.0)
# Largest ratio of two views' distances to a point in which its feature is matched.
_MAX_DISTANCE_RATIO = 2.0
# Share of visible features that are missed.
_MISSED = 0.3
# Standard deviation of a point's position, in parts of its distance: half a pixel at a usual baseline.
_DEPTH_ERROR = 0.002
# Least number of views of a point.
_MIN_VIEWS = 2


@dataclass(frozen=True)
class Gauge:
    """World frame and scale of a sparse model: COLMAP's world frame is the first camera's frame, its unit is arbitrary.

    T_room_world: [4, 4] in metres.
    """

    T_room_world: Float64Array
    units_per_m: float

    def points(self, points_room: Float64Array) -> Float64Array:
        """Points [..., 3] of the room in the world frame and its units."""
        return apply(inverse(self.T_room_world), points_room) * self.units_per_m

    def pose(self, T_room_camera: Float64Array) -> Float64Array:
        """T_world_camera [4, 4] of T_room_camera."""
        rotation = self.T_room_world[:3, :3].T @ T_room_camera[:3, :3]
        return transform(rotation, self.points(T_room_camera[:3, 3]))


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one view. points_room: [K, 3] on surfaces; rgb: [K, 3]."""

    points_room: Float64Array
    rgb: NDArray[np.uint8]


def find_features(view: RenderedView, camera: Camera, T_room_camera: Float64Array) -> Features:
    """Features of a view: corners of its image and their points in the room."""
    gray = cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY)
    spacing_px = max(2.0, camera.width / _CORNER_SPACING)
    corners = cv2.goodFeaturesToTrack(gray, _POINTS_PER_VIEW, _CORNER_QUALITY, spacing_px)
    if corners is None:
        return Features(np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
    column, row = corners.reshape(-1, 2).round().astype(int).T
    hit = view.depth_m[row, column] > 0
    column, row = column[hit], row[hit]
    rays = np.stack(
        [(column + 0.5 - camera.cx) / camera.fx, (row + 0.5 - camera.cy) / camera.fy, np.ones(len(row))], axis=1
    )
    points = apply(T_room_camera, rays * view.depth_m[row, column, None])
    return Features(points, view.rgb[row, column])


def make_model(
    geometry: Geometry,
    camera: Camera,
    names: Sequence[str],
    T_room_camera: Float64Array,
    features: Sequence[Features],
    gauge: Gauge,
    rng: np.random.Generator,
) -> ColmapModel:
    """The sparse model of views with image names `names` at poses T_room_camera [V, 4, 4].

    Its points are the features that at least two views show; `rng` draws missed features and the points' errors.
    """
    origin = np.repeat(np.arange(len(features)), [len(f.rgb) for f in features])
    points = np.concatenate([f.points_room for f in features])
    rgb = np.concatenate([f.rgb for f in features])
    seen = np.zeros((len(points), len(names)), dtype=bool)
    pixels = np.zeros((len(points), len(names), 2))
    for view, pose in enumerate(T_room_camera):
        pixels[:, view], depth = project(camera, apply(inverse(pose), points))
        inside = (np.abs(pixels[:, view] / camera.width - 0.5) < 0.5 - _BORDER).all(axis=1) & (depth > 0)
        rows = np.flatnonzero(inside & _is_matched(points, T_room_camera[origin, :3, 3], pose[:3, 3]))
        eyes = np.broadcast_to(pose[:3, 3], (len(rows), 3))
        seen[rows, view] = is_unoccluded(geometry, eyes, points[rows]) & (rng.random(len(rows)) > _MISSED)
    seen[np.arange(len(points)), origin] = True
    keep = seen.sum(axis=1) >= _MIN_VIEWS
    seen, pixels, points, rgb, origin = seen[keep], pixels[keep], points[keep], rgb[keep], origin[keep]
    distance = np.linalg.norm(points - T_room_camera[origin, :3, 3], axis=1, keepdims=True)
    measured = points + rng.normal(size=points.shape) * _DEPTH_ERROR * distance
    return _model(
        camera, names, [gauge.pose(pose) for pose in T_room_camera], gauge.points(measured), rgb, seen, pixels
    )


def _is_matched(points: Float64Array, first_eyes: Float64Array, eye: Float64Array) -> NDArray[np.bool_]:
    """Whether features at points [N, 3] are matched from `eye` [3], [N]; first_eyes: [N, 3] of the views they come from."""
    a, b = points - first_eyes, points - eye
    distance_a, distance_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(axis=1) / np.maximum(distance_a * distance_b, 1e-9)
    ratio = np.maximum(distance_a, distance_b) / np.maximum(np.minimum(distance_a, distance_b), 1e-9)
    is_matched: NDArray[np.bool_] = (cosine > np.cos(_MAX_VIEW_CHANGE_RAD)) & (ratio < _MAX_DISTANCE_RATIO)
    return is_matched


def _model(
    camera: Camera,
    names: Sequence[str],
    T_world_camera: Sequence[Float64Array],
    positions: Float64Array,
    rgb: NDArray[np.uint8],
    seen: NDArray[np.bool_],
    pixels: Float64Array,
) -> ColmapModel:
    """The model of points [N, 3] in the world frame; seen: [N, V]; pixels: [N, V, 2]. Ids count from 1, as COLMAP's do."""
    images = {
        1 + v: ColmapImage(name, 1, T_world_camera[v], pixels[seen[:, v], v], 1 + np.flatnonzero(seen[:, v]))
        for v, name in enumerate(names)
    }
    keypoint_index = np.cumsum(seen, axis=0) - 1  # index of each point among the keypoints of each view
    tracks = tuple(1 + np.flatnonzero(row) for row in seen)
    keypoints = tuple(keypoint_index[i, track - 1] for i, track in enumerate(tracks))
    return ColmapModel(
        {1: camera}, images, ColmapPoints(1 + np.arange(len(positions)), positions, rgb, tracks, keypoints)
    )
