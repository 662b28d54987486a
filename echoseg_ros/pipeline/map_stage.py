"""The map stage: camera messages in, snapshots of the segmented map out."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from echoseg_ros.config import Config
from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.pipeline.frame_assembler import FrameAssembler
from echoseg_ros.pipeline.held_out_views import HeldOutViews
from echoseg_ros.pipeline.map_segmentation import MapSegmentation
from echoseg_ros.types import (
    Camera,
    CameraFrame,
    DepthData,
    ImageData,
    MapSnapshot,
    MaskImage,
    PoseData,
    SeedPoints,
    is_backward_jump,
)

CameraItem = Camera | ImageData | DepthData | MaskImage | PoseData | SeedPoints

# Optimisation steps done at a time in spare time.
SPARE_STEPS = 2
# Most spare steps after a keyframe: a map without new views is left alone then.
SPARE_STEPS_PER_KEYFRAME = 100
# A view gets new proposals in spare time once the map has had twice the steps of its last ones, and this many more.
REPEAT_AFTER_STEPS = 200
# Pause where there is nothing to do in spare time.
IDLE_S = 1.0
# Problems kept until they are reported.
MAX_PROBLEMS = 100


@dataclass(frozen=True)
class MapStatistics:
    """Counters of a map stage. frames: received, assembled, and one entry for each cause of a loss; topic_masks: likewise."""

    frames: dict[str, int] = field(default_factory=dict)
    topic_masks: dict[str, int] = field(default_factory=dict)
    keyframes: int = 0


class MapStage:
    """Frames, Gaussian map and instances. Owned by one worker.

    Offline, optimisation steps are spent per recorded second; a live map is optimised in spare time instead
    (`use_spare_time`).
    """

    def __init__(self, config: Config, device: str = "cpu", use_depth: bool = True, live: bool = False) -> None:
        self.config = config
        self.device = device
        self.live = live
        self.frames = FrameAssembler(config.input, use_depth)
        self.mapper = Mapper(config, device)
        self.segmentation = MapSegmentation(config, self.mapper, device)
        self.held_out = HeldOutViews(config.input.hold_out_every)
        self.keyframes = 0
        self.last_frame: CameraFrame | None = None
        self.problems: deque[str] = deque(maxlen=MAX_PROBLEMS)
        self._spare_steps = 0
        self._last_keyframe_ns: int | None = None

    def add(self, item: CameraItem) -> list[MapSnapshot]:
        """Take one message; return a snapshot for each keyframe it completed.

        Raises PoseError, TimeError or ImageFormatError for a message that cannot be used.
        """
        if isinstance(item, PoseData) and is_backward_jump(item.stamp_ns, self.frames.newest_pose_ns):
            self.rewind()
        if isinstance(item, SeedPoints):
            self.mapper.set_seed_points(item.points_map)
            return []
        if isinstance(item, MaskImage):
            return self._add_masks(item)
        snapshots = [self._add_frame(frame) for frame in self.frames.add(item)]
        return [snapshot for snapshot in snapshots if snapshot is not None]

    def finish(self) -> MapSnapshot | None:
        """At the end of a recording: keyframe candidates join the map, and the last steps and proposals are made."""
        stamp_ns = self.last_frame.stamp_ns if self.last_frame else 0
        snapshot = self._add_keyframes(self.mapper.finish(), stamp_ns)
        self.segmentation.finish()
        self.mapper.optimise(self.config.map.final_steps)
        if not (keyframes := self.segmentation.keyframes_to_repeat()):
            return snapshot
        self.segmentation.repeat(keyframes)
        return self.snapshot(stamp_ns)

    def snapshot(self, stamp_ns: int) -> MapSnapshot:
        """The map and its instances as they are now."""
        return self.segmentation.snapshot(stamp_ns)

    def statistics(self) -> MapStatistics:
        """The counters as they are now."""
        topic_masks = self.segmentation.topic_masks
        return MapStatistics(dict(self.frames.counts), dict(topic_masks.counts) if topic_masks else {}, self.keyframes)

    def psnr_db(self) -> float | None:
        """Mean PSNR over the held-out views, None without any."""
        return self.held_out.psnr_db(self.mapper)

    def rewind(self) -> None:
        """On a backward time jump: clear poses and what waits; the map, its instances and the camera stay."""
        camera = self.frames.camera
        self.frames.rewind()
        if camera is not None:
            self.frames.add(camera)
        self.mapper.rewind()
        self.segmentation.rewind()
        self._last_keyframe_ns = None

    def emptied(self) -> MapStage:
        """A new stage without a map, with the camera and the seed points of this one."""
        fresh = MapStage(self.config, self.device, self.frames.use_depth, self.live)
        if self.frames.camera is not None:
            fresh.add(self.frames.camera)
        if self.mapper.seed_points is not None:
            fresh.mapper.set_seed_points(self.mapper.seed_points)
        return fresh

    def use_spare_time(self) -> float:
        """Optimise a few steps, or repeat the proposals of one view; returns the seconds to rest (`map.spare_share`)."""
        share = self.config.map.spare_share
        if share <= 0:
            return IDLE_S
        start = time.perf_counter()
        if self._spare_steps > 0:
            self.mapper.optimise(SPARE_STEPS)
            self._spare_steps -= SPARE_STEPS
        elif not self._repeat_oldest_proposals():
            return IDLE_S
        return (time.perf_counter() - start) * (1 / share - 1)

    def _add_frame(self, frame: CameraFrame) -> MapSnapshot | None:
        if self.held_out.takes(frame):
            return None
        self.last_frame = frame
        joined = self.mapper.add_frame(frame)
        self.segmentation.add_frame(frame)
        if self.mapper.problem is not None:
            self.problems.append(f"{self.mapper.problem} at {frame.stamp_ns / 1e9:.3f} s")
        return self._add_keyframes(joined, frame.stamp_ns)

    def _add_keyframes(self, joined: list[Keyframe], stamp_ns: int) -> MapSnapshot | None:
        if not joined:
            return None
        self.keyframes += len(joined)
        self._spare_steps = SPARE_STEPS_PER_KEYFRAME
        self.mapper.optimise(0 if self.live else self._steps_due(stamp_ns))
        self.segmentation.add_keyframes(joined)
        self._collect_mask_problems()
        return self.snapshot(stamp_ns)

    def _add_masks(self, masks: MaskImage) -> list[MapSnapshot]:
        lifted = self.segmentation.add_topic_masks(masks)
        self._collect_mask_problems()
        return [self.snapshot(self.last_frame.stamp_ns)] if lifted and self.last_frame else []

    def _collect_mask_problems(self) -> None:
        if (topic_masks := self.segmentation.topic_masks) is not None:
            self.problems.extend(topic_masks.problems)
            topic_masks.problems.clear()

    def _steps_due(self, stamp_ns: int) -> int:
        """Optimisation steps for the recorded time since the last keyframe; a run does not depend on a clock."""
        since_s = 1.0 if self._last_keyframe_ns is None else (stamp_ns - self._last_keyframe_ns) / 1e9
        self._last_keyframe_ns = stamp_ns
        return round(self.config.map.steps_per_s * min(since_s, 2.0))

    def _repeat_oldest_proposals(self) -> bool:
        """Repeat the proposals of the view with the oldest ones; False if the map has hardly changed since."""
        segmentation = self.segmentation
        keyframe = min(segmentation.keyframes_to_repeat(), key=segmentation.steps_at_proposal, default=None)
        if keyframe is None:
            return False
        if self.mapper.steps_done < 2 * segmentation.steps_at_proposal(keyframe) + REPEAT_AFTER_STEPS:
            return False
        segmentation.propose_and_lift(keyframe)
        return True
