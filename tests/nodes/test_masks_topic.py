"""Masks of another node, live: they make the objects; where none come, the diagnostics say so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")
pytest.importorskip("vision_msgs", reason="needs ROS 2: make setup, or a ROS installation")

import scene_bag
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from ros_graph import Graph, WaitUntil
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection3DArray

from echoseg_ros.geometry import apply, pixel_rays, quaternion_xyzw
from echoseg_ros.io.topics import AUDIO_STREAM, LATCHED, NODE_INPUTS, STREAM
from echoseg_ros.nodes import camera_inputs
from echoseg_ros.nodes.convert import header, pose, rgb_image
from echoseg_ros.nodes.inputs import qos_profile
from echoseg_ros.nodes.object_node import ObjectNode

CAMERA = scene_bag.CAMERA
START_S = 5.0


def image(at_ns: int, pixels: NDArray[Any], encoding: str) -> Image:
    height, width = pixels.shape
    return Image(
        header=header(at_ns, "camera"), height=height, width=width, encoding=encoding, step=pixels.strides[0],
        data=pixels.tobytes(),
    )  # fmt: skip


class Robot:
    """A camera with depth, and a node beside it that segments the first box (as 200 of 16UC1)."""

    def __init__(self, graph: Graph) -> None:
        self.node = graph.node(lambda context: rclpy.create_node("robot", context=context))
        make = self.node.create_publisher
        self.info = make(CameraInfo, NODE_INPUTS.camera_info, qos_profile(STREAM))
        self.rgb = make(Image, NODE_INPUTS.image, qos_profile(STREAM))
        self.depth = make(Image, NODE_INPUTS.depth, qos_profile(STREAM))
        self.pose = make(PoseStamped, NODE_INPUTS.pose, qos_profile(AUDIO_STREAM))
        self.masks = make(Image, "/segmenter/labels", qos_profile(STREAM))
        self.objects: list[Detection3DArray] = []
        self.statuses: dict[str, str] = {}
        self.values: dict[str, str] = {}
        listen = self.node.create_subscription
        listen(Detection3DArray, "objects", self.objects.append, qos_profile(LATCHED))
        listen(DiagnosticArray, "/diagnostics", self._hear, qos_profile(STREAM))

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.statuses[status.name.split(": ")[-1]] = status.message
            self.values.update({pair.key: pair.value for pair in status.values})

    def send(self, i: int, with_masks: bool) -> None:
        """Frame i, and its masks after it."""
        t_s = i / scene_bag.RATE_HZ
        at_ns = round((START_S + t_s) * 1e9)
        T_map_camera = scene_bag.pose(t_s)
        rgb, depth_m = scene_bag.render(T_map_camera)
        k = [CAMERA.fx, 0.0, CAMERA.cx - 0.5, 0.0, CAMERA.fy, CAMERA.cy - 0.5, 0.0, 0.0, 1.0]
        self.info.publish(CameraInfo(header=header(at_ns, "camera"), height=CAMERA.height, width=CAMERA.width, k=k))
        placed = pose(T_map_camera[:3, 3], quaternion_xyzw(T_map_camera[:3, :3]))
        self.pose.publish(PoseStamped(header=header(at_ns, "map"), pose=placed))
        self.rgb.publish(rgb_image(at_ns, "camera", rgb))
        self.depth.publish(image(at_ns, np.round(depth_m * 1000).astype("<u2"), "16UC1"))
        if with_masks:
            center, half = scene_bag.BOXES[0]
            points = apply(T_map_camera, pixel_rays(CAMERA) * depth_m[..., None])
            inside = (np.abs(points - center) <= half + 1e-3).all(axis=-1)
            self.masks.publish(image(at_ns, np.where(inside, 200, 0).astype("<u2"), "16UC1"))


def start(graph: Graph) -> ObjectNode:
    settings: dict[str, Any] = {
        "device": "cpu",
        "masks.backend": "topic",
        "map.image_width_px": 80,
        "map.spare_share": 0.0,
    }
    overrides = [Parameter(name, value=value) for name, value in settings.items()]
    remaps = ["--ros-args", "-r", "masks:=/segmenter/labels"]
    return graph.node(lambda context: ObjectNode(context=context, parameter_overrides=overrides, cli_args=remaps))


def has_received(node: ObjectNode, name: str, count: int) -> bool:
    return node.inputs[name].received >= count


def matched(robot: Robot) -> Callable[[], bool]:
    publishers = (robot.info, robot.rgb, robot.depth, robot.pose, robot.masks)
    return lambda: all(publisher.get_subscription_count() for publisher in publishers)


def test_masks_of_a_remapped_topic_become_objects(graph: Graph, wait_until: WaitUntil) -> None:
    robot = Robot(graph)
    node = start(graph)
    wait_until(matched(robot), "the node's subscriptions")
    for i in range(30):
        robot.send(i, with_masks=True)
        wait_until(partial(has_received, node, "masks", i + 1), "the masks to arrive")
        node.live.workers["map"].drain()
    wait_until(lambda: robot.objects and robot.objects[-1].detections, "an object")
    (detection,) = robot.objects[-1].detections
    center = detection.bbox.center.position
    assert np.linalg.norm([center.x, center.y, center.z] - scene_bag.BOXES[0][0]) < 0.15
    wait_until(lambda: int(robot.values.get("masks used", 0)) >= 3, "the count of masks in the diagnostics")
    wait_until(lambda: robot.values["masks received"] == "30", "all masks in the diagnostics")
    assert robot.values["masks dropped before the map saw them"] == "0"


def test_masks_that_do_not_come_are_said_and_the_map_goes_on(
    graph: Graph, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_inputs, "MASKS_SILENT_S", 1.0)
    robot = Robot(graph)
    node = start(graph)
    wait_until(matched(robot), "the node's subscriptions")
    for i in range(40):
        robot.send(i, with_masks=False)
        wait_until(partial(has_received, node, "depth", i + 1), "the frame to arrive")
        node.live.workers["map"].drain()
    wait_until(lambda: "silent" in robot.statuses.get("masks", ""), "the silent masks to be named")
    assert "sends nothing" in robot.statuses["masks"]
    wait_until(lambda: int(robot.values.get("keyframes without masks", 0)) >= 1, "keyframes that waited in vain")
    assert int(robot.values["gaussians"]) > 100
    assert not robot.objects[-1].detections
