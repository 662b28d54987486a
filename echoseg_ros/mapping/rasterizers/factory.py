"""Construction of rasterizers by name, and compilation of their kernels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from echoseg_ros.errors import BackendError
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer
from echoseg_ros.types import Camera


def make_rasterizer(backend: str = "auto", device: str = "cpu", vram_gb: float = 0.0) -> Rasterizer:
    """Make the rasterizer `backend`: numba, gsplat, reference, or auto: gsplat on a CUDA device, else numba.

    vram_gb: limit of the process's GPU memory, GiB (see gsplat.limit_vram), 0 = none; ignored on a CPU. Raises
    BackendError if the name is unknown or the backend cannot run on the device.
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
    raise BackendError(f"map.backend = {backend!r}: want auto, numba, gsplat or reference")


def warm_up(rasterizer: Rasterizer, device: str = "cpu") -> None:
    """Render, differentiate and lift one Gaussian, so that the backend compiles its kernels."""
    camera = Camera(16, 16, 16.0, 16.0, 8.0, 8.0)
    values = ([[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0, 0.0]], [[-2.0, -2.0, -2.0]], [0.0], [[0.5, 0.5, 0.5]])
    gaussian = Gaussians(*(torch.tensor(value, device=device, requires_grad=True) for value in values))
    rendered = rasterizer.render(gaussian, camera, np.eye(4))
    torch.autograd.backward(rendered.rgb.sum() + rendered.depth.sum() + rendered.alpha.sum())
    frozen = gaussian.map(Tensor.detach)
    rasterizer.render_features(frozen, camera, np.eye(4), torch.ones(1, 1, device=device))
    rasterizer.lift(frozen, camera, np.eye(4), np.zeros((16, 16), np.int32), 1)
