"""The real node as a process of its own, fed by the player over ROS 2 topics."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")
pytest.importorskip("vision_msgs", reason="needs ROS 2: make setup, or a ROS installation")

import scene_bag
from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from diagnostic_msgs.msg import DiagnosticArray
from ros_graph import Graph, WaitUntil
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import Marker, MarkerArray

from echoseg_ros.io.topics import AUDIO_STREAM, LATCHED, NODE_INPUTS, STREAM, TopicNames
from echoseg_ros.nodes.inputs import qos_profile
from echoseg_ros.nodes.player import PlayOptions, play

START = "import sys; from echoseg_ros.nodes.runtime import echoseg_node; sys.exit(echoseg_node())"
PARAMETERS = {"use_sim_time": "true", "sound.array": "cube8", "map.image_width_px": "160", "map.steps_per_s": "3.0"}


@pytest.fixture
def process(domain: int, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    names = TopicNames()
    fields = ("image", "camera_info", "depth", "pose", "audio", "audio_info")
    parameters = PARAMETERS | {"results_dir": str(tmp_path / "run"), "map_path": str(tmp_path / "map.ply")}
    command = [sys.executable, "-c", START, "--ros-args"]
    command += [word for field in fields for word in ("-r", f"{getattr(NODE_INPUTS, field)}:={getattr(names, field)}")]
    command += [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
    with (tmp_path / "node.log").open("w") as log:
        started = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        yield started
        started.kill()
        started.wait()


def test_messages_in_markers_out(
    process: subprocess.Popen[bytes], graph: Graph, wait_until: WaitUntil, tmp_path: Path
) -> None:
    """One whole life of a node: longer than a usual test, since a node takes seconds to start."""
    bag = scene_bag.write_scene_bag(tmp_path / "bag", seconds=5.0)
    received: dict[str, list[Any]] = {}

    def subscribe_to_all(context: Any) -> Any:
        node = rclpy.create_node("listener", context=context)
        for kind, topic, qos in (
            (MarkerArray, "markers", LATCHED),
            (Detection3DArray, "sounding", LATCHED),
            (Detection3DArray, "sources", LATCHED),
            (Detection3DArray, "objects", LATCHED),
            (PointCloud2, "map", LATCHED),
            (PointCloud2, "segments", LATCHED),
            (PointCloud2, "evidence", STREAM),
            (AudioDataStamped, "beam", AUDIO_STREAM),
            (AudioInfo, "beam_info", LATCHED),
            (DiagnosticArray, "/diagnostics", STREAM),
        ):
            received[topic] = []
            node.create_subscription(kind, topic, received[topic].append, qos_profile(qos))
        return node

    listener = graph.node(subscribe_to_all)
    progress = play(bag, PlayOptions(wait_for=("/camera/image_raw", "/audio/audio_stamped"), patience_s=100.0))
    assert progress.sent == 50 * 6 + 2

    def boxes() -> list[Marker]:
        return [
            m
            for array in received["markers"]
            for m in array.markers
            if m.ns == "sounding_box" and m.action == Marker.ADD
        ]

    wait_until(boxes, "a marker of a sounding object")
    position = boxes()[-1].pose.position
    assert np.linalg.norm([position.x, position.y, position.z] - scene_bag.BOXES[0][0]) < 0.2
    assert received["markers"][-1].markers[0].header.frame_id == "map"
    stamp = received["markers"][-1].markers[0].header.stamp
    assert 5.0 < stamp.sec + stamp.nanosec * 1e-9 < 10.0, "sensor time, not the wall's"
    for topic in received:
        wait_until(partial(received.__getitem__, topic), f"a message on {topic}")
    sounding = received["sounding"][-1].detections[0]
    assert sounding.results[0].hypothesis.score > 0.5
    source = received["sources"][-1].detections[0].results[0]
    assert source.hypothesis.class_id == sounding.results[0].hypothesis.class_id
    assert source.pose.covariance[0] > 0
    info, pieces = received["beam_info"][-1], received["beam"]
    assert (info.channels, info.sample_rate, info.sample_format) == (1, 16000, "S16LE")
    assert {len(piece.audio.data) for piece in pieces} == {2 * 4000}  # a hop of 0.25 s each, one after the other
    stamps_s = [piece.header.stamp.sec + piece.header.stamp.nanosec * 1e-9 for piece in pieces]
    np.testing.assert_allclose(np.diff(stamps_s) / 0.25, np.round(np.diff(stamps_s) / 0.25), atol=0.02)
    assert np.abs(np.frombuffer(bytes(pieces[-1].audio.data), "<i2")).max() > 50

    def call(name: str) -> Any:
        client = listener.create_client(Trigger, name)
        assert client.wait_for_service(30.0)
        answer = client.call_async(Trigger.Request())
        wait_until(answer.done, name)
        return answer.result()

    saved = call("save_map")
    assert saved.success, saved.message
    assert (tmp_path / "map.ply").stat().st_size > 1000
    loaded = call("load_map")
    assert loaded.success and loaded.message.split()[:2] == saved.message.split()[:2], loaded.message
    (tmp_path / "map.ply").write_text("ply\nformat ascii 1.0\nelement vertex 8\nelement face 12\nend_header\n")
    refused = call("load_map")
    assert not refused.success and "a mesh of 8 vertices and 12 faces" in refused.message
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, (tmp_path / "node.log").read_text()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["audio"]["dropped_s"] == 0
    assert metrics["latency_ms"]["p95"] < 5000
    assert "Traceback" not in (tmp_path / "node.log").read_text()
