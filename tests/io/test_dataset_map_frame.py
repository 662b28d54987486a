"""The level map frame: the vertical of camera poses is estimated despite outliers."""

from __future__ import annotations

import numpy as np
from dataset_maker import T_world_level, level_pose

from echoseg_ros.geometry import look_at
from echoseg_ros.io.dataset_map_frame import level_transform


def test_the_vertical_is_found_with_outliers_and_with_cameras_that_do_not_turn() -> None:
    upright = [T_world_level() @ level_pose(n) for n in range(30)]
    outliers = [look_at(np.zeros(3), np.array([0.3, 0.1 * n, 1.0]), (1.0, 0.2, 0.0)) for n in range(2)]
    up = T_world_level()[:3, 2]
    assert (level_transform(np.stack(upright + outliers))[:3, :3] @ up)[2] > np.cos(np.deg2rad(5.0))
    not_turning = np.stack(
        [T_world_level() @ look_at(np.array([0.1 * n, 0, 0]), np.array([0.1 * n, 5, 0.0])) for n in range(9)]
    )
    assert (level_transform(not_turning)[:3, :3] @ up)[2] > np.cos(np.deg2rad(0.1))
