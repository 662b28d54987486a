"""Camera paths: clear of obstacles, smooth, and with the wanted object in view."""

from __future__ import annotations

import numpy as np

from echoseg_sim.recordings.camera_path import CameraPath
from echoseg_sim.recordings.room_recording import camera_of
from echoseg_sim.rooms.floor_clearance import CLEARANCE_M
from echoseg_sim.rooms.render import render
from echoseg_sim.rooms.room import Room

CAMERA = camera_of((160, 120))


def test_path_keeps_clear_of_everything(room: Room, path: CameraPath) -> None:
    xy = path.poses[:, :2, 3]
    assert ((room.size_m[:2] / 2 - np.abs(xy)) > CLEARANCE_M - 0.02).all()
    for obstacle in room.obstacles():
        c, s = np.cos(obstacle.yaw_rad), np.sin(obstacle.yaw_rad)
        local = np.abs((xy - obstacle.center_m) @ np.array([[c, -s], [s, c]])) - np.array(obstacle.size_m) / 2
        assert np.linalg.norm(np.maximum(local, 0), axis=1).min() > CLEARANCE_M - 0.03


def test_path_is_slow_smooth_and_level(path: CameraPath) -> None:
    step_s = np.diff(path.times_s)
    speed = np.linalg.norm(np.diff(path.poses[:, :3, 3], axis=0), axis=1) / step_s
    assert speed.max() < 0.55
    assert 0.28 < np.median(speed) < 0.5
    turn = np.einsum("nij,nij->n", path.poses[1:, :3, :3], path.poses[:-1, :3, :3])
    assert np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1)) / step_s).max() < 60
    assert ((path.poses[:, 2, 3] >= 1.0) & (path.poses[:, 2, 3] <= 1.4)).all()
    assert (path.poses[:, 2, 1] < -0.7).all()  # image down is map down
    np.testing.assert_allclose(path.poses[:, 2, 0], 0, atol=1e-12)  # no roll


def test_path_shows_the_wanted_object_from_several_places(room: Room, path: CameraPath) -> None:
    name, seen_s = next(iter(path.seen_s.items()))
    assert seen_s >= 2.0
    number = 1 + [item.name for item in room.objects].index(name)
    centre = room.object(name).box.center_m
    eyes = [p[:3, 3] for p in path.poses[::50] if (render(room, CAMERA, p).object_ids == number).sum() > 25]
    assert len(eyes) >= 3
    assert min(np.linalg.norm(eyes - centre, axis=1)) < 3.0
