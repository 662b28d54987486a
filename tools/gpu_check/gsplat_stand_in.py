"""Stand-in for gsplat on machines without a GPU: checks the arguments and computes with the dense reference.

It serves tests of everything except gsplat's kernels. It is slow; use it for small images only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import ALPHA_FLOOR, EPS_2D_PX2, NEAR_PLANE
from echoseg_ros.mapping.rasterizers.reference import Projected, blending_weights, project
from echoseg_ros.types import Camera

# Largest number of channels of one call: gsplat is slow beyond it.
MAX_CHANNELS = 32


def rasterization(means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor,
                  Ks: Tensor, width: int, height: int, near_plane: float = NEAR_PLANE, eps2d: float = EPS_2D_PX2,
                  sh_degree: int | None = None, packed: bool = True, render_mode: str = "RGB",
                  ) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """The function `rasterization` of gsplat 1.5.3, as far as this package uses it.

    means: [N, 3]; quats: [N, 4] wxyz; scales: [N, 3]; opacities: [N]; colors: [N, D], with sh_degree [N, K, 3]; viewmats:
    [C, 4, 4] T_camera_map; Ks: [C, 3, 3]. Returns images [C, H, W, D (+ 1)], alphas [C, H, W, 1] and the values for gsplat's
    strategies: means2d [C, N, 2] (with gradient), radii [C, N, 2], width, height, n_cameras, gaussian_ids.
    """
    _check(means, quats, scales, opacities, colors, viewmats, Ks, sh_degree)
    assert not packed and render_mode in ("RGB", "RGB+ED") and (near_plane, eps2d) == (NEAR_PLANE, EPS_2D_PX2)
    gaussians = Gaussians(means, quats, scales.log(), torch.logit(opacities), means)
    cameras = [_camera(K, width, height) for K in Ks]
    poses = [geometry.inverse(viewmat.double().cpu().numpy()) for viewmat in viewmats]
    projections = [project(gaussians, camera, pose) for camera, pose in zip(cameras, poses, strict=True)]
    # One tensor of all projected centres between projection and blending: a strategy reads its gradient.
    empty = means.new_zeros(len(means), 2)
    means2d = torch.stack([empty.index_put((projected.rows,), projected.means_px) for projected in projections])
    images, alphas = [], []
    for camera, viewmat, projected, centres in zip(cameras, viewmats, projections, means2d, strict=True):
        seen = colors if sh_degree is None else sh_colors(means, viewmat, colors, sh_degree)
        projected = replace(projected, means_px=centres[projected.rows])
        image, alpha = _blended(projected, opacities, seen, camera, render_mode)
        images.append(image)
        alphas.append(alpha)
    radii = torch.stack([empty.int().index_fill(0, projected.rows, 1) for projected in projections])
    info = {"means2d": means2d, "radii": radii, "width": width, "height": height, "n_cameras": len(viewmats),
            "gaussian_ids": None}  # fmt: skip
    return torch.stack(images), torch.stack(alphas), info


def _check(means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor,
           Ks: Tensor, sh_degree: int | None) -> None:  # fmt: skip
    """Assert what gsplat asserts about its arguments, and what it assumes."""
    count, views = len(means), len(viewmats)
    assert means.shape == (count, 3) and quats.shape == (count, 4) and scales.shape == (count, 3)
    assert opacities.shape == (count,) and colors.shape[0] == count > 0
    assert viewmats.shape == (views, 4, 4) and Ks.shape == (views, 3, 3) and views > 0
    assert viewmats.is_contiguous() and Ks.is_contiguous()
    for tensor in (means, quats, scales, opacities, colors, viewmats, Ks):
        assert tensor.dtype == torch.float32 and tensor.device == means.device
    if sh_degree is None:
        assert colors.dim() == 2 and 1 <= colors.shape[1] <= MAX_CHANNELS
    else:
        assert colors.dim() == 3 and colors.shape[2] == 3 and (sh_degree + 1) ** 2 <= colors.shape[1]


def _camera(K: Tensor, width: int, height: int) -> Camera:
    lens = K.double().cpu().numpy()
    return Camera(width, height, lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2])


def _blended(
    projected: Projected, opacities: Tensor, colors: Tensor, camera: Camera, mode: str
) -> tuple[Tensor, Tensor]:
    """Image [H, W, D (+ 1)] and alpha [H, W, 1] of one view."""
    weights = blending_weights(projected, opacities[projected.rows], camera)
    alpha = weights.sum(1, keepdim=True)
    image = weights @ colors[projected.rows]
    if mode == "RGB+ED":
        image = torch.cat([image, (weights @ projected.depths)[:, None] / alpha.clamp(min=ALPHA_FLOOR)], 1)
    shape = (camera.height, camera.width)
    return image.reshape(*shape, -1), alpha.reshape(*shape, 1)


def sh_colors(means: Tensor, viewmat: Tensor, coefficients: Tensor, degree: int) -> Tensor:
    """Colours [N, 3] from a camera, of spherical harmonics [N, K, 3] in the basis of 3DGS, plus 0.5, at least 0."""
    rotation, translation = viewmat[:3, :3], viewmat[:3, 3]
    directions = torch.nn.functional.normalize(means + rotation.T @ translation, dim=1)
    basis = _sh_basis(directions)[:, : (degree + 1) ** 2]
    return ((basis[:, :, None] * coefficients[:, : basis.shape[1]]).sum(1) + 0.5).clamp(min=0)


def _sh_basis(directions: Tensor) -> Tensor:  # [N, 3] -> [N, 16]
    x, y, z = directions.unbind(1)
    xx, yy, zz = x * x, y * y, z * z
    columns = [
        torch.full_like(x, 0.28209479177387814),
        -0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x,
        1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (2 * zz - xx - yy),
        -1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy),
        -0.5900435899266435 * y * (3 * xx - yy), 2.890611442640554 * x * y * z,
        -0.4570457994644658 * y * (4 * zz - xx - yy), 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
        -0.4570457994644658 * x * (4 * zz - xx - yy), 1.445305721320277 * z * (xx - yy),
        -0.5900435899266435 * x * (xx - 3 * yy),
    ]  # fmt: skip
    return torch.stack(columns, 1)


class FixedStrategy:
    """Stand-in for gsplat's DefaultStrategy: reads the same values, adds and removes no Gaussians."""

    def check_sanity(self, params: Any, optimizers: dict[str, Any]) -> None:
        """Assert one optimizer for each parameter."""
        assert set(params.keys()) == set(optimizers)

    def initialize_state(self, scene_scale: float = 1.0) -> dict[str, Any]:
        """The state: the scale only."""
        return {"scene_scale": scene_scale}

    def step_pre_backward(self, params: Any, optimizers: Any, state: Any, step: int, info: dict[str, Any]) -> None:
        """Retain the gradient of the projected centres."""
        info["means2d"].retain_grad()

    def step_post_backward(self, params: Any, optimizers: Any, state: Any, step: int, info: dict[str, Any],
                           packed: bool = False) -> None:  # fmt: skip
        """Assert that the gradient has gsplat's shape."""
        assert info["means2d"].grad.shape == info["radii"].shape == (info["n_cameras"], len(params["means"]), 2)
