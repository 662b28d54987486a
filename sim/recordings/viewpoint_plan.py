"""A visit to a room, a picture a second: where the robot stands and looks, the sounding object in view for a share of it.

In the data set the object is out of view in two frames of five. Here the robot looks now at the object (often so that the
picture's edge cuts it), now at other things, so that the wished share comes out; of some tours the one nearest to it is
taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import look_at
from echoseg_ros.types import Camera, Float64Array
from echoseg_sim.recordings.camera_path import draw_route, positions_along_route, route_graph
from echoseg_sim.recordings.gaze import PathVisibility, path_visibility, rate_limited
from echoseg_sim.recordings.object_visibility import picture_share
from echoseg_sim.rooms.floor_clearance import FloorClearance
from echoseg_sim.rooms.room import Room, RoomObject

RATE_HZ = 5.0  # of the planned motion
_SPEED_M_PER_S = (0.2, 0.28)
_TOURS, _GAZES = 5, 4
_LEAN = (-0.14, 0.04)  # what is wished of a gaze differs by this: turning away takes its time, things stand in the way
_LOOK_S = (1.6, 4.5)
_PITCH_RAD = np.deg2rad((-45.0, 10.0))
# Looked at, the object is within the first of these of the picture's middle, every third time at the second: near its edge.
_ASIDE_RAD = np.deg2rad((24.0, 46.0))
_CLEAR_RAD = np.deg2rad(68.0)  # a thing this far from the object is looked at without it
# As near as a thing is gone to, by its size: it should fill about a hundredth of the picture.
_NEARNESS = 4.0
_NEAR_M = (0.8, 2.4)
_NEAR_LEAN, _FAR_LEAN = 0.9, 0.25  # how gladly the object is looked at from near and from far
_VISIBLE = 1e-4  # share of the picture below which nothing is seen at a few hundred pixels
_GOOD_FILL = (0.008, 0.045)
_SEEN_FRAMES = 4


@dataclass(frozen=True, eq=False)
class ViewpointPlan:
    """poses: [F, 4, 4] T_room_camera, one a second; fill: [F] share of the picture the sounding object fills.

    off: how far the visit is from what was wished: 0 = not at all, 1 = not to be used.
    """

    poses: Float64Array
    share_in_picture: Float64Array
    off: float

    @property
    def empty(self) -> NDArray[np.bool_]:
        """[F] whether the object is not in view."""
        return self.share_in_picture < _VISIBLE


def plan_viewpoints(
    room: Room, sounding: str, camera: Camera, train: NDArray[np.bool_], empty: float, seed: int
) -> ViewpointPlan | None:
    """The best of some visits, a frame for each of train [F]; None if the room leaves no way to drive.

    empty: wished share of frames without the object, of all frames and of those not in `train`.
    """
    rng = np.random.default_rng([seed, 61])
    space = FloorClearance(room.size_m, room.obstacles())
    area = space.drivable_mask()
    if area.sum() < 2:
        return None
    cells, graph = route_graph(space, area)
    item = room.object(sounding)
    reach_m = float(np.clip(_NEARNESS * np.sqrt(np.prod(np.sort(item.box.size_m)[1:])), *_NEAR_M))
    favoured = np.linalg.norm(cells - item.box.center_m[:2], axis=1) < max(reach_m, _nearest(cells, item) + 0.3)
    times_s = np.arange(int(len(train) * RATE_HZ) + 1) / RATE_HZ
    at = np.round((np.arange(len(train)) + 0.5) * RATE_HZ).astype(int)
    best: ViewpointPlan | None = None
    for _ in range(_TOURS):
        length_m = rng.uniform(*_SPEED_M_PER_S) * len(train)
        line = draw_route(rng, space, cells, graph, length_m, 40 + 3 * len(train), favoured)
        if line is None:
            continue
        positions = positions_along_route(rng, line, times_s)
        sighting = path_visibility(room, positions, times_s)
        for _ in range(_GAZES):
            wish = float(np.clip(empty + rng.uniform(*_LEAN), 0.05, 0.95))
            directions = _gaze(rng, room, sounding, sighting, positions, times_s, wish, 1.4 * reach_m)
            poses = np.stack([look_at(positions[i], positions[i] + directions[i]) for i in at])
            eye, ahead = poses[0, :3, 3], poses[0, :3, 2]
            poses[0] = look_at(eye, eye + [ahead[0], ahead[1], 0.0])  # level, and with it COLMAP's world
            best = _better(best, room, item, camera, poses, train, empty)
    return best


def count_train_frames_with_object(
    room: Room, item: RoomObject, camera: Camera, poses: Float64Array, train: NDArray[np.bool_]
) -> int:
    """In how many train frames an object is in view."""
    entity = 1 + room.objects.index(item)
    return int((picture_share(room.geometry, entity, item.box, camera, poses[train]) >= _VISIBLE).sum())


def _nearest(cells: Float64Array, item: RoomObject) -> float:
    return float(np.linalg.norm(cells - item.box.center_m[:2], axis=1).min())


def _better(
    best: ViewpointPlan | None,
    room: Room,
    item: RoomObject,
    camera: Camera,
    poses: Float64Array,
    train: NDArray[np.bool_],
    empty: float,
) -> ViewpointPlan | None:
    """The better one of a visit and another along `poses`."""
    share_in_picture = picture_share(room.geometry, 1 + room.objects.index(item), item.box, camera, poses)
    out = share_in_picture < _VISIBLE
    if out[train].all():
        return best
    off = 2 * abs(out.mean() - empty) + 3 * abs(out[~train].mean() - empty)
    log_fill = np.log(share_in_picture[~out].mean())
    off += 0.25 * max(np.log(_GOOD_FILL[0]) - log_fill, log_fill - np.log(_GOOD_FILL[1]), 0.0)
    if best is not None and off >= best.off:
        return best
    rivals = [other for other in room.objects if other.kind == item.kind and other is not item]
    wanted = min(_SEEN_FRAMES, max(1, len(train) // 8))
    unseen = [count_train_frames_with_object(room, rival, camera, poses, train) < wanted for rival in rivals]
    visit = ViewpointPlan(poses, share_in_picture, float(off + 0.2 * sum(unseen)))
    return visit if best is None or visit.off < best.off else best


def _gaze(rng: np.random.Generator, room: Room, sounding: str, sighting: PathVisibility, positions: Float64Array, times_s: Float64Array,
          empty: float, near_m: float) -> Float64Array:  # fmt: skip
    """Viewing directions [P, 3]: looks at the object and at other things, in turn as the wished share asks."""
    own = [item.name for item in room.objects].index(sounding)
    centers = np.array([item.box.center_m for item in room.objects])
    looked_s = np.zeros(len(centers))
    yaw, pitch = np.zeros(len(times_s)), np.zeros(len(times_s))
    seen_s = past_s = 0.0
    start = 0
    while start < len(times_s):
        step = int(np.searchsorted(sighting.times_s, times_s[start], side="right")) - 1
        visible, look_s = sighting.visible[step], float(rng.uniform(*_LOOK_S))
        end = min(len(times_s), start + max(1, int(look_s * RATE_HZ)))
        behind_s = (1 - empty) * (past_s + look_s / 2) - seen_s
        lean = _NEAR_LEAN if sighting.distance_m[step, own] < near_m else _FAR_LEAN
        show = visible[own] > 0 and rng.random() < np.clip(lean + 0.3 * behind_s, 0.05, 0.95)
        target = own if show else _other(rng, sighting, step, positions[start], centers, looked_s, own)
        toward = centers[target] - positions[start:end]
        yaw[start:end], pitch[start:end] = np.arctan2(toward[:, 1], toward[:, 0]), _pitch(toward)
        if show:
            aside = _ASIDE_RAD[1] if rng.random() < 1 / 3 else rng.uniform(0, _ASIDE_RAD[0])
            yaw[start:end] += rng.choice([-1, 1]) * aside
            pitch[start:end] += rng.uniform(-0.25, 0.25)
        looked_s[target] += look_s
        past_s += look_s
        seen_s += look_s if show else 0.0
        start = end
    yaw, pitch = rate_limited(np.unwrap(yaw), 1 / RATE_HZ), rate_limited(np.clip(pitch, *_PITCH_RAD), 1 / RATE_HZ)
    return np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=1)


def _pitch(toward: Float64Array) -> Float64Array:
    return np.arctan2(toward[:, 2], np.hypot(toward[:, 0], toward[:, 1]))


def _other(
    rng: np.random.Generator,
    sighting: PathVisibility,
    step: int,
    eye: Float64Array,
    centers: Float64Array,
    looked_s: Float64Array,
    own: int,
) -> int:
    """A thing to look at without the object: far from it in direction, near, in sight, and little looked at so far."""
    bearing = np.arctan2(*(centers - eye).T[1::-1])
    apart = np.abs((bearing - bearing[own] + np.pi) % (2 * np.pi) - np.pi)
    clear = np.where(apart > _CLEAR_RAD, 1.0, 0.02) if sighting.visible[step, own] > 0 else np.ones(len(centers))
    near = np.clip((sighting.distance_m[step] - 0.4) / 0.4, 0.05, 1) * np.clip(
        (4.0 - sighting.distance_m[step]) / 2, 0.1, 1
    )
    worth = clear * near * (sighting.visible[step] + 0.05) / (1 + looked_s / 3) * rng.uniform(0.5, 1, len(centers))
    worth[own] = 0.0
    return int(np.argmax(worth))
