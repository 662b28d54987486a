"""Files of config/ are found in the source tree and where the package was installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from echoseg_ros.installed_files import config_file, config_folders


def test_the_source_tree_comes_first() -> None:
    root = Path(__file__).resolve().parents[1]
    assert config_folders()[0] == root / "config"
    assert config_file("arrays/cube8.yaml") == root / "config" / "arrays" / "cube8.yaml"


def test_a_file_of_a_ros_workspace_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "share" / "echoseg_ros" / "config" / "only_there.yaml"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert config_file("only_there.yaml") is None
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    assert config_file("only_there.yaml") == installed
