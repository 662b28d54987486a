"""docs/parameters.md says what the code says."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from parameters_doc import COMMAND, DOCUMENT, parameters_document


def test_the_committed_document_is_fresh() -> None:
    assert DOCUMENT.read_text() == parameters_document(), f"out of date: run `{COMMAND}` and commit docs/parameters.md"


def test_a_row_holds_default_unit_range_and_meaning() -> None:
    row = next(line for line in parameters_document().splitlines() if line.startswith("| `input.wait_s`"))
    assert row.split(" | ")[1:4] == ["`1`", "s", "0 to 10"]


def test_bars_inside_a_meaning_do_not_end_its_cell() -> None:
    rows = [line for line in parameters_document().splitlines() if line.startswith("| `")]
    assert all(row.replace("\\|", "").count("|") in (3, 6) for row in rows)
