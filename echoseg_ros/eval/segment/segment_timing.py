"""What segmentation costs on a map of a real size: lifting a keyframe's proposals, and relabelling everything."""

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

PROPOSALS = 30
_GRID = (5, 6)
_KEYFRAMES = 20


def time_segmentation(scene: EvalScene, run: SceneRun, keyframes: int = _KEYFRAMES) -> dict[str, float]:
    """Medians over keyframes, one relabelling.

    lift_ms_30_proposals: blending weights of 30 proposals in one keyframe at the map's width, and their way into the
    instances; relabel_s: every Gaussian's instance and every instance's box and points anew; gaussians, instances.
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
        "lift_ms_30_proposals": float(np.median(spent_ms[1:] or spent_ms)),  # the first one compiles
        "relabel_s": relabel_s,
        "gaussians": float(len(uids)),
        "instances": float(len(snapshot.instances)),
    }


def grid_proposal(camera: Camera, stamp_ns: int) -> MaskProposal:
    """30 patches that fill the picture but for the gaps between them."""
    rows, columns = np.indices((camera.height, camera.width))
    high, wide = camera.height / _GRID[0], camera.width / _GRID[1]
    number = (rows // high) * _GRID[1] + columns // wide + 1
    inside = (rows % high > 0.1 * high) & (columns % wide > 0.1 * wide)
    labels: NDArray[np.int32] = np.where(inside, number, 0).astype(np.int32)
    return MaskProposal(stamp_ns, labels, np.ones(PROPOSALS, np.float32), "grid")


def _map_camera(camera: Camera, width_px: int) -> Camera:
    blank = np.zeros((camera.height, camera.width, 3), np.uint8)
    return reduced(CameraFrame(0, 0, camera, blank, None, np.eye(4)), width_px).camera
