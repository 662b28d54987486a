"""What the camera brings: views become a map, and proposals in them the objects of that map."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import replace

import numpy as np

from echoseg_ros.config import Config
from echoseg_ros.mapping.keyframes import Keyframe, reduced
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.masks.factory import TOPIC, make_masks, wants_full_image
from echoseg_ros.masks.topic_masks import MaskView, TopicMasks
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.lifting import lift_proposal
from echoseg_ros.objects.map_snapshot import take_snapshot
from echoseg_ros.objects.name_votes import NameVotes
from echoseg_ros.pipeline.frame_assembler import FrameAssembler
from echoseg_ros.types import (
    Camera,
    CameraFrame,
    DepthData,
    Float64Array,
    ImageData,
    MapSnapshot,
    MaskImage,
    MaskProposal,
    PoseData,
    SeedPoints,
    starts_again,
)
from echoseg_ros.units import MapScale, scaled_frame

# Spare time is used in bites of a few steps, and a map without new views is left alone after so many.
SPARE_STEPS, SPARE_STEPS_PER_KEYFRAME = 2, 100
# A view of a live map is worth a second look for objects when the map has had twice as many steps as at the last, and so many.
WORTH_A_LOOK_STEPS = 200
# Keyframes whose images are kept as the camera took them: without a depth sensor two wait for parallax.
FULL_IMAGES = 4

CameraItem = Camera | ImageData | DepthData | MaskImage | PoseData | SeedPoints


class MapStage:
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
        self._steps_at_look = defaultdict[int, int](int)  # by keyframe
        self._full: deque[CameraFrame] = deque(maxlen=FULL_IMAGES if wants_full_image(config.masks) else 0)
        self._last_keyframe_ns: int | None = None
        self._scale = MapScale(config.input.pose_units)
        self.instances = InstanceMap(config.instances, self._scale.error)

    def add(self, item: CameraItem) -> list[MapSnapshot]:
        """Take one message; return a snapshot for each keyframe it completed."""
        if isinstance(item, PoseData) and starts_again(item.stamp_ns, self.frames.newest_pose_ns):
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
        stamp_ns = self.last_frame.stamp_ns if self.last_frame else 0
        snapshot = self._segment(self.mapper.finish(), stamp_ns)
        if self.sent:
            self.sent.finish()
        self.mapper.optimise(self.config.map.final_steps)
        if not (keyframes := self._worth_a_look()):
            return snapshot
        self.instances.begin_again()
        for keyframe in keyframes:
            self._look_at(keyframe)
        return self.snapshot(stamp_ns)

    def _worth_a_look(self) -> list[Keyframe]:
        """Keyframes whose depth is the map's own: it has become better since objects were looked for in them.

        None with a depth sensor, and none with models, which see no depth.
        """
        if self.sent or wants_full_image(self.config.masks):
            return []
        return [keyframe for keyframe in self.mapper.keyframes if keyframe.swept]

    def _look_at(self, keyframe: Keyframe) -> None:
        """Find objects in a keyframe, as the map is now, and lift them into it."""
        self._steps_at_look[keyframe.id] = self.mapper.steps_done
        self._lift(keyframe.camera, keyframe.T_map_camera, self._propose(keyframe))

    def _segment(self, joined: list[Keyframe], stamp_ns: int) -> MapSnapshot | None:
        """Optimise, find objects in the keyframes that joined the map, and lift them into it."""
        if not joined:
            return None
        self.keyframes += len(joined)
        self._spare_steps = SPARE_STEPS_PER_KEYFRAME
        self.mapper.optimise(0 if self.live else self._steps_due(stamp_ns))
        if self.mapper.scene_depth is not None:
            self._scale.see(self.mapper.scene_depth)
        for keyframe in joined:
            if self.sent:
                self.sent.expect(MaskView.of(keyframe, keyframe=True))
            else:
                self._look_at(keyframe)
        self._lift_sent()
        return self.snapshot(stamp_ns)

    def _propose(self, keyframe: Keyframe) -> MaskProposal:
        """Ask the mask backend. Lengths it looks at are in metres."""
        assert self.masks is not None
        scale = self._scale.metres_per_unit or 1.0
        drawn = self.mapper.render(keyframe.camera, keyframe.T_map_camera)
        # Of one view's parallax and the map, which many views made, the map is the smoother.
        seen = scaled_frame(replace(keyframe, depth_m=None) if keyframe.swept else keyframe, scale)
        full = next((frame.rgb for frame in self._full if frame.stamp_ns == keyframe.stamp_ns), seen.rgb)
        depth_m = drawn.depth.cpu().numpy() * np.float32(scale)
        return self.masks.propose(replace(seen, rgb=full), depth_m, drawn.alpha.cpu().numpy())

    def _lift(self, camera: Camera, T_map_camera: Float64Array, proposal: MaskProposal) -> None:
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
        """A few steps of a live map that has nothing else to do, or a second look for objects in one of its views.

        Returns the seconds to rest (`map.spare_share`).
        """
        share = self.config.map.spare_share
        if share <= 0:
            return 1.0
        start = time.perf_counter()
        if self._spare_steps > 0:
            self.mapper.optimise(SPARE_STEPS)
            self._spare_steps -= SPARE_STEPS
        elif not self._look_again():
            return 1.0
        return (time.perf_counter() - start) * (1 / share - 1)

    def _look_again(self) -> bool:
        """Look for objects once more in the view that it is longest ago for; False if the map is not much better since."""
        keyframe = min(self._worth_a_look(), key=lambda keyframe: self._steps_at_look[keyframe.id], default=None)
        if keyframe is None or self.mapper.steps_done < 2 * self._steps_at_look[keyframe.id] + WORTH_A_LOOK_STEPS:
            return False
        self._look_at(keyframe)
        return True
