"""Rasterizers by name, and the compilation of their kernels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from echoseg_ros.errors import BackendError
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer
from echoseg_ros.types import Camera


def make_rasterizer(backend: str = "auto", device: str = "cpu", vram_gb: float = 0.0) -> Rasterizer:
    """The backend by name; `auto` takes gsplat where the device is CUDA, else numba. Raises BackendError.

    vram_gb: bound on the process's memory on the GPU (see gsplat_backend.limit_vram), 0 = none; without effect on a CPU.
    """
    if backend == "auto":
        backend = "gsplat" if torch.device(device).type == "cuda" else "numba"
    if backend == "numba":
        if torch.device(device).type != "cpu":
            raise BackendError(f"rasterizer numba runs on the CPU, not on {device!r}: use gsplat or device cpu")
        from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer

        return NumbaRasterizer()
    if backend == "gsplat":
        from echoseg_ros.mapping.rasterizers.gsplat import GsplatRasterizer

        return GsplatRasterizer(device, vram_gb=vram_gb)
    if backend == "reference":
        from echoseg_ros.mapping.rasterizers.reference import ReferenceRasterizer

        return ReferenceRasterizer()
    raise BackendError(f"rasterizer {backend!r}: want auto, numba, gsplat or reference")


def warm_up(rasterizer: Rasterizer, device: str = "cpu") -> None:
    """Draw, differentiate and lift one Gaussian, which makes a backend compile its kernels."""
    camera = Camera(16, 16, 16.0, 16.0, 8.0, 8.0)
    values = ([[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0, 0.0]], [[-2.0, -2.0, -2.0]], [0.0], [[0.5, 0.5, 0.5]])
    gaussian = Gaussians(*(torch.tensor(value, device=device, requires_grad=True) for value in values))
    drawn = rasterizer.render(gaussian, camera, np.eye(4))
    (drawn.rgb.sum() + drawn.depth.sum() + drawn.alpha.sum()).backward()
    frozen = gaussian.map(Tensor.detach)
    rasterizer.render_features(frozen, camera, np.eye(4), torch.ones(1, 1, device=device))
    rasterizer.lift(frozen, camera, np.eye(4), np.zeros((16, 16), np.int32), 1)
