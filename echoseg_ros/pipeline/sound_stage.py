"""What the microphones bring: samples become evidence of directions, with what there is to know of the array."""

from __future__ import annotations

from collections import deque

from echoseg_ros.config import Config
from echoseg_ros.errors import AudioFormatError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.calibration.self_calibration import CalibrationWatch
from echoseg_ros.sound.evidence.audio_stream import AudioStream
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.sound.labels.labeller import Labeller
from echoseg_ros.types import AudioChunk, AudioFormat, AudioWindow, NoiseOnly, PoseData, SoundEvidence, starts_again

SoundItem = AudioFormat | AudioChunk | PoseData | NoiseOnly


class SoundStage:
    """Audio and poses in, evidence out. Owned by one thread."""

    def __init__(self, config: Config, array: ArrayGeometry) -> None:
        self.config = config
        # Without metres the array's offset from the camera means nothing: it is taken to be where the camera is.
        self.array = array if config.input.pose_units == "metres" else array.at_the_camera()
        self.poses = PoseTrack(config.input.pose_max_gap_s)
        self.ear = Labeller(config, self.array)
        self.calibration = CalibrationWatch(self.array, config.sound.self_calibration)
        self.stream: AudioStream | None = None
        self.problems: deque[str] = deque(maxlen=100)
        self._noise_only_from_ns: int | None = None

    def add(self, item: SoundItem) -> list[SoundEvidence]:
        """Take one message; return the evidence of each window it completed. Raises ArrayError, AudioFormatError."""
        if isinstance(item, AudioFormat):
            self.stream = AudioStream(self.array, item, self.config.sound, self.config.input)
            self._extract = EvidenceExtractor(self.array, item.sample_rate_hz, self.config.sound)
        elif isinstance(item, PoseData):
            if starts_again(item.stamp_ns, self.poses.newest_ns):
                self.rewind()
            self.poses.add(item.stamp_ns, item.T_map_camera)
        elif isinstance(item, NoiseOnly):
            self._noise_only_from_ns = (self.stream.newest_ns or 0) if item.on and self.stream else None
        elif self.stream is None:
            raise AudioFormatError("audio before audio_info: sample rate and format are not known yet")
        else:
            self.problems.extend(self.stream.add(item))
        windows = self.stream.windows(self.calibration.poses(self.poses)) if self.stream else []
        for window in windows:
            self.ear.add(window)
        heard = [self._extract(window, self._is_noise_only(window)) for window in windows]
        for window, evidence in zip(windows, heard, strict=True):
            self.calibration.add(evidence, self.poses, window)
        if self.calibration.array is not self.array:  # a head of another size was found
            self.array = self.calibration.array
            self._extract = EvidenceExtractor(self.array, windows[-1].sample_rate_hz, self.config.sound)
        return heard

    def _is_noise_only(self, window: AudioWindow) -> bool:
        """Whether the whole window was recorded since the robot said that only itself sounds."""
        half_ns = int(window.samples.shape[1] / window.sample_rate_hz * 5e8)
        return self._noise_only_from_ns is not None and window.stamp_ns - half_ns >= self._noise_only_from_ns

    def rewind(self) -> None:
        """Time went back: forget the poses and what was heard; the stream notices by itself."""
        self._noise_only_from_ns = None
        self.poses.clear()
        self.ear.clear()
        self.calibration.clear()
