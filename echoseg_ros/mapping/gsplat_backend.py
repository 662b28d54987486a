"""Gaussians drawn by gsplat's CUDA kernels. Nothing here touches CUDA before a rasterizer is asked for.

gsplat wants T_camera_map and activated parameters; both are adapted here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.errors import BackendError
from echoseg_ros.mapping.gaussian_map import Gaussians
from echoseg_ros.mapping.rasterizer import EPS_2D_PX2, NEAR_PLANE, Rendered, check_labels
from echoseg_ros.types import Array, Camera

# gsplat keeps a pixel's channels in registers: beyond 32 it slows down sharply.
MAX_CHANNELS = 32

Rasterization = Callable[..., tuple[Tensor, Tensor, dict[str, Any]]]


class GsplatRasterizer:
    """gsplat 1.5.3 on a CUDA device.

    `rasterization` may be given to stand in for gsplat's function of that name (same arguments, same results), which is
    how everything but the kernels is tested without a GPU. Raises BackendError without CUDA or gsplat.
    """

    def __init__(self, device: str = "cuda", rasterization: Rasterization | None = None) -> None:
        self.device = torch.device(device)
        self._rasterization = rasterization or _gsplat_rasterization(self.device)

    def render(self, gaussians: Gaussians, camera: Camera, T_map_camera: Array) -> Rendered:
        """See Rasterizer.render."""
        image, alpha = self._draw(gaussians, camera, T_map_camera, gaussians.rgb, "RGB+ED")
        return Rendered(image[..., :3], image[..., 3], alpha)

    @torch.no_grad()
    def render_features(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Array, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See Rasterizer.render_features."""
        features = features.to(self.device, torch.float32)
        passes = [self._draw(gaussians, camera, T_map_camera, part, "RGB") for part in features.split(MAX_CHANNELS, 1)]
        return torch.cat([image for image, _ in passes], -1), passes[0][1]

    def lift(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Array, labels: np.ndarray, classes: int
    ) -> Tensor:
        """See Rasterizer.lift. The weights are the derivative of sum(render(F) * onehot(labels)) with respect to F."""
        check_labels(labels, camera, classes)
        frozen = gaussians.map(torch.Tensor.detach)
        image_labels = torch.as_tensor(labels.astype(np.int64), device=self.device)
        parts = []
        for first in range(0, classes, MAX_CHANNELS):
            wanted = torch.arange(first, min(first + MAX_CHANNELS, classes), device=self.device)
            parts.append(self._lift_pass(frozen, camera, T_map_camera, image_labels[..., None] == wanted))
        return torch.cat(parts, 1)

    def _lift_pass(self, gaussians: Gaussians, camera: Camera, T_map_camera: Array, onehot: Tensor) -> Tensor:
        features = torch.zeros(len(gaussians), onehot.shape[-1], device=self.device, requires_grad=True)
        with torch.enable_grad():
            image, _ = self._draw(gaussians, camera, T_map_camera, features, "RGB")
        return torch.autograd.grad(image, features, grad_outputs=onehot.to(image.dtype))[0]

    def _draw(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Array, colors: Tensor, mode: str
    ) -> tuple[Tensor, Tensor]:
        """([H, W, D] image, [H, W] alpha) of one view; D counts the depth channel where the mode has one."""
        images, alphas, _ = self._rasterization(
            means=gaussians.means,
            quats=gaussians.quats_wxyz,
            scales=gaussians.scales,
            opacities=gaussians.opacities,
            colors=colors,
            viewmats=self._tensor(geometry.inverse(T_map_camera))[None],
            Ks=self._tensor(camera.matrix)[None],
            width=camera.width,
            height=camera.height,
            near_plane=NEAR_PLANE,
            eps2d=EPS_2D_PX2,
            sh_degree=None,
            packed=False,
            render_mode=mode,
        )
        return images[0], alphas[0, ..., 0]

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=np.float32), device=self.device)


def _gsplat_rasterization(device: torch.device) -> Rasterization:
    if device.type != "cuda" or not torch.cuda.is_available():
        raise BackendError(f"rasterizer gsplat needs a CUDA device (asked for {str(device)!r}): use numba on the CPU")
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise BackendError(f"rasterizer gsplat: {error}; pip install gsplat==1.5.3 packaging ninja") from error
    return rasterization  # type: ignore[no-any-return]
