"""The reference's Gaussian decomposition (SAGD) at mask borders: those that straddle one shrink and move inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from echoseg_ros.geometry import apply, inverse
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import EPS_2D_PX2, NEAR_PLANE
from echoseg_ros.mapping.rotations import rotation_matrices
from echoseg_ros.types import Camera, Float64Array

EVERY_VIEW = 4
END_SIGMAS = 1.5
SHRINK = 0.8
_SAMPLES = 33


def decompose(
    gaussians: Gaussians,
    cameras: Sequence[Camera],
    poses: Sequence[Float64Array],
    masks: Sequence[NDArray[np.bool_] | None],
) -> Gaussians:
    """The chosen Gaussians after a pass over every EVERY_VIEW-th view; none is added.

    poses: T_map_camera. The masks that exist are counted through and paired with the views in order, as in the
    reference: if one is missing (None), all later ones go with the wrong views.
    """
    present = [mask for mask in masks if mask is not None]
    for k in range(0, min(len(present), len(cameras)), EVERY_VIEW):
        gaussians = _cut(gaussians, cameras[k], poses[k], present[k])
    return gaussians


def _cut(gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, mask: NDArray[np.bool_]) -> Gaussians:
    """Shrink and move those whose long axis has one end in the mask and one outside, both in the image."""
    means = gaussians.means.numpy().astype(float)
    rotations = rotation_matrices(gaussians.quats_wxyz).numpy().astype(float)
    scales = gaussians.scales.numpy().astype(float)
    centre, axis, long_ahead = _long_axis(means, rotations, scales, camera, T_map_camera)
    ends = centre[:, None] + axis[:, None] * np.linspace(-1, 1, _SAMPLES)[None, :, None]
    inside, in_image = _read(mask, ends)
    straddles = in_image[:, 0] & in_image[:, -1] & (inside[:, 0] != inside[:, -1]) & np.isfinite(centre[:, 0])
    rows = np.flatnonzero(straddles)
    ratio = inside[rows].mean(axis=1)
    # Towards the end that is inside, along the 3D axis, whose image points the way of the 2D one or against it.
    sign = np.where(inside[rows, -1], 1.0, -1.0) * long_ahead[rows]
    longest = scales[rows].argmax(axis=1)
    long_3d = rotations[rows, :, longest] * (sign * 0.5 * (1 - ratio) * 3 * scales[rows, longest])[:, None]
    means[rows] += long_3d
    scales[rows] *= np.maximum(SHRINK * ratio, 1e-3)[:, None]
    return replace(
        gaussians,
        means=torch.from_numpy(means.astype(np.float32)),
        log_scales=torch.from_numpy(np.log(scales).astype(np.float32)),
    )


def _long_axis(
    means: Float64Array, rotations: Float64Array, scales: Float64Array, camera: Camera, T_map_camera: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Pixel of each centre [N, 2], its long 2D half axis [N, 2], and the sense of the 3D one; NaN behind the camera.

    The half axis is END_SIGMAS deviations long; the sense [N] is +1 where the 3D long axis points that way in the image,
    else -1.
    """
    seen = apply(inverse(T_map_camera), means)
    z = np.where(seen[:, 2] > NEAR_PLANE, seen[:, 2], np.nan)
    jacobian = np.zeros((len(means), 2, 3))
    jacobian[:, 0, 0], jacobian[:, 1, 1] = camera.fx / z, camera.fy / z
    jacobian[:, 0, 2], jacobian[:, 1, 2] = -camera.fx * seen[:, 0] / z**2, -camera.fy * seen[:, 1] / z**2
    spread = jacobian @ T_map_camera[:3, :3].T @ rotations  # [N, 2, 3] image of the axes of unit length
    shape = spread * scales[:, None]
    covariance = shape @ shape.transpose(0, 2, 1) + EPS_2D_PX2 * np.eye(2)
    covariance[np.isnan(z)] = np.eye(2)
    values, vectors = np.linalg.eigh(covariance)
    axis = vectors[:, :, 1] * (END_SIGMAS * np.sqrt(values[:, 1]))[:, None]
    long_image = spread[np.arange(len(means)), :, scales.argmax(axis=1)]
    along = np.where(np.einsum("nk,nk->n", long_image, axis) >= 0, 1.0, -1.0)
    centre = np.stack([camera.fx * seen[:, 0] / z + camera.cx, camera.fy * seen[:, 1] / z + camera.cy], axis=1)
    return centre, axis, along


def _read(mask: NDArray[np.bool_], pixels: Float64Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[N, S] the mask at places [N, S, 2] (False outside the image), and whether they are in the image."""
    height, width = mask.shape
    column, row = np.floor(np.nan_to_num(pixels[..., 0], nan=-1.0)), np.floor(np.nan_to_num(pixels[..., 1], nan=-1.0))
    in_image = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    values = np.zeros(in_image.shape, bool)
    values[in_image] = mask[row[in_image].astype(int), column[in_image].astype(int)]
    return values, in_image
