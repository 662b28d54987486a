"""The bench of the map on a tiny recording: every case gives its rows, a second call goes on, the figures follow."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scene_bag
import yaml

from echoseg_ros.config import InputConfig
from echoseg_ros.errors import ConfigError
from echoseg_ros.eval.bench import commit
from echoseg_ros.eval.checkpoint import load_checkpoint, save_checkpoint
from echoseg_ros.eval.map.bench_map import MapCase, all_cases, run_cases
from echoseg_ros.eval.map.bench_map_cases import BenchSettings, Row, offline, optimise_to, scale
from echoseg_ros.eval.map.bench_map_figures import figures_of, target_rows
from echoseg_ros.eval.map.long_run import endless, long_run
from echoseg_ros.eval.map.map_scenes import Scene, bag_views
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.sound.array.array_geometry import array_to_mapping, load_array
from echoseg_ros.types import AudioChunk, ImageData, PoseData

SECONDS = 3.0
TINY = BenchSettings(64, (20, 30), (1.0, 10.0), fed_steps_per_s=4.0, progress=False)


def write_scene(path: Path) -> None:
    scene_bag.write_scene_bag(path, SECONDS)
    (path / "array.yaml").write_text(yaml.safe_dump(array_to_mapping(load_array("cube8"))))


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("map") / "room_0"
    write_scene(path)
    return path


def test_online_and_offline_cases_of_a_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = all_cases([Scene("room_0", write_scene)], tmp_path / "runs", TINY)
    run_cases(cases, tmp_path / "map.json", tmp_path / "runs", ["online", "offline/room_0"], "test")
    content = json.loads((tmp_path / "map.json").read_text())
    rows = {row["case"]: row for row in content["rows"]}
    assert set(rows) == {"online/room_0", "offline/room_0/20", "offline/room_0/30"}
    online, at_best = rows["online/room_0"], rows["offline/room_0/30"]
    assert online["views"] == at_best["views"] == 3 and at_best["steps"] == 30
    assert online["psnr_db"] > 15 and 0.3 < online["ssim"] < 1 and 0 <= online["depth_error_pct_p50"] < 5
    assert online["seconds"] >= SECONDS - 0.2 and online["realtime_factor"] > 0 and online["peak_rss_mb"] > 50
    assert online["psnr_fitted_db"] >= online["psnr_db"] - 1e-6
    figures = content["figures"]
    assert figures["psnr_online_db"] == online["psnr_db"] and figures["psnr_rgb_only_db"] is None
    best_db = max(rows[f"offline/room_0/{steps}"]["psnr_db"] for steps in (20, 30))
    assert figures["psnr_gap_online_db"] == pytest.approx(best_db - online["psnr_db"])
    picture = cv2.imread(str(tmp_path / "runs" / "pictures" / "online_room_0_worst.png"))
    assert picture.shape == (240, 5 * 320, 3)
    assert "online/room_0" in capsys.readouterr().out


def test_depth_multiplied_or_not_the_map_is_the_same(bag: Path) -> None:
    rows = scale("scale/room_0", bag, TINY)
    assert [row["case"].split("/", 2)[2] for row in rows] == ["rgbd/x1", "rgbd/x10", "rgb_only/x1", "rgb_only/x10"]
    assert rows[0]["psnr_change_db"] == 0 and abs(rows[1]["psnr_change_db"]) < 0.5
    assert rows[1]["depth_error_pct_p50"] == pytest.approx(rows[0]["depth_error_pct_p50"], rel=0.3)


def test_a_second_call_goes_on_and_fresh_starts_again(tmp_path: Path) -> None:
    calls: list[str] = []

    def case(name: str) -> MapCase:
        def measure() -> list[Row]:
            calls.append(name)
            return [{"case": name, "psnr_db": 20.0 + len(calls), "ssim": 0.5}]

        return MapCase(name, measure)

    cases = [case("online/a"), case("online/b")]
    run_cases(cases, tmp_path / "map.json", tmp_path, ["b"], "test")
    run_cases(cases, tmp_path / "map.json", tmp_path, [], "test")
    assert calls == ["online/b", "online/a"]
    assert json.loads((tmp_path / "map.json").read_text())["figures"]["psnr_online_db"] == 21.5
    run_cases(cases, tmp_path / "map.json", tmp_path, ["online/a"], "test", fresh=True)
    assert calls == ["online/b", "online/a", "online/a"]
    with pytest.raises(ConfigError, match="no such case"):
        run_cases(cases, tmp_path / "map.json", tmp_path, ["nothing"], "test")


def test_an_offline_case_goes_on_from_its_checkpoint(bag: Path, tmp_path: Path) -> None:
    """To the same bits as in one go; a checkpoint of other settings is not used."""
    checkpoint = tmp_path / "state.pickle"
    whole = offline("offline/room_0", bag, tmp_path, TINY, True, tmp_path / "other.pickle")
    key = (commit(), TINY)
    offline("offline/room_0", bag, tmp_path, TINY, True, checkpoint)
    state = load_checkpoint(checkpoint, key)
    assert state.mapper.steps_done == 30 and load_checkpoint(checkpoint, (commit(), BenchSettings())) is None
    longer = replace(TINY, offline_steps=(20, 30, 40))
    save_checkpoint(checkpoint, (commit(), longer), state)
    continued = offline("offline/room_0", bag, tmp_path, longer, True, checkpoint)
    assert [row["steps"] for row in continued] == [20, 30, 40]
    assert [row["psnr_db"] for row in continued[:2]] == [row["psnr_db"] for row in whole]
    at_once = offline("offline/room_0", bag, tmp_path, replace(TINY, offline_steps=(40,)), True, tmp_path / "third")
    assert continued[2]["psnr_db"] == at_once[0]["psnr_db"]
    (tmp_path / "broken").write_bytes(b"cut o")
    assert load_checkpoint(tmp_path / "broken", key) is None


def test_what_broke_off_leaves_the_cases_before_it(tmp_path: Path) -> None:
    def fails() -> list[Row]:
        raise KeyboardInterrupt

    cases = [MapCase("online/a", lambda: [{"case": "online/a", "psnr_db": 20.0, "ssim": 0.5}]), MapCase("step", fails)]
    with pytest.raises(KeyboardInterrupt):
        run_cases(cases, tmp_path / "map.json", tmp_path, [], "test")
    assert json.loads((tmp_path / "map.json").read_text())["figures"]["psnr_online_db"] == 20.0


def test_figures_and_targets() -> None:
    rows: list[Row] = [
        {"case": "online/room_0", "psnr_db": 29.0, "ssim": 0.9},
        {"case": "online/kitchen", "psnr_db": 23.0, "ssim": 0.8},
        {"case": "rgb_only/kitchen", "psnr_db": 20.0, "depth_error_pct_p50": 2.0},
        {"case": "offline/kitchen/7000", "psnr_db": 25.0},
        {"case": "offline/kitchen/30000", "psnr_db": 24.0},
        {"case": "scale/kitchen/rgbd/x1", "psnr_db": 22.0, "psnr_change_db": 0.0},
        {"case": "scale/kitchen/rgbd/x0.1", "psnr_db": 21.9, "psnr_change_db": -0.1},
        {"case": "scale/kitchen/rgbd/x10", "psnr_db": 22.3, "psnr_change_db": 0.3},
        *({"case": f"flat/{m}", "minute": m, "busy_per_kernel": 2.0 + 0.01 * m, "rss_mb": 500.0} for m in range(1, 8)),
    ]
    figures = figures_of(rows)
    assert figures["psnr_online_db"] == 26.0 and figures["psnr_offline_db"] == 25.0
    assert figures["psnr_gap_online_db"] == 2.0 and figures["psnr_gap_rgb_only_db"] == 3.0
    assert figures["scale_psnr_change_db"] == pytest.approx(0.2) and figures["scale_psnr_change_db_max"] == 0.3
    assert figures["flat_time_ratio"] == pytest.approx(2.07 / 2.05) and figures["flat_memory_ratio"] == 1.0
    verdicts = {(row["figure"], row["target"]): row["verdict"] for row in target_rows(figures)}
    assert verdicts["psnr_gap_online_db", "<= 1.5"] == "missed by 0.5"
    assert verdicts["psnr_rooms_online_db_min", ">= 28"] == "reached"
    assert verdicts["step_speedup_vs_torch_tiled", ">= 30"] == "-"


def test_the_endless_recording_goes_back_and_forth_without_jumps(bag: Path) -> None:
    frames = bag_views(bag, InputConfig())
    chunks = [AudioChunk(frames[0].stamp_ns + i * 100_000_000, np.full((1600, 8), i, np.float32)) for i in range(30)]
    moments = list(itertools.islice(endless(frames, chunks), 4 * (len(frames) + len(chunks))))
    times_ns = [at_ns for at_ns, _ in moments]
    assert times_ns == sorted(times_ns) and times_ns[-1] == 4 * 3_000_000_000 - 100_000_000
    items = [item for _, entries in moments for item in entries]
    images = [item for item in items if isinstance(item, ImageData)]
    assert set(np.diff([image.stamp_ns for image in images])) == {100_000_000}
    assert images[len(frames)].rgb is frames[-1].rgb and images[2 * len(frames)].rgb is frames[0].rgb
    positions = np.array([item.T_map_camera[:3, 3] for item in items if isinstance(item, PoseData)])
    assert np.linalg.norm(np.diff(positions, axis=0), axis=1).max() < 0.06
    sounds = [item for item in items if isinstance(item, AudioChunk)]
    assert [int(chunk.samples[0, 0]) for chunk in sounds] == [*range(30)] * 4


def test_a_long_run_has_a_row_for_each_minute(bag: Path) -> None:
    config = TINY.config(bag).updated({"map.steps_per_s": 1.0, "sound.hop_s": 2.0, "sound.directions": 200})
    rows = list(long_run(bag, config, minutes=1, progress=False))
    assert [row["minute"] for row in rows] == [1]
    assert rows[0]["busy_ms"] > rows[0]["map_ms"] > 0 and rows[0]["rss_mb"] > 50 and rows[0]["gaussians"] > 100


def test_an_empty_map_is_not_optimised_for_ever(bag: Path) -> None:
    mapper = Mapper(TINY.config(bag))
    optimise_to(mapper, 100, "empty", progress=False)
    assert mapper.steps_done == 0
