"""Frames written to a folder and read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from echoseg_ros.errors import FolderError
from echoseg_ros.types import Camera
from gpu_check.frames import read_frames, synthetic_recording, write_frames

CAMERA = Camera(48, 36, 45.0, 45.0, 24.0, 18.0)


def test_frames_are_read_as_they_were_written(tmp_path: Path) -> None:
    recording = synthetic_recording(CAMERA, 9)
    assert write_frames(tmp_path / "wall", recording.frames) == 9
    again = read_frames(tmp_path / "wall")
    assert again.camera == CAMERA and again.name == "wall" and again.size == "48x36"
    assert [frame.index for frame in again.held_out] == [7] and len(again.training) == 8
    for before, after in zip(recording.frames, again.frames, strict=True):
        np.testing.assert_array_equal(before.rgb, after.rgb)
        assert before.depth_m is not None and after.depth_m is not None
        np.testing.assert_allclose(before.depth_m, after.depth_m, atol=6e-4)
        np.testing.assert_array_equal(before.T_map_camera, after.T_map_camera)
    with pytest.raises(FolderError, match="want a new folder"):
        write_frames(tmp_path / "wall", recording.frames)
    with pytest.raises(FolderError, match="no frame with depth"):
        write_frames(tmp_path / "flat", [replace(recording.frames[0], depth_m=None)])
