"""A sparse model as COLMAP would have made it of rendered views: points on surfaces with tracks, a gauge and a scale."""

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

_POINTS_PER_VIEW = 80
_CORNER_QUALITY = 0.01
_CORNER_SPACING = 40  # corners are at least this part of the image's width apart
_BORDER = 0.01  # of the image's width, in which nothing is matched
# Features are recognised from about the same side and distance only, and missed now and then.
_MAX_VIEW_CHANGE_RAD = np.deg2rad(40.0)
_MAX_DISTANCE_RATIO = 2.0
_MISSED = 0.3
_DEPTH_ERROR = 0.002  # of the distance: half a pixel at a usual baseline


@dataclass(frozen=True)
class Gauge:
    """Where COLMAP's world lies in the room: at the first camera, x right, y down, z ahead, in units of its own."""

    T_room_world: Float64Array
    units_per_m: float

    def points(self, points_room: Float64Array) -> Float64Array:
        """[..., 3] in the world of points in the room."""
        return apply(inverse(self.T_room_world), points_room) * self.units_per_m

    def pose(self, T_room_camera: Float64Array) -> Float64Array:
        """T_world_camera [4, 4]."""
        turn = self.T_room_world[:3, :3].T @ T_room_camera[:3, :3]
        return transform(turn, self.points(T_room_camera[:3, 3]))


@dataclass(frozen=True, eq=False)
class Features:
    """Corners of one view. points_room: [K, 3] on surfaces; rgb: [K, 3] uint8."""

    points_room: Float64Array
    rgb: NDArray[np.uint8]


def find_features(view: RenderedView, camera: Camera, T_room_camera: Float64Array) -> Features:
    """Up to _POINTS_PER_VIEW corners of a view and where they lie."""
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
    """The model of views called `names` at poses T_room_camera [V, 4, 4]; points are what two views or more show."""
    origin = np.repeat(np.arange(len(features)), [len(f.rgb) for f in features])
    points = np.concatenate([f.points_room for f in features])
    rgb = np.concatenate([f.rgb for f in features])
    seen = np.zeros((len(points), len(names)), dtype=bool)
    pixels = np.zeros((len(points), len(names), 2))
    for view, pose in enumerate(T_room_camera):
        pixels[:, view], depth = project(camera, apply(inverse(pose), points))
        inside = (np.abs(pixels[:, view] / camera.width - 0.5) < 0.5 - _BORDER).all(axis=1) & (depth > 0)
        rows = np.flatnonzero(inside & _alike(points, T_room_camera[origin, :3, 3], pose[:3, 3]))
        eyes = np.broadcast_to(pose[:3, 3], (len(rows), 3))
        seen[rows, view] = is_unoccluded(geometry, eyes, points[rows]) & (rng.random(len(rows)) > _MISSED)
    seen[np.arange(len(points)), origin] = True
    keep = seen.sum(axis=1) >= 2
    seen, pixels, points, rgb, origin = seen[keep], pixels[keep], points[keep], rgb[keep], origin[keep]
    distance = np.linalg.norm(points - T_room_camera[origin, :3, 3], axis=1, keepdims=True)
    measured = points + rng.normal(size=points.shape) * _DEPTH_ERROR * distance
    return _model(
        camera, names, [gauge.pose(pose) for pose in T_room_camera], gauge.points(measured), rgb, seen, pixels
    )


def _alike(points: Float64Array, first_eyes: Float64Array, eye: Float64Array) -> NDArray[np.bool_]:
    """[N] whether an eye sees points [N, 3] much as the eyes [N, 3] did that found them."""
    a, b = points - first_eyes, points - eye
    distance_a, distance_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(axis=1) / np.maximum(distance_a * distance_b, 1e-9)
    ratio = np.maximum(distance_a, distance_b) / np.maximum(np.minimum(distance_a, distance_b), 1e-9)
    return (cosine > np.cos(_MAX_VIEW_CHANGE_RAD)) & (ratio < _MAX_DISTANCE_RATIO)


def _model(
    camera: Camera,
    names: Sequence[str],
    T_world_camera: Sequence[Float64Array],
    positions: Float64Array,
    rgb: NDArray[np.uint8],
    seen: NDArray[np.bool_],
    pixels: Float64Array,
) -> ColmapModel:
    """Ids count from 1, as COLMAP's do."""
    images = {
        1 + v: ColmapImage(name, 1, T_world_camera[v], pixels[seen[:, v], v], 1 + np.flatnonzero(seen[:, v]))
        for v, name in enumerate(names)
    }
    place = np.cumsum(seen, axis=0) - 1  # of a point among the keypoints of a view
    tracks = tuple(1 + np.flatnonzero(row) for row in seen)
    keypoints = tuple(place[i, track - 1] for i, track in enumerate(tracks))
    return ColmapModel(
        {1: camera}, images, ColmapPoints(1 + np.arange(len(positions)), positions, rgb, tracks, keypoints)
    )
