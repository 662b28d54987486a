"""Selection of neighbour views for the plane sweep: parallax, overlap and a similar direction of view.

All criteria are relative to depths and baselines, so the map's unit does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echoseg_ros import geometry
from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.types import Float64Array

# Triangulation angles, rad: the score rises from 0 at the first to 1 at the second, and falls from 1 at the third to 0 at
# the fourth, where the images differ too much.
ANGLES_RAD = (0.015, 0.1, 0.3, 0.7)
# Largest angle between the directions of view, rad.
MAX_TURN_RAD = 0.9
# Least share of the surface points that both images must show.
MIN_OVERLAP = 0.25
# Least distance between two chosen neighbours, as a share of the baseline; the score of a closer one is halved.
MIN_SEPARATION_SHARE = 0.3
# Least baseline of a neighbour while no depth is known, as a share of the median baseline.
MIN_STEP = 0.3


def relative_pose(keyframe: Keyframe, other: Keyframe) -> Float64Array:
    """T_other_keyframe [4, 4]."""
    return geometry.inverse(other.T_map_camera) @ keyframe.T_map_camera


def baseline(keyframe: Keyframe, other: Keyframe) -> float:
    """Distance between the two cameras, map units."""
    return float(np.linalg.norm(other.T_map_camera[:3, 3] - keyframe.T_map_camera[:3, 3]))


def nearby_neighbours(keyframe: Keyframe, others: Sequence[Keyframe], count: int) -> list[Keyframe]:
    """At most `count` views close in time, with a baseline and a similar direction of view, for a rough first depth."""
    similar = [other for other in others if _turn_rad(keyframe, other) < MAX_TURN_RAD and baseline(keyframe, other) > 0]
    if not similar:
        return []
    median_baseline = float(np.median([baseline(keyframe, other) for other in similar]))
    moved = [other for other in similar if baseline(keyframe, other) >= MIN_STEP * median_baseline]
    return sorted(moved, key=lambda other: (abs(other.id - keyframe.id), other.id))[:count]


def best_neighbours(
    keyframe: Keyframe, others: Sequence[Keyframe], points_camera: Float64Array, count: int
) -> list[Keyframe]:
    """At most `count` views that measure the surface best, best first.

    points_camera: [N, 3] points of the surface in the keyframe's camera frame.
    """
    scores = {other.id: neighbour_score(keyframe, other, points_camera) for other in others}
    remaining = [other for other in others if scores[other.id] > 0]
    remaining.sort(key=lambda other: (-scores[other.id], other.id))
    chosen: list[Keyframe] = []
    while remaining and len(chosen) < count:
        best = max(remaining, key=lambda other: scores[other.id] * _novelty(keyframe, other, chosen))
        remaining.remove(best)
        chosen.append(best)
    return chosen


def neighbour_score(keyframe: Keyframe, other: Keyframe, points_camera: Float64Array) -> float:
    """Score in 0..1 of a view: share of the points that both images show, times the score of the triangulation angle."""
    if len(points_camera) == 0 or _turn_rad(keyframe, other) > MAX_TURN_RAD:
        return 0.0
    points_other = geometry.apply(relative_pose(keyframe, other), points_camera)
    pixels, depth = geometry.project(other.camera, points_other)
    inside = (
        (depth > 0) & (pixels >= 0).all(axis=-1) & (pixels < (other.camera.width, other.camera.height)).all(axis=-1)
    )
    overlap = float(inside.mean())
    if overlap < MIN_OVERLAP:
        return 0.0
    rays_keyframe, rays_other = points_camera[inside], points_other[inside]
    # Rays of the other camera, rotated into the keyframe's camera frame.
    rays_other = rays_other @ relative_pose(keyframe, other)[:3, :3]
    lengths = np.linalg.norm(rays_keyframe, axis=-1) * np.linalg.norm(rays_other, axis=-1)
    cosine = (rays_keyframe * rays_other).sum(axis=-1) / lengths
    angle = float(np.median(np.arccos(np.clip(cosine, -1, 1))))
    return overlap * float(np.interp(angle, ANGLES_RAD, (0.0, 1.0, 1.0, 0.0)))


def _novelty(keyframe: Keyframe, other: Keyframe, chosen: Sequence[Keyframe]) -> float:
    """Factor on the score of a view: 0.5 if it is close to a chosen one, else 1."""
    near = any(baseline(other, used) < MIN_SEPARATION_SHARE * baseline(keyframe, other) for used in chosen)
    return 0.5 if near else 1.0


def _turn_rad(keyframe: Keyframe, other: Keyframe) -> float:
    """Angle between the two directions of view."""
    return float(np.arccos(np.clip(keyframe.T_map_camera[:3, 2] @ other.T_map_camera[:3, 2], -1, 1)))
