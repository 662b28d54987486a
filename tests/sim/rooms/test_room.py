"""Furnished rooms: enough objects, at rest, apart from each other, and repeatable by seed."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from echoseg_ros.geometry import box_iou, rotation_matrix
from echoseg_ros.types import Float64Array
from echoseg_sim.rooms.layout import Footprint, overlap
from echoseg_sim.rooms.room import Room, make_room

SEEDS = (0, 1)


@cache
def room_of(seed: int, instances: str = "single") -> Room:
    return make_room(seed, instances)


@pytest.mark.parametrize("seed", SEEDS)
def test_enough_objects_of_enough_kinds(seed: int) -> None:
    room = room_of(seed)
    assert len(room.objects) >= 12
    assert len({item.kind for item in room.objects}) >= 7
    assert len({item.name for item in room.objects}) == len(room.objects)
    assert any(item.sound for item in room.objects)
    low, high = np.array([4.0, 3.5, 2.4]), np.array([7.0, 6.0, 2.8])
    assert ((room.size_m >= low) & (room.size_m <= high)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_are_apart(seed: int) -> None:
    room = room_of(seed)
    for a, b in itertools.combinations(room.objects, 2):
        assert not overlap(a.footprint, b.footprint, 0.05), (a.name, b.name)
        assert box_iou(a.box, b.box) == 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_rest_on_something_and_stay_within_it(seed: int) -> None:
    room = room_of(seed)
    for item in room.objects:
        corners = item.footprint.corners()
        bottom = item.footprint.z_m[0]
        if bottom == 0.0:
            assert (np.abs(corners) <= room.size_m[:2] / 2).all(), item.name
            for piece in room.furniture:
                assert not overlap(item.footprint, piece.footprint), (item.name, piece.name)
            continue
        below = [s for piece in room.furniture for s in piece.surfaces if s.z_m[0] == pytest.approx(bottom, abs=1e-9)]
        assert any(_contains(surface, corners) and item.footprint.z_m[1] < surface.z_m[1] for surface in below), (
            item.name
        )


def _contains(surface: Footprint, corners: Float64Array) -> bool:
    c, s = np.cos(surface.yaw_rad), np.sin(surface.yaw_rad)
    local = (corners - surface.center_m) @ np.array([[c, -s], [s, c]])
    return bool((np.abs(local) <= np.array(surface.size_m) / 2 + 1e-6).all())


@pytest.mark.parametrize("seed", SEEDS)
def test_furniture_does_not_interpenetrate(seed: int) -> None:
    pieces = [piece for piece in room_of(seed).furniture if piece.kind != "rug"]
    for a, b in itertools.combinations(pieces, 2):
        assert not overlap(a.footprint, b.footprint), (a.name, b.name)


def test_boxes_are_tight_around_the_meshes() -> None:
    for item in room_of(0).objects:
        local = (item.mesh.vertices - item.box.center_m) @ rotation_matrix(item.box.quaternion_xyzw)
        np.testing.assert_allclose(local.max(axis=0), item.box.size_m / 2, atol=1e-9)
        np.testing.assert_allclose(local.min(axis=0), -item.box.size_m / 2, atol=1e-9)
        assert 0.05 < item.box.size_m.max() < 0.6, item.name


def test_multi_has_several_of_a_sounding_kind() -> None:
    room = room_of(0, "multi")
    kinds = [item.kind for item in room.objects if item.sound]
    assert max(kinds.count(kind) for kind in kinds) >= 3
    assert len(room.objects) >= 12


def test_same_seed_same_room() -> None:
    again = make_room(1)
    room = room_of(1)
    assert [item.name for item in again.objects] == [item.name for item in room.objects]
    for a, b in zip(again.objects, room.objects, strict=True):
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
        assert a.mesh.materials[0].tint == b.mesh.materials[0].tint
        np.testing.assert_array_equal(a.mesh.materials[-1].image, b.mesh.materials[-1].image)


def test_unknown_instances_are_refused() -> None:
    with pytest.raises(ValueError, match="want single or multi"):
        make_room(0, "many")


def test_overlap_of_turned_rectangles() -> None:
    a = Footprint((0, 0), (1, 1), 0.0, (0, 1))
    diagonal = Footprint((1.1, 0), (1, 1), np.pi / 4, (0, 1))  # its corner reaches to 1.1 - 0.707 = 0.393
    assert overlap(a, diagonal)
    assert not overlap(a, Footprint((1.25, 0), (1, 1), np.pi / 4, (0, 1)))
    assert overlap(a, Footprint((1.25, 0), (1, 1), np.pi / 4, (0, 1)), 0.06)
    assert not overlap(a, Footprint((0, 0), (1, 1), 0.0, (1, 2)))
