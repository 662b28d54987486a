"""Fixtures of the simulator's tests: one small room that is lit once, a path through it and views along the path."""

from __future__ import annotations

import pytest

from echoseg_ros.types import Float64Array
from echoseg_sim.recordings.camera_path import CameraPath, plan_path
from echoseg_sim.recordings.room_recording import camera_of
from echoseg_sim.rooms.render import RenderedView, render
from echoseg_sim.rooms.room import Room, make_room


@pytest.fixture(scope="session")
def room() -> Room:
    return make_room(4, size_m=(4.4, 4.0, 2.5))


@pytest.fixture(scope="session")
def path(room: Room) -> CameraPath:
    wanted = next(item.name for item in room.objects if item.sound and 0.3 < item.box.center_m[2] < 1.4)
    path = plan_path(room, [wanted], seconds=20.0, seed=1)
    assert path is not None
    return path


@pytest.fixture(scope="session")
def views(room: Room, path: CameraPath) -> list[tuple[Float64Array, RenderedView]]:
    """(T_map_camera, view) every 2.5 s of the path, of 160 x 120 px."""
    return [(path.poses[i], render(room, camera_of((160, 120)), path.poses[i])) for i in range(0, len(path.poses), 125)]
