"""Sub-windows of overlapping audio windows."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_ros.sound.calibration.sub_windows import SubWindowExtractor
from echoseg_ros.types import AudioWindow


def test_frames_of_overlapping_windows_are_used_once() -> None:
    """The stamp of a sub-window is the time of its sound, here a click."""
    samples = np.zeros((4, 16000), dtype=np.float32)
    samples[:, 5200] = 1.0
    extract = SubWindowExtractor(load_array("square4"), 16000.0)
    sub_windows = []
    for start in (0, 4000, 8000):
        part = samples[:, start : start + 8000]
        sub_windows += extract(AudioWindow(round((start / 16000 + 0.25) * 1e9), part, 16000.0, np.eye(4)))
    stamps_s = np.array([s.stamp_ns for s in sub_windows]) / 1e9
    assert np.all(np.diff(stamps_s) > 0)
    assert sum(s.length_s for s in sub_windows) == pytest.approx(1.0, abs=0.03)
    clicks = np.array([s.weight for s in sub_windows])
    assert stamps_s[int(np.argmax(clicks))] == pytest.approx(5200 / 16000, abs=0.01)
