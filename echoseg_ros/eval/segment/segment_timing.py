"""Time of segmentation on a map of realistic size: lifting of a keyframe's proposals, relabelling of the map."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.segment.scene_run import SceneRun
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.mapping.keyframes import reduced
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.lifting import lift_proposal
from echoseg_ros.objects.map_snapshot import take_snapshot
from echoseg_ros.types import Camera, CameraFrame, MaskProposal

# Proposals of a keyframe.
PROPOSALS = 30
# Rows and columns of the proposals in the image.
_GRID = (5, 6)
# Share of a patch's side that is left free as gap.
_GAP_SHARE = 0.1
# Timed keyframes.
_KEYFRAMES = 20


def time_segmentation(scene: EvalScene, run: SceneRun, keyframes: int = _KEYFRAMES) -> dict[str, float]:
    """Times of lifting and relabelling.

    lift_ms_30_proposals: lifting of 30 proposals of a keyframe at the map's width and update of the instances, median
    over keyframes; relabel_s: instance of all Gaussians, boxes and points of all instances, once; gaussians, instances:
    their numbers.
    """
    mapper = run.folder.mapper
    uids = mapper.gaussians.uids.cpu().numpy()
    instances = InstanceMap(run.folder.config.instances)
    spent_ms = []
    for k, view in enumerate(scene.train[: keyframes + 1]):
        camera = _map_camera(view.camera, run.folder.config.map.image_width_px)
        proposal = grid_proposal(camera, k)
        start = time.perf_counter()
        weights = lift_proposal(mapper.rasterizer, mapper.gaussians, camera, view.T_map_camera, proposal)
        instances.update(uids, weights, proposal)
        spent_ms.append(1e3 * (time.perf_counter() - start))
    start = time.perf_counter()
    snapshot = take_snapshot(0, mapper, instances, run.snapshot.metres_per_unit)
    relabel_s = time.perf_counter() - start
    return {
        "lift_ms_30_proposals": float(np.median(spent_ms[1:] or spent_ms)),  # the first keyframe compiles
        "relabel_s": relabel_s,
        "gaussians": float(len(uids)),
        "instances": float(len(snapshot.instances)),
    }


def grid_proposal(camera: Camera, stamp_ns: int) -> MaskProposal:
    """PROPOSALS patches that fill the image except for gaps between them."""
    rows, columns = np.indices((camera.height, camera.width))
    high, wide = camera.height / _GRID[0], camera.width / _GRID[1]
    number = (rows // high) * _GRID[1] + columns // wide + 1
    inside = (rows % high > _GAP_SHARE * high) & (columns % wide > _GAP_SHARE * wide)
    labels: NDArray[np.int32] = np.where(inside, number, 0).astype(np.int32)
    return MaskProposal(stamp_ns, labels, np.ones(PROPOSALS, np.float32), "grid")


def _map_camera(camera: Camera, width_px: int) -> Camera:
    blank = np.zeros((camera.height, camera.width, 3), np.uint8)
    return reduced(CameraFrame(0, 0, camera, blank, None, np.eye(4)), width_px).camera
