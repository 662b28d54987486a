"""START HERE: frames and audio in, sounding objects out.

The map side and the sound side can each be owned by a thread of their own (the nodes do that); they meet in the judge,
which takes a finished snapshot of the map. `Pipeline` runs all three in the order of the messages, which makes an
offline run a deterministic function of its bag.
"""

from __future__ import annotations

from collections import deque

from echoseg_ros.assemble import FrameAssembler
from echoseg_ros.config import Config
from echoseg_ros.errors import AudioFormatError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.masks.backend import make_masks
from echoseg_ros.objects.choose import Chooser
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.lift import lift_proposal
from echoseg_ros.objects.snapshot import EMPTY_SNAPSHOT, take_snapshot
from echoseg_ros.sound.array import ArrayGeometry
from echoseg_ros.sound.evidence import EvidenceExtractor
from echoseg_ros.sound.sources import SourceTracker
from echoseg_ros.sound.stream import AudioStream
from echoseg_ros.types import (
    RESTART_BACK_NS,
    AudioChunk,
    AudioFormat,
    Camera,
    CameraFrame,
    DepthData,
    ImageData,
    MapSnapshot,
    PoseData,
    SeedPoints,
    SoundEvidence,
    Verdict,
)

CameraItem = Camera | ImageData | DepthData | PoseData | SeedPoints
SoundItem = AudioFormat | AudioChunk | PoseData


class MapSide:
    """Camera messages in, snapshots of the segmented map out. Owned by one thread."""

    def __init__(self, config: Config, device: str = "cpu", use_depth: bool = True) -> None:
        self.config = config
        self.frames = FrameAssembler(config.input, use_depth)
        self.mapper = Mapper(config, device)
        self.masks = make_masks(config.masks)
        self.instances = InstanceMap(config.instances)
        self.held_out: list[CameraFrame] = []
        self.keyframes = 0
        self.last_frame: CameraFrame | None = None
        # Of the budget of steps; a live map that falls behind optimises less rather than losing views.
        self.step_share = 1.0
        self._last_keyframe_ns: int | None = None

    def add(self, item: CameraItem) -> list[MapSnapshot]:
        """Take one message; return a snapshot for each keyframe it completed."""
        if isinstance(item, PoseData) and _starts_again(item.stamp_ns, self.frames.newest_pose_ns):
            self.rewind()
        if isinstance(item, SeedPoints):
            self.mapper.add_seeds(item.points_map)
            return []
        snapshots = [self._see(frame) for frame in self.frames.add(item)]
        return [snapshot for snapshot in snapshots if snapshot is not None]

    def _see(self, frame: CameraFrame) -> MapSnapshot | None:
        if self._is_held_out(frame):
            self.held_out.append(frame)
            return None
        self.last_frame = frame
        keyframe = self.mapper.add_frame(frame)
        if keyframe is None:
            return None
        self.keyframes += 1
        self.mapper.optimise(self._steps_due(frame.stamp_ns))
        rendered = self.mapper.render(keyframe.camera, keyframe.T_map_camera)
        proposal = self.masks.propose(keyframe, rendered.depth.cpu().numpy(), rendered.alpha.cpu().numpy())
        gaussians = self.mapper.gaussians
        weights = lift_proposal(self.mapper.rasterizer, gaussians, keyframe.camera, keyframe.T_map_camera, proposal)
        self.instances.update(gaussians.uids.cpu().numpy(), weights, proposal)
        return self.snapshot(frame.stamp_ns)

    def snapshot(self, stamp_ns: int) -> MapSnapshot:
        """The map and its instances as they are now."""
        return take_snapshot(stamp_ns, self.mapper, self.instances)

    def rewind(self) -> None:
        """Time went back (a bag that starts again): forget poses and what waits; the map, its objects and the camera stay."""
        camera = self.frames.camera
        self.frames.reset()
        if camera is not None:
            self.frames.add(camera)
        self.mapper.rewind()
        self._last_keyframe_ns = None

    def psnr_db(self) -> float | None:
        """Mean PSNR over the held-out views, None without any."""
        values = [self.mapper.psnr_db(frame) for frame in self.held_out]
        return sum(values) / len(values) if values else None

    def _is_held_out(self, frame: CameraFrame) -> bool:
        every = self.config.input.hold_out_every
        return every > 0 and frame.index % every == every - 1

    def _steps_due(self, stamp_ns: int) -> int:
        """The budget: steps per recorded second since the last keyframe, so that a run does not depend on a clock."""
        since_s = 1.0 if self._last_keyframe_ns is None else (stamp_ns - self._last_keyframe_ns) / 1e9
        self._last_keyframe_ns = stamp_ns
        return round(self.config.map.steps_per_s * min(since_s, 2.0) * self.step_share)


class SoundSide:
    """Audio and poses in, evidence out. Owned by one thread."""

    def __init__(self, config: Config, array: ArrayGeometry) -> None:
        self.config = config
        self.array = array
        self.poses = PoseTrack(config.input.pose_max_gap_s)
        self.stream: AudioStream | None = None
        self.problems: deque[str] = deque(maxlen=100)

    def add(self, item: SoundItem) -> list[SoundEvidence]:
        """Take one message; return the evidence of each window it completed. Raises ArrayError, AudioFormatError."""
        if isinstance(item, AudioFormat):
            self.stream = AudioStream(self.array, item, self.config.sound, self.config.input)
            self._extract = EvidenceExtractor(self.array, item.sample_rate_hz, self.config.sound)
        elif isinstance(item, PoseData):
            if _starts_again(item.stamp_ns, self.poses.newest_ns):
                self.rewind()
            self.poses.add(item.stamp_ns, item.T_map_camera)
        elif self.stream is None:
            raise AudioFormatError("audio before audio_info: sample rate and format are not known yet")
        else:
            self.problems.extend(self.stream.add(item))
        return [self._extract(window) for window in self.stream.windows(self.poses)] if self.stream else []

    def rewind(self) -> None:
        """Time went back: forget the poses; the stream notices by itself."""
        self.poses.clear()


class Judge:
    """Evidence and the newest snapshot in, verdicts out. Owned by the thread of the sound."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rewind()

    def rewind(self) -> None:
        """Forget what was heard: it belongs to another time."""
        self.tracker = SourceTracker(self.config.sources)
        self.chooser = Chooser(self.config.choice)
        self._newest_ns: int | None = None

    def add(self, evidence: SoundEvidence, snapshot: MapSnapshot) -> Verdict:
        """What is believed after one more window."""
        if _starts_again(evidence.stamp_ns, self._newest_ns):
            self.rewind()
        self._newest_ns = evidence.stamp_ns
        self.tracker.add(evidence)
        window_end_ns = evidence.stamp_ns + int(evidence.duration_s * 5e8)
        return self.chooser.decide(self.tracker, snapshot, evidence.stamp_ns, window_end_ns)


class Pipeline:
    """All three, one message after the other."""

    def __init__(self, config: Config, array: ArrayGeometry, device: str = "cpu", use_depth: bool = True) -> None:
        self.map_side = MapSide(config, device, use_depth)
        self.sound_side = SoundSide(config, array)
        self.judge = Judge(config)
        self.snapshot = EMPTY_SNAPSHOT

    def add(self, item: CameraItem | SoundItem) -> list[Verdict]:
        """Take one message of any kind; return the verdict after each audio window it completed."""
        if isinstance(item, CameraItem):
            self.snapshot = ([self.snapshot] + self.map_side.add(item))[-1]
        if isinstance(item, SoundItem):
            return [self.judge.add(evidence, self.snapshot) for evidence in self.sound_side.add(item)]
        return []


def _starts_again(stamp_ns: int, newest_ns: int | None) -> bool:
    return newest_ns is not None and stamp_ns < newest_ns - RESTART_BACK_NS
