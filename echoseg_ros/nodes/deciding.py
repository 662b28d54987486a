"""The map and the choice, fed with the evidence of any number of sound_nodes."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import PointCloud2

from echoseg_ros.io.decode import stamp_ns
from echoseg_ros.io.topics import AUDIO_STREAM
from echoseg_ros.nodes.array_source import DEFAULT_ARRAY
from echoseg_ros.nodes.clouds import cloud_evidence
from echoseg_ros.nodes.map_half import MapHalf, chosen_device
from echoseg_ros.nodes.node_base import Call, EchosegBase, Rewind
from echoseg_ros.nodes.services import MapServices
from echoseg_ros.nodes.verdict_half import VerdictHalf
from echoseg_ros.pipeline.warmup import warm_up
from echoseg_ros.pipeline.worker import Worker
from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_ros.types import SoundEvidence

# Ten seconds of four arrays.
QUEUE = 160
# The transform of an array comes on another topic than its evidence, a little before or after.
_RETRY_S = 0.05


class ObjectNode(EchosegBase):
    """Camera and evidence in, sounding objects out. Where each array was comes from TF."""

    def __init__(self, **options: Any) -> None:
        super().__init__("object_node", **options)
        device = chosen_device(self.params.device)
        self.map_half = MapHalf(self, device)
        self.verdict_half = VerdictHalf(self, self.map_half)
        self._judge = Worker[Any]("judge", self._handle, QUEUE, _droppable, self.failed("judge"))
        self.workers["judge"] = self._judge
        self._waiting: deque[tuple[float, PointCloud2]] = deque()
        warm_up(self.config, load_array(DEFAULT_ARRAY), device)
        self.map_services = MapServices(self, self.map_half, self.verdict_half, None)
        self.start_workers()
        self.listen_to_transforms()
        self.listen_to_poses()
        for topic in self.params.evidence_topics:
            self.inputs[topic] = self.make_input(
                PointCloud2, topic, AUDIO_STREAM, lambda message: message, self._take_evidence
            )
        self.create_timer(_RETRY_S, self._look_up, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.map_half.listen()

    def _take_evidence(self, message: PointCloud2) -> None:
        self._waiting.append((time.monotonic(), message))
        self._look_up()

    def _look_up(self) -> None:
        """Hand on the evidence whose array's pose is known by now; give up on what has waited too long."""
        assert self.transforms is not None
        for _ in range(len(self._waiting)):
            since_s, message = self._waiting.popleft()
            frame = message.header.frame_id
            T_map_array = self.transforms.at(self.params.map_frame, frame, stamp_ns(message.header))
            if T_map_array is not None:
                try:
                    self._judge.put(cloud_evidence(message, T_map_array, self.config.sound.window_s))
                except Exception as error:  # a cloud of another maker
                    self.log.warn("evidence", f"evidence in {frame!r}: {error} (message skipped)")
            elif time.monotonic() - since_s < self.config.input.wait_s:
                self._waiting.append((since_s, message))
            else:
                self.log.warn(
                    f"no transform of {frame}",
                    f"evidence in frame {frame!r}: no transform from {self.params.map_frame!r} to it at its stamp",
                )

    def _handle(self, item: Any) -> None:
        if isinstance(item, Rewind):
            self.verdict_half.rewind()
        elif isinstance(item, Call):
            item.run()
        else:
            self.verdict_half.add(item)

    def statistics(self) -> dict[str, str]:
        """For the diagnostics."""
        return {**self.map_half.statistics(), **self.verdict_half.statistics()}

    def finish(self) -> None:
        """Stop the threads and write the run's files where a folder is set."""
        super().finish()
        self.map_services.save_results()


def _droppable(item: Any) -> bool:
    return isinstance(item, SoundEvidence)
