"""What a node publishes: results of the live pipeline, each in the thread of the worker that made it."""

from __future__ import annotations

import array
import threading
from collections import deque

import numpy as np
from audio_common_msgs.msg import AudioData, AudioDataStamped, AudioInfo
from sensor_msgs.msg import Image, PointCloud2
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from echoseg_ros.errors import EchosegError
from echoseg_ros.io.topics import AUDIO_STREAM, LATCHED, NODE_INPUTS, STREAM, OutputNames
from echoseg_ros.nodes.clouds import evidence_cloud, map_cloud, segments_cloud
from echoseg_ros.nodes.convert import (
    header,
    object_detections,
    rgb_image,
    sounding_detections,
    source_detections,
    transform_stamped,
)
from echoseg_ros.nodes.markers import MarkerBoard
from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.nodes.rate_gate import RateGate
from echoseg_ros.objects.object_mask import object_mask
from echoseg_ros.pipeline.labelling_stage import LabellingStage
from echoseg_ros.pipeline.latest import Latest
from echoseg_ros.pipeline.live import SOUND, LiveListener
from echoseg_ros.pipeline.map_stage import MapStage
from echoseg_ros.report.draw import object_overlay, resized_mask
from echoseg_ros.sound.labels.beamformer import BeamSignal
from echoseg_ros.types import AudioFormat, CameraFrame, MapSnapshot, SoundEvidence, Verdict

# Latencies kept for the percentiles: an hour of four windows a second.
MAX_LATENCIES = 15_000
NAMES = OutputNames()


class NodeOutputs(LiveListener):
    """Tells the publishers of a node what its pipeline made. Nodes without a map leave out map and verdicts.

    always_publish_evidence: also without a subscriber in sight (sound_node). format_refusal: why the audio's format
    cannot be used, "" while it can.
    """

    def __init__(
        self, node: EchosegBase, has_map: bool, has_sound: bool, always_publish_evidence: bool = False
    ) -> None:
        self._node = node
        self.latencies = LatencyLog()
        self.format_refusal = Latest("")
        self._map = MapOutputs(node) if has_map else None
        self._verdicts = VerdictOutputs(node) if has_map else None
        self._evidence = EvidenceOutput(node, always_publish_evidence) if has_sound else None
        self._beam = BeamOutput(node) if has_map and has_sound else None

    def snapshot_made(self, snapshot: MapSnapshot, map_stage: MapStage, verdict: Verdict) -> None:
        """Publish the map and its instances."""
        if self._map is not None:
            self._map.publish(snapshot, map_stage, verdict)

    def evidence_made(self, evidence: SoundEvidence) -> None:
        """Publish the evidence of a window."""
        if self._evidence is not None:
            self._evidence.publish(evidence)

    def verdict_made(self, verdict: Verdict, snapshot: MapSnapshot, labelling: LabellingStage | None) -> None:
        """Publish markers, detections and segments, and the beam while someone subscribes to it."""
        if self._verdicts is None:
            return
        self._verdicts.publish(verdict)
        self.latencies.add((self._node.get_clock().now().nanoseconds - verdict.window_end_ns) / 1e6)
        self._verdicts.publish_segments(verdict, snapshot)
        if self._beam is not None and labelling is not None:
            self._beam.publish(verdict, labelling)

    def cleared(self, verdict: Verdict) -> None:
        """Take the markers away."""
        if self._verdicts is not None:
            self._verdicts.publish_markers(verdict)

    def problem_found(self, worker: str, text: str) -> None:
        """Log a problem, once per cause and period."""
        cause = text.split(":")[-1].split(",")[0] if worker == SOUND else text.split(" at ")[0].split(":")[0]
        self._node.log.warn(f"{worker} {cause}", text)

    def failed(self, worker: str, item: object, error: Exception) -> None:
        """Log what a worker could not handle."""
        if isinstance(item, AudioFormat) and isinstance(error, EchosegError):
            self.format_refusal.set(str(error))
        if self._node.context.ok():
            self._node.log.warn(f"{worker} {type(error).__name__}", f"{worker}: {error or type(error).__name__}")


class LatencyLog:
    """Latencies from the end of an audio window to the publication of its verdict, in ms; usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values_ms: deque[float] = deque(maxlen=MAX_LATENCIES)

    def add(self, latency_ms: float) -> None:
        """Keep one more."""
        with self._lock:
            self._values_ms.append(latency_ms)

    def values_ms(self) -> list[float]:
        """All that are kept."""
        with self._lock:
            return list(self._values_ms)

    def statistics(self) -> dict[str, str]:
        """Percentiles for the diagnostics, {} before the first."""
        values_ms = self.values_ms()
        if not values_ms:
            return {}
        p50, p95 = np.percentile(values_ms, [50, 95])
        return {"latency_ms p50": f"{p50:.0f}", "latency_ms p95": f"{p95:.0f}"}


class MapOutputs:
    """Topics `objects`, `map` and `overlay`."""

    def __init__(self, node: EchosegBase) -> None:
        self._node = node
        self._map = node.publisher(PointCloud2, NAMES.map, LATCHED)
        self._objects = node.publisher(Detection3DArray, NAMES.objects, LATCHED)
        self._overlay = node.publisher(Image, NAMES.overlay, STREAM)
        self._gate = RateGate(node.config.output.map_rate_hz)

    def publish(self, snapshot: MapSnapshot, map_stage: MapStage, verdict: Verdict) -> None:
        """Publish a snapshot; the map's cloud at its own rate, the overlay while someone subscribes to it."""
        frame, output = self._node.params.map_frame, self._node.config.output
        self._objects.publish(object_detections(snapshot.instances, snapshot.stamp_ns, frame))
        if self._gate.passes(snapshot.stamp_ns):
            self._map.publish(map_cloud(snapshot, frame, output.map_points))
        if output.overlay and self._overlay.get_subscription_count() and map_stage.last_frame:
            self._publish_overlay(map_stage.last_frame, map_stage, verdict)

    def _publish_overlay(self, frame: CameraFrame, map_stage: MapStage, verdict: Verdict) -> None:
        width = self._node.config.map.image_width_px
        camera = frame.camera.resized(width, round(frame.camera.height * width / frame.camera.width))
        rgb = frame.rgb
        for rank, sounding in enumerate(verdict.sounding):
            mask = object_mask(map_stage.mapper, sounding.instance.uids, camera, frame.T_map_camera)
            text = f"{sounding.label or f'object {sounding.instance.id}'} {sounding.probability:.0%}"
            rgb = object_overlay(rgb, resized_mask(mask, frame.camera.width, frame.camera.height), text, rank)
        self._overlay.publish(rgb_image(frame.stamp_ns, self._node.camera_frame, rgb))


class VerdictOutputs:
    """Topics `markers`, `sounding`, `sources` and `segments`."""

    def __init__(self, node: EchosegBase) -> None:
        self._frame = node.params.map_frame
        self._max_points = node.config.output.map_points
        self._board = MarkerBoard(self._frame)
        self._gate = RateGate(node.config.output.map_rate_hz)
        self._markers = node.publisher(MarkerArray, NAMES.markers, LATCHED)
        self._sounding = node.publisher(Detection3DArray, NAMES.sounding, LATCHED)
        self._sources = node.publisher(Detection3DArray, NAMES.sources, LATCHED)
        self._segments = node.publisher(PointCloud2, NAMES.segments, LATCHED)

    def publish(self, verdict: Verdict) -> None:
        """Publish markers and detections."""
        self.publish_markers(verdict)
        self._sounding.publish(sounding_detections(verdict, self._frame))
        self._sources.publish(source_detections(verdict, self._frame))

    def publish_markers(self, verdict: Verdict) -> None:
        """Publish markers; those of sources that are gone are deleted."""
        self._markers.publish(self._board.update(verdict))

    def publish_segments(self, verdict: Verdict, snapshot: MapSnapshot) -> None:
        """Publish the segmented points at the map's rate."""
        if self._gate.passes(verdict.stamp_ns):
            self._segments.publish(segments_cloud(snapshot, verdict, self._frame, self._max_points))


class EvidenceOutput:
    """Topic `evidence`, and the pose of its frame on /tf where no one else broadcasts it."""

    def __init__(self, node: EchosegBase, always: bool) -> None:
        self._map_frame = node.params.map_frame
        self._frame = node.params.evidence_frame or node.params.array_frame
        self._always = always
        self._evidence = node.publisher(PointCloud2, NAMES.evidence, AUDIO_STREAM)
        self._tf = node.publisher(TFMessage, NODE_INPUTS.tf, AUDIO_STREAM) if node.params.evidence_frame else None

    def publish(self, evidence: SoundEvidence) -> None:
        """Publish the evidence of a window, if someone subscribes or always."""
        if not (self._always or self._evidence.get_subscription_count()):
            return
        if self._tf is not None:
            edge = transform_stamped(evidence.stamp_ns, self._map_frame, self._frame, evidence.T_map_array)
            self._tf.publish(TFMessage(transforms=[edge]))
        self._evidence.publish(evidence_cloud(evidence, self._frame))


class BeamOutput:
    """Topics `beam` and `beam_info`: the signal of the loudest source, while someone subscribes."""

    def __init__(self, node: EchosegBase) -> None:
        self._frame = node.params.map_frame
        self._beam = node.publisher(AudioDataStamped, NAMES.beam, AUDIO_STREAM)
        self._info = node.publisher(AudioInfo, NAMES.beam_info, LATCHED)
        self._rate_hz: float | None = None

    def publish(self, verdict: Verdict, labelling: LabellingStage) -> None:
        """Publish the hop of the beam that the newest window completed."""
        if not verdict.sources or not self._beam.get_subscription_count():
            return
        signal = labelling.newest_signal(max(verdict.sources, key=lambda source: source.activity), verdict)
        if signal is None:
            return
        if signal.sample_rate_hz != self._rate_hz:
            self._rate_hz = signal.sample_rate_hz
            rate_hz = round(signal.sample_rate_hz)
            info = AudioInfo(channels=1, sample_rate=rate_hz, sample_format="S16LE", coding_format="WAVE")
            self._info.publish(info)
        self._beam.publish(beam_message(signal, self._frame))


def beam_message(signal: BeamSignal, frame: str) -> AudioDataStamped:
    """Mono S16LE; the stamp is that of the first sample."""
    samples = np.clip(np.round(signal.samples * 32768.0), -32768, 32767).astype("<i2")
    message = AudioDataStamped(header=header(signal.stamp_ns, frame), audio=AudioData())
    # rclpy takes an array.array as it is; bytes cost twice as much, a numpy array hundreds of times as much.
    message.audio.data = array.array("B", samples.tobytes())
    return message
