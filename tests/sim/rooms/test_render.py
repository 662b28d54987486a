"""Rendered views against closed forms and against the room's truth."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.geometry import apply, backproject, look_at, pixel_rays, rotation_matrix
from echoseg_ros.types import Float64Array
from echoseg_sim.recordings.room_recording import camera_of
from echoseg_sim.rooms.mesh import Material, quad
from echoseg_sim.rooms.render import RenderedView, render, simulate_sensor
from echoseg_sim.rooms.room import Room
from echoseg_sim.rooms.scene import Scene, make_geometry

CAMERA = camera_of((160, 120))
Views = list[tuple[Float64Array, RenderedView]]


class Floor:
    """A checkered floor alone, evenly lit."""

    def __init__(self) -> None:
        image = np.zeros((8, 8, 3), dtype=np.uint8)
        image[:4, :4] = image[4:, 4:] = 255
        mesh = quad((-5, -5, 0), (10, 0, 0), (0, 10, 0), Material(image, (2.0, 2.0)), 1.0)
        geometry, textures = make_geometry([mesh], [7])
        self.scene = Scene(geometry, textures, np.full((len(mesh.vertices), 3), 0.5, dtype=np.float32))


def test_depth_of_a_plane_and_its_texture() -> None:
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


def test_floor_of_the_room_has_its_depth(room: Room, views: Views) -> None:
    checked = 0
    for T_map_camera, view in views:
        points = apply(T_map_camera, backproject(CAMERA, view.depth_m))
        rays = pixel_rays(CAMERA) @ T_map_camera[:3, :3].T
        inside = (np.abs(points[..., :2]) < room.size_m[:2] / 2 - 0.1).all(axis=-1)  # no skirting, no door frame
        floor = (view.object_ids == 0) & inside & (np.abs(points[..., 2]) < 0.005)
        np.testing.assert_allclose(view.depth_m[floor], (-T_map_camera[2, 3] / rays[..., 2])[floor], atol=1e-3)
        checked += int(floor.sum())
    assert checked > 1000


def test_pixels_of_an_object_lie_in_its_box(room: Room, views: Views) -> None:
    seen = set()
    for T_map_camera, view in views:
        points = apply(T_map_camera, backproject(CAMERA, view.depth_m))
        for number in np.unique(view.object_ids[view.object_ids > 0]):
            item = room.objects[number - 1]
            local = (points[view.object_ids == number] - item.box.center_m) @ rotation_matrix(item.box.quaternion_xyzw)
            assert (np.abs(local) <= item.box.size_m / 2 + 0.002).all(), item.name
            seen.add(item.name)
    assert len(seen) >= 6


def test_room_is_closed_and_looks_lit(views: Views) -> None:
    for _, view in views:
        assert (view.depth_m > 0).all()
        assert 60 < view.rgb.mean() < 215
        assert view.rgb.std() > 15


def test_rendering_repeats_bit_by_bit(room: Room, views: Views) -> None:
    T_map_camera, view = views[0]
    again = render(room, CAMERA, T_map_camera)
    np.testing.assert_array_equal(view.rgb, again.rgb)
    np.testing.assert_array_equal(view.depth_m, again.depth_m)


def test_sensor_noise_grows_with_the_square_of_depth() -> None:
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
