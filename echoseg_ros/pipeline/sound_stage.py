"""The sound stage: samples of the microphones and poses in, evidence of directions out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from echoseg_ros.config import Config
from echoseg_ros.errors import AudioFormatError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.calibration.running_calibration import RunningCalibration
from echoseg_ros.sound.calibration.self_calibration import CalibrationEstimate
from echoseg_ros.sound.evidence.audio_stream import AudioStream
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.types import AudioChunk, AudioFormat, AudioWindow, NoiseOnly, PoseData, SoundEvidence, is_backward_jump

SoundItem = AudioFormat | AudioChunk | PoseData | NoiseOnly

# Problems kept until they are reported.
MAX_PROBLEMS = 100


@dataclass(frozen=True)
class WindowEvidence:
    """One audio window and its evidence."""

    window: AudioWindow
    evidence: SoundEvidence


@dataclass(frozen=True)
class SoundStatistics:
    """Counters of a sound stage.

    audio_format: None before it is known; dropped_s: audio that no window could use; calibration: None before the first
    estimate.
    """

    audio_format: AudioFormat | None = None
    received_s: float = 0.0
    dropped_s: float = 0.0
    calibration: CalibrationEstimate | None = None


class SoundStage:
    """Audio stream, evidence and self-calibration. Owned by one worker.

    `array` changes when self-calibration finds another head radius: evidence made before is wrong then.
    """

    def __init__(self, config: Config, array: ArrayGeometry) -> None:
        self.config = config
        # Without metres the array's offset from the camera has no meaning: the array is placed at the camera.
        self.array = array if config.input.pose_units == "metres" else array.at_camera_origin()
        self.problems: deque[str] = deque(maxlen=MAX_PROBLEMS)
        self._poses = PoseTrack(config.input.pose_max_gap_s)
        self._calibration = RunningCalibration(self.array, config.sound.self_calibration)
        self._format: AudioFormat | None = None
        self._stream: AudioStream | None = None
        self._noise_only_from_ns: int | None = None

    def add(self, item: SoundItem) -> list[WindowEvidence]:
        """Take one message; return each window it completed. Raises ArrayError, AudioFormatError, PoseError, TimeError."""
        if isinstance(item, AudioFormat):
            self._stream = AudioStream(self.array, item, self.config.sound, self.config.input)
            self._extract = EvidenceExtractor(self.array, item.sample_rate_hz, self.config.sound)
            self._format = item
        elif isinstance(item, PoseData):
            if self.restarts_with(item):
                self.rewind()
            self._poses.add(item.stamp_ns, item.T_map_camera)
        elif isinstance(item, NoiseOnly):
            self._noise_only_from_ns = (self._stream.newest_ns or 0) if item.on and self._stream else None
        elif self._stream is None:
            raise AudioFormatError("audio before audio_info: sample rate and format are not known yet")
        else:
            self.problems.extend(self._stream.add(item))
        return self._complete_windows()

    @property
    def newest_pose_ns(self) -> int | None:
        """Stamp of the newest pose, None before the first."""
        return self._poses.newest_ns

    def restarts_with(self, item: SoundItem) -> bool:
        """Whether a pose says that a recording starts again."""
        return isinstance(item, PoseData) and is_backward_jump(item.stamp_ns, self._poses.newest_ns)

    def statistics(self) -> SoundStatistics:
        """The counters as they are now."""
        if self._stream is None:
            return SoundStatistics(calibration=self._calibration.newest)
        return SoundStatistics(self._format, self._stream.received_s, self._stream.dropped_s, self._calibration.newest)

    def rewind(self) -> None:
        """On a backward time jump: clear poses and calibration; the stream notices by itself."""
        self._noise_only_from_ns = None
        self._poses.clear()
        self._calibration.clear()

    def _complete_windows(self) -> list[WindowEvidence]:
        windows = self._stream.take_windows(self._calibration.corrected(self._poses)) if self._stream else []
        found = [WindowEvidence(window, self._extract(window, self._is_noise_only(window))) for window in windows]
        for one in found:
            self._calibration.add(one.evidence, self._poses, one.window)
        if self._calibration.array is not self.array:  # a head of another radius was found
            self.array = self._calibration.array
            self._extract = EvidenceExtractor(self.array, windows[-1].sample_rate_hz, self.config.sound)
        return found

    def _is_noise_only(self, window: AudioWindow) -> bool:
        """Whether the whole window was recorded since the robot said that nothing else sounds."""
        half_ns = int(window.samples.shape[1] / window.sample_rate_hz * 5e8)
        return self._noise_only_from_ns is not None and window.stamp_ns - half_ns >= self._noise_only_from_ns
