"""The bench of the sound: baselines against known truth, resuming, figures and targets, and all of it in short."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import waves

from echoseg_ros.errors import ConfigError
from echoseg_ros.eval.baselines.doa import (
    DOA_METHODS,
    DirectionFinder,
    _trailing_mean,
    louder_side,
    object_at,
    triangulate,
)
from echoseg_ros.eval.sound import bench_sound
from echoseg_ros.eval.sound.bench_sound import BenchFolders, run_cases
from echoseg_ros.eval.sound.bench_sound_cases import FIRST_ROOM, BenchCase, BenchSettings, all_cases, sound_case
from echoseg_ros.eval.sound.bench_sound_figures import MISSED_M, TARGETS, array_rows, case_row, figures_of, target_rows
from echoseg_ros.eval.sound.sound_rooms import make_room
from echoseg_ros.eval.sound.sound_scenes import SoundCase, hear, make_scene
from echoseg_ros.eval.sound.sound_scoring import RunRow, _judged, direction_errors
from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_ros.types import AudioWindow, SoundingObject, SoundSource, Verdict


def unit(*values: float) -> np.ndarray:
    return np.array(values) / np.linalg.norm(values)


@pytest.mark.parametrize("method", DOA_METHODS)
def test_a_plane_wave_is_found_where_it_comes_from(method: str) -> None:
    array = waves.cube()
    find = DirectionFinder(array, method)
    rng = np.random.default_rng(4)
    for direction in (unit(0.48, 0.87, 0.1), unit(-0.7, 0.2, -0.6)):
        said = find(waves.plane_wave(array, direction, rng))
        assert np.degrees(np.arccos(said @ direction)) < 4.5  # the grid's spacing is 4 degrees


def test_what_an_array_cannot_tell_is_not_held_against_it() -> None:
    true = unit(0.5, 0.6, 0.4)
    cube8, square4, binaural = (load_array(name) for name in ("cube8", "square4", "binaural"))
    mirrored, turned = true * [1, 1, -1], np.array([0.4, true[1], 0.5])
    turned[2] = -np.sqrt(1 - turned[0] ** 2 - turned[1] ** 2)
    assert direction_errors(cube8, mirrored, true).direction == pytest.approx(2 * np.degrees(np.arcsin(true[2])))
    assert direction_errors(square4, mirrored, true).direction == pytest.approx(0, abs=1e-6)
    assert direction_errors(binaural, turned, true).direction == pytest.approx(0, abs=1e-6)
    assert direction_errors(square4, unit(0.5, 0.6, 9.0), true).azimuth == pytest.approx(0, abs=1e-6)
    assert direction_errors(cube8, unit(0.0, 1.0, 0.0), unit(1.0, 0.0, 0.0)).azimuth == pytest.approx(90)


def test_lines_meet_in_spite_of_wrong_ones() -> None:
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


def test_the_object_at_a_place_is_the_nearest_box() -> None:
    room = make_room(0, 1)
    for number, place in enumerate(room.sounding_m):
        assert object_at(place, room.snapshot) == number
    assert object_at(room.sounding_m[10] + [0, 0, 0.4], room.snapshot) == 10


def test_the_louder_side_points_to_the_source_and_its_mean_lags() -> None:
    room = make_room(1, 120)
    true = 4
    windows = []
    for k, T_map_array in enumerate(room.poses):
        seen = np.linalg.inv(T_map_array) @ np.append(room.sounding_m[true], 1.0)
        left, right = (1.0, 0.5) if seen[1] > 0 else (0.5, 1.0)
        tone = np.sin(np.arange(4410) * 0.1)
        windows.append(AudioWindow(k, np.stack([left * tone, right * tone]).astype(np.float32), 44100.0, T_map_array))
    raw, averaged = (louder_side(windows, room.snapshot, averaged) for averaged in (False, True))
    error_m = [np.linalg.norm((found.position_m - room.sounding_m[true])[:2]) for found in (raw, averaged)]
    assert error_m[0] < 0.6 and raw.object_id == true
    assert error_m[1] > error_m[0]
    steps = np.arange(8.0)[:, None] * np.ones(2)
    assert _trailing_mean(steps)[:, 0].tolist() == [0, 1, 2, 3, 4, 2.5, 3.5, 4.5]


def case(name: str, sounds: int = 1, runs: int = 2) -> BenchCase:
    array, kind, *rest = name.split("/")
    snr_db = float(rest[1].removeprefix("snr")) if len(rest) > 1 else None
    sources = int(kind[-1]) if kind.startswith("several") else sounds
    kind = "several" if kind.startswith("several") else kind.rstrip("12")
    rt60_s = float(rest[0].removeprefix("rt"))
    return BenchCase(name, array, kind, rt60_s, snr_db, (), "noise", sources, runs=tuple((k, 0) for k in range(runs)))


def run_row(room: int = 0, **values: object) -> RunRow:
    row = {"room": room, "draw": 0, "things": [1], "hours": 0.5, "false_objects": 0, "extract_ms": 8.0, "judge_ms": 2.0}
    single = {"position_m": [0.1], "inside_95": [True], "found": 1, "sources_said": 1, "right": True, "wrong": False,
              "likeliest_right": True, "time_to_right_s": 2.0, "sounding_s": 30.0, "direction_deg": [1.0, 3.0]}  # fmt: skip
    return {**row, **single, **values}


def walk(**values: object) -> RunRow:
    return {"room": 0, "draw": 0, "sound": "builtin:noise", "path": "tour", "true_offset_ms": -80.0, "true_yaw_deg": 4.0,
            "offset_error_ms": -5.0, "yaw_error_deg": 0.5, "knows_offset": True, "knows_yaw": True, "estimate_ms": 90.0,
            **values}  # fmt: skip


def test_after_a_move_only_what_sounds_now_is_right() -> None:
    meant = BenchCase("cube8/moved/rt0.4/snr20/noise", "cube8", "moved", 0.4, 20.0, ("builtin:noise",), "noise", 2)
    whole, sound = sound_case(meant, FIRST_ROOM, 0), sound_case(meant, FIRST_ROOM, 0, 4)
    assert len(set(sound.sources)) == 2 and whole.on_s == ((0, meant.poses / 2), (meant.poses / 2, meant.poses))
    heard = hear(make_scene(FIRST_ROOM, "cube8", 0.0, None, 4), sound)
    assert (heard.share_db[:2, 0] > -5).all() and (heard.share_db[2:, 0] < -15).all()  # its last echo
    assert (heard.share_db[:2, 1] < -100).all() and (heard.share_db[2:, 1] > -5).all()


def test_after_a_move_the_verdicts_before_it_do_not_count() -> None:
    scene = make_scene(FIRST_ROOM, "cube8", 0.0, None, 4)
    things = scene.snapshot.instances[:2]
    spread_m2 = 0.01 * np.eye(3)

    def said(k: int, thing: int) -> Verdict:
        source = SoundSource(0, scene.source_m(thing), spread_m2, 1.0, thing, ((thing, 1.0),), ())
        return Verdict(k, k, (source,), (SoundingObject(things[thing], source, 1.0, "thing"),))

    case = SoundCase(("builtin:noise",) * 2, (0, 1), on_s=((0.0, 4.0), (4.0, 8.0)))
    row = _judged(scene, case, [said(k, 0) for k in range(6)] + [said(k, 1) for k in range(6, 8)])
    assert row["right"] and not row["wrong"] and row["false_objects"] == 0
    assert row["time_to_right_s"] == 3.0 and row["sounding_s"] == 4.0  # right from the third second on
    row = _judged(scene, case, [said(k, 0) for k in range(8)])
    assert not row["right"] and row["wrong"] and row["time_to_right_s"] is None


def test_figures_and_their_verdicts() -> None:
    never = run_row(position_m=[None], right=False, inside_95=[], time_to_right_s=None)
    results = [
        (case("cube8/single/rt0.4/snr10/noise"), [run_row(), never]),
        (case("cube8/single/rt0.4/snr0/noise"), [run_row(position_m=[0.12])]),
        (case("cube8/single/rt0.7/snr10/noise"), [run_row(direction_deg=[3.0, 5.0])]),
        (case("cube8/single/rt0.7/snr20/noise"), [run_row(direction_deg=[90.0])]),
        (case("cube8/several2/rt0.4/snr20/mixed"), [run_row(things=[1, 2], found=1, sources_said=2)]),
        (case("cube8/blocked/rt0.4/snr20/noise"), [run_row(right=False, wrong=True), run_row(right=False)]),
        (case("cube8/moved/rt0.4/snr20/noise"), [run_row(time_to_right_s=9.0), run_row(time_to_right_s=None)]),
        (case("cube8/silence/rt0.4"), [{**run_row(), "false_objects": 1}]),
        (case("cube8/diffuse/rt0.4"), [run_row(hours=1.5)]),
        (case("binaural/single/rt0.2/snr20/noise"), [run_row(reference_right=False, reference_raw_right=True)]),
        (case("cube8/calibration/rt0.4/snr20/mixed"), [walk(), walk()]),
        (case("square4/calibration/rt0.4/snr20/mixed"), [walk(knows_offset=False)]),
        (
            case("cube8/cost/rt0.4/snr20/speech"),
            [{"room": 0, "draw": 0, "core_share": 0.3, "evidence_core_share": 0.06}],
        ),
    ]
    figures = figures_of(results)
    assert figures["cube8_direction_deg_p50"] == pytest.approx(2.0)
    assert figures["cube8_reverb_direction_deg_p50"] == pytest.approx(4.0)
    assert figures["cube8_position_m_p50"] == pytest.approx((0.1 + MISSED_M) / 2)  # what was missed is far away
    assert figures["cube8_hard_position_m_p50"] == pytest.approx(0.12)
    assert figures["right_object_one_source"] == pytest.approx(5 / 6, abs=1e-4)
    assert figures["time_to_right_s_p50"] == pytest.approx(2.0)
    assert figures["recall_multi"] == 0.5 and figures["count_right_multi"] == 1.0
    assert figures["blocked_right_object"] == 0.0 and figures["blocked_wrong_object"] == 0.5
    assert figures["moved_right_object"] == 1.0
    assert figures["moved_time_to_right_s_p50"] == pytest.approx((9.0 + 30.0) / 2)  # never right: all the time it had
    assert figures["false_objects_per_hour"] == 0.5  # of one in two hours, silent and diffuse
    assert figures["binaural_right_object"] == figures["reference_binaural_right_object"] == 1.0
    # A calibration that knows that it knows nothing leaves what there was.
    assert figures["calibration_ms_p90"] == pytest.approx(np.percentile([5, 5, 80], 90))
    assert figures["core_share_10hz"] == 0.3 and figures["evidence_core_share_10hz"] == 0.06
    verdicts = {row["figure"]: row["verdict"] for row in target_rows(figures)}
    assert verdicts["cube8_direction_deg_p50"] == verdicts["cube8_hard_position_m_p50"] == "reached"
    assert verdicts["binaural_right_object over reference_"] == verdicts["core_share_10hz"] == "missed by 0.2"
    assert verdicts["covariance_coverage_95"] == "missed by 0.02"  # all inside is too wide
    assert verdicts["ego_right_object"] == "-"
    assert {name for name, _, _ in TARGETS} <= set(figures)
    assert [(row["case"], row["runs"]) for row in array_rows(results)] == [("cube8/single", 5), ("binaural/single", 1)]
    assert case_row(*results[0])["right_object"] == 0.5 and case_row(*results[4])["recall"] == 0.5


def test_a_room_has_the_same_sources_in_every_case_and_clips_take_turns() -> None:
    cases = all_cases(BenchSettings(), ["a.ogg", "b.ogg"])
    assert len({c.name for c in cases}) == len(cases)
    single = [c for c in cases if c.kind == "single" and c.array == "cube8"]
    assert len({sound_case(c, 2, 1).sources for c in single}) == 1
    blocked = [sound_case(c, *c.runs[0]) for c in cases if c.kind == "blocked"]
    assert blocked and all(heard.blocked for heard in blocked) and not sound_case(single[0], 2, 1).blocked
    clips = next(c for c in single if c.sound == "clips")
    assert {sound_case(clips, room, draw).sounds[0] for room, draw in clips.runs} == {"a.ogg", "b.ogg"}
    several = next(c for c in cases if c.name.startswith("cube8/several3"))
    heard = sound_case(several, 0, 1)
    assert len(set(heard.sources)) == len(set(heard.sounds)) == 3
    assert not any(c.sound == "clips" for c in all_cases(BenchSettings(), []))


def test_rooms_are_not_those_that_constants_were_set_in() -> None:
    cases = all_cases(BenchSettings(), [])
    assert min(room for c in cases for room, _ in c.runs) == FIRST_ROOM >= 100
    kinds = {(c.array, c.kind) for c in cases}
    assert {("cube8", "calibration"), ("square4", "calibration"), ("cube8", "cost"), ("cube8", "blocked")} <= kinds
    assert {c.name for c in all_cases(bench_sound.QUICK, [])} >= set(bench_sound.QUICK_CASES)


def test_a_second_call_goes_on_and_fresh_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, int]] = []

    def pretend(what: BenchCase, room: int, draw: int, settings: BenchSettings, cache: Path) -> RunRow:
        ran.append((what.name, room))
        return run_row(room)

    monkeypatch.setattr(bench_sound, "run_case", pretend)
    cases = [case("cube8/single/rt0.4/snr10/noise"), case("cube8/single/rt0.4/snr0/noise")]
    folders = BenchFolders(tmp_path / "out" / "sound.json", tmp_path / "runs", None)
    run_cases(cases, BenchSettings(), folders, ["snr0"], "test", progress=False)
    run_cases(cases, BenchSettings(), folders, [], "test", progress=False)
    assert [name.split("/")[3] for name, _ in ran] == ["snr0", "snr0", "snr10", "snr10"]
    content = json.loads(folders.result.read_text())
    assert [row["case"] for row in content["rows"]] == ["cube8/single", *(c.name for c in cases)]
    assert content["rows"][1]["rooms"] == [0, 1] and content["figures"]["cube8_position_m_p50"] == pytest.approx(0.1)
    run_cases(cases, BenchSettings(), folders, [cases[0].name], "test", fresh=True, progress=False)
    assert len(ran) == 6
    other_rooms = [case("cube8/single/rt0.4/snr10/noise", runs=3)]
    run_cases(other_rooms, BenchSettings(), folders, [], "test", progress=False)
    assert len(ran) == 9  # runs in other rooms do not count
    with pytest.raises(ConfigError, match="no such case"):
        run_cases(cases, BenchSettings(), folders, ["nothing"], "test")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_quick_runs_every_kind_of_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_sound.bench_sound(tmp_path / "out", tmp_path, None, [], "test", quick=True, jobs=1, progress=False)
    assert not (tmp_path / "out").exists()
    content = json.loads((tmp_path / "quick" / "sound.json").read_text())
    assert {row["case"] for row in content["rows"]} >= set(bench_sound.QUICK_CASES)
    rows = {row["case"]: row for row in content["rows"]}
    assert rows["cube8/single/rt0.2/snr20/noise"]["direction_deg_p50"] < 4
    assert rows["cube8/single/rt0.2/snr20/noise"]["SRP_direction_deg_p50"] < 8
    assert rows["cube8/silence/rt0.4"]["false_objects"] == 0
    cost = rows["cube8/cost/rt0.4/snr20/speech"]
    assert cost["windows"] == 40 and 0 < cost["evidence_core_share"] < cost["core_share"]
    assert "calibration_ms_p90" in rows["square4/calibration/rt0.4/snr20/mixed"]
    said = capsys.readouterr().out
    assert "cube8_direction_deg_p50" in said and "binaural.png" in said
    assert all(path.stat().st_size > 5000 for path in (tmp_path / "quick" / "plots").glob("*.png"))
