"""Reasons of a verdict in words, from hand-written documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from echoseg_ros.errors import FolderError
from echoseg_ros.report.explain import explanation_text


def entry(object_id: int, rank: int, rival_id: int | None) -> dict[str, Any]:
    windows = [{"t_s": 1.0, "share": 0.3}, {"t_s": 2.0, "share": -0.1}, {"t_s": 3.0, "share": 0.6}]
    return {"source_id": 4, "object_id": object_id, "probability": 0.9 - 0.7 * rank, "rank": rank, "rival_id": rival_id,
            "rival_probability": 0.05, "windows": windows, "views": []}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "why.json").write_text(json.dumps([entry(7, 0, None), entry(8, 1, 7)]))
    (tmp_path / "objects.json").write_text(json.dumps({"objects": [{"id": 7}]}))
    return tmp_path


def test_without_an_id_the_sounding_objects_are_explained(run: Path) -> None:
    lines = explanation_text(run).splitlines()
    assert lines[0] == "source 4: object 7 with 90.0%, ahead of elsewhere with 5.0%"
    assert lines[1] == "  heard: audio windows for the object, and for elsewhere"
    assert lines[2] == "    for     3.00 s (+60.0%), 1.00 s (+30.0%)"
    assert lines[3] == "    against 2.00 s (-10.0%)"
    assert lines[5:] == ["    for     -", "    against -"]
    assert explanation_text(run, 7).splitlines() == lines


def test_a_less_probable_object_has_its_rank(run: Path) -> None:
    assert explanation_text(run, 8).startswith("source 4: object 8 with 20.0%, number 2; object 7 has 5.0%")


def test_an_object_without_reasons_is_refused(run: Path) -> None:
    with pytest.raises(FolderError, match=r"object 77 is not among .* want one of \[7, 8\]"):
        explanation_text(run, 77)
