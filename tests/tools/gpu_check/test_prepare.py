"""Frames at another size."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.types import Camera
from gpu_check.frames import synthetic_recording
from gpu_check.prepare import fit


@pytest.mark.parametrize("size", [(96, 72), (60, 60), (160, 160)])
def test_a_frame_of_another_size_shows_the_same(size: tuple[int, int]) -> None:
    """A cropped and resized view equals the view of a camera with that size and those intrinsics."""
    frame = synthetic_recording(Camera(192, 144, 180.0, 180.0, 96.0, 72.0), 1).frames[0]
    small = fit(frame, *size)
    assert small.rgb.shape == (size[1], size[0], 3) and small.depth_m is not None
    truth = synthetic_recording(small.camera, 1).frames[0]
    assert truth.depth_m is not None
    assert np.mean(np.abs(small.depth_m - truth.depth_m) < 0.05) > 0.95
    assert np.abs(small.rgb.astype(float) - truth.rgb).mean() < 6
