"""Evidence and the map's snapshot in, verdicts published; runs in the thread of the sound."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from echoseg_ros.io.topics import LATCHED, OutputNames
from echoseg_ros.nodes.clouds import segments_cloud
from echoseg_ros.nodes.convert import sounding_detections, source_detections
from echoseg_ros.nodes.map_half import MapHalf
from echoseg_ros.nodes.markers import MarkerBoard
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.pipeline.decision_stage import DecisionStage
from echoseg_ros.pipeline.timeline import Timeline
from echoseg_ros.types import SoundEvidence, Verdict

# Latencies kept for the percentiles: an hour at four windows a second.
MAX_LATENCIES = 15_000


class VerdictHalf:
    """The judge with its publishers. `lock` is held while the judge works; hold it to read the judge elsewhere."""

    def __init__(self, node: EchosegBase, map_half: MapHalf) -> None:
        self._node = node
        self._map_half = map_half
        self.lock = threading.Lock()
        self.judge = DecisionStage(node.config)
        # Whoever has the audio gives the sources their labels, and says what they sound like.
        self.name: Callable[[Verdict], Verdict] = lambda verdict: verdict
        self.heard_as: Callable[[], dict[int, dict[str, float]]] = dict
        self.verdict = Verdict(0, 0)
        self.history = Timeline()
        self.latencies_ms: deque[float] = deque(maxlen=MAX_LATENCIES)
        self._board = MarkerBoard(node.params.map_frame)
        self._segments_ns: int | None = None
        names = OutputNames()
        self._markers = node.publisher(MarkerArray, names.markers, LATCHED)
        self._sounding = node.publisher(Detection3DArray, names.sounding, LATCHED)
        self._sources = node.publisher(Detection3DArray, names.sources, LATCHED)
        self._segments = node.publisher(PointCloud2, names.segments, LATCHED)

    def add(self, evidence: SoundEvidence) -> None:
        """Judge one more window and publish."""
        snapshot = self._map_half.snapshot
        with self.lock:
            self.judge.heard_as(self.heard_as())
            verdict = self.name(self.judge.add(evidence, snapshot))
            self.verdict = self._map_half.verdict = verdict
            self.history.add(verdict)
        frame = self._node.params.map_frame
        self._markers.publish(self._board.update(verdict))
        self._sounding.publish(sounding_detections(verdict, frame))
        self._sources.publish(source_detections(verdict, frame))
        self.latencies_ms.append((self._node.get_clock().now().nanoseconds - verdict.window_end_ns) / 1e6)
        if self._segments_are_due(verdict.stamp_ns):
            max_points = self._node.config.output.map_points
            self._segments.publish(segments_cloud(snapshot, verdict, frame, max_points))

    def rewind(self) -> None:
        """Time went back: what was heard belongs to another time; the history goes on."""
        with self.lock:
            self.judge = DecisionStage(self._node.config)

    def reset(self) -> None:
        """Forget everything that was heard."""
        with self.lock:
            self.judge = DecisionStage(self._node.config)
            self.verdict = Verdict(self.verdict.stamp_ns, self.verdict.window_end_ns)
            self._map_half.verdict = None
            self.history = Timeline()
        self._markers.publish(self._board.update(self.verdict))

    def _segments_are_due(self, stamp_ns: int) -> bool:
        rate_hz = self._node.config.output.map_rate_hz
        last_ns = self._segments_ns
        if rate_hz <= 0 or (last_ns is not None and 0 <= stamp_ns - last_ns < 1e9 / rate_hz):
            return False
        self._segments_ns = stamp_ns
        return True

    def statistics(self) -> dict[str, str]:
        """For the diagnostics."""
        if not self.latencies_ms:
            return {}
        p50, p95 = np.percentile(list(self.latencies_ms), [50, 95])
        return {"latency_ms p50": f"{p50:.0f}", "latency_ms p95": f"{p95:.0f}"}
