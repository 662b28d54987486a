"""Which keyframes show a view's surfaces from somewhere else: parallax, overlap, and a similar direction of view.

Everything is relative to depths and baselines: nothing here knows how long a metre is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echoseg_ros import geometry
from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.types import Float64Array

# Triangulation angles: useless below the first, best between the second and the third, unlike images from the fourth on.
ANGLES_RAD = (0.015, 0.1, 0.3, 0.7)
# Views turned further than this show too little of the same.
MAX_TURN_RAD = 0.9
# At least this share of the surfaces must be in both images.
MIN_OVERLAP = 0.25
# Two sources nearer to each other than this share of their distance to the view add little: the second counts half.
APART = 0.3
# Without any depth yet, views nearer than this share of the usual distance say nothing about it.
MIN_STEP = 0.3


def relative_pose(keyframe: Keyframe, other: Keyframe) -> Float64Array:
    """T_other_keyframe [4, 4]."""
    return geometry.inverse(other.T_map_camera) @ keyframe.T_map_camera


def baseline(keyframe: Keyframe, other: Keyframe) -> float:
    """Distance between the two cameras, map units."""
    return float(np.linalg.norm(other.T_map_camera[:3, 3] - keyframe.T_map_camera[:3, 3]))


def nearby_sources(keyframe: Keyframe, others: Sequence[Keyframe], count: int) -> list[Keyframe]:
    """Views close in time that look the same way from another place: for a first, rough depth."""
    similar = [other for other in others if _turn_rad(keyframe, other) < MAX_TURN_RAD and baseline(keyframe, other) > 0]
    if not similar:
        return []
    usual = float(np.median([baseline(keyframe, other) for other in similar]))
    moved = [other for other in similar if baseline(keyframe, other) >= MIN_STEP * usual]
    return sorted(moved, key=lambda other: (abs(other.id - keyframe.id), other.id))[:count]


def best_sources(
    keyframe: Keyframe, others: Sequence[Keyframe], points_camera: Float64Array, count: int
) -> list[Keyframe]:
    """The views that measure the surfaces through points [N, 3] (the keyframe's camera frame) best, best first."""
    scores = {other.id: view_score(keyframe, other, points_camera) for other in others}
    left = sorted((other for other in others if scores[other.id] > 0), key=lambda other: (-scores[other.id], other.id))
    chosen: list[Keyframe] = []
    while left and len(chosen) < count:
        best = max(left, key=lambda other: scores[other.id] * _novelty(keyframe, other, chosen))
        left.remove(best)
        chosen.append(best)
    return chosen


def view_score(keyframe: Keyframe, other: Keyframe, points_camera: Float64Array) -> float:
    """0..1: share of the points that both see, times how good their median triangulation angle is."""
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
    here, there = points_camera[inside], points_other[inside]
    # Two sides and the angle between them: the rays from both cameras, in each camera's own frame.
    there = there @ relative_pose(keyframe, other)[:3, :3]
    cosine = (here * there).sum(axis=-1) / (np.linalg.norm(here, axis=-1) * np.linalg.norm(there, axis=-1))
    angle = float(np.median(np.arccos(np.clip(cosine, -1, 1))))
    return overlap * float(np.interp(angle, ANGLES_RAD, (0.0, 1.0, 1.0, 0.0)))


def _novelty(keyframe: Keyframe, other: Keyframe, chosen: Sequence[Keyframe]) -> float:
    near = any(baseline(other, used) < APART * baseline(keyframe, other) for used in chosen)
    return 0.5 if near else 1.0


def _turn_rad(keyframe: Keyframe, other: Keyframe) -> float:
    """Angle between the two directions of view."""
    return float(np.arccos(np.clip(keyframe.T_map_camera[:3, 2] @ other.T_map_camera[:3, 2], -1, 1)))
