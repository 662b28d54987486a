"""Baselines of sound localisation against known directions, positions and objects."""

from __future__ import annotations

import numpy as np
import pytest
import waves

from echoseg_ros.eval.baselines.doa import (
    DOA_METHODS,
    DirectionFinder,
    louder_side,
    nearest_instance,
    triangulate,
)
from echoseg_ros.eval.baselines.echosegnet.aisrm import trailing_mean
from echoseg_ros.eval.sound.sound_rooms import make_room
from echoseg_ros.types import AudioWindow, Float64Array


def unit(*values: float) -> Float64Array:
    direction: Float64Array = np.array(values) / np.linalg.norm(values)
    return direction


@pytest.mark.parametrize("method", DOA_METHODS)
def test_a_plane_wave_is_found_in_its_direction(method: str) -> None:
    array = waves.cube()
    find = DirectionFinder(array, method)
    rng = np.random.default_rng(4)
    for direction in (unit(0.48, 0.87, 0.1), unit(-0.7, 0.2, -0.6)):
        estimated = find(waves.plane_wave(array, direction, rng))
        assert np.degrees(np.arccos(estimated @ direction)) < 4.5  # the grid's spacing is 4 degrees


def test_triangulation_ignores_wrong_lines() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([3.0, 2.0, 0.8])
    places = rng.uniform([0.5, 0.5, 0.9], [1.5, 3.5, 1.1], (30, 3))
    directions = truth - places + 0.04 * rng.standard_normal((30, 3))
    directions[::4] = rng.standard_normal((8, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = triangulate(places, directions)
    assert found is not None and np.linalg.norm(found - truth) < 0.06
    assert triangulate(places[:1], directions[:1]) is None
    assert triangulate(places[:5], np.tile([1.0, 0.0, 0.0], (5, 1))) is None


def test_the_instance_of_a_position_is_the_nearest_box() -> None:
    room = make_room(0, 1)
    for number, place in enumerate(room.sound_positions_m):
        assert nearest_instance(place, room.snapshot) == number
    assert nearest_instance(room.sound_positions_m[10] + [0, 0, 0.4], room.snapshot) == 10


def test_the_louder_side_finds_the_source_and_its_average_lags() -> None:
    room = make_room(1, 120)
    true = 4
    windows = []
    for k, T_map_array in enumerate(room.poses):
        seen = np.linalg.inv(T_map_array) @ np.append(room.sound_positions_m[true], 1.0)
        left, right = (1.0, 0.5) if seen[1] > 0 else (0.5, 1.0)
        tone = np.sin(np.arange(4410) * 0.1)
        windows.append(AudioWindow(k, np.stack([left * tone, right * tone]).astype(np.float32), 44100.0, T_map_array))
    raw, averaged = (louder_side(windows, room.snapshot, averaged) for averaged in (False, True))
    error_m = [np.linalg.norm((found.position_m - room.sound_positions_m[true])[:2]) for found in (raw, averaged)]
    assert error_m[0] < 0.6 and raw.object_id == true
    assert error_m[1] > error_m[0]
    steps = np.arange(8.0)[:, None] * np.ones(2)
    assert trailing_mean(steps)[:, 0].tolist() == [0, 1, 2, 3, 4, 2.5, 3.5, 4.5]
