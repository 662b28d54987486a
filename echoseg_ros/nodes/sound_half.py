"""Audio topics in, evidence out; one worker thread owns the sound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage

from echoseg_ros.errors import AudioFormatError, EchosegError, PoseError
from echoseg_ros.io.decode import decode_audio, decode_audio_info, stamp_ns
from echoseg_ros.io.topics import AUDIO_STREAM, LATCHED, NODE_INPUTS, OutputNames
from echoseg_ros.nodes.array_source import ArraySource
from echoseg_ros.nodes.clouds import evidence_cloud
from echoseg_ros.nodes.convert import transform_stamped
from echoseg_ros.nodes.node_base import Call, EchosegBase, Rewind
from echoseg_ros.pipeline.sound_stage import SoundStage
from echoseg_ros.pipeline.worker import Worker
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import AudioChunk, AudioFormat, NoiseOnly, SoundEvidence

# Audio is what must not be lost: 20 s of messages of 0.1 s.
QUEUE = 200


class SoundHalf:
    """Subscriptions, thread and publishers of the sound. `on_evidence` is called in that thread."""

    def __init__(self, node: EchosegBase, on_evidence: Callable[[SoundEvidence], None], on_rewind: Callable[[], None],
                 always_publish: bool) -> None:  # fmt: skip
        self._node = node
        self._on_evidence = on_evidence
        self._on_rewind = on_rewind
        self._always_publish = always_publish
        self._source = ArraySource(node)
        self.side: SoundStage | None = None if self._source.from_tf else SoundStage(node.config, self._source.array)
        self._format: AudioFormat | None = None
        self._refused = ""
        self.lost_s = 0.0
        self._frame = node.params.evidence_frame or node.params.array_frame
        self.worker = Worker[Any]("sound", self._handle, QUEUE, _droppable, node.failed("sound"))
        node.workers["sound"] = self.worker
        node.poses_to.append(self.worker.put)
        self._evidence = node.publisher(PointCloud2, OutputNames().evidence, AUDIO_STREAM)
        self._tf = node.publisher(TFMessage, NODE_INPUTS.tf, AUDIO_STREAM) if node.params.evidence_frame else None

    @property
    def array(self) -> ArrayGeometry:
        """The array as its file says it, then as TF does."""
        return self._source.array

    def listen(self) -> None:
        """Subscribe: from now on audio comes."""
        node = self._node
        self._source.listen()
        node.inputs["audio_info"] = node.make_input(
            AudioInfo, NODE_INPUTS.audio_info, LATCHED, self._audio_format, self.worker.put, once=True
        )
        node.inputs["audio"] = node.make_input(
            AudioDataStamped, NODE_INPUTS.audio, AUDIO_STREAM, self._chunk, self._put_chunk
        )

        node.inputs["noise_only"] = node.make_input(
            Bool,
            NODE_INPUTS.noise_only,
            LATCHED,
            lambda message: NoiseOnly(message.data),
            self.worker.put,
            needed=False,
        )

    def _audio_format(self, message: AudioInfo) -> AudioFormat | None:
        known, self._format, self._refused = self._format if self.side is not None else None, None, ""
        try:
            audio_format = decode_audio_info(message)
            self._find_side(audio_format)
        except PoseError:
            pass  # audio that comes before TF does says so
        except EchosegError as error:
            self._refused = str(error)
            raise
        if audio_format == known:
            self._format = known
            return None  # said again, as by a bag that loops: the stream goes on
        self._format = audio_format
        return audio_format

    def _chunk(self, message: AudioDataStamped) -> AudioChunk:
        if self._format is None:
            reason = self._refused or "audio_info has not come: sample rate and format are not known"
            raise AudioFormatError(reason)
        if self.side is None:
            self._find_side(self._format)
            self.worker.put(self._format)
        return AudioChunk(stamp_ns(message.header), decode_audio(message.audio.data, self._format))

    def _find_side(self, audio: AudioFormat) -> None:
        """Check the array against the audio; with the array from TF, the first audio waits for it."""
        if self.side is None:
            self.side = SoundStage(self._node.config, self._source.find(audio))
        else:
            self.side.array.check_channels(audio.channels)

    def _put_chunk(self, chunk: AudioChunk) -> None:
        lost = self.worker.put(chunk)
        if isinstance(lost, AudioChunk) and self._format is not None:
            self.lost_s += len(lost.samples) / self._format.sample_rate_hz

    def _handle(self, item: Any) -> None:
        if isinstance(item, Rewind):
            if self.side is not None:
                self.side.rewind()
            self._on_rewind()
        elif isinstance(item, Call):
            item.run()
        elif self.side is not None:
            array = self.side.array
            for evidence in self._heard(self.side, item):
                self._publish(evidence)
                self._on_evidence(evidence)
            if self.side.array is not array:
                self._on_rewind()  # what was heard with a head of the wrong size
            while self.side.problems:
                problem = self.side.problems.popleft()
                self._node.log.warn(f"audio {problem.split(':')[-1].split(',')[0]}", problem)

    def heard_as(self) -> dict[int, dict[str, float]]:
        """What each source sounds like: see Listener.heard_as."""
        return self.side.ear.heard_as() if self.side is not None else {}

    def _heard(self, side: SoundStage, item: Any) -> list[SoundEvidence]:
        try:
            return side.add(item)
        except EchosegError as error:
            if isinstance(item, AudioFormat):  # from now on the audio's status says why none is used
                self._format, self._refused = None, str(error)
            raise

    def _publish(self, evidence: SoundEvidence) -> None:
        if not (self._always_publish or self._evidence.get_subscription_count()):
            return
        if self._tf is not None:
            edge = transform_stamped(evidence.stamp_ns, self._node.params.map_frame, self._frame, evidence.T_map_array)
            self._tf.publish(TFMessage(transforms=[edge]))
        self._evidence.publish(evidence_cloud(evidence, self._frame))

    def seconds(self) -> tuple[float, float]:
        """(received, dropped) audio in seconds: what was lost in the queue and what no window could use."""
        stream = self.side.stream if self.side else None
        received_s, unused_s = (stream.received_s, stream.dropped_s) if stream else (0.0, 0.0)
        return received_s + self.lost_s, unused_s + self.lost_s

    def statistics(self) -> dict[str, str]:
        """For the diagnostics."""
        received_s, dropped_s = self.seconds()
        found = self.side.calibration.newest if self.side else None
        calibration = {} if found is None else {
            "calibration offset_s": f"{found.offset_s:.4f}", "calibration sigma_offset_s": f"{found.sigma_offset_s:.4f}",
            "calibration yaw_deg": f"{math.degrees(found.yaw_rad):.2f}",
            "calibration sigma_yaw_deg": f"{math.degrees(found.sigma_yaw_rad):.2f}",
            "calibration knows_offset": str(found.knows_offset),
            "calibration knows_yaw": str(found.knows_yaw),
        }  # fmt: skip
        if found is not None and found.head_radius_m is not None:
            calibration["calibration head_radius_m"] = f"{found.head_radius_m:.4f}"
            calibration["calibration sigma_head_radius_m"] = f"{found.sigma_head_radius_m:.4f}"
        return {"audio received_s": f"{received_s:.2f}", "audio dropped_s": f"{dropped_s:.2f}"} | calibration


def _droppable(item: Any) -> bool:
    return isinstance(item, AudioChunk)
