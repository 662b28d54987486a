"""From keyframes to instances: proposals of the mask backend are lifted onto the map's Gaussians."""

from __future__ import annotations

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
from echoseg_ros.types import Camera, CameraFrame, Float64Array, MapSnapshot, MaskImage, MaskProposal
from echoseg_ros.units import MapScale, scaled_frame

# Keyframes whose full-size images are kept for the mask backend: without a depth sensor two candidates wait for parallax.
FULL_IMAGES = 4


class MapSegmentation:
    """Proposals, votes, names and instances of one map; owned by the map's worker.

    The proposals come from a backend, or from another node (`masks.backend: topic`); topic_masks: None with a backend.
    Lengths that the backend sees are in metres, nominal ones where the poses have no metric scale.
    """

    def __init__(self, config: Config, mapper: Mapper, device: str) -> None:
        self._config = config
        self._mapper = mapper
        self.topic_masks = TopicMasks(config.masks) if config.masks.backend == TOPIC else None
        self._backend = None if self.topic_masks else make_masks(config.masks, device)
        self._names = NameVotes()
        self._full_images: deque[CameraFrame] = deque(maxlen=FULL_IMAGES if wants_full_image(config.masks) else 0)
        self._steps_at_proposal = defaultdict[int, int](int)  # by keyframe id
        self.scale = MapScale(config.input.pose_units)
        self.instances = InstanceMap(config.instances, self.scale.error)

    def add_frame(self, frame: CameraFrame) -> None:
        """Keep what proposals will need of a frame that the mapper has just seen."""
        if self._mapper.newest_selected_ns == frame.stamp_ns:
            self._full_images.append(frame)
        elif self.topic_masks and frame.depth_m is not None and self._mapper.problem is None:
            view = reduced(frame, self._config.map.image_width_px)
            self.topic_masks.add_view(MaskView.from_frame(view, keyframe=False))

    def add_keyframes(self, keyframes: list[Keyframe]) -> None:
        """Lift the proposals of keyframes that joined the map; with topic masks, expect their masks."""
        if self._mapper.scene_depth is not None:
            self.scale.add_median_depth(self._mapper.scene_depth)
        for keyframe in keyframes:
            if self.topic_masks:
                self.topic_masks.add_view(MaskView.from_frame(keyframe, keyframe=True))
            else:
                self.propose_and_lift(keyframe)
        self.lift_topic_masks()

    def propose_and_lift(self, keyframe: Keyframe) -> None:
        """Make proposals in a keyframe, on the map as it is now, and lift them."""
        self._steps_at_proposal[keyframe.id] = self._mapper.steps_done
        self._lift(keyframe.camera, keyframe.T_map_camera, self._propose(keyframe))

    def add_topic_masks(self, masks: MaskImage) -> bool:
        """Take masks of another node; whether any view was lifted. Other backends ignore them."""
        if self.topic_masks is None:
            return False
        self.topic_masks.add_masks(masks)
        return self.lift_topic_masks()

    def lift_topic_masks(self) -> bool:
        """Lift views whose masks have arrived; whether there was any."""
        if self.topic_masks is None:
            return False
        pairs = self.topic_masks.take_pairs(int(self._config.keyframes.min_interval_s * 1e9))
        for view, proposal in pairs:
            self._lift(view.camera, view.T_map_camera, proposal)
        return bool(pairs)

    def keyframes_to_repeat(self) -> list[Keyframe]:
        """Keyframes whose depth is the map's own, which improves after their first proposals.

        None with a depth sensor, with topic masks, or with models, which see no depth.
        """
        if self.topic_masks or wants_full_image(self._config.masks):
            return []
        return [keyframe for keyframe in self._mapper.keyframes if keyframe.has_swept_depth]

    def steps_at_proposal(self, keyframe: Keyframe) -> int:
        """Optimisation steps of the map at the keyframe's last proposals."""
        return self._steps_at_proposal[keyframe.id]

    def repeat(self, keyframes: list[Keyframe]) -> None:
        """Make the proposals of keyframes again, on the finished map; earlier votes keep a small weight."""
        self.instances.prepare_repeat()
        for keyframe in keyframes:
            self.propose_and_lift(keyframe)

    def snapshot(self, stamp_ns: int) -> MapSnapshot:
        """The map and its instances as they are now."""
        snapshot = take_snapshot(stamp_ns, self._mapper, self.instances, self.scale.metres_per_unit)
        return replace(snapshot, instances=self._names.named(snapshot.instances))

    def finish(self) -> None:
        """At the end of a recording: views that wait for topic masks wait no longer."""
        if self.topic_masks:
            self.topic_masks.drop_waiting_views()

    def rewind(self) -> None:
        """On a backward time jump: clear what waits; votes and instances stay."""
        self._full_images.clear()
        if self.topic_masks:
            self.topic_masks.clear()

    def _propose(self, keyframe: Keyframe) -> MaskProposal:
        assert self._backend is not None
        scale = self.scale.metres_per_unit or 1.0
        rendered = self._mapper.render(keyframe.camera, keyframe.T_map_camera)
        # The map's depth comes from many views and is smoother than the swept depth of one.
        view = scaled_frame(replace(keyframe, depth_m=None) if keyframe.has_swept_depth else keyframe, scale)
        full = next((frame.rgb for frame in self._full_images if frame.stamp_ns == keyframe.stamp_ns), view.rgb)
        depth_m = rendered.depth.cpu().numpy() * np.float32(scale)
        return self._backend.propose(replace(view, rgb=full), depth_m, rendered.alpha.cpu().numpy())

    def _lift(self, camera: Camera, T_map_camera: Float64Array, proposal: MaskProposal) -> None:
        gaussians = self._mapper.gaussians
        weights = lift_proposal(self._mapper.rasterizer, gaussians, camera, T_map_camera, proposal)
        uids = gaussians.uids.cpu().numpy()
        self.instances.update(uids, weights, proposal)
        if proposal.names:
            self._names.add(self.instances.assignment(uids), weights, proposal)
