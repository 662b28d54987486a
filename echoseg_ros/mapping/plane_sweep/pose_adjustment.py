"""The poses of a keyframe's sources, corrected by the small turns that make the images fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from echoseg_ros import geometry
from echoseg_ros.mapping.plane_sweep import adjustment_kernels
from echoseg_ros.types import Camera, Float64Array, FloatImage

ITERATIONS = 5
# Poses are believed to be right within this turn; the images speak through noise of this normalised brightness, and
# neighbouring pixels, which share it, count as one per patch.
TURN_RAD, DIFFERENCE, PATCH_PX2 = 0.01, 0.5, 25
# How much stiffer still the one combination of turns is that the images hardly determine.
STIFF = 30.0
# Brightness is taken relative to its surroundings of this size; below this contrast it is noise.
LOCAL_PX, LOCAL_NOISE = 9, 0.02


def adjusted_poses(
    camera: Camera, reference: FloatImage, images: FloatImage, poses: Sequence[Float64Array], inverse_depth: FloatImage, step: float
) -> list[Float64Array]:  # fmt: skip
    """The poses T_source_reference [4, 4] with each source turned a little about its own centre.

    reference: [H, W], images: [S, H, W] grey 0..1; inverse_depth: [H, W], 0 = not used; step: the uncertainty of it.
    """
    ours, theirs = normalised(reference), np.stack([normalised(image) for image in images])
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32)
    poses, inverse, step = list(poses), inverse_depth.astype(np.float32), np.float32(step)
    stay = np.eye(3 * len(poses)) * PATCH_PX2 * (DIFFERENCE / TURN_RAD) ** 2
    common = _common_shift(poses)
    stay += np.outer(common, common) * stay[0, 0] * STIFF
    total = np.zeros(3 * len(poses))
    for _ in range(ITERATIONS):
        arguments = (ours, inverse, theirs, warps(camera, poses), lens, step)
        hessians, gradients = adjustment_kernels.normal_equations(*arguments)
        turns = -np.linalg.solve(hessians.sum(axis=0) + stay, gradients.sum(axis=0) + stay @ total)
        total += turns
        turns = turns.reshape(-1, 3)
        inverse = adjustment_kernels.moved(*arguments, turns.astype(np.float32))
        poses = [_turned(turn) @ pose for turn, pose in zip(turns, poses, strict=True)]
    return poses


def _common_shift(poses: Sequence[Float64Array]) -> Float64Array:
    """[3 S] unit turns of all sources that look like one change of all inverse depths: images cannot tell the two apart."""
    turns = np.concatenate([[-pose[1, 3], pose[0, 3], 0.0] for pose in poses])
    return turns / max(float(np.linalg.norm(turns)), 1e-30)


def warps(camera: Camera, poses: Sequence[Float64Array]) -> FloatImage:
    """[S, 12] of poses T_other_keyframe: pixels at inverse depth w move to K R K^-1 (x, y, 1) + w K t (same camera)."""
    K = camera.matrix
    parts = [np.concatenate([(K @ pose[:3, :3] @ np.linalg.inv(K)).ravel(), K @ pose[:3, 3]]) for pose in poses]
    return np.stack(parts).astype(np.float32)


def normalised(grey: FloatImage) -> FloatImage:
    """[H, W] brightness less its local mean, over its local contrast: the same for any gain and bias of exposure."""
    mean = ndimage.uniform_filter(grey, LOCAL_PX, mode="nearest")
    spread = ndimage.uniform_filter(grey * grey, LOCAL_PX, mode="nearest") - mean * mean
    return ((grey - mean) / np.sqrt(np.maximum(spread, 0) + LOCAL_NOISE**2)).astype(np.float32)


def _turned(turn: Float64Array) -> Float64Array:
    return geometry.transform(Rotation.from_rotvec(turn).as_matrix(), np.zeros(3))
