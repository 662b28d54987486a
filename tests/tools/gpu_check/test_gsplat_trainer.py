"""Initial points of gsplat's trainer."""

from __future__ import annotations

import numpy as np

from echoseg_ros.types import Camera
from gpu_check.frames import synthetic_recording
from gpu_check.gsplat_trainer import depth_points

CAMERA = Camera(48, 36, 45.0, 45.0, 24.0, 18.0)


def test_points_of_the_depth_lie_on_the_surfaces() -> None:
    points, colors = depth_points(synthetic_recording(CAMERA, 9), 400)
    on_wall, on_box = np.abs(points[:, 1] - 2.0) < 1e-5, np.abs(points[:, 1] - 1.2) < 1e-5
    assert (on_wall | on_box).all() and on_box.any()
    np.testing.assert_allclose(colors[on_box], np.broadcast_to(np.array([200, 40, 30]) / 255, (on_box.sum(), 3)))
