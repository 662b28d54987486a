"""Resampled poses against the track that they come from."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.geometry import PoseTrack, transform
from echoseg_ros.sound.calibration.resampled_poses import ResampledPoses


def track(until_s: float) -> PoseTrack:
    """A camera that moves along x at 1 m/s."""
    poses = PoseTrack(max_gap_s=0.5, keep_s=1000.0)
    for t in np.arange(0.0, until_s + 0.05, 0.1):
        poses.add(round(t * 1e9), transform(np.eye(3), np.array([t, 0.0, 0.0])))
    return poses


def test_poses_are_those_of_the_track() -> None:
    poses = ResampledPoses(reach_s=0.3)
    poses.extend(track(2.0), 500_000_000)
    stamps_ns = np.array([[0.31e9, 0.777e9], [1.0e9, 1.9e9]])
    assert poses.at(stamps_ns)[..., 0, 3] == pytest.approx(stamps_ns / 1e9)


def test_a_stamp_is_covered_only_with_poses_over_the_whole_reach() -> None:
    poses = ResampledPoses(reach_s=0.3)
    poses.extend(track(2.0), 500_000_000)
    assert poses.cover(1_000_000_000)
    assert not poses.cover(1_900_000_000)  # no poses after 2 s yet
    poses.extend(track(3.0), 1_500_000_000)
    assert poses.cover(1_900_000_000)
    assert not poses.cover(1_000_000_000)  # older poses were dropped
