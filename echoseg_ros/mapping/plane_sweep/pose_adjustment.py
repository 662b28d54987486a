"""Correction of the poses of neighbour views by small rotations that make their images fit the reference image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from echoseg_ros import geometry
from echoseg_ros.mapping.plane_sweep import adjustment_kernels
from echoseg_ros.types import Camera, Float64Array, FloatImage

# Gauss-Newton iterations.
ITERATIONS = 5
# Standard deviation of the rotation error of the given poses, rad.
TURN_SIGMA_RAD = 0.01
# Standard deviation of the noise of normalised brightness.
DIFFERENCE_SIGMA = 0.5
# Area of a patch of pixels that share one noise sample, px^2.
PATCH_PX2 = 25
# Additional stiffness of the prior on the one combination of rotations that the images hardly determine, as a factor.
COMMON_SHIFT_STIFFNESS = 30.0
# Side of the square over which brightness is normalised, pixels.
LOCAL_PX = 9
# Contrast (brightness 0..1) below which brightness is noise.
LOCAL_NOISE = 0.02


def adjusted_poses(
    camera: Camera,
    reference: FloatImage,
    images: FloatImage,
    poses: Sequence[Float64Array],
    inverse_depth: FloatImage,
    plane_step: float,
) -> list[Float64Array]:
    """The poses T_neighbour_reference [4, 4] with each neighbour rotated a little about its own centre.

    reference: [H, W], images: [S, H, W] grey 0..1; inverse_depth: [H, W] of the reference, 0 = not used; plane_step:
    difference of inverse depth between planes, the uncertainty of inverse_depth.
    """
    normalised_reference, normalised_images = normalised(reference), np.stack([normalised(image) for image in images])
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32)
    poses, inverse, plane_step = list(poses), inverse_depth.astype(np.float32), np.float32(plane_step)
    prior = np.eye(3 * len(poses)) * PATCH_PX2 * (DIFFERENCE_SIGMA / TURN_SIGMA_RAD) ** 2
    common = _common_shift(poses)
    prior += np.outer(common, common) * prior[0, 0] * COMMON_SHIFT_STIFFNESS
    total = np.zeros(3 * len(poses))
    for _ in range(ITERATIONS):
        arguments = (normalised_reference, inverse, normalised_images, warps(camera, poses), lens, plane_step)
        hessians, gradients = adjustment_kernels.normal_equations(*arguments)
        rotations = -np.linalg.solve(hessians.sum(axis=0) + prior, gradients.sum(axis=0) + prior @ total)
        total += rotations
        rotations = rotations.reshape(-1, 3)
        inverse = adjustment_kernels.adjusted_inverse_depths(*arguments, rotations.astype(np.float32))
        poses = [_rotation(rotation) @ pose for rotation, pose in zip(rotations, poses, strict=True)]
    return poses


def _common_shift(poses: Sequence[Float64Array]) -> Float64Array:
    """Rotations [3 S], as a unit vector, with the same effect on the images as one change of all inverse depths."""
    rotations = np.concatenate([[-pose[1, 3], pose[0, 3], 0.0] for pose in poses])
    return rotations / max(float(np.linalg.norm(rotations)), 1e-30)


def warps(camera: Camera, poses: Sequence[Float64Array]) -> FloatImage:
    """Warps [S, 12] of poses T_neighbour_keyframe: pixel (x, y) at inverse depth w moves to K R K^-1 (x, y, 1) + w K t.

    Both views have the same camera. A warp is the 3x3 matrix by rows, then the vector.
    """
    K = camera.matrix
    parts = [np.concatenate([(K @ pose[:3, :3] @ np.linalg.inv(K)).ravel(), K @ pose[:3, 3]]) for pose in poses]
    return np.stack(parts).astype(np.float32)


def normalised(grey: FloatImage) -> FloatImage:
    """Brightness [H, W] minus its local mean, divided by its local contrast; independent of gain and offset of exposure."""
    mean = ndimage.uniform_filter(grey, LOCAL_PX, mode="nearest")
    spread = ndimage.uniform_filter(grey * grey, LOCAL_PX, mode="nearest") - mean * mean
    result: FloatImage = ((grey - mean) / np.sqrt(np.maximum(spread, 0) + LOCAL_NOISE**2)).astype(np.float32)
    return result


def _rotation(rotation_vector: Float64Array) -> Float64Array:
    return geometry.transform(Rotation.from_rotvec(rotation_vector).as_matrix(), np.zeros(3))
