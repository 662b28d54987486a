"""Bad input at the command line: exit code 2 and one clear line, nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import scene_bag

from echoseg_ros.cli import main


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nowhere", "--out", "x"], "nowhere"),
        (["run", "nowhere", "--out", "x", "--set", "map.step=3"], "did you mean"),
        (["run", "nowhere", "--out", "x", "--set", "map.max_gaussians"], "want section.name=value"),
        (["run", "nowhere", "--out", "x", "--config", "none.yaml"], "none.yaml"),
        (["render", "nowhere", "--rgbd", "none", "--out", "x"], "nowhere"),
        (["play", "nowhere"], "nowhere"),
        (["simulate", "rgbd", "nowhere", "x"], "nowhere"),
        (["simulate", "room", "x", "--array", "cube9"], "cube9"),
        (["simulate", "dataset", "x", "--size", "8"], "8 px"),
        (["bag-from-dataset", "nowhere", "x"], "nowhere"),
    ],
)
def test_one_line_and_exit_code_2(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--quiet", *arguments]) == 2
    assert says in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [["--rt60", "0"], ["--seed", "-1"], ["--sound-on", "3:1"], ["--snr", "loud"]])
def test_bad_options_are_named(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "rgbd", "folder", "out", *option])
    assert ended.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_a_point_may_begin_with_a_minus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quiet", "simulate", "rgbd", str(tmp_path / "none"), "x", "--source=-0.7,-0.1,1.9"]) == 2
    assert "none" in one_line(capsys)


def test_an_array_that_does_not_fit_the_audio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = scene_bag.write_scene_bag(tmp_path / "bag", seconds=0.5)
    code = main(["--quiet", "run", str(bag), "--out", str(tmp_path / "run"), "--set", "sound.array=square4"])
    assert code == 2
    line = one_line(capsys)
    assert "square4" in line and "8 channels" in line


def test_a_bag_without_an_array_says_how_to_name_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = scene_bag.write_scene_bag(tmp_path / "bag", seconds=0.5)
    assert main(["--quiet", "run", str(bag), "--out", str(tmp_path / "run")]) == 2
    assert "--set sound.array=" in one_line(capsys)


def test_a_run_takes_the_settings_beside_the_bag_beneath_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least counts what a run holds out by itself, then the bag's file, then --config, then --set."""
    bag, given = tmp_path / "bag", tmp_path / "given.yaml"
    bag.mkdir()
    given.write_text("map: {seed: 2, steps_per_s: 2}")
    seen = {}
    monkeypatch.setattr("echoseg_ros.report.run_bag.run_bag", lambda bag, out, config, *_: seen.update(config.flat()))
    monkeypatch.setattr("echoseg_ros.report.run_completion.complete_run_folder", lambda *_: "")
    command = ["run", str(bag), "--out", "x", "--config", str(given), "--set", "map.steps_per_s=3"]
    assert main(command) == 0
    assert seen["input.hold_out_every"] == 8 and seen["input.pose_units"] == "metres"
    (bag / "echoseg.yaml").write_text(
        "/**: {ros__parameters: {input: {pose_units: arbitrary, hold_out_every: 0}, map: {seed: 1, steps_per_s: 1}}}"
    )
    assert main(command) == 0
    assert seen["input.hold_out_every"] == 0 and seen["input.pose_units"] == "arbitrary"
    assert seen["map.seed"] == 2 and seen["map.steps_per_s"] == 3
    (bag / "echoseg.yaml").write_text("input: {pose_unit: arbitrary}")
    assert main(command) == 2


@pytest.mark.parametrize("command", [["simulate", "room", "x"], ["demo"], ["bench", "map"], ["bench", "sound"]])
def test_a_missing_simulator_names_its_extra(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "open3d", None)
    assert main(["--quiet", *command]) == 2
    assert one_line(capsys) == "echoseg: this command needs open3d: pip install 'echoseg_ros[sim]'"
    assert list(tmp_path.iterdir()) == []


def test_several_missing_extras_are_named_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("soundfile", "sklearn"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["--quiet", "bench", "segment"]) == 2
    assert one_line(capsys) == "echoseg: this command needs soundfile, sklearn: pip install 'echoseg_ros[sim,eval]'"
