"""Sound cases of a scene: their objects, their sounds and their conditions."""

from __future__ import annotations

from collections import Counter

from planned_scenes import planned_scene

from echoseg_sim.recordings.benchmark import benchmark_scenes
from echoseg_sim.recordings.sound_cases import SOUNDS, SoundCase, choose_sound_cases


def test_cases_begin_with_objects_of_the_same_kind_and_use_visible_objects_only() -> None:
    planned = planned_scene(3)
    own = SoundCase(planned.sounding, "pink", (0.0, 120.0), False)
    names = [item.name for item in planned.room.objects]
    cases = choose_sound_cases(planned.room, own, names, 6, 11)
    same_kind = planned.spec.home.count - 1
    assert all(case.item.kind == own.item.kind and case.item is not own.item for case in cases[:same_kind])
    assert cases[-1].item is own.item and cases[-1].sound != own.sound
    assert len({case.sound for case in cases}) >= 5 and {case.sound for case in cases} <= set(SOUNDS)
    assert sum(case.blocked for case in cases) == 1 and sum(case.on_s == (60.0, 120.0) for case in cases) == 1
    few = choose_sound_cases(planned.room, own, [own.item.name, "mug_1"], 4, 11)
    assert all(case.item is own.item and case.sound != "pink" for case in few)
    assert len({case.sound for case in few}) == 4


def test_the_sounds_of_the_cases_are_spread_evenly() -> None:
    """Counted over the cases of all scenes of the benchmark."""
    planned = planned_scene(2)
    own = SoundCase(planned.sounding, "hum", (0.0, 120.0), False)
    names = [item.name for item in planned.room.objects]
    cases = [
        case for scene in benchmark_scenes() for case in choose_sound_cases(planned.room, own, names, 6, scene.seed)
    ]
    counts = Counter(case.sound for case in cases)
    assert len(cases) >= 200 and set(counts) == set(SOUNDS) and min(counts.values()) >= 20
