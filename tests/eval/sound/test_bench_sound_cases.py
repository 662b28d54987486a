"""The grid of cases of `echoseg bench sound`."""

from __future__ import annotations

from echoseg_ros.eval.sound import bench_sound
from echoseg_ros.eval.sound.bench_sound_cases import FIRST_ROOM, BenchCase, BenchSettings, all_cases, sound_case
from echoseg_ros.eval.sound.sound_scenes import make_scene, simulate_audio


def test_after_half_of_a_run_the_sound_moves_to_another_object() -> None:
    case = BenchCase("cube8/moved/rt0.4/snr20/noise", "cube8", "moved", 0.4, 20.0, ("builtin:noise",), "noise", 2)
    full, short = sound_case(case, FIRST_ROOM, 0), sound_case(case, FIRST_ROOM, 0, 4)
    assert len(set(short.sources)) == 2 and full.on_s == ((0, case.poses / 2), (case.poses / 2, case.poses))
    audio = simulate_audio(make_scene(FIRST_ROOM, "cube8", 0.0, None, 4), short)
    assert (audio.relative_level_db[:2, 0] > -5).all() and (audio.relative_level_db[2:, 0] < -15).all()  # the last echo
    assert (audio.relative_level_db[:2, 1] < -100).all() and (audio.relative_level_db[2:, 1] > -5).all()


def test_a_room_has_the_same_sources_in_every_case_and_clips_take_turns() -> None:
    cases = all_cases(BenchSettings(), ["a.ogg", "b.ogg"])
    assert len({c.name for c in cases}) == len(cases)
    single = [c for c in cases if c.kind == "single" and c.array == "cube8"]
    assert len({sound_case(c, 2, 1).sources for c in single}) == 1
    blocked = [sound_case(c, *c.runs[0]) for c in cases if c.kind == "blocked"]
    assert blocked and all(sounds.blocked for sounds in blocked) and not sound_case(single[0], 2, 1).blocked
    clips = next(c for c in single if c.sound == "clips")
    assert {sound_case(clips, room, draw).sounds[0] for room, draw in clips.runs} == {"a.ogg", "b.ogg"}
    several = next(c for c in cases if c.name.startswith("cube8/several3"))
    sounds = sound_case(several, 0, 1)
    assert len(set(sounds.sources)) == len(set(sounds.sounds)) == 3
    assert not any(c.sound == "clips" for c in all_cases(BenchSettings(), []))


def test_rooms_are_not_those_that_constants_were_set_in() -> None:
    cases = all_cases(BenchSettings(), [])
    assert min(room for c in cases for room, _ in c.runs) == FIRST_ROOM >= 100
    kinds = {(c.array, c.kind) for c in cases}
    assert {("cube8", "calibration"), ("square4", "calibration"), ("cube8", "cost"), ("cube8", "blocked")} <= kinds
    assert {c.name for c in all_cases(bench_sound.QUICK, [])} >= set(bench_sound.QUICK_CASES)
