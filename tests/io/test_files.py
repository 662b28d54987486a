"""Atomic writing and reading of JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from echoseg_ros.errors import FolderError
from echoseg_ros.io.files import read_json, replacing, write_json


def test_written_json_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {"x": [1, None]})
    assert read_json(tmp_path / "a" / "b.json") == {"x": [1, None]}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", float("nan"))
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(tmp_path / "a.json") == 1 and [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_missing_file_and_a_file_that_is_not_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="absent.json: No such file"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(FolderError, match="a.json: not JSON"):
        read_json(tmp_path / "a.json")
