"""The environment of `make setup`: message packages are equal to the released ones and usable from rclpy."""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS 2 wheels or a ROS installation")
executors = pytest.importorskip("rclpy.executors", reason="needs ROS 2: make setup, or a ROS installation")

MESSAGE_FOLDERS = Path(__file__).parents[1] / "tools" / "ros_msgs"
# Domain of this process: test runs on one machine do not receive each other's messages.
DOMAIN_ID = 1 + os.getpid() % 100
# Longest wait for a message, s.
TIMEOUT_S = 10.0

# First digits of the RIHS01 hashes of the released packages: audio_common_msgs 0.4.0, vision_msgs 4.1.1, tf2_msgs
# 0.36.22. Publisher and subscriber with different hashes do not communicate; a field that differs changes the hash.
RELEASED_HASHES = {
    "audio_common_msgs/msg/AudioData": "a9742fba1567e649",
    "audio_common_msgs/msg/AudioDataStamped": "6fc679d5a868ed68",
    "audio_common_msgs/msg/AudioInfo": "b3494d204e513d2c",
    "tf2_msgs/msg/TF2Error": "db2485e7d6a0ec75",
    "tf2_msgs/msg/TFMessage": "e369d0f05a23ae52",
    "vision_msgs/msg/BoundingBox2D": "008eacbb0cf8f26e",
    "vision_msgs/msg/BoundingBox2DArray": "2464e82838009386",
    "vision_msgs/msg/BoundingBox3D": "bbb73a65c163d7f9",
    "vision_msgs/msg/BoundingBox3DArray": "a81938db9576b10c",
    "vision_msgs/msg/Classification": "f74db28d0eaef3af",
    "vision_msgs/msg/Detection2D": "0d12b69df5c593b3",
    "vision_msgs/msg/Detection2DArray": "214274120007f4a6",
    "vision_msgs/msg/Detection3D": "ddd703be132ab0b6",
    "vision_msgs/msg/Detection3DArray": "793f5eab9595ac1c",
    "vision_msgs/msg/LabelInfo": "3d37df4015cdf660",
    "vision_msgs/msg/ObjectHypothesis": "51da43cec11c0195",
    "vision_msgs/msg/ObjectHypothesisWithPose": "41c12344c0396c48",
    "vision_msgs/msg/Point2D": "eab0e83f44ab4de9",
    "vision_msgs/msg/Pose2D": "b0b5d1d7b4c20dd4",
    "vision_msgs/msg/VisionClass": "1e4a11f0fed50b56",
    "vision_msgs/msg/VisionInfo": "95d3116a17484ad9",
}


def round_trip(message: Any, topic: str) -> Any:
    """Publish a message and return the message that a subscriber in the same context receives."""
    context = rclpy.context.Context()
    rclpy.init(context=context, domain_id=DOMAIN_ID)
    node = rclpy.create_node("test_environment", context=context)
    executor = executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    received: list[Any] = []
    try:
        publisher = node.create_publisher(type(message), topic, 1)
        node.create_subscription(type(message), topic, received.append, 1)
        deadline = time.monotonic() + TIMEOUT_S
        while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.05)
        publisher.publish(message)
        while not received and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.05)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    assert received, f"nothing arrived on {topic} within {TIMEOUT_S} s"
    return received[0]


@pytest.fixture(autouse=True)
def localhost_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@pytest.mark.parametrize("name", sorted(RELEASED_HASHES))
def test_our_message_has_the_hash_of_the_released_one(name: str) -> None:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    # The definitions of the store are removed first: only our files are compared.
    store = get_typestore(Stores.ROS2_JAZZY)
    package = name.split("/")[0]
    ours = {}
    for file in (MESSAGE_FOLDERS / package / "msg").glob("*.msg"):
        ours.update(get_types_from_msg(file.read_text(), f"{package}/msg/{file.stem}"))
    for known in ours:
        store.fielddefs.pop(known, None)
    store.register(ours)
    assert store.hash_rihs01(name).startswith("RIHS01_" + RELEASED_HASHES[name])


@pytest.mark.parametrize("name", sorted(RELEASED_HASHES))
def test_message_classes_exist(name: str) -> None:
    package, _, message = name.split("/")
    assert hasattr(import_module(f"{package}.msg"), message)


def test_transform_service_and_action_exist() -> None:
    assert import_module("tf2_msgs.srv").FrameGraph.Response().frame_yaml == ""
    assert import_module("tf2_msgs.action").LookupTransform.Goal().advanced is False


def test_audio_makes_a_round_trip() -> None:
    from audio_common_msgs.msg import AudioDataStamped

    sent = AudioDataStamped()
    sent.header.frame_id = "array"
    sent.audio.data = bytes(range(256))
    received = round_trip(sent, "audio")
    assert bytes(received.audio.data) == bytes(range(256))
    assert received == sent


def test_detections_make_a_round_trip() -> None:
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = "elsewhere"
    hypothesis.hypothesis.score = 0.25
    hypothesis.pose.covariance[35] = 4.0
    detection = Detection3D(id="7", results=[hypothesis])
    detection.bbox.center.position.z = 1.5
    detection.bbox.size.x = 0.5
    sent = Detection3DArray(detections=[detection])
    assert round_trip(sent, "detections") == sent


def test_transforms_make_a_round_trip() -> None:
    from geometry_msgs.msg import TransformStamped
    from tf2_msgs.msg import TFMessage

    edge = TransformStamped(child_frame_id="camera")
    edge.header.frame_id = "map"
    edge.transform.rotation.w = 1.0
    sent = TFMessage(transforms=[edge])
    assert round_trip(sent, "transforms") == sent
