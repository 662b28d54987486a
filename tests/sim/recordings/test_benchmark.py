"""Scenes of the simulated benchmark: kinds, rooms and conditions are spread evenly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from echoseg_ros.errors import ConfigError
from echoseg_sim.recordings.benchmark import benchmark_scenes
from echoseg_sim.rooms.home_rooms import ROOM_TYPES


def test_34_scenes_of_7_kinds_in_three_rooms_of_four_flats() -> None:
    scenes = benchmark_scenes()
    assert len({scene.folder for scene in scenes}) == len({scene.seed for scene in scenes}) == 34
    assert Counter(scene.part for scene in scenes) == {"part_1": 17, "part_2": 17}
    assert {scene.home.use for scene in scenes} == {"bathroom", "kitchen", "living_room"} == set(ROOM_TYPES)
    assert len({scene.flat for scene in scenes}) == 4 and {scene.index for scene in scenes} <= {1, 2, 3}
    kinds = Counter(scene.home.kind for scene in scenes)
    assert len(kinds) == 7 and set(kinds.values()) <= {4, 5}
    for part in ("part_1", "part_2"):
        assert len({scene.home.kind for scene in scenes if scene.part == part}) == 7
        assert 1 <= sum(scene.blocked for scene in scenes if scene.part == part) <= 4


def test_part_1_has_one_object_of_the_kind_and_part_2_several() -> None:
    for scene in benchmark_scenes():
        assert (scene.home.count == 1) == (scene.part == "part_1")
        assert scene.home.count <= 3 and not (scene.home.pair and scene.home.count == 1)
    assert sum(scene.home.pair for scene in benchmark_scenes()) >= 5


def test_two_frames_of_five_are_requested_without_the_object() -> None:
    assert 0.4 <= np.mean([scene.empty for scene in benchmark_scenes()]) <= 0.45


def test_zero_scenes_are_refused() -> None:
    with pytest.raises(ConfigError, match="want at least 1"):
        benchmark_scenes(0)
