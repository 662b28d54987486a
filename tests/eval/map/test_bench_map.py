"""`echoseg bench map` on a small recording: rows, resuming and interruption."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from small_map_bench import SECONDS, SMALL_SETTINGS, write_scene

from echoseg_ros.errors import ConfigError
from echoseg_ros.eval.bench import Row
from echoseg_ros.eval.map.bench_map import MapCase, all_cases, run_cases
from echoseg_ros.eval.map.map_scenes import Scene


def test_online_and_offline_cases_of_a_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = all_cases([Scene("room_0", write_scene)], tmp_path / "runs", SMALL_SETTINGS)
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
    assert picture is not None and picture.shape == (240, 5 * 320, 3)
    assert "online/room_0" in capsys.readouterr().out


def test_a_second_call_continues_and_fresh_repeats(tmp_path: Path) -> None:
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


def test_an_interrupted_call_keeps_the_finished_cases(tmp_path: Path) -> None:
    def fails() -> list[Row]:
        raise KeyboardInterrupt

    cases = [MapCase("online/a", lambda: [{"case": "online/a", "psnr_db": 20.0, "ssim": 0.5}]), MapCase("step", fails)]
    with pytest.raises(KeyboardInterrupt):
        run_cases(cases, tmp_path / "map.json", tmp_path, [], "test")
    assert json.loads((tmp_path / "map.json").read_text())["figures"]["psnr_online_db"] == 20.0
