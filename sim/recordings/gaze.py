"""Where the camera looks on its way: from object to object, no faster than a head turns; and how well it shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float64Array
from echoseg_sim.rooms.room import Room
from echoseg_sim.rooms.scene import cast_rays

GOOD_RANGE_M = (0.8, 3.0)
MAX_TURN_RAD_S = np.deg2rad(50.0)
_MAX_TURN_RAD_S2 = np.deg2rad(120.0)
_SIGHT_STEP_S = 0.5
_LOOK_S = 2.0  # before the gaze moves on
_PITCH_RAD = np.deg2rad((-42.0, 8.0))
# Half the view of the narrowest camera in use, less a margin so that the object is whole in the image.
_HALF_VIEW_RAD = np.deg2rad((24.0, 17.0))


@dataclass(frozen=True)
class PathVisibility:
    """times_s: [S]; visible: [S, N] share of object n that could be seen from the path then; distance_m: [S, N]."""

    times_s: Float64Array
    visible: Float64Array
    distance_m: Float64Array


@dataclass(frozen=True)
class ViewScore:
    """total: the higher, the better; seen_s: time in good view of each wanted object."""

    total: float
    seen_s: dict[str, float]


def path_visibility(room: Room, positions: Float64Array, times_s: Float64Array) -> PathVisibility:
    """What could be seen from positions [P, 3] at times [P], twice a second, by rays to five points of each object."""
    step = max(1, int(round(_SIGHT_STEP_S / (times_s[1] - times_s[0]))))
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
    offsets = (
        np.array([[0, 0, 0], [0.25, 0.25, 0.2], [-0.25, 0.25, -0.2], [0.25, -0.25, -0.2], [-0.25, -0.25, 0.2]]) * size
    )
    return center + offsets @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def viewing_directions(
    sighting: PathVisibility, room: Room, positions: Float64Array, times_s: Float64Array, wanted: Sequence[str]
) -> Float64Array:
    """Viewing directions [P, 3] with bounded turning speed."""
    centers = np.array([item.box.center_m for item in room.objects])
    chosen = _targets(sighting, centers, positions, times_s, np.array([item.name in wanted for item in room.objects]))
    index = chosen[np.minimum(np.searchsorted(sighting.times_s, times_s, side="right") - 1, len(chosen) - 1)]
    toward = centers[index] - positions
    yaw = np.unwrap(np.arctan2(toward[:, 1], toward[:, 0]))
    pitch = np.clip(np.arctan2(toward[:, 2], np.hypot(toward[:, 0], toward[:, 1])), *_PITCH_RAD)
    step_s = float(times_s[1] - times_s[0])
    yaw, pitch = rate_limited(yaw, step_s), rate_limited(pitch, step_s)
    return np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=1)


def _targets(
    sighting: PathVisibility,
    centers: Float64Array,
    positions: Float64Array,
    times_s: Float64Array,
    wanted: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """[S] the object to look at: visible, near, little looked at so far, and not far to turn."""
    looked = np.zeros(len(centers))
    chosen: list[int] = []
    hold = max(1, int(round(_LOOK_S / _SIGHT_STEP_S)))
    eyes = positions[np.searchsorted(times_s, sighting.times_s)]
    for step in range(len(sighting.times_s)):
        if step % hold and sighting.visible[step, chosen[-1]] > 0.3:
            chosen.append(chosen[-1])
        else:
            chosen.append(_next_target(sighting, step, eyes[step], centers, looked, wanted, chosen))
        looked[chosen[-1]] += _SIGHT_STEP_S
    return np.array(chosen)


def _next_target(
    sighting: PathVisibility,
    step: int,
    eye: Float64Array,
    centers: Float64Array,
    looked: Float64Array,
    wanted: NDArray[np.bool_],
    chosen: list[int],
) -> int:
    distance = sighting.distance_m[step]
    near = np.clip((distance - 0.5) / 0.4, 0.05, 1) * np.clip((3.8 - distance) / 1.2, 0.05, 1)
    need = np.where(wanted, 1.6 / (1 + looked / 2.0), 1.0 / (1 + looked / 1.5))
    worth = (sighting.visible[step] + 0.02) * near * need
    if chosen:
        bearing = np.arctan2(*(centers - eye).T[1::-1])
        turn = np.abs((bearing - bearing[chosen[-1]] + np.pi) % (2 * np.pi) - np.pi)
        worth = worth * (1.2 - turn / np.pi)
    return int(np.argmax(worth))


def rate_limited(wish: Float64Array, step_s: float) -> Float64Array:
    """A wish [P] followed with bounded speed and acceleration, always able to stop in time."""
    limit = float(MAX_TURN_RAD_S / np.sqrt(2))  # yaw and pitch may move together
    brake, most = float(_MAX_TURN_RAD_S2), float(_MAX_TURN_RAD_S2 * step_s)
    at, speed = float(wish[0]), 0.0
    out = [at]
    for want in wish[1:].tolist():
        error = want - at
        fastest = math.copysign(min(limit, math.sqrt(brake * abs(error)), 2.5 * abs(error)), error)
        speed = min(max(speed + min(max(fastest - speed, -most), most), -limit), limit)
        at += speed * step_s
        out.append(at)
    return np.array(out)


def score_path(
    sighting: PathVisibility,
    room: Room,
    positions: Float64Array,
    directions: Float64Array,
    times_s: Float64Array,
    wanted: Sequence[str],
) -> ViewScore:
    """How well the wanted objects, and then all others, are shown: time in good view and spread of sides."""
    at = np.searchsorted(times_s, sighting.times_s)
    good = _in_view(sighting, room, positions[at], directions[at])
    total, seen_s = 0.0, {}
    for number, item in enumerate(room.objects):
        shown_s = float(good[:, number].sum() * _SIGHT_STEP_S)
        bearing = np.unique(
            np.round(np.arctan2(*(positions[at][good[:, number]] - item.box.center_m).T[1::-1]) / np.deg2rad(15))
        )
        if item.name in wanted:
            seen_s[item.name] = shown_s
            total += 10 * min(shown_s, 6.0) / 6 + 10 * min(len(bearing), 8) / 8 - (20 if shown_s < 2 else 0)
        else:
            total += 1.5 * min(shown_s, 2.0) / 2 + 0.3 * min(len(bearing), 4)
    return ViewScore(total, seen_s)


def _in_view(sighting: PathVisibility, room: Room, eyes: Float64Array, directions: Float64Array) -> NDArray[np.bool_]:
    """[S, N] whether object n is well within the image, near, and not hidden."""
    toward = np.array([item.box.center_m for item in room.objects]) - eyes[:, None]
    yaw = np.arctan2(toward[..., 1], toward[..., 0]) - np.arctan2(directions[:, 1], directions[:, 0])[:, None]
    pitch = np.arcsin(toward[..., 2] / np.linalg.norm(toward, axis=-1)) - np.arcsin(directions[:, 2])[:, None]
    inside = (np.abs((yaw + np.pi) % (2 * np.pi) - np.pi) < _HALF_VIEW_RAD[0]) & (np.abs(pitch) < _HALF_VIEW_RAD[1])
    near = (sighting.distance_m > GOOD_RANGE_M[0]) & (sighting.distance_m < GOOD_RANGE_M[1])
    return inside & near & (sighting.visible > 0.5)
