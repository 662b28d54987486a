"""Rooms of the sound benchmark: objects, path and map."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.eval.sound.sound_rooms import OBJECT_COUNT, make_room


@pytest.mark.parametrize("seed", range(6))
def test_a_room_contains_its_objects_and_the_path(seed: int) -> None:
    room = make_room(seed, 120)
    assert len(room.objects) == len(room.snapshot.instances) == OBJECT_COUNT == len(room.sound_positions_m)
    assert room.snapshot.surface_points.shape == (20_000, 3)
    for box, position in zip(room.objects, room.sound_positions_m, strict=True):
        assert (position >= box.low_m).all() and (position <= box.high_m).all()
        assert 0.1 <= box.size_m.min() and box.size_m.max() <= 0.35
    positions = room.poses[:, :3, 3]
    assert (positions > 0.3).all() and (positions < room.size_m - 0.3).all()
    assert 0.9 < positions[:, 2].min() and positions[:, 2].max() < 1.1
    apart_m = np.linalg.norm(room.sound_positions_m[:, None] - room.sound_positions_m[None], axis=2) + 9 * np.eye(
        OBJECT_COUNT
    )
    assert apart_m.min() > 0.25
    shorter = make_room(seed, 30)
    np.testing.assert_array_equal(shorter.poses, room.poses[:30])
    np.testing.assert_array_equal(shorter.snapshot.surface_points, room.snapshot.surface_points)
