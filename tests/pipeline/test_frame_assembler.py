"""Images wait for pose and depth, in order, and what is lost is counted."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.config import InputConfig
from echoseg_ros.errors import ImageFormatError, TimeError
from echoseg_ros.pipeline.frame_assembler import FrameAssembler
from echoseg_ros.types import Camera, DepthData, ImageData, PoseData

CAMERA = Camera(8, 6, 5.0, 5.0, 4.0, 3.0)
MS = 1_000_000


def image(t_ms: int) -> ImageData:
    return ImageData(t_ms * MS, np.zeros((6, 8, 3), np.uint8))


def depth(t_ms: int, shape: tuple[int, int] = (6, 8)) -> DepthData:
    return DepthData(t_ms * MS, np.full(shape, 2.0, np.float32))


def pose(t_ms: int) -> PoseData:
    return PoseData(t_ms * MS, np.eye(4))


def test_waits_for_the_pose_after_it() -> None:
    frames = FrameAssembler(InputConfig())
    frames.add(CAMERA)
    assert frames.add(pose(0)) == []
    assert frames.add(image(50)) == []
    (frame,) = frames.add(pose(100))
    assert frame.stamp_ns == 50 * MS and frame.depth_m is None and frame.index == 0


def test_the_first_image_waits_for_a_depth_image_that_comes_after_it() -> None:
    """A bag with image before depth lost the depth of its first frame."""
    frames = FrameAssembler(InputConfig())
    frames.add(CAMERA)
    frames.add(pose(0))
    assert frames.add(image(0)) == []
    (frame,) = frames.add(depth(0))
    assert frame.depth_m is not None


def test_waits_for_depth_once_there_is_a_depth_camera() -> None:
    frames = FrameAssembler(InputConfig())
    frames.add(CAMERA)
    frames.add(pose(0))
    frames.add(depth(0))
    (first,) = frames.add(image(0))
    assert first.depth_m is not None
    frames.add(pose(100))
    assert frames.add(image(100)) == []
    assert len(frames.add(depth(110))) == 1


def test_an_image_that_never_gets_its_pose_is_counted() -> None:
    frames = FrameAssembler(InputConfig(wait_s=0.5))
    frames.add(CAMERA)
    frames.add(pose(0))
    frames.add(image(100))
    assert frames.add(image(700)) == []
    assert frames.counts["no pose"] == 1 and frames.counts["received"] == 2


def test_depth_of_another_size_is_refused_and_the_next_frame_goes_on() -> None:
    frames = FrameAssembler(InputConfig())
    frames.add(CAMERA)
    frames.add(pose(0))
    frames.add(image(0))
    frames.add(pose(100))
    frames.add(depth(100, (3, 4)))
    with pytest.raises(ImageFormatError, match="4x3"):
        frames.add(image(100))
    frames.add(pose(200))
    frames.add(depth(200))
    assert len(frames.add(image(200))) == 1
    assert frames.counts["depth size"] == 1


def test_time_going_backwards_is_an_error_and_reset_starts_again() -> None:
    frames = FrameAssembler(InputConfig(), use_depth=False)
    frames.add(CAMERA)
    frames.add(pose(1000))
    with pytest.raises(TimeError):
        frames.add(pose(0))
    frames.rewind()
    frames.add(CAMERA)
    frames.add(pose(0))
    assert len(frames.add(image(0))) == 1


def test_far_and_invalid_depth_becomes_no_reading() -> None:
    frames = FrameAssembler(InputConfig(depth_max_m=3.0))
    frames.add(CAMERA)
    frames.add(pose(0))
    bad = np.full((6, 8), 2.0, np.float32)
    bad[0, 0], bad[0, 1], bad[0, 2] = np.nan, np.inf, 3.5
    frames.add(DepthData(0, bad))
    (frame,) = frames.add(image(0))
    assert frame.depth_m is not None
    assert frame.depth_m[0, :3].tolist() == [0, 0, 0] and frame.depth_m[1, 0] == 2.0
