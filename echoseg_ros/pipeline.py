"""START HERE: frames and audio in, sounding objects out.

The map side and the sound side can each be owned by a thread of their own (the nodes do that); they meet in the judge,
which takes a finished snapshot of the map. `Pipeline` runs all three in the order of the messages, which makes an
offline run a deterministic function of its bag.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.assemble import FrameAssembler
from echoseg_ros.config import Config
from echoseg_ros.errors import AudioFormatError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.mapping.keyframes import Keyframe, reduced
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.masks.backend import TOPIC, make_masks, wants_full_image
from echoseg_ros.masks.names import NameVotes
from echoseg_ros.masks.topic import MaskView, TopicMasks
from echoseg_ros.objects.cadence import Cadence
from echoseg_ros.objects.choose import Chooser
from echoseg_ros.objects.explain import Why, explain
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.lift import lift_proposal
from echoseg_ros.objects.snapshot import EMPTY_SNAPSHOT, take_snapshot
from echoseg_ros.sound.array import ArrayGeometry
from echoseg_ros.sound.backproject import MAX_WINDOWS
from echoseg_ros.sound.calibrate import CalibrationWatch
from echoseg_ros.sound.evidence import EvidenceExtractor
from echoseg_ros.sound.label import Listener
from echoseg_ros.sound.sources import SourceTracker
from echoseg_ros.sound.stream import AudioStream
from echoseg_ros.types import (
    RESTART_BACK_NS,
    Array,
    AudioChunk,
    AudioFormat,
    AudioWindow,
    Camera,
    CameraFrame,
    DepthData,
    ImageData,
    MapSnapshot,
    MaskImage,
    MaskProposal,
    NoiseOnly,
    PoseData,
    SeedPoints,
    SoundEvidence,
    Verdict,
)
from echoseg_ros.units import MapScale, scaled_evidence, scaled_frame, scaled_snapshot, scaled_verdict

# Spare time is used in bites of a few steps, and a map without new views is left alone after so many.
SPARE_STEPS, SPARE_STEPS_PER_KEYFRAME = 2, 100
# Keyframes whose images are kept as the camera took them: without a depth sensor two wait for parallax.
FULL_IMAGES = 4

CameraItem = Camera | ImageData | DepthData | MaskImage | PoseData | SeedPoints
SoundItem = AudioFormat | AudioChunk | PoseData | NoiseOnly


class MapSide:
    """Camera messages in, snapshots of the segmented map out. Owned by one thread."""

    def __init__(self, config: Config, device: str = "cpu", use_depth: bool = True) -> None:
        self.config = config
        self.device = device
        self.frames = FrameAssembler(config.input, use_depth)
        self.mapper = Mapper(config, device)
        self.sent = TopicMasks(config.masks) if config.masks.backend == TOPIC else None
        self.masks = None if self.sent else make_masks(config.masks, device)
        self.names = NameVotes()
        self.held_out: list[CameraFrame] = []
        self.keyframes = 0
        self.last_frame: CameraFrame | None = None
        self.problems: deque[str] = deque(maxlen=100)
        # Offline the budget of steps is spent as views come; a live map spends what time is left over instead.
        self.live = False
        self._spare_steps = 0
        self._full: deque[CameraFrame] = deque(maxlen=FULL_IMAGES if wants_full_image(config.masks) else 0)
        self._last_keyframe_ns: int | None = None
        self._scale = MapScale(config.input.pose_units)
        self.instances = InstanceMap(config.instances, self._scale.error)

    def add(self, item: CameraItem) -> list[MapSnapshot]:
        """Take one message; return a snapshot for each keyframe it completed."""
        if isinstance(item, PoseData) and _starts_again(item.stamp_ns, self.frames.newest_pose_ns):
            self.rewind()
        if isinstance(item, SeedPoints):
            self.mapper.add_seeds(item.points_map)
            return []
        if isinstance(item, MaskImage):
            return self._take_masks(item)
        snapshots = [self._see(frame) for frame in self.frames.add(item)]
        return [snapshot for snapshot in snapshots if snapshot is not None]

    def _see(self, frame: CameraFrame) -> MapSnapshot | None:
        if self._is_held_out(frame):
            self.held_out.append(frame)
            return None
        self.last_frame = frame
        joined = self.mapper.add_frame(frame)
        if self.mapper.chosen_ns == frame.stamp_ns:
            self._full.append(frame)
        elif self.sent and frame.depth_m is not None and self.mapper.problem is None:
            self.sent.expect(MaskView.of(reduced(frame, self.config.map.image_width_px), keyframe=False))
        if self.mapper.problem is not None:
            self.problems.append(f"{self.mapper.problem} at {frame.stamp_ns / 1e9:.3f} s")
        return self._segment(joined, frame.stamp_ns)

    def finish(self) -> MapSnapshot | None:
        """At the end of a recording: what waited for later views joins the map, and the last steps are done."""
        snapshot = self._segment(self.mapper.finish(), self.last_frame.stamp_ns if self.last_frame else 0)
        if self.sent:
            self.sent.finish()
        self.mapper.optimise(self.config.map.final_steps)
        return snapshot

    def _segment(self, joined: list[Keyframe], stamp_ns: int) -> MapSnapshot | None:
        """Optimise, find objects in the keyframes that joined the map, and lift them into it."""
        if not joined:
            return None
        self.keyframes += len(joined)
        self._spare_steps = SPARE_STEPS_PER_KEYFRAME
        self.mapper.optimise(0 if self.live else self._steps_due(stamp_ns))
        if self.mapper.scene_depth is not None:
            self._scale.see(self.mapper.scene_depth)
        scale = self._scale.metres_per_unit or 1.0
        for keyframe in joined:
            if self.sent:
                self.sent.expect(MaskView.of(keyframe, keyframe=True))
            else:
                self._lift(keyframe.camera, keyframe.T_map_camera, self._propose(keyframe, scale))
        self._lift_sent()
        return self.snapshot(stamp_ns)

    def _propose(self, keyframe: Keyframe, scale: float) -> MaskProposal:
        """Ask the mask backend. Lengths it looks at are in metres."""
        assert self.masks is not None
        drawn = self.mapper.render(keyframe.camera, keyframe.T_map_camera)
        # Of one view's parallax and the map, which many views made, the map is the smoother.
        seen = scaled_frame(replace(keyframe, depth_m=None) if keyframe.swept else keyframe, scale)
        full = next((frame.rgb for frame in self._full if frame.stamp_ns == keyframe.stamp_ns), seen.rgb)
        depth_m = drawn.depth.cpu().numpy() * np.float32(scale)
        return self.masks.propose(replace(seen, rgb=full), depth_m, drawn.alpha.cpu().numpy())

    def _lift(self, camera: Camera, T_map_camera: Array, proposal: MaskProposal) -> None:
        """What a view proposes becomes votes of the Gaussians it shows."""
        gaussians = self.mapper.gaussians
        weights = lift_proposal(self.mapper.rasterizer, gaussians, camera, T_map_camera, proposal)
        uids = gaussians.uids.cpu().numpy()
        self.instances.update(uids, weights, proposal)
        if proposal.names:
            self.names.add(self.instances.assignment(uids), weights, proposal)

    def _take_masks(self, masks: MaskImage) -> list[MapSnapshot]:
        """Masks of another node, for a view that may wait for them; without the backend "topic" they are not looked at."""
        if self.sent is None:
            return []
        self.sent.add(masks)
        return [self.snapshot(self.last_frame.stamp_ns)] if self._lift_sent() and self.last_frame else []

    def _lift_sent(self) -> bool:
        """Lift what views and another node's masks have come together; whether there was any."""
        if self.sent is None:
            return False
        pairs = self.sent.take(int(self.config.keyframes.min_interval_s * 1e9))
        for view, proposal in pairs:
            self._lift(view.camera, view.T_map_camera, proposal)
        self.problems.extend(self.sent.problems)
        self.sent.problems.clear()
        return bool(pairs)

    def snapshot(self, stamp_ns: int) -> MapSnapshot:
        """The map and its instances as they are now."""
        snapshot = take_snapshot(stamp_ns, self.mapper, self.instances, self._scale.metres_per_unit)
        return replace(snapshot, instances=self.names.named(snapshot.instances))

    def rewind(self) -> None:
        """Time went back (a bag that starts again): forget poses and what waits; the map, its objects and the camera stay."""
        camera = self.frames.camera
        self.frames.reset()
        if camera is not None:
            self.frames.add(camera)
        self.mapper.rewind()
        self._full.clear()
        if self.sent:
            self.sent.clear()
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
        return round(self.config.map.steps_per_s * min(since_s, 2.0))

    def use_spare_time(self) -> float:
        """A few steps of a live map that has nothing else to do; returns the seconds to rest (`map.spare_share`)."""
        share = self.config.map.spare_share
        if self._spare_steps <= 0 or share <= 0:
            return 1.0
        start = time.perf_counter()
        self.mapper.optimise(SPARE_STEPS)
        self._spare_steps -= SPARE_STEPS
        return (time.perf_counter() - start) * (1 / share - 1)


class SoundSide:
    """Audio and poses in, evidence out. Owned by one thread."""

    def __init__(self, config: Config, array: ArrayGeometry) -> None:
        self.config = config
        # Without metres the array's offset from the camera means nothing: it is taken to be where the camera is.
        self.array = array if config.input.pose_units == "metres" else array.at_the_camera()
        self.poses = PoseTrack(config.input.pose_max_gap_s)
        self.ear = Listener(config, self.array)
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
            if _starts_again(item.stamp_ns, self.poses.newest_ns):
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
        self._cadence = Cadence(self.config.sources.every_s)
        self._unheard: deque[SoundEvidence] = deque(maxlen=MAX_WINDOWS)
        self._metres_per_unit = MapScale(self.config.input.pose_units).metres_per_unit

    def add(self, evidence: SoundEvidence, snapshot: MapSnapshot) -> Verdict:
        """What is believed after one more window."""
        if _starts_again(evidence.stamp_ns, self._newest_ns):
            self.rewind()
        self._newest_ns = evidence.stamp_ns
        window_end_ns = evidence.stamp_ns + int(evidence.duration_s * 5e8)
        self._unheard.append(evidence)
        self._rescale(snapshot.metres_per_unit)
        if self._metres_per_unit is None:  # sounds wait for the first sight of a world without metres
            return Verdict(evidence.stamp_ns, window_end_ns)
        while self._unheard:
            self.tracker.add(scaled_evidence(self._unheard.popleft(), self._metres_per_unit))
        if (held := self._cadence.verdict_for(evidence)) is not None:
            return replace(held, stamp_ns=evidence.stamp_ns, window_end_ns=window_end_ns)
        verdict = self._decide(evidence.stamp_ns, window_end_ns, snapshot)
        self._cadence.decided(verdict)
        return verdict

    def conclude(self, snapshot: MapSnapshot) -> Verdict | None:
        """What is believed in the end, on the finished map; None if nothing was decided before."""
        self._rescale(snapshot.metres_per_unit)
        last = self._cadence.verdict
        if last is None or self._newest_ns is None:
            return None
        late_ns = last.window_end_ns - last.stamp_ns
        return self._decide(self._newest_ns, self._newest_ns + late_ns, snapshot)

    def _decide(self, stamp_ns: int, window_end_ns: int, snapshot: MapSnapshot) -> Verdict:
        metres = self._metres_per_unit or 1.0
        verdict = self.chooser.decide(self.tracker, scaled_snapshot(snapshot, metres), stamp_ns, window_end_ns)
        return scaled_verdict(verdict, 1 / metres)

    def _rescale(self, metres_per_unit: float | None) -> None:
        """What was heard lies in nominal metres; it moves when the map finds that these are others."""
        if metres_per_unit is None or metres_per_unit == self._metres_per_unit:
            return
        if self._metres_per_unit is not None:
            self.tracker.rescale(metres_per_unit / self._metres_per_unit)
            self.chooser.rescale(metres_per_unit / self._metres_per_unit)
        self._metres_per_unit = metres_per_unit

    def explain(self, verdict: Verdict, snapshot: MapSnapshot) -> tuple[Why, ...]:
        """Why the newest verdict is what it is (objects.explain), from the evidence in memory."""
        factor = self._metres_per_unit or 1.0
        return explain(self.tracker, scaled_verdict(verdict, factor), scaled_snapshot(snapshot, factor).instances)

    def score(self, points_map: NDArray[np.floating]) -> NDArray[np.float32]:
        """[P] in [0, 1]: how much of what was heard comes from the direction of each map point [P, 3]."""
        return self.tracker.score(points_map * np.float32(self._metres_per_unit or 1.0))


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
            array = self.sound_side.array
            verdicts = [self.hear(evidence) for evidence in self.sound_side.add(item)]
            if self.sound_side.array is not array:
                self.judge.rewind()  # what was heard with a head of the wrong size
            return verdicts
        return []

    def finish(self) -> Verdict | None:
        """At the end of a recording: the map is finished, and what sounds is decided once more on it."""
        self.snapshot = self.map_side.finish() or self.snapshot
        verdict = self.judge.conclude(self.snapshot)
        return None if verdict is None else self.sound_side.ear.name(verdict)

    def hear(self, evidence: SoundEvidence) -> Verdict:
        """What is believed after one more window, with a label for each source."""
        return self.sound_side.ear.name(self.judge.add(evidence, self.snapshot))


def _starts_again(stamp_ns: int, newest_ns: int | None) -> bool:
    return newest_ns is not None and stamp_ns < newest_ns - RESTART_BACK_NS
