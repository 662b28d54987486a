"""Viewpoints of a simulated data-set scene: one view a second, with the sounding object out of view in a requested share.

In 3DAVS-S34-O7 the object is out of view in two frames of five. Here the camera looks in turn at the sounding object, often
at the border of the image, and at other objects. Several routes and gazes are drawn; the plan that deviates least from the
request is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import look_at
from echoseg_ros.types import Camera, Float64Array
from echoseg_sim.recordings.camera_path import draw_route, positions_along_route, route_graph
from echoseg_sim.recordings.gaze import PathVisibility, path_visibility, pitch_of, rate_limited, unit_directions
from echoseg_sim.recordings.object_visibility import image_share
from echoseg_sim.rooms.floor_clearance import FloorClearance
from echoseg_sim.rooms.object_placement import RoomObject
from echoseg_sim.rooms.room import Room

# Rate of the planned motion, Hz.
RATE_HZ = 5.0
# Slowest and fastest speed of the robot, m/s.
_SPEED_M_PER_S = (0.2, 0.28)
# Routes that are drawn, and gazes that are drawn for each route.
_ROUTES, _GAZES = 5, 4
# The requested share of a gaze is varied by this: turning and occlusion change the share.
_SHARE_VARIATION = (-0.14, 0.04)
# Shortest and longest time for which an object is looked at, s.
_LOOK_S = (1.6, 4.5)
# Lowest and highest pitch of the camera, rad.
_PITCH_RAD = np.deg2rad((-45.0, 10.0))
# Yaw between the optical axis and the sounding object when it is looked at, rad: up to the first value; in a third of the
# looks the second value, which puts the object at the border of the image.
_YAW_OFFSET_RAD = np.deg2rad((24.0, 46.0))
# Largest pitch between the optical axis and the sounding object when it is looked at, rad.
_PITCH_OFFSET_RAD = 0.25
# Least yaw between the sounding object and another object that is looked at without it, rad.
_CLEAR_RAD = np.deg2rad(68.0)
# Distance to which the object is approached, in its sizes, and its bounds, m. It then fills about 1 % of the image.
_APPROACH_SIZES = 4.0
_APPROACH_M = (0.8, 2.4)
# Probability of a look at the sounding object from near and from far, and its change for each second behind the request.
_NEAR_PROBABILITY, _FAR_PROBABILITY = 0.9, 0.25
_PROBABILITY_PER_S = 0.3
# Share of the image below which an object is not visible at a few hundred pixels.
_VISIBLE = 1e-4
# Bounds of a good mean share of the object in the images that show it.
_GOOD_SHARE = (0.008, 0.045)
# Train frames in which another object of the sounding object's kind should be visible.
_SEEN_FRAMES = 4


@dataclass(frozen=True, eq=False)
class ViewpointPlan:
    """Viewpoints of a scene.

    poses: [F, 4, 4] T_room_camera, one a second; deviation: from the request: 0 = none, 1 = large.
    """

    poses: Float64Array
    deviation: float


def plan_viewpoints(
    room: Room, sounding: str, camera: Camera, train: NDArray[np.bool_], empty: float, seed: int
) -> ViewpointPlan | None:
    """The best of several random plans with one frame for each element of train [F]; None if a robot cannot drive.

    sounding: name of the sounding object; empty: requested share of frames without the object, both of all frames and of
    the test frames, which are not in `train`.
    """
    rng = np.random.default_rng([seed, 61])
    floor = FloorClearance(room.size_m, room.obstacles())
    area = floor.drivable_mask()
    if area.sum() < 2:
        return None
    cells, graph = route_graph(floor, area)
    item = room.object(sounding)
    reach_m = float(np.clip(_APPROACH_SIZES * np.sqrt(np.prod(np.sort(item.box.size_m)[1:])), *_APPROACH_M))
    cell_distance_m = np.linalg.norm(cells - item.box.center_m[:2], axis=1)
    favoured = cell_distance_m < max(reach_m, float(cell_distance_m.min()) + 0.3)
    times_s = np.arange(int(len(train) * RATE_HZ) + 1) / RATE_HZ
    frame_steps = np.round((np.arange(len(train)) + 0.5) * RATE_HZ).astype(int)
    best: ViewpointPlan | None = None
    for _ in range(_ROUTES):
        length_m = rng.uniform(*_SPEED_M_PER_S) * len(train)
        route = draw_route(rng, floor, cells, graph, length_m, 40 + 3 * len(train), favoured)
        if route is None:
            continue
        positions = positions_along_route(rng, route, times_s)
        visibility = path_visibility(room, positions, times_s)
        for _ in range(_GAZES):
            wanted_empty = float(np.clip(empty + rng.uniform(*_SHARE_VARIATION), 0.05, 0.95))
            directions = _draw_gaze(rng, room, sounding, visibility, positions, times_s, wanted_empty, 1.4 * reach_m)
            poses = np.stack([look_at(positions[i], positions[i] + directions[i]) for i in frame_steps])
            eye, ahead = poses[0, :3, 3], poses[0, :3, 2]
            poses[0] = look_at(eye, eye + [ahead[0], ahead[1], 0.0])  # level: COLMAP's world frame is then level
            best = _better_plan(best, room, item, camera, poses, train, empty)
    return best


def count_train_frames_with_object(
    room: Room, item: RoomObject, camera: Camera, poses: Float64Array, train: NDArray[np.bool_]
) -> int:
    """Number of train frames in which an object is visible. poses: [F, 4, 4] T_room_camera; train: [F]."""
    entity = 1 + room.objects.index(item)
    return int((image_share(room.geometry, entity, item.box, camera, poses[train]) >= _VISIBLE).sum())


def _better_plan(
    best: ViewpointPlan | None,
    room: Room,
    item: RoomObject,
    camera: Camera,
    poses: Float64Array,
    train: NDArray[np.bool_],
    empty: float,
) -> ViewpointPlan | None:
    """The better one of `best` and the plan with `poses`."""
    shares = image_share(room.geometry, 1 + room.objects.index(item), item.box, camera, poses)
    invisible = shares < _VISIBLE
    if invisible[train].all():
        return best
    deviation = 2 * abs(invisible.mean() - empty) + 3 * abs(invisible[~train].mean() - empty)
    log_share = np.log(shares[~invisible].mean())
    deviation += 0.25 * max(np.log(_GOOD_SHARE[0]) - log_share, log_share - np.log(_GOOD_SHARE[1]), 0.0)
    if best is not None and deviation >= best.deviation:
        return best
    others = [other for other in room.objects if other.kind == item.kind and other is not item]
    wanted = min(_SEEN_FRAMES, max(1, len(train) // 8))
    unseen = [count_train_frames_with_object(room, other, camera, poses, train) < wanted for other in others]
    plan = ViewpointPlan(poses, float(deviation + 0.2 * sum(unseen)))
    return plan if best is None or plan.deviation < best.deviation else best


def _draw_gaze(
    rng: np.random.Generator,
    room: Room,
    sounding: str,
    visibility: PathVisibility,
    positions: Float64Array,
    times_s: Float64Array,
    empty: float,
    near_m: float,
) -> Float64Array:
    """Random viewing directions [P, 3]: looks at the sounding object and at others, by the requested share `empty`.

    near_m: distance up to which a look at the sounding object is likely.
    """
    own = [item.name for item in room.objects].index(sounding)
    centers = np.array([item.box.center_m for item in room.objects])
    looked_s = np.zeros(len(centers))
    yaw, pitch = np.zeros(len(times_s)), np.zeros(len(times_s))
    own_s = past_s = 0.0
    start = 0
    while start < len(times_s):
        step = int(np.searchsorted(visibility.times_s, times_s[start], side="right")) - 1
        visible, look_s = visibility.visible[step], float(rng.uniform(*_LOOK_S))
        end = min(len(times_s), start + max(1, int(look_s * RATE_HZ)))
        behind_s = (1 - empty) * (past_s + look_s / 2) - own_s
        probability = _NEAR_PROBABILITY if visibility.distance_m[step, own] < near_m else _FAR_PROBABILITY
        look_at_own = visible[own] > 0 and rng.random() < np.clip(
            probability + _PROBABILITY_PER_S * behind_s, 0.05, 0.95
        )
        target = own if look_at_own else _other_target(rng, visibility, step, positions[start], centers, looked_s, own)
        toward = centers[target] - positions[start:end]
        yaw[start:end], pitch[start:end] = np.arctan2(toward[:, 1], toward[:, 0]), pitch_of(toward)
        if look_at_own:
            offset_rad = _YAW_OFFSET_RAD[1] if rng.random() < 1 / 3 else rng.uniform(0, _YAW_OFFSET_RAD[0])
            yaw[start:end] += rng.choice([-1, 1]) * offset_rad
            pitch[start:end] += rng.uniform(-_PITCH_OFFSET_RAD, _PITCH_OFFSET_RAD)
        looked_s[target] += look_s
        past_s += look_s
        own_s += look_s if look_at_own else 0.0
        start = end
    yaw, pitch = rate_limited(np.unwrap(yaw), 1 / RATE_HZ), rate_limited(np.clip(pitch, *_PITCH_RAD), 1 / RATE_HZ)
    return unit_directions(yaw, pitch)


def _other_target(
    rng: np.random.Generator,
    visibility: PathVisibility,
    step: int,
    eye: Float64Array,
    centers: Float64Array,
    looked_s: Float64Array,
    own: int,
) -> int:
    """Index of an object to look at without object `own`: far from it in direction, near, visible, little looked at before."""
    bearing = np.arctan2(*(centers - eye).T[1::-1])
    angle = np.abs((bearing - bearing[own] + np.pi) % (2 * np.pi) - np.pi)
    clear = np.where(angle > _CLEAR_RAD, 1.0, 0.02) if visibility.visible[step, own] > 0 else np.ones(len(centers))
    distance_m = visibility.distance_m[step]
    near = np.clip((distance_m - 0.4) / 0.4, 0.05, 1) * np.clip((4.0 - distance_m) / 2, 0.1, 1)
    chance = rng.uniform(0.5, 1, len(centers))
    preference = clear * near * (visibility.visible[step] + 0.05) / (1 + looked_s / 3) * chance
    preference[own] = 0.0
    return int(np.argmax(preference))
