"""A pretrained backend in the map stage: it gets the full image, and its names reach the instances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scene_bag
from numpy.typing import NDArray
from torch import Tensor

from echoseg_ros.config import Config
from echoseg_ros.geometry import apply, pixel_rays
from echoseg_ros.masks.pretrained.rf_detr import RfDetrMasks
from echoseg_ros.objects import lifting
from echoseg_ros.pipeline import map_segmentation
from echoseg_ros.pipeline.map_stage import MapStage
from echoseg_ros.types import (
    CameraFrame,
    DepthData,
    FloatImage,
    ImageData,
    MapSnapshot,
    MaskProposal,
    PoseData,
    RgbImage,
)

FRAMES = 12
SMALL: dict[str, object] = {"map.image_width_px": 80, "map.steps_per_s": 2.0}


def play(stage: MapStage, depth: bool = True) -> list[MapSnapshot]:
    """The snapshots of twelve frames, two a second."""
    snapshots = stage.add(scene_bag.CAMERA)
    for i in range(FRAMES):
        at_ns = scene_bag.START_NS + i * 500_000_000
        rgb, depth_m = scene_bag.render(scene_bag.pose(0.25 * i))
        snapshots += stage.add(PoseData(at_ns, scene_bag.pose(0.25 * i)))
        snapshots += stage.add(DepthData(at_ns, depth_m)) if depth else []
        snapshots += stage.add(ImageData(at_ns, rgb))
    return snapshots


@pytest.mark.parametrize("depth", [True, False], ids=["rgbd", "rgb only"])
def test_a_model_gets_the_image_at_full_size(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, depth: bool
) -> None:
    lifted: list[MaskProposal] = []
    lift = lifting.lift_proposal

    def lift_and_record(*arguments: Any) -> NDArray[np.float32]:
        lifted.append(arguments[-1])
        return lift(*arguments)

    monkeypatch.setattr(map_segmentation, "lift_proposal", lift_and_record)
    settings = {"masks.backend": "rf_detr", "masks.model_path": str(folders["rf_detr"]), "masks.min_score": 0.0}
    stage = MapStage(Config().updated(SMALL | settings), use_depth=depth)
    backend = stage.segmentation._backend
    assert isinstance(backend, RfDetrMasks)
    shapes: list[tuple[int, ...]] = []
    preprocess = backend._preprocess

    def preprocess_and_record(rgb: RgbImage) -> Tensor:
        shapes.append(rgb.shape)
        return preprocess(rgb)

    monkeypatch.setattr(backend, "_preprocess", preprocess_and_record)
    play(stage, depth)
    assert len(lifted) >= 3 and shapes == [(120, 160, 3)] * len(lifted)
    assert {proposal.labels.shape for proposal in lifted} == {(60, 80)}, "labels at the map's resolution"
    assert all(len(proposal.names) == len(proposal.scores) for proposal in lifted)


class TrueMasksWithNames:
    """Proposes the boxes of the scene, with names."""

    def propose(
        self,
        frame: CameraFrame,
        rendered_depth_m: FloatImage | None = None,
        rendered_alpha: FloatImage | None = None,
    ) -> MaskProposal:
        assert frame.depth_m is not None
        points = apply(frame.T_map_camera, pixel_rays(frame.camera) * frame.depth_m[..., None])
        labels = np.zeros(frame.depth_m.shape, np.int32)
        for label, (center, half) in enumerate(scene_bag.BOXES, start=1):
            labels[(np.abs(points - center) <= half + 0.01).all(axis=-1)] = label
        return MaskProposal(frame.stamp_ns, labels, np.array([0.9, 0.6], np.float32), "truth", ("radio", "cushion"))


def test_names_reach_the_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = MapStage(Config().updated(SMALL))
    monkeypatch.setattr(stage.segmentation, "_backend", TrueMasksWithNames())
    instances = play(stage)[-1].instances
    assert len(instances) == 2
    for name, (center, _) in zip(("radio", "cushion"), scene_bag.BOXES):
        nearest = min(instances, key=lambda instance: float(np.linalg.norm(instance.position_m - center)))
        assert nearest.names == ((name, 1.0),)
