"""Our instances made of the reference's 2D masks, by the lifting and merging of a run."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.segment.scene_run import SceneRun
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.masks.outline_bias import OutlineBiasEstimator
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.lifting import lift_proposal
from echoseg_ros.objects.map_snapshot import take_snapshot
from echoseg_ros.types import MapSnapshot, MaskProposal
from echoseg_ros.units import MapScale

# Smallest share of the image that a connected piece of a mask needs to be a proposal.
MIN_PIECE_SHARE = 2e-4


def front_end_snapshot(scene: EvalScene, run: SceneRun, unions: Sequence[NDArray[np.bool_]]) -> MapSnapshot:
    """The run's finished map with instances made only of the 2D masks of the train views.

    unions: [H, W] mask of each train view. The reference's 2D stage gives one mask a view; its connected pieces are the
    proposals. The common offset of their outlines is corrected, as for all masks of other programs.
    """
    mapper = run.folder.mapper
    uids = mapper.gaussians.uids.cpu().numpy()
    instances = InstanceMap(run.folder.config.instances, MapScale(run.folder.config.input.pose_units).error)
    proposals = [connected_proposals(union, k, 1.0) for k, union in enumerate(unions)]
    outlines = OutlineBiasEstimator()
    for view, proposal in zip(scene.train, proposals, strict=True):
        outlines.add(proposal.labels, scene.data.picture(view.frame)[0])
    for view, proposal in zip(scene.train, map(outlines.corrected, proposals), strict=True):
        weights = lift_proposal(mapper.rasterizer, mapper.gaussians, view.camera, view.T_map_camera, proposal)
        instances.update(uids, weights, proposal)
    return take_snapshot(0, mapper, instances, run.snapshot.metres_per_unit)


def connected_proposals(union: NDArray[np.bool_], stamp_ns: int, score: float) -> MaskProposal:
    """The connected pieces of a mask [H, W] as proposals, all with one score; pieces below MIN_PIECE_SHARE are dropped."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(union.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= MIN_PIECE_SHARE * union.size
    large[0] = False
    number = np.zeros(len(stats), np.int32)
    number[large] = np.arange(1, large.sum() + 1)
    return MaskProposal(stamp_ns, number[labels], np.full(int(large.sum()), score, np.float32), "front end")
