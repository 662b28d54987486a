"""Bad messages: each gets a clear line in the diagnostics, and the node goes on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")
pytest.importorskip("audio_common_msgs", reason="needs ROS 2: make setup, or a ROS installation")

from audio_common_msgs.msg import AudioData, AudioDataStamped, AudioInfo
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_graph import Graph, WaitUntil

from echoseg_ros.io.topics import AUDIO_STREAM, LATCHED, STREAM
from echoseg_ros.nodes.convert import header, pose
from echoseg_ros.nodes.inputs import qos_profile
from echoseg_ros.nodes.sound_node import SoundNode


class Robot:
    """Publishes what the node listens to, and hears its diagnostics."""

    def __init__(self, graph: Graph, audio_qos: QoSProfile | None = None, info_qos: QoSProfile | None = None) -> None:
        self.node = graph.node(lambda context: rclpy.create_node("robot", context=context))
        self.info = self.node.create_publisher(AudioInfo, "audio_info", info_qos or qos_profile(LATCHED))
        self.audio = self.node.create_publisher(
            AudioDataStamped, "audio_stamped", audio_qos or qos_profile(AUDIO_STREAM)
        )
        self.pose = self.node.create_publisher(PoseStamped, "pose", qos_profile(AUDIO_STREAM))
        self.statuses: dict[str, str] = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, qos_profile(STREAM))

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.statuses[status.name.split(": ")[-1]] = status.message

    def says(self, name: str, text: str) -> Callable[[], bool]:
        return lambda: text in self.statuses.get(name, "")

    def send_info(self, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "channels": 8,
            "sample_rate": 16000,
            "sample_format": "S16LE",
            "coding_format": "wave",
        }
        self.info.publish(AudioInfo(**fields | changes))

    def send_second(self, at_s: float, channels: int = 8, with_pose: bool = True) -> None:
        """One second in tenths, and poses."""
        samples = np.random.default_rng(0).integers(-9000, 9000, (1600, channels)).astype("<i2").tobytes()
        for i in range(10):
            at_ns = round((at_s + i / 10) * 1e9)
            data = AudioData(data=samples)
            self.audio.publish(AudioDataStamped(header=header(at_ns, "array"), audio=data))
            if with_pose:
                self.pose.publish(PoseStamped(header=header(at_ns, "map"), pose=pose([0.01 * i, 0, 1])))


def received_s(node: SoundNode) -> float:
    return node.live.sound_statistics.get().received_s


def has_format(node: SoundNode) -> bool:
    return node.live.sound_statistics.get().audio_format is not None


def start(graph: Graph, **parameters: Any) -> SoundNode:
    overrides = [Parameter(name, value=value) for name, value in {"sound.array": "cube8", **parameters}.items()]
    return graph.node(lambda context: SoundNode(context=context, parameter_overrides=overrides))


def matched(robot: Robot) -> Callable[[], bool]:
    return lambda: all(p.get_subscription_count() for p in (robot.info, robot.audio, robot.pose))


def test_silent_topics_are_named_with_their_cause(graph: Graph, wait_until: WaitUntil) -> None:
    """A topic of another name nearby, and one that nobody publishes."""
    other = graph.node(lambda context: rclpy.create_node("other", context=context))
    other.create_publisher(AudioDataStamped, "/mic/audio_stamped", qos_profile(AUDIO_STREAM))
    heard: list[DiagnosticArray] = []
    other.create_subscription(DiagnosticArray, "/diagnostics", heard.append, qos_profile(STREAM))
    start(graph)

    def robot_statuses() -> dict[str, str]:
        return {s.name.split(": ")[-1]: s.message for m in heard for s in m.status}

    wait_until(lambda: "silent" in robot_statuses().get("audio", ""), "the silent audio to be named")
    assert "remap /audio_stamped:=/mic/audio_stamped?" in robot_statuses()["audio"]
    assert "no publisher" in robot_statuses()["pose"]
    stamps = [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in heard]
    first = next(i for i, m in enumerate(heard) if any("silent" in s.message for s in m.status))
    assert stamps[first] - stamps[0] < 2.0


def test_mp3_is_refused_then_wave_accepted(graph: Graph, wait_until: WaitUntil) -> None:
    node, robot = start(graph), Robot(graph)
    wait_until(matched(robot), "subscribers")
    robot.send_info(coding_format="mp3")
    wait_until(robot.says("audio_info", "coding_format mp3 has no phase: set format to wave"), "mp3 to be refused")
    robot.send_second(10.0)
    wait_until(robot.says("audio", "mp3"), "the audio's status to say why nothing is used")
    robot.send_info()
    wait_until(lambda: has_format(node), "the right format")
    robot.send_second(20.0)
    wait_until(lambda: received_s(node) > 0.9, "audio to be used after all")


def test_wrong_channel_count_is_named(graph: Graph, wait_until: WaitUntil) -> None:
    start(graph)
    robot = Robot(graph)
    wait_until(matched(robot), "subscribers")
    robot.send_info(channels=4)
    wait_until(robot.says("audio_info", "4"), "the channel count to be named")
    assert "8" in robot.statuses["audio_info"]


@pytest.mark.parametrize("good_before", [False, True])
def test_wrong_sample_rate_is_named(graph: Graph, wait_until: WaitUntil, good_before: bool) -> None:
    """Also after good audio: a single good message hid that all since were bad, and another warning took its place."""
    node = start(graph)
    robot = Robot(graph)
    wait_until(matched(robot), "subscribers")
    if good_before:
        robot.send_info()
        wait_until(lambda: has_format(node), "the format")
        robot.send_second(4.0)
        wait_until(lambda: node.inputs["audio"].good_s is not None, "good audio")
    robot.send_info(sample_rate=44100)
    seconds = itertools.count(5)

    def named() -> bool:
        # Not faster than a microphone: on a busy machine a flood of messages keeps the answer from coming through.
        robot.send_second(float(next(seconds)))
        time.sleep(1.0)
        return "44100 Hz" in robot.statuses.get("audio", "")

    wait_until(named, "the rate to be named")


def test_nan_pose_is_skipped_and_time_may_go_back(graph: Graph, wait_until: WaitUntil) -> None:
    node, robot = start(graph), Robot(graph)
    wait_until(matched(robot), "subscribers")
    robot.send_info()
    robot.pose.publish(PoseStamped(header=header(1, "map"), pose=pose([float("nan"), 0, 0])))
    wait_until(lambda: node.inputs["pose"].bad == 1, "the bad pose to be counted")
    assert "nan" in node.inputs["pose"].last_problem
    robot.send_second(100.0)
    robot.send_second(101.0)
    wait_until(lambda: received_s(node) > 1.9, "two seconds of audio")
    robot.send_second(50.0)
    robot.send_second(51.0)
    wait_until(lambda: received_s(node) > 3.9, "two more")
    wait_until(lambda: node.log.counts["restart"] >= 1, "the restart to be noticed")
    newest_ns = node.live.call_sound(lambda sound, _: sound.sound_stage.newest_pose_ns if sound.sound_stage else None)
    assert newest_ns is not None and newest_ns < 60e9
    assert node.inputs["pose"].bad == 1


def test_a_best_effort_publisher_is_heard(graph: Graph, wait_until: WaitUntil) -> None:
    node = start(graph)
    robot = Robot(graph, audio_qos=QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT))
    wait_until(matched(robot), "subscribers that take what is offered")
    assert not node.inputs["audio"].reliable
    robot.send_info()
    wait_until(lambda: has_format(node), "the format")
    robot.send_second(10.0)
    wait_until(lambda: received_s(node) > 0.5, "audio")


def test_unlatched_audio_info_is_explained(graph: Graph, wait_until: WaitUntil) -> None:
    robot = Robot(graph, info_qos=QoSProfile(depth=1))
    robot.send_info()
    start(graph)
    wait_until(robot.says("audio_info", "does not latch it"), "the cause of the missing audio_info")
