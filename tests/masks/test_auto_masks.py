"""The choice between geometry and the network by the kind of depth."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.factory import make_masks
from echoseg_ros.masks.geometric.geometric_masks import GeometricMasks
from echoseg_ros.masks.network.network_masks import NetworkMasks
from echoseg_ros.types import CameraFrame


def test_geometry_is_used_with_depth_of_a_sensor_and_the_network_without(
    network: NetworkMasks, room_views: list[tuple[CameraFrame, NDArray[np.int32]]]
) -> None:
    frame, ids = room_views[0]
    auto = make_masks(MaskConfig(backend="auto"))
    with_sensor = auto.propose(frame)
    assert with_sensor.backend == "geometric"
    np.testing.assert_array_equal(with_sensor.labels, GeometricMasks().propose(frame).labels)
    blind, alpha = replace(frame, depth_m=None), np.ones(ids.shape, np.float32)
    assert frame.depth_m is not None
    without_sensor = auto.propose(blind, frame.depth_m, alpha)
    assert without_sensor.backend == "network"
    np.testing.assert_array_equal(without_sensor.labels, network.propose(blind, frame.depth_m, alpha).labels)
