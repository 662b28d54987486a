"""Evidence of any number of sound_nodes: each cloud waits until TF knows where its array was."""

from __future__ import annotations

import time
from collections import deque

from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import PointCloud2

from echoseg_ros.io.decode import stamp_ns
from echoseg_ros.io.topics import AUDIO_STREAM
from echoseg_ros.nodes.clouds import cloud_evidence
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.nodes.pose_source import Transforms
from echoseg_ros.pipeline.live import LivePipeline

# Period of the look-up: an array's transform comes on another topic than its evidence, a little earlier or later.
_LOOK_UP_S = 0.05


class EvidenceInputs:
    """Puts evidence into the live pipeline once its array's pose is known; waits up to `input.wait_s`."""

    def __init__(self, node: EchosegBase, live: LivePipeline, transforms: Transforms) -> None:
        self._node = node
        self._live = live
        self._transforms = transforms
        self._waiting: deque[tuple[float, PointCloud2]] = deque()
        for topic in node.params.evidence_topics:
            node.inputs[topic] = node.make_input(PointCloud2, topic, AUDIO_STREAM, lambda message: message, self._take)
        node.create_timer(_LOOK_UP_S, self._look_up, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _take(self, message: PointCloud2) -> None:
        self._waiting.append((time.monotonic(), message))
        self._look_up()

    def _look_up(self) -> None:
        for _ in range(len(self._waiting)):
            since_s, message = self._waiting.popleft()
            if self._put(message):
                continue
            if time.monotonic() - since_s < self._node.config.input.wait_s:
                self._waiting.append((since_s, message))
            else:
                self._report_missing_transform(message.header.frame_id)

    def _put(self, message: PointCloud2) -> bool:
        """Whether the array's pose is known: then the evidence is in the pipeline, or reported as unusable."""
        frame = message.header.frame_id
        T_map_array = self._transforms.at(self._node.params.map_frame, frame, stamp_ns(message.header))
        if T_map_array is None:
            return False
        try:
            self._live.put(cloud_evidence(message, T_map_array, self._node.config.sound.window_s))
        except Exception as error:  # a cloud of another maker
            self._node.log.warn("evidence", f"evidence in {frame!r}: {error} (message skipped)")
        return True

    def _report_missing_transform(self, frame: str) -> None:
        self._node.log.warn(
            f"no transform of {frame}",
            f"evidence in frame {frame!r}: no transform from {self._node.params.map_frame!r} to it at its stamp",
        )
