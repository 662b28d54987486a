"""Shared parts of the benchmarks: statistics, targets, tables, choice of cases, result files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from echoseg_ros.errors import ConfigError, FolderError
from echoseg_ros.eval.bench import (
    Target,
    machine,
    mean,
    median,
    optional_data_folder,
    percentile,
    processor_ticks,
    selected_cases,
    target_rows,
    text_table,
    write_bench,
)


def test_a_result_names_its_command_and_machine(tmp_path: Path) -> None:
    write_bench(tmp_path / "x.json", "echoseg bench x", {"error_m": 0.1}, [{"case": "a"}])
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["command"] == "echoseg bench x" and content["figures"] == {"error_m": 0.1}
    assert content["machine"] == machine() and content["machine"].startswith(f"{os.cpu_count()} cores, ")


def test_stolen_ticks_are_a_part_of_all_ticks() -> None:
    stolen, ticks = processor_ticks()
    assert 0 <= stolen <= ticks
    assert processor_ticks()[1] >= ticks


def test_unknown_processor_ticks_are_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "cpu 1 2 three\n")
    assert processor_ticks() == (0.0, 0.0)


def test_verdicts_of_targets_state_the_difference() -> None:
    assert Target("x", least=0.4).verdict(0.5) == "reached"
    assert Target("x", most=0.4).verdict(0.5) == "missed by 0.1"
    assert Target("x", most=0.4).verdict(None) == "-"
    assert Target("x", 0.2, 0.4).verdict(0.1) == "missed by 0.1"
    assert Target("x", 0.2, 0.4).verdict(0.4) == "reached"


def test_lines_of_targets_name_their_limits() -> None:
    rows = target_rows([Target("a", most=2.0), Target("b", 0.5, 1.5)], {"a": 1.0})
    assert rows == [
        {"figure": "a", "value": 1.0, "target": "<= 2", "verdict": "reached"},
        {"figure": "b", "value": None, "target": "0.5 to 1.5", "verdict": "-"},
    ]


def test_statistics_of_nothing_are_none() -> None:
    assert mean([]) is None and mean([None]) is None and median([]) is None and percentile([], 50) is None
    assert mean([1.0, None, 2.0]) == 1.5 and mean([True, True, False], 4) == 0.6667
    assert median([1.0, 2.0, 9.0]) == 2.0 and percentile([0.0, 1.0], 90) == 0.9


def test_cases_are_selected_by_name_or_part() -> None:
    cases = [SimpleNamespace(name=name) for name in ("online/kitchen", "online/room", "step")]
    assert selected_cases(cases, []) == cases
    assert selected_cases(cases, ["online"]) == cases[:2]
    assert selected_cases(cases, ["room", "step"]) == cases[1:]
    with pytest.raises(ConfigError, match="no such case"):
        selected_cases(cases, ["kit"])


def test_a_named_folder_of_recordings_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOSEG_TEST_DATA", str(tmp_path / "missing"))
    assert optional_data_folder(None) is None and optional_data_folder(tmp_path) == tmp_path
    with pytest.raises(FolderError, match="--data"):
        optional_data_folder(tmp_path / "missing")


def test_numbers_are_aligned_to_the_right() -> None:
    assert text_table([{"a": "x", "b": 1.0}, {"a": "long"}], ("a", "b")).splitlines() == [
        "a     b    ", "x     1.000", "long  -    ",
    ]  # fmt: skip
