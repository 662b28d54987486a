"""Gaussian decomposition (SAGD) of EchoSegnet: Gaussians across a mask's border shrink and move inside."""

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

# Step between the views that are used.
EVERY_VIEW = 4
# Half length of the long axis, standard deviations.
END_SIGMAS = 1.5
# Factor on the scales, beside the share of the axis that is inside the mask.
SHRINK = 0.8
# Smallest factor on the scales.
MIN_SHRINK = 1e-3
# Points along the long axis at which the mask is read.
_SAMPLES = 33


def decompose(
    gaussians: Gaussians,
    cameras: Sequence[Camera],
    poses: Sequence[Float64Array],
    masks: Sequence[NDArray[np.bool_] | None],
) -> Gaussians:
    """The chosen Gaussians after a pass over every EVERY_VIEW-th view; no Gaussian is added.

    poses: T_map_camera. Masks that are not None are paired with the views in order, as in the published code: after a
    missing mask, all later masks are paired with wrong views.
    """
    present = [mask for mask in masks if mask is not None]
    for k in range(0, min(len(present), len(cameras)), EVERY_VIEW):
        gaussians = _shrink_at_border(gaussians, cameras[k], poses[k], present[k])
    return gaussians


def _shrink_at_border(
    gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, mask: NDArray[np.bool_]
) -> Gaussians:
    """Shrink and move Gaussians whose long axis has one end in the mask and one outside, both in the image."""
    means = gaussians.means.numpy().astype(float)
    rotations = rotation_matrices(gaussians.quats_wxyz).numpy().astype(float)
    scales = gaussians.scales.numpy().astype(float)
    centre, axis, long_ahead = _long_axis(means, rotations, scales, camera, T_map_camera)
    ends = centre[:, None] + axis[:, None] * np.linspace(-1, 1, _SAMPLES)[None, :, None]
    inside, in_image = _read_mask(mask, ends)
    straddles = in_image[:, 0] & in_image[:, -1] & (inside[:, 0] != inside[:, -1]) & np.isfinite(centre[:, 0])
    rows = np.flatnonzero(straddles)
    ratio = inside[rows].mean(axis=1)
    # Towards the end inside the mask, along the 3D axis; `long_ahead` says whether its image points along the 2D axis.
    sign = np.where(inside[rows, -1], 1.0, -1.0) * long_ahead[rows]
    longest = scales[rows].argmax(axis=1)
    long_3d = rotations[rows, :, longest] * (sign * 0.5 * (1 - ratio) * 3 * scales[rows, longest])[:, None]
    means[rows] += long_3d
    scales[rows] *= np.maximum(SHRINK * ratio, MIN_SHRINK)[:, None]
    return replace(
        gaussians,
        means=torch.from_numpy(means.astype(np.float32)),
        log_scales=torch.from_numpy(np.log(scales).astype(np.float32)),
    )


def _long_axis(
    means: Float64Array, rotations: Float64Array, scales: Float64Array, camera: Camera, T_map_camera: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """(pixel of each centre [N, 2], long 2D half axis [N, 2], sign of the 3D long axis [N]); NaN behind the camera.

    The half axis is END_SIGMAS deviations long; the sign is +1 where the image of the 3D long axis points along the 2D
    half axis, else -1.
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


def _read_mask(mask: NDArray[np.bool_], pixels: Float64Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """([N, S] the mask at pixels [N, S, 2], False outside the image; [N, S] whether a pixel is in the image)."""
    height, width = mask.shape
    column, row = np.floor(np.nan_to_num(pixels[..., 0], nan=-1.0)), np.floor(np.nan_to_num(pixels[..., 1], nan=-1.0))
    in_image = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    values = np.zeros(in_image.shape, bool)
    values[in_image] = mask[row[in_image].astype(int), column[in_image].astype(int)]
    return values, in_image
