"""`echoseg bench sound`: resuming, repeating and the quick benchmark as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sound_runs import case, run_row

from echoseg_ros.errors import ConfigError
from echoseg_ros.eval.sound import bench_sound
from echoseg_ros.eval.sound.bench_sound import BenchFolders, run_cases
from echoseg_ros.eval.sound.bench_sound_cases import BenchCase, BenchSettings
from echoseg_ros.eval.sound.sound_scoring import RunRow


def test_a_second_call_continues_and_fresh_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, int]] = []

    def fake_run(bench_case: BenchCase, room: int, draw: int, settings: BenchSettings, cache: Path) -> RunRow:
        ran.append((bench_case.name, room))
        return run_row(room)

    monkeypatch.setattr(bench_sound, "run_case", fake_run)
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
    assert len(ran) == 9  # runs of other rooms do not count
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
    printed = capsys.readouterr().out
    assert "cube8_direction_deg_p50" in printed and "binaural.png" in printed
    assert all(path.stat().st_size > 5000 for path in (tmp_path / "quick" / "plots").glob("*.png"))
