"""Our instances from the reference's 2D masks: the same lifting and merging as a run's, fed with these instead of ours."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.segment.scene_run import SceneRun
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.masks.outline_bias import OutlineBias
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.lifting import lift_proposal
from echoseg_ros.objects.map_snapshot import take_snapshot
from echoseg_ros.types import MapSnapshot, MaskProposal
from echoseg_ros.units import MapScale

# Less than this is a speck at a mask's edge, not a thing of its own.
MIN_PIECE_SHARE = 2e-4


def front_end_snapshot(
    scene: EvalScene, run: SceneRun, unions: Sequence[NDArray[np.bool_]], trust: float = 1.0
) -> MapSnapshot:
    """The run's finished map with instances made of the 2D masks [H, W] of the train views alone.

    The reference's stage hands on one mask a view, so its connected pieces are the proposals. What its outlines have in
    common is taken out, as of any masks that another program makes. trust: of each.
    """
    mapper = run.folder.mapper
    uids = mapper.gaussians.uids.cpu().numpy()
    instances = InstanceMap(run.folder.config.instances, MapScale(run.folder.config.input.pose_units).error)
    proposals = [pieces(union, k, trust) for k, union in enumerate(unions)]
    outlines = OutlineBias()
    for view, proposal in zip(scene.train, proposals, strict=True):
        outlines.add(proposal.labels, scene.data.picture(view.frame)[0])
    for view, proposal in zip(scene.train, map(outlines.corrected, proposals), strict=True):
        weights = lift_proposal(mapper.rasterizer, mapper.gaussians, view.camera, view.T_map_camera, proposal)
        instances.update(uids, weights, proposal)
    return take_snapshot(0, mapper, instances, run.snapshot.metres_per_unit)


def pieces(union: NDArray[np.bool_], stamp_ns: int, trust: float) -> MaskProposal:
    """The connected pieces of a mask, each a proposal."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(union.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= MIN_PIECE_SHARE * union.size
    large[0] = False
    number = np.zeros(len(stats), np.int32)
    number[large] = np.arange(1, large.sum() + 1)
    return MaskProposal(stamp_ns, number[labels], np.full(int(large.sum()), trust, np.float32), "front end")
