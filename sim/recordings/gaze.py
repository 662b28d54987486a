"""Viewing directions of the camera along a path, with bounded turning speed, and a score of how well objects are in view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float64Array
from echoseg_sim.rooms.room import Room
from echoseg_sim.rooms.scene import cast_rays

# Distances at which an object is in good view, m.
GOOD_RANGE_M = (0.8, 3.0)
# Largest turning speed of the camera, rad/s.
MAX_TURN_RAD_S = np.deg2rad(50.0)
# Largest angular acceleration of the camera, rad/s^2.
_MAX_TURN_RAD_S2 = np.deg2rad(120.0)
# Largest turning speed over the remaining angle, 1/s: the camera slows down near its target.
_APPROACH_PER_S = 2.5
# Time step of the visibility along a path, s.
_VISIBILITY_STEP_S = 0.5
# Time for which a target is looked at, s, as long as more than this share of it is visible.
_LOOK_S = 2.0
_KEEP_VISIBLE = 0.3
# Lowest and highest pitch of the camera, rad.
_PITCH_RAD = np.deg2rad((-42.0, 8.0))
# Half the field of view of the narrowest camera in use, less a margin for the extent of an object: yaw and pitch, rad.
_HALF_VIEW_RAD = np.deg2rad((24.0, 17.0))
# Least visible share of an object in good view.
_GOOD_VISIBLE = 0.5
# Points of an object that rays are cast to, in parts of its size from its centre.
_SAMPLE_OFFSETS = np.array(
    [[0, 0, 0], [0.25, 0.25, 0.2], [-0.25, 0.25, -0.2], [0.25, -0.25, -0.2], [-0.25, -0.25, 0.2]]
)
# Directions from an object are counted as different if they differ by this, rad.
_SIDE_RAD = np.deg2rad(15)


@dataclass(frozen=True)
class PathVisibility:
    """Visibility of N objects along a path, for a camera that looks at them.

    times_s: [S]; visible: [S, N] visible share of each object; distance_m: [S, N].
    """

    times_s: Float64Array
    visible: Float64Array
    distance_m: Float64Array


@dataclass(frozen=True)
class ViewScore:
    """Score of a path. total: higher is better; seen_s: time of each wanted object in good view."""

    total: float
    seen_s: dict[str, float]


def path_visibility(room: Room, positions: Float64Array, times_s: Float64Array) -> PathVisibility:
    """Visibility of the room's objects from positions [P, 3] at times [P], by rays to five points of each object."""
    step = max(1, int(round(_VISIBILITY_STEP_S / (times_s[1] - times_s[0]))))
    eyes = positions[::step]
    points = np.stack(
        [_sample_points(item.box.center_m, item.box.size_m, item.footprint.yaw_rad) for item in room.objects]
    )
    rays = points[None] - eyes[:, None, None]  # [S, N, 5, 3]
    origins = np.broadcast_to(eyes[:, None, None], rays.shape)
    hits = cast_rays(room.geometry, origins.reshape(-1, 3), rays.reshape(-1, 3))
    entity = np.where(hits.triangle >= 0, room.geometry.entity[hits.triangle], 0).reshape(rays.shape[:3])
    own = np.arange(1, len(room.objects) + 1)[None, :, None]
    distance = np.linalg.norm(np.array([item.box.center_m for item in room.objects]) - eyes[:, None], axis=-1)
    return PathVisibility(times_s[::step], (entity == own).mean(axis=2), distance)


def _sample_points(center: Float64Array, size: Float64Array, yaw: float) -> Float64Array:
    c, s = np.cos(yaw), np.sin(yaw)
    points: Float64Array = center + _SAMPLE_OFFSETS * size @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    return points


def viewing_directions(
    visibility: PathVisibility, room: Room, positions: Float64Array, times_s: Float64Array, wanted: Sequence[str]
) -> Float64Array:
    """Viewing directions [P, 3] at positions [P, 3] and times [P]; objects named in `wanted` are looked at more often."""
    centers = np.array([item.box.center_m for item in room.objects])
    is_wanted = np.array([item.name in wanted for item in room.objects])
    targets = _choose_targets(visibility, centers, positions, times_s, is_wanted)
    index = targets[np.minimum(np.searchsorted(visibility.times_s, times_s, side="right") - 1, len(targets) - 1)]
    toward = centers[index] - positions
    yaw = np.unwrap(np.arctan2(toward[:, 1], toward[:, 0]))
    pitch = np.clip(pitch_of(toward), *_PITCH_RAD)
    step_s = float(times_s[1] - times_s[0])
    return unit_directions(rate_limited(yaw, step_s), rate_limited(pitch, step_s))


def pitch_of(vectors: Float64Array) -> Float64Array:
    """Angles [P] of vectors [P, 3] above the horizontal plane, rad."""
    pitch: Float64Array = np.arctan2(vectors[:, 2], np.hypot(vectors[:, 0], vectors[:, 1]))
    return pitch


def unit_directions(yaw: Float64Array, pitch: Float64Array) -> Float64Array:
    """Unit vectors [P, 3] of yaw and pitch [P]."""
    return np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=1)


def _choose_targets(
    visibility: PathVisibility,
    centers: Float64Array,
    positions: Float64Array,
    times_s: Float64Array,
    wanted: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Index [S] of the object to look at: visible, near, little looked at before, and close to the last one in direction."""
    looked_s = np.zeros(len(centers))
    chosen: list[int] = []
    hold = max(1, int(round(_LOOK_S / _VISIBILITY_STEP_S)))
    eyes = positions[np.searchsorted(times_s, visibility.times_s)]
    for step in range(len(visibility.times_s)):
        if step % hold and visibility.visible[step, chosen[-1]] > _KEEP_VISIBLE:
            chosen.append(chosen[-1])
        else:
            chosen.append(_next_target(visibility, step, eyes[step], centers, looked_s, wanted, chosen))
        looked_s[chosen[-1]] += _VISIBILITY_STEP_S
    return np.array(chosen)


def _next_target(
    visibility: PathVisibility,
    step: int,
    eye: Float64Array,
    centers: Float64Array,
    looked_s: Float64Array,
    wanted: NDArray[np.bool_],
    chosen: list[int],
) -> int:
    distance = visibility.distance_m[step]
    near = np.clip((distance - 0.5) / 0.4, 0.05, 1) * np.clip((3.8 - distance) / 1.2, 0.05, 1)
    need = np.where(wanted, 1.6 / (1 + looked_s / 2.0), 1.0 / (1 + looked_s / 1.5))
    preference = (visibility.visible[step] + 0.02) * near * need
    if chosen:
        bearing = np.arctan2(*(centers - eye).T[1::-1])
        turn = np.abs((bearing - bearing[chosen[-1]] + np.pi) % (2 * np.pi) - np.pi)
        preference = preference * (1.2 - turn / np.pi)
    return int(np.argmax(preference))


def rate_limited(angles: Float64Array, step_s: float) -> Float64Array:
    """Angles [P] that follow desired angles [P] with bounded speed and acceleration, without overshoot."""
    limit = float(MAX_TURN_RAD_S / np.sqrt(2))  # yaw and pitch may move together
    deceleration, max_change = float(_MAX_TURN_RAD_S2), float(_MAX_TURN_RAD_S2 * step_s)
    angle, speed = float(angles[0]), 0.0
    out = [angle]
    for desired in angles[1:].tolist():
        error = desired - angle
        fastest = min(limit, math.sqrt(deceleration * abs(error)), _APPROACH_PER_S * abs(error))
        fastest = math.copysign(fastest, error)
        speed = min(max(speed + min(max(fastest - speed, -max_change), max_change), -limit), limit)
        angle += speed * step_s
        out.append(angle)
    return np.array(out)


def score_path(
    visibility: PathVisibility,
    room: Room,
    positions: Float64Array,
    directions: Float64Array,
    times_s: Float64Array,
    wanted: Sequence[str],
) -> ViewScore:
    """Score of positions and viewing directions [P, 3] at times [P].

    Each object adds to the score with its time in good view and with the number of sides it is seen from; objects named in
    `wanted` add most, and less than 2 s in good view costs the score.
    """
    at = np.searchsorted(times_s, visibility.times_s)
    good = _in_good_view(visibility, room, positions[at], directions[at])
    total, seen_s = 0.0, {}
    for number, item in enumerate(room.objects):
        good_view_s = float(good[:, number].sum() * _VISIBILITY_STEP_S)
        bearings = np.arctan2(*(positions[at][good[:, number]] - item.box.center_m).T[1::-1])
        sides = np.unique(np.round(bearings / _SIDE_RAD))
        if item.name in wanted:
            seen_s[item.name] = good_view_s
            total += 10 * min(good_view_s, 6.0) / 6 + 10 * min(len(sides), 8) / 8 - (20 if good_view_s < 2 else 0)
        else:
            total += 1.5 * min(good_view_s, 2.0) / 2 + 0.3 * min(len(sides), 4)
    return ViewScore(total, seen_s)


def _in_good_view(
    visibility: PathVisibility, room: Room, eyes: Float64Array, directions: Float64Array
) -> NDArray[np.bool_]:
    """Whether each object is well within the image, near and visible, [S, N]; eyes, directions: [S, 3]."""
    toward = np.array([item.box.center_m for item in room.objects]) - eyes[:, None]
    yaw = np.arctan2(toward[..., 1], toward[..., 0]) - np.arctan2(directions[:, 1], directions[:, 0])[:, None]
    pitch = np.arcsin(toward[..., 2] / np.linalg.norm(toward, axis=-1)) - np.arcsin(directions[:, 2])[:, None]
    inside = (np.abs((yaw + np.pi) % (2 * np.pi) - np.pi) < _HALF_VIEW_RAD[0]) & (np.abs(pitch) < _HALF_VIEW_RAD[1])
    near = (visibility.distance_m > GOOD_RANGE_M[0]) & (visibility.distance_m < GOOD_RANGE_M[1])
    in_good_view: NDArray[np.bool_] = inside & near & (visibility.visible > _GOOD_VISIBLE)
    return in_good_view
