"""A lit room: pictures with true depth and masks, and a robot's way through it, in one small room that is lit once."""

import json

import numpy as np
import pytest

from echoseg_ros.errors import ConfigError
from echoseg_ros.geometry import apply, backproject, look_at, pixel_rays, rotation_matrix
from echoseg_ros.io.bag import BagReader
from echoseg_ros.types import ImageData, PoseData
from echoseg_sim.recordings import room_recording as room_module
from echoseg_sim.recordings.camera_path import CLEARANCE_M, plan_path
from echoseg_sim.recordings.room_recording import camera_of, simulate_room
from echoseg_sim.rooms.mesh import Material, quad
from echoseg_sim.rooms.render import RenderedView, render, simulate_sensor
from echoseg_sim.rooms.room import make_room
from echoseg_sim.rooms.scene import Scene, make_geometry

CAMERA = camera_of((160, 120))


@pytest.fixture(scope="module")
def room():
    return make_room(4, size_m=(4.4, 4.0, 2.5))


@pytest.fixture(scope="module")
def path(room):
    wanted = next(item.name for item in room.objects if item.sound and 0.3 < item.box.center_m[2] < 1.4)
    return plan_path(room, [wanted], seconds=20.0, seed=1)


@pytest.fixture(scope="module")
def views(room, path):
    return [(path.poses[i], render(room, CAMERA, path.poses[i])) for i in range(0, len(path.poses), 125)]


class Floor:
    """A checkered floor alone, evenly lit."""

    def __init__(self):
        image = np.zeros((8, 8, 3), dtype=np.uint8)
        image[:4, :4] = image[4:, 4:] = 255
        mesh = quad((-5, -5, 0), (10, 0, 0), (0, 10, 0), Material(image, (2.0, 2.0)), 1.0)
        geometry, textures = make_geometry([mesh], [7])
        self.scene = Scene(geometry, textures, np.full((len(mesh.vertices), 3), 0.5, dtype=np.float32))


def test_depth_of_a_plane_and_its_texture():
    eye = np.array([0.3, -0.2, 1.3])
    T_map_camera = look_at(eye, np.array([1.5, 0.4, 0.0]))
    view = render(Floor(), CAMERA, T_map_camera)
    rays = pixel_rays(CAMERA) @ T_map_camera[:3, :3].T
    depth = -eye[2] / rays[..., 2]
    spot = eye + depth[..., None] * rays
    on_floor = (rays[..., 2] < -0.05) & (np.abs(spot[..., :2]) < 4.9).all(axis=-1)
    np.testing.assert_allclose(view.depth_m[on_floor], depth[on_floor], rtol=1e-4)
    assert (view.object_ids[on_floor] == 7).all()
    # Image rows run down, v runs up: the upper left quarter of a tile is where x is in its lower, y in its upper half.
    u, v = (spot[..., 0] + 5) % 2 / 2, (spot[..., 1] + 5) % 2 / 2
    white = (u < 0.5) == (v > 0.5)
    inside = (
        on_floor
        & (np.abs(u - 0.5) > 0.15)
        & (np.abs(u - 0.5) < 0.35)
        & (np.abs(v - 0.5) > 0.15)
        & (np.abs(v - 0.5) < 0.35)
    )
    near = inside & (depth < 2.5)
    assert near.sum() > 500
    assert ((view.rgb[near, 0] > 100) == white[near]).all()


def test_floor_of_the_room_has_its_depth(room, views):
    checked = 0
    for T_map_camera, view in views:
        points = apply(T_map_camera, backproject(CAMERA, view.depth_m))
        rays = pixel_rays(CAMERA) @ T_map_camera[:3, :3].T
        inside = (np.abs(points[..., :2]) < room.size_m[:2] / 2 - 0.1).all(axis=-1)  # no skirting, no door frame
        floor = (view.object_ids == 0) & inside & (np.abs(points[..., 2]) < 0.005)
        np.testing.assert_allclose(view.depth_m[floor], (-T_map_camera[2, 3] / rays[..., 2])[floor], atol=1e-3)
        checked += int(floor.sum())
    assert checked > 1000


def test_pixels_of_an_object_lie_in_its_box(room, views):
    seen = set()
    for T_map_camera, view in views:
        points = apply(T_map_camera, backproject(CAMERA, view.depth_m))
        for number in np.unique(view.object_ids[view.object_ids > 0]):
            item = room.objects[number - 1]
            local = (points[view.object_ids == number] - item.box.center_m) @ rotation_matrix(item.box.quaternion_xyzw)
            assert (np.abs(local) <= item.box.size_m / 2 + 0.002).all(), item.name
            seen.add(item.name)
    assert len(seen) >= 6


def test_room_is_closed_and_looks_lit(views):
    for _, view in views:
        assert (view.depth_m > 0).all()
        assert 60 < view.rgb.mean() < 215
        assert view.rgb.std() > 15


def test_rendering_repeats_bit_by_bit(room, views):
    T_map_camera, view = views[0]
    again = render(room, CAMERA, T_map_camera)
    np.testing.assert_array_equal(view.rgb, again.rgb)
    np.testing.assert_array_equal(view.depth_m, again.depth_m)


def test_sensor_noise_grows_with_the_square_of_depth():
    depth = np.full((200, 200), 4.0, dtype=np.float32)
    depth[:100] = 1.0
    depth[:, 0], depth[:, 1] = 0.1, 7.0
    view = RenderedView(np.full((200, 200, 3), 128, dtype=np.uint8), depth, np.zeros((200, 200), dtype=np.int32))
    rgb, sensed = simulate_sensor(view, np.random.default_rng(0), depth_noise=0.002)
    assert (sensed[:, :2] == 0).all()
    assert sensed[:100, 2:].std() == pytest.approx(0.002, rel=0.05)
    assert sensed[100:, 2:].std() == pytest.approx(0.032, rel=0.05)
    assert rgb.mean() == pytest.approx(128, abs=0.1)
    assert rgb.std() == pytest.approx(2.0, abs=0.1)


def test_path_keeps_clear_of_everything(room, path):
    xy = path.poses[:, :2, 3]
    assert ((room.size_m[:2] / 2 - np.abs(xy)) > CLEARANCE_M - 0.02).all()
    for obstacle in room.obstacles():
        c, s = np.cos(obstacle.yaw_rad), np.sin(obstacle.yaw_rad)
        local = np.abs((xy - obstacle.center_m) @ np.array([[c, -s], [s, c]])) - np.array(obstacle.size_m) / 2
        assert np.linalg.norm(np.maximum(local, 0), axis=1).min() > CLEARANCE_M - 0.03


def test_path_is_slow_smooth_and_level(path):
    step_s = np.diff(path.times_s)
    speed = np.linalg.norm(np.diff(path.poses[:, :3, 3], axis=0), axis=1) / step_s
    assert speed.max() < 0.55
    assert 0.28 < np.median(speed) < 0.5
    turn = np.einsum("nij,nij->n", path.poses[1:, :3, :3], path.poses[:-1, :3, :3])
    assert np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1)) / step_s).max() < 60
    assert ((path.poses[:, 2, 3] >= 1.0) & (path.poses[:, 2, 3] <= 1.4)).all()
    assert (path.poses[:, 2, 1] < -0.7).all()  # image down is map down
    np.testing.assert_allclose(path.poses[:, 2, 0], 0, atol=1e-12)  # no roll


def test_path_shows_the_wanted_object_from_several_places(room, path):
    name, seen_s = next(iter(path.seen_s.items()))
    assert seen_s >= 2.0
    number = 1 + [item.name for item in room.objects].index(name)
    centre = room.object(name).box.center_m
    eyes = [p[:3, 3] for p in path.poses[::50] if (render(room, CAMERA, p).object_ids == number).sum() > 25]
    assert len(eyes) >= 3
    assert min(np.linalg.norm(eyes - centre, axis=1)) < 3.0


def test_bag_of_a_room(room, tmp_path, monkeypatch):
    monkeypatch.setattr(room_module, "make_room", lambda seed, instances: room)
    out = tmp_path / "bag"
    truth = simulate_room(out, seed=3, array="square4", seconds=2.0, size_px=(64, 48), rt60_s=0.2, progress=False)
    written = json.loads((out / "truth.json").read_text())
    source = written["sources"][0]
    assert source["object"] == truth.sources[0].object
    np.testing.assert_allclose(source["position_m"], written["objects"][source["object"]]["center_m"])
    assert set(written["objects"]) == {item.name for item in room.objects}
    np.testing.assert_allclose(written["T_map_world"], np.eye(4))
    np.testing.assert_allclose(written["room"]["size_m"], room.size_m)
    messages = list(BagReader(out).messages())
    images = [m for m in messages if isinstance(m, ImageData)]
    assert len(images) == 20
    assert images[0].rgb.shape == (48, 64, 3)
    assert sum(isinstance(m, PoseData) for m in messages) == 101


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sources": -1}, "sources"),
        ({"seconds": 0.5}, "seconds"),
        ({"instances": "two"}, "instances"),
        ({"size_px": (4, 4)}, "size"),
    ],
)
def test_bad_arguments_are_named(tmp_path, wrong, says):
    with pytest.raises(ConfigError, match=says):
        simulate_room(tmp_path / "bag", **wrong)
