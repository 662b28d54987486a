"""Input channels of the grouping network."""

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.masks.network.network_input import CHANNELS, network_input
from echoseg_ros.masks.surface import make_surface
from echoseg_ros.types import CameraFrame, Float64Array, FloatImage


def test_rotation_about_the_vertical_and_translation_do_not_change_the_input(
    room_views: list[tuple[CameraFrame, NDArray[np.int32]]],
) -> None:
    frame, _ = room_views[1]
    depth_m = frame.depth_m
    assert depth_m is not None
    alpha = np.ones(depth_m.shape, np.float32)

    def input_at(T_map_camera: Float64Array) -> FloatImage:
        surface = make_surface(frame.camera, depth_m, T_map_camera)
        return network_input(frame.camera, frame.rgb, surface, alpha, T_map_camera)

    c, s = np.cos(1.1), np.sin(1.1)
    moved = np.array([[c, -s, 0, 3.0], [s, c, 0, -2.0], [0, 0, 1, 5.0], [0, 0, 0, 1]]) @ frame.T_map_camera
    original, rotated = input_at(frame.T_map_camera), input_at(moved)
    assert original.shape == (CHANNELS, 252, 252)
    np.testing.assert_allclose(original, rotated, atol=2e-3)
    assert (original[3:13, depth_m == 0] == 0).all()
