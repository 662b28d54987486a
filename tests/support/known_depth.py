"""Depth of frames that are known to have it."""

from __future__ import annotations

from echoseg_ros.types import CameraFrame, FloatImage


def depth_of(frame: CameraFrame) -> FloatImage:
    """Depth [H, W] of a frame with depth, metres or map units."""
    assert frame.depth_m is not None
    return frame.depth_m
