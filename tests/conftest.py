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
