"""The reference rasterizer that tests compare the fast ones with: dense torch, any precision, gradients by autograd.

It evaluates every Gaussian in every pixel, so it is for small images only. Equations: Zwicker et al. 2001 (EWA
splatting), Kerbl et al. 2023 (3DGS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import (
    ALPHA_FLOOR,
    ALPHA_MAX,
    ALPHA_MIN,
    EPS_2D_PX2,
    FOV_MARGIN,
    NEAR_PLANE,
    TRANSMITTANCE_STOP,
    IntArray,
    Rendered,
    SequentialViews,
    check_labels,
)
from echoseg_ros.mapping.rotations import rotation_matrices
from echoseg_ros.types import Camera, Float64Array


@dataclass(frozen=True)
class Projected:
    """Gaussians projected into the image, front to back.

    rows: [V] their rows in the map; means_px: [V, 2] centres; conics: [V, 3] a, b, c of the inverse covariance
    [[a, b], [b, c]], 1/px^2; depths: [V] of the centres, map units.
    """

    rows: Tensor
    means_px: Tensor
    conics: Tensor
    depths: Tensor


class ReferenceRasterizer(SequentialViews):
    """Rasterizer in dense torch. Memory grows with pixels times Gaussians."""

    def render(self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array) -> Rendered:
        """See Rasterizer.render."""
        projected = project(gaussians, camera, T_map_camera)
        weights = blending_weights(projected, gaussians.opacities[projected.rows], camera)
        alpha = weights.sum(1)
        depth = (weights @ projected.depths) / alpha.clamp(min=ALPHA_FLOOR)
        shape = (camera.height, camera.width)
        rgb = (weights @ gaussians.rgb[projected.rows]).reshape(*shape, 3)
        return Rendered(rgb, depth.reshape(shape), alpha.reshape(shape))

    @torch.no_grad()
    def render_features(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See Rasterizer.render_features."""
        projected = project(gaussians, camera, T_map_camera)
        weights = blending_weights(projected, gaussians.opacities[projected.rows], camera)
        image = weights @ features.to(weights)[projected.rows]
        return image.reshape(camera.height, camera.width, -1), weights.sum(1).reshape(camera.height, camera.width)

    @torch.no_grad()
    def lift(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, labels: IntArray, classes: int
    ) -> Tensor:
        """See Rasterizer.lift."""
        check_labels(labels, camera, classes)
        projected = project(gaussians, camera, T_map_camera)
        weights = blending_weights(projected, gaussians.opacities[projected.rows], camera)
        flat = torch.as_tensor(labels.reshape(-1).astype(np.int64), device=weights.device)
        onehot = (flat[:, None] == torch.arange(classes, device=weights.device)).to(weights)
        lifted = torch.zeros(len(gaussians), classes, dtype=weights.dtype, device=weights.device)
        lifted[projected.rows] = weights.T @ onehot
        return lifted


def project(gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array) -> Projected:
    """Project all Gaussians beyond the near plane (EWA splatting), sorted by depth."""
    T_camera_map = torch.as_tensor(geometry.inverse(T_map_camera)).to(gaussians.means)
    points = gaussians.means @ T_camera_map[:3, :3].T + T_camera_map[:3, 3]
    rows = torch.nonzero(points[:, 2] >= NEAR_PLANE).squeeze(1)
    rows = rows[torch.argsort(points[rows, 2].detach(), stable=True)]
    points = points[rows]
    x, y, z = points.unbind(1)
    axes = T_camera_map[:3, :3] @ rotation_matrices(gaussians.quats_wxyz[rows]) * gaussians.scales[rows, None, :]
    projected_axes = _jacobian(x, y, z, camera) @ axes
    covariance = projected_axes @ projected_axes.transpose(1, 2)
    a, b, c = covariance[:, 0, 0] + EPS_2D_PX2, covariance[:, 0, 1], covariance[:, 1, 1] + EPS_2D_PX2
    determinant = a * c - b * b
    means_px = torch.stack([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy], 1)
    return Projected(rows, means_px, torch.stack([c, -b, a], 1) / determinant[:, None], z)


def _jacobian(x: Tensor, y: Tensor, z: Tensor, camera: Camera) -> Tensor:  # [V, 2, 3]
    """Derivative of the pixel position by the point in the camera frame, at ray slopes clamped near the image."""
    margin_x, margin_y = FOV_MARGIN * 0.5 * camera.width / camera.fx, FOV_MARGIN * 0.5 * camera.height / camera.fy
    slope_x = (x / z).clamp(-camera.cx / camera.fx - margin_x, (camera.width - camera.cx) / camera.fx + margin_x)
    slope_y = (y / z).clamp(-camera.cy / camera.fy - margin_y, (camera.height - camera.cy) / camera.fy + margin_y)
    zero = torch.zeros_like(z)
    row_u = torch.stack([camera.fx / z, zero, -camera.fx * slope_x / z], 1)
    row_v = torch.stack([zero, camera.fy / z, -camera.fy * slope_y / z], 1)
    return torch.stack([row_u, row_v], 1)


def blending_weights(projected: Projected, opacities: Tensor, camera: Camera) -> Tensor:
    """Blending weights [H * W, V] of every Gaussian in every pixel, front to back."""
    pixels_x = torch.arange(camera.width).to(opacities) + 0.5
    pixels_y = torch.arange(camera.height).to(opacities) + 0.5
    dx = projected.means_px[None, None, :, 0] - pixels_x[None, :, None]
    dy = projected.means_px[None, None, :, 1] - pixels_y[:, None, None]
    a, b, c = projected.conics.unbind(1)
    exponent = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (opacities * torch.exp(-exponent)).clamp(max=ALPHA_MAX).reshape(camera.height * camera.width, -1)
    alpha = torch.where(alpha >= ALPHA_MIN, alpha, torch.zeros_like(alpha))
    after = torch.cumprod(1 - alpha, dim=1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], 1)
    return torch.where(after > TRANSMITTANCE_STOP, alpha * before, torch.zeros_like(alpha))
