"""Tensors of a keyframe: the known pixels, and their content."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from checkered_room import pose, room_view

from echoseg_ros.mapping.keyframe_tensors import KNOWN_WINDOW_PX, KeyframeTensors
from echoseg_ros.mapping.keyframes import Keyframe, KeyframeReason
from echoseg_ros.types import FloatImage


def keyframe(depth: FloatImage) -> Keyframe:
    return Keyframe.of(replace(room_view(0, pose(0.0)), depth_m=depth), 0, KeyframeReason.FIRST)


def test_pixels_around_a_measured_depth_are_known() -> None:
    depth = np.zeros((120, 160), np.float32)
    depth[50, 70] = depth[119, 0] = 2.0
    view = KeyframeTensors.of(keyframe(depth), torch.device("cpu"))
    reach = KNOWN_WINDOW_PX // 2
    expected = np.zeros(depth.shape, bool)
    expected[50 - reach : 51 + reach, 70 - reach : 71 + reach] = True
    expected[119 - reach :, : 1 + reach] = True
    np.testing.assert_array_equal(view.known.numpy(), expected)
    assert torch.equal(view.depth, torch.from_numpy(depth))


def test_no_pixel_is_known_without_a_measured_depth() -> None:
    view = KeyframeTensors.of(keyframe(np.zeros((120, 160), np.float32)), torch.device("cpu"), weight=0.4)
    assert not view.depth.any() and view.known.shape == (120, 160) and not view.known.any()
    assert view.weight == 0.4
    torch.testing.assert_close(view.image, torch.from_numpy(view.keyframe.rgb).float() / 255)
