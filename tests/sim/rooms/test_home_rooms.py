"""Rooms of a home: required furniture, enough objects at rest and apart, and the requested number of sounding ones."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from echoseg_sim.rooms.floor_clearance import FloorClearance
from echoseg_sim.rooms.home_rooms import ROOM_TYPES, HomeRoom
from echoseg_sim.rooms.layout import overlap
from echoseg_sim.rooms.room import Room, make_room

HOMES = (
    HomeRoom("bathroom", "washing_machine", 3),
    HomeRoom("kitchen", "microwave", 2, pair=True),
    HomeRoom("living_room", "phone"),
)


@cache
def room_of(home: HomeRoom, seed: int = 4) -> Room:
    return make_room(seed, home=home)


@pytest.mark.parametrize("home", HOMES, ids=lambda home: home.use)
def test_has_the_required_furniture_and_objects(home: HomeRoom) -> None:
    room, room_type = room_of(home), ROOM_TYPES[home.use]
    assert {piece.kind for piece in room.furniture} >= room_type.required_furniture
    assert sum(item.kind == home.kind for item in room.objects) == home.count
    assert len(room.objects) >= room_type.min_objects
    assert len({item.name for item in room.objects}) == len(room.objects)
    assert (room.size_m >= room_type.low_m).all() and (room.size_m <= room_type.high_m).all()
    assert FloorClearance(room.size_m, room.obstacles()).drivable_area_m2() >= 2.0


@pytest.mark.parametrize("home", HOMES, ids=lambda home: home.use)
def test_objects_are_apart_and_at_rest(home: HomeRoom) -> None:
    room = room_of(home)
    pieces = [piece for piece in room.furniture if piece.kind != "rug"]
    for a, b in itertools.combinations(room.objects, 2):
        assert not overlap(a.footprint, b.footprint, 0.05), (a.name, b.name)
    for first, second in itertools.combinations(pieces, 2):
        assert not overlap(first.footprint, second.footprint), (first.name, second.name)
    heights = {0.0, *(surface.z_m[0] for piece in pieces for surface in piece.surfaces)}
    for item in room.objects:
        assert min(abs(item.footprint.z_m[0] - height) for height in heights) < 1e-9, item.name
        if item.footprint.z_m[0] == 0.0:
            assert not any(overlap(item.footprint, piece.footprint) for piece in pieces), item.name


def test_a_washing_machine_has_its_real_size() -> None:
    machine = next(item for item in room_of(HOMES[0]).objects if item.kind == "washing_machine")
    np.testing.assert_allclose(machine.box.size_m[1:], [0.6, 0.85], atol=0.01)
    assert machine.footprint.z_m[0] == 0.0 and machine.sound is not None


def test_the_kind_is_drawn_if_none_is_given() -> None:
    room = room_of(HomeRoom("bathroom", count=2), 1)
    kinds = [item.kind for item in room.objects if item.sound]
    assert max(kinds.count(kind) for kind in ROOM_TYPES["bathroom"].sounding) == 2


def test_same_seed_same_room() -> None:
    again, room = make_room(4, home=HOMES[2]), room_of(HOMES[2])
    for a, b in zip(again.objects, room.objects, strict=True):
        assert a.name == b.name
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)


def test_unknown_rooms_are_refused() -> None:
    with pytest.raises(ValueError, match="want one of bathroom, kitchen, living_room"):
        make_room(0, home=HomeRoom("cellar"))
