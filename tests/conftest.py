"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real recordings; tests that need it are skipped if it is absent."""
    root = Path(__file__).resolve().parents[1]
    path = Path(os.environ.get("ECHOSEG_TEST_DATA", root.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"test data not found at {path}: set ECHOSEG_TEST_DATA")
    return path


@pytest.fixture(scope="session")
def map_bench_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bag of a small scene for tests of the map benchmark."""
    from small_map_bench import write_scene  # here: most tests do not need the rasterizer

    path = tmp_path_factory.mktemp("map") / "room_0"
    write_scene(path)
    return path
