"""Points that lie on surfaces, published once before the node is there, reach the map."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")
pytest.importorskip("vision_msgs", reason="needs ROS 2: make setup, or a ROS installation")

from rclpy.parameter import Parameter
from ros_graph import Graph, WaitUntil
from sensor_msgs.msg import PointCloud2

from echoseg_ros.io.topics import LATCHED, NODE_INPUTS
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.nodes.clouds import MAP_POINT, cloud
from echoseg_ros.nodes.inputs import qos_profile
from echoseg_ros.nodes.object_node import ObjectNode


def test_latched_points_reach_the_map(graph: Graph, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[NDArray[np.float32]] = []
    monkeypatch.setattr(Mapper, "set_seed_points", lambda self, points_map: arrived.append(points_map))
    points = np.zeros(4, MAP_POINT)
    points["x"], points["z"] = np.arange(4), 0.5
    robot = graph.node(lambda context: rclpy.create_node("robot", context=context))
    robot.create_publisher(PointCloud2, NODE_INPUTS.points, qos_profile(LATCHED)).publish(cloud(points, 0, "map"))
    overrides = [Parameter("device", value="cpu")]
    graph.node(lambda context: ObjectNode(context=context, parameter_overrides=overrides))
    wait_until(lambda: bool(arrived), "the points")
    np.testing.assert_array_equal(arrived[0], [[0, 0, 0.5], [1, 0, 0.5], [2, 0, 0.5], [3, 0, 0.5]])
