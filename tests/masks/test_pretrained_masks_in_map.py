"""A pretrained backend inside the map's side: it sees the whole image, and the names it gives reach the instances."""

from __future__ import annotations

import numpy as np
import pytest
import scene_bag

from echoseg_ros.config import Config
from echoseg_ros.geometry import apply, pixel_rays
from echoseg_ros.pipeline import map_stage
from echoseg_ros.pipeline.map_stage import MapStage
from echoseg_ros.types import DepthData, ImageData, MaskProposal, PoseData

FRAMES, SMALL = 12, {"map.image_width_px": 80, "map.steps_per_s": 2.0}


def play(side: MapStage, depth: bool = True) -> list:
    """Twelve frames, one in half a second; returns the snapshots."""
    snapshots = side.add(scene_bag.CAMERA)
    for i in range(FRAMES):
        at_ns = scene_bag.START_NS + i * 500_000_000
        rgb, depth_m = scene_bag.render(scene_bag.pose(0.25 * i))
        snapshots += side.add(PoseData(at_ns, scene_bag.pose(0.25 * i)))
        snapshots += side.add(DepthData(at_ns, depth_m)) if depth else []
        snapshots += side.add(ImageData(at_ns, rgb))
    return snapshots


@pytest.mark.parametrize("depth", [True, False], ids=["rgbd", "rgb only"])
def test_a_model_sees_the_image_as_the_camera_took_it(folders, monkeypatch, depth: bool) -> None:
    lifted: list[MaskProposal] = []
    lift = map_stage.lift_proposal
    monkeypatch.setattr(map_stage, "lift_proposal", lambda *given: lifted.append(given[-1]) or lift(*given))
    settings = {"masks.backend": "rf_detr", "masks.model_path": str(folders["rf_detr"]), "masks.min_score": 0.0}
    side = MapStage(Config().updated(SMALL | settings), use_depth=depth)
    seen: list[tuple[int, ...]] = []
    prepare = side.masks._preprocess
    monkeypatch.setattr(side.masks, "_preprocess", lambda rgb: seen.append(rgb.shape) or prepare(rgb))
    play(side, depth)
    assert len(lifted) >= 3 and seen == [(120, 160, 3)] * len(lifted)
    assert {proposal.labels.shape for proposal in lifted} == {(60, 80)}, "labels at the map's resolution"
    assert all(len(proposal.names) == len(proposal.scores) for proposal in lifted)


class TruthWithNames:
    """Proposes the boxes that are there, by name."""

    def propose(self, frame, rendered_depth_m=None, rendered_alpha=None) -> MaskProposal:
        points = apply(frame.T_map_camera, pixel_rays(frame.camera) * frame.depth_m[..., None])
        labels = np.zeros(frame.depth_m.shape, np.int32)
        for label, (center, half) in enumerate(scene_bag.BOXES, start=1):
            labels[(np.abs(points - center) <= half + 0.01).all(axis=-1)] = label
        return MaskProposal(frame.stamp_ns, labels, np.float32([0.9, 0.6]), "truth", ("radio", "cushion"))


def test_names_reach_the_instances() -> None:
    side = MapStage(Config().updated(SMALL))
    side.masks = TruthWithNames()
    instances = play(side)[-1].instances
    assert len(instances) == 2
    for name, (center, _) in zip(("radio", "cushion"), scene_bag.BOXES):
        nearest = min(instances, key=lambda instance: np.linalg.norm(instance.position_m - center))
        assert nearest.names == ((name, 1.0),)
