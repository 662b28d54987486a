"""Which scenes the benchmark holds, and that their visits show the sounding object as often as wished."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from echoseg_ros.errors import ConfigError
from echoseg_sim.recordings.benchmark import benchmark_scenes
from echoseg_sim.recordings.dataset import plan_scene
from echoseg_sim.recordings.object_visibility import image_share
from echoseg_sim.recordings.scene_writer import PlannedScene
from echoseg_sim.recordings.sound_cases import SOUNDS, SoundCase, choose_sound_cases
from echoseg_sim.rooms.home_rooms import PAIR_M, ROOM_TYPES
from echoseg_sim.rooms.render import render

SIZE = 128


@cache
def visit_of(number: int) -> PlannedScene:
    return plan_scene(benchmark_scenes(number + 1, seed=3)[number], SIZE, 120)


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


def test_part_1_holds_one_of_the_kind_and_part_2_several_some_a_metre_apart() -> None:
    for scene in benchmark_scenes():
        assert (scene.home.count == 1) == (scene.part == "part_1")
        assert scene.home.count <= 3 and not (scene.home.pair and scene.home.count == 1)
    assert sum(scene.home.pair for scene in benchmark_scenes()) >= 5


def test_two_frames_of_five_are_wished_without_the_object() -> None:
    assert 0.4 <= np.mean([scene.empty for scene in benchmark_scenes()]) <= 0.45


def test_none_is_no_number_of_scenes() -> None:
    with pytest.raises(ConfigError, match="want at least 1"):
        benchmark_scenes(0)


def test_the_first_two_of_the_kind_are_a_metre_apart_and_one_of_them_sounds() -> None:
    visit = visit_of(3)
    assert visit.spec.home.pair
    pair = [item for item in visit.room.objects if item.kind == visit.spec.home.kind][:2]
    apart_m = np.linalg.norm(pair[0].box.center_m - pair[1].box.center_m)
    assert PAIR_M[0] - 0.01 <= apart_m <= PAIR_M[1] + 0.01
    assert visit.sounding in pair


@pytest.mark.parametrize("number", [2, 3])
def test_the_object_is_out_of_view_about_as_often_as_wished(number: int) -> None:
    visit = visit_of(number)
    views = [render(visit.room, visit.camera, pose).object_ids for pose in visit.poses[::8]]
    entity = 1 + visit.room.objects.index(visit.sounding)
    empty = [not (ids == entity).any() for ids in views]
    assert abs(np.mean(empty) - visit.spec.empty) < 0.1


def test_what_rays_say_is_shown_is_shown() -> None:
    visit = visit_of(2)
    entity = 1 + visit.room.objects.index(visit.sounding)
    poses = visit.poses[1:40:3]
    said = image_share(visit.room.geometry, entity, visit.sounding.box, visit.camera, poses)
    true = [(render(visit.room, visit.camera, pose).object_ids == entity).mean() for pose in poses]
    np.testing.assert_allclose(said, true, atol=0.002, rtol=0.1)
    assert (np.array(true) == 0).any() and np.max(true) > 0.005


def test_cases_begin_with_the_rivals_and_no_sound_comes_from_what_was_not_seen() -> None:
    visit = visit_of(3)
    own = SoundCase(visit.sounding, "pink", (0.0, 120.0), False)
    names = [item.name for item in visit.room.objects]
    cases = choose_sound_cases(visit.room, own, names, 6, 11)
    rivals = visit.spec.home.count - 1
    assert all(case.item.kind == own.item.kind and case.item is not own.item for case in cases[:rivals])
    assert cases[-1].item is own.item and cases[-1].sound != own.sound
    assert len({case.sound for case in cases}) >= 5 and {case.sound for case in cases} <= set(SOUNDS)
    assert sum(case.blocked for case in cases) == 1 and sum(case.on_s == (60.0, 120.0) for case in cases) == 1
    few = choose_sound_cases(visit.room, own, [own.item.name, "mug_1"], 4, 11)
    assert all(case.item is own.item and case.sound != "pink" for case in few)
    assert len({case.sound for case in few}) == 4


def test_the_sounds_of_the_cases_are_spread_evenly() -> None:
    """Over all scenes, as far as the objects are there."""
    visit = visit_of(2)
    own = SoundCase(visit.sounding, "hum", (0.0, 120.0), False)
    names = [item.name for item in visit.room.objects]
    cases = [case for scene in benchmark_scenes() for case in choose_sound_cases(visit.room, own, names, 6, scene.seed)]
    counts = Counter(case.sound for case in cases)
    assert len(cases) >= 200 and set(counts) == set(SOUNDS) and min(counts.values()) >= 20
