"""Keyframes: selection by motion and time, the store of kept ones, and reduction to the map's resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from checkered_room import pose, room_view

from echoseg_ros import geometry
from echoseg_ros.config import KeyframeConfig
from echoseg_ros.mapping.keyframes import (
    Keyframe,
    KeyframeReason,
    KeyframeSelector,
    KeyframeStore,
    reduced,
    reduced_depth,
    reduced_rgb,
)


def test_selection_by_motion_and_time() -> None:
    config = KeyframeConfig(min_translation=0.05, min_interval_s=0.3, max_interval_s=1.0)
    selector = KeyframeSelector(config)
    view = room_view(0, pose(0.0))

    def at(seconds: float, x: float) -> KeyframeReason:
        return selector.select(
            replace(view, stamp_ns=int(seconds * 1e9), T_map_camera=geometry.transform(np.eye(3), np.array([x, 0, 0]))),
            2.0,
        )

    assert at(0.0, 0.0) is KeyframeReason.FIRST
    assert at(0.1, 1.0) is KeyframeReason.TOO_SOON
    assert at(0.4, 0.01) is KeyframeReason.SAME_VIEW
    assert at(0.5, 0.2) is KeyframeReason.MOVED
    assert at(1.6, 0.2) is KeyframeReason.TIME
    assert not KeyframeReason.SAME_VIEW.accepted and KeyframeReason.MOVED.accepted


def test_store_drops_the_most_redundant_keyframe() -> None:
    store = KeyframeStore(KeyframeConfig(max_count=6))
    places = [0.0, 1.0, 1.01, 2.0, 3.0, 4.0, 5.0]
    dropped = [store.add(Keyframe.of(room_view(i, pose(x)), i, KeyframeReason.MOVED)) for i, x in enumerate(places)]
    assert dropped[:6] == [None] * 6 and dropped[6] in (1, 2)
    assert len(store) == 6 and store[5].id == 6


def test_reduced_depth_never_invents_a_depth() -> None:
    """A cell across a depth edge takes one of its readings; a cell without a reading stays empty."""
    depth = np.array([[1.0, 3.0, 0, 0], [1.0, 3.0, 0, 0], [0, 2.0, 5.0, 5.0], [0, 0, 5.0, 1.0]], np.float32)
    np.testing.assert_array_equal(reduced_depth(depth, 2, 2), [[1.0, 0.0], [2.0, 5.0]])
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[:2, :2] = [[[0] * 3, [100] * 3], [[100] * 3, [200] * 3]]
    assert reduced_rgb(colours, 2, 2)[0, 0].tolist() == [100] * 3


def test_reduced_frame_keeps_rays() -> None:
    """The intrinsics follow the image size, also for sizes that do not divide the original."""
    frame = room_view(0, pose(0.0))
    for width in (80, 64):
        small = reduced(frame, width)
        assert small.camera.width == width == small.rgb.shape[1] and small.depth_m is not None
        truth = room_view(0, pose(0.0), small.camera)
        assert truth.depth_m is not None
        assert np.mean(np.abs(small.depth_m - truth.depth_m) < 0.03) > 0.97
    assert reduced(frame, 160) is frame
