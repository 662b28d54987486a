"""What all benchmarks write beside their figures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from echoseg_ros.eval.bench import machine, processor_time, text_table, verdict, write_bench


def test_a_result_says_by_what_and_where_it_was_made(tmp_path: Path) -> None:
    write_bench(tmp_path / "x.json", "echoseg bench x", {"error_m": 0.1}, [{"case": "a"}])
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["command"] == "echoseg bench x" and content["figures"] == {"error_m": 0.1}
    assert content["machine"] == machine() and content["machine"].startswith(f"{os.cpu_count()} cores, ")


def test_of_the_processor_time_some_may_be_stolen() -> None:
    stolen, ticks = processor_time()
    assert 0 <= stolen <= ticks
    assert processor_time()[1] >= ticks


def test_processor_time_is_nothing_where_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "cpu 1 2 three\n")
    assert processor_time() == (0.0, 0.0)


def test_verdicts_say_by_how_much() -> None:
    assert verdict(0.5, ">=", 0.4) == "reached"
    assert verdict(0.5, "<=", 0.4) == "missed by 0.1"
    assert verdict(None, "<=", 0.4) == "-"


def test_numbers_stand_to_the_right() -> None:
    assert text_table([{"a": "x", "b": 1.0}, {"a": "long"}], ("a", "b")).splitlines() == [
        "a     b    ", "x     1.000", "long  -    ",
    ]  # fmt: skip
