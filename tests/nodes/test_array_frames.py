"""Where the microphones are, from the transform tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")

from audio_common_msgs.msg import AudioData, AudioDataStamped, AudioInfo
from geometry_msgs.msg import TransformStamped
from rclpy.parameter import Parameter
from ros_graph import Graph, WaitUntil
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from echoseg_ros.io.topics import AUDIO_STREAM, LATCHED, STREAM
from echoseg_ros.nodes.convert import transform_stamped
from echoseg_ros.nodes.inputs import qos_profile
from echoseg_ros.nodes.parameters import read_parameters
from echoseg_ros.nodes.sound_node import SoundNode
from echoseg_ros.types import AudioFormat

# On the robot's head, which looks along +x: the optical frame looks along its own +z.
T_HEAD_CAMERA = np.array([[0, 0, 1, 0.1], [-1, 0, 0, 0], [0, -1, 0, 0.2], [0, 0, 0, 1.0]])
PLACES_HEAD = np.array([[0.05, 0.06, 0.3], [0.05, -0.06, 0.3], [-0.05, -0.06, 0.3], [-0.05, 0.06, 0.32]])
FRAMES = ["mic_front_left", "mic_front_right", "mic_back_right", "mic_back_left"]


def edges(places: np.ndarray) -> list[TransformStamped]:
    at = [np.block([[np.eye(3), place[:, None]], [np.zeros((1, 3)), 1.0]]) for place in places]
    return [transform_stamped(0, "head", "camera", T_HEAD_CAMERA)] + [
        transform_stamped(0, "head", frame, T) for frame, T in zip(FRAMES, at, strict=False)
    ]


def audio_format(node: SoundNode) -> AudioFormat | None:
    return node.live.sound_statistics.get().audio_format


def start(graph: Graph, **parameters: Any) -> SoundNode:
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    return graph.node(lambda context: SoundNode(context=context, parameter_overrides=overrides))


class Robot:
    """A driver of a camera and of microphones, and a broadcaster of fixed frames."""

    def __init__(self, graph: Graph) -> None:
        node = graph.node(lambda context: rclpy.create_node("robot", context=context))
        self.info = node.create_publisher(AudioInfo, "audio_info", qos_profile(LATCHED))
        self.audio = node.create_publisher(AudioDataStamped, "audio_stamped", qos_profile(AUDIO_STREAM))
        self.camera = node.create_publisher(CameraInfo, "camera_info", qos_profile(STREAM))
        self.tf = node.create_publisher(TFMessage, "/tf_static", qos_profile(LATCHED))

    def send(self, channels: int = 4, at_s: int = 5) -> None:
        self.camera.publish(CameraInfo(header=Header(frame_id="camera")))
        self.info.publish(AudioInfo(channels=channels, sample_rate=48000, sample_format="S16LE", coding_format="wave"))
        header = Header(frame_id="array")
        header.stamp.sec = at_s
        self.audio.publish(AudioDataStamped(header=header, audio=AudioData(data=bytes(4800 * 2 * channels))))


def test_the_microphones_of_an_array_come_from_their_frames(graph: Graph, wait_until: WaitUntil) -> None:
    node, robot = start(graph, microphone_frames=FRAMES), Robot(graph)
    wait_until(lambda: robot.audio.get_subscription_count() and robot.camera.get_subscription_count(), "subscribers")
    robot.send()
    wait_until(lambda: "no transform" in node.inputs["audio"].last_problem, "audio to wait for the frames")
    robot.tf.publish(TFMessage(transforms=edges(PLACES_HEAD)))

    def found() -> bool:
        robot.send()
        return audio_format(node) is not None

    wait_until(found, "the array")
    array = node.array_source.array
    placed = np.column_stack([array.microphones_m, np.ones(4)]) @ (T_HEAD_CAMERA @ array.T_camera_array).T
    np.testing.assert_allclose(placed[:, :3], PLACES_HEAD, atol=1e-6)
    assert array.sample_rate_hz == 48000 and array.channel_order.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(array.microphones_m.mean(axis=0), 0, atol=1e-6)


def test_gains_and_channel_order_stay_those_of_the_file(graph: Graph, wait_until: WaitUntil, tmp_path: Path) -> None:
    """And the evidence is in the frame that array_frame names."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"sample_rate_hz": 16000, "microphones_m": PLACES_HEAD.tolist(),
                                    "channel_order": [3, 2, 1, 0], "gains_db": [0, 1, 2, 3]}))  # fmt: skip
    parameters = {"sound.array": str(path), "microphone_frames": FRAMES, "array_frame": "head"}
    node, robot = start(graph, **parameters), Robot(graph)
    wait_until(lambda: robot.tf.get_subscription_count() and robot.camera.get_subscription_count(), "subscribers")
    robot.tf.publish(TFMessage(transforms=edges(PLACES_HEAD)))

    def found() -> bool:
        robot.send()
        return audio_format(node) is not None

    wait_until(found, "the array")
    array = node.array_source.array
    np.testing.assert_allclose(array.microphones_m, PLACES_HEAD, atol=1e-6)
    np.testing.assert_allclose(array.T_camera_array, np.linalg.inv(T_HEAD_CAMERA), atol=1e-6)
    assert array.channel_order.tolist() == [3, 2, 1, 0] and array.gains_db.tolist() == [0, 1, 2, 3]


def test_audio_of_other_channels_than_frames_is_refused(graph: Graph, wait_until: WaitUntil) -> None:
    node, robot = start(graph, microphone_frames=FRAMES), Robot(graph)
    wait_until(lambda: robot.info.get_subscription_count(), "subscribers")
    robot.send(channels=6)
    wait_until(
        lambda: "4 microphone_frames, the audio has 6 channels" in node.inputs["audio_info"].last_problem, "that"
    )
    assert audio_format(node) is None


def test_no_frames_is_what_ros_makes_of_an_empty_list(graph: Graph) -> None:
    node = rclpy.create_node("reader", context=graph.context)
    graph.close_at_end(node)
    node._parameter_overrides = {"microphone_frames": Parameter("microphone_frames", Parameter.Type.NOT_SET)}
    assert read_parameters(node)[1].microphone_frames == ()
