"""The rasterizer on CUDA devices, by the kernels of gsplat. The import of this module does not touch CUDA.

gsplat expects T_camera_map and activated parameters; both are converted here and nowhere else.

No function here waits for the GPU: camera matrices are copied once, from pinned memory, and no result is read back.
gsplat itself waits once a call for the number of (Gaussian, tile) pairs, which sets the size of its lists. Because of
that wait, and because the number of Gaussians changes with every keyframe, a step cannot be captured as a CUDA graph.
Separate CUDA streams would not help: each stage needs the one before, and the only copy that could overlap is one image
per keyframe (0.1 ms).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.errors import BackendError
from echoseg_ros.mapping.device_transfer import to_device
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import (
    EPS_2D_PX2,
    NEAR_PLANE,
    IntArray,
    Rendered,
    check_labels,
    check_views,
)
from echoseg_ros.types import Camera, Float64Array

# Channels rendered in one pass: gsplat keeps them in registers and becomes much slower with more.
MAX_CHANNELS = 32
# Cameras kept on the device, 512 bytes each.
MAX_CAMERAS = 1024

Rasterization = Callable[..., tuple[Tensor, Tensor, dict[str, Any]]]


class GsplatRasterizer:
    """Rasterizer of gsplat 1.5.3 on a CUDA device. Raises BackendError without CUDA or gsplat.

    vram_gb: see `limit_vram`; rasterization: replacement for gsplat's function of that name, with the same arguments and
    results, so that tests without a GPU cover everything but the kernels.
    """

    def __init__(self, device: str = "cuda", rasterization: Rasterization | None = None, vram_gb: float = 0.0) -> None:
        self.device = torch.device(device)
        self._rasterization = rasterization or _gsplat_rasterization(self.device)
        self._cameras = CameraCache(self.device)
        limit_vram(self.device, vram_gb)

    def render(self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array) -> Rendered:
        """See Rasterizer.render."""
        return self.render_views(gaussians, [camera], [T_map_camera])[0]

    def render_views(
        self, gaussians: Gaussians, cameras: Sequence[Camera], T_map_cameras: Sequence[Float64Array]
    ) -> list[Rendered]:
        """See Rasterizer.render_views. All views take one call of the kernels."""
        check_views(cameras, T_map_cameras)
        if len(cameras) == 0:
            return []
        images, alphas = self._rasterize(gaussians, cameras, T_map_cameras, gaussians.rgb, "RGB+ED")
        return [Rendered(image[..., :3], image[..., 3], alpha) for image, alpha in zip(images, alphas, strict=True)]

    @torch.no_grad()
    def render_features(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See Rasterizer.render_features."""
        features = features.to(self.device, torch.float32)
        parts = torch.split(features, MAX_CHANNELS, 1)
        passes = [self._rasterize(gaussians, [camera], [T_map_camera], part, "RGB") for part in parts]
        return torch.cat([images[0] for images, _ in passes], -1), passes[0][1][0]

    def lift(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, labels: IntArray, classes: int
    ) -> Tensor:
        """See Rasterizer.lift. The weights are the derivative of sum(render(F) * onehot(labels)) by the features F."""
        check_labels(labels, camera, classes)
        frozen = gaussians.map(torch.Tensor.detach)
        image_labels = to_device(np.ascontiguousarray(labels, dtype=np.int32), self.device)
        parts = []
        for first in range(0, classes, MAX_CHANNELS):
            pass_labels = torch.arange(first, min(first + MAX_CHANNELS, classes), device=self.device, dtype=torch.int32)
            parts.append(self._lift_pass(frozen, camera, T_map_camera, image_labels[..., None] == pass_labels))
        return torch.cat(parts, 1)

    def _lift_pass(self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, onehot: Tensor) -> Tensor:
        features = torch.zeros(len(gaussians), onehot.shape[-1], device=self.device, requires_grad=True)
        if len(gaussians) == 0:
            return features.detach()
        with torch.enable_grad():
            images, _ = self._rasterize(gaussians, [camera], [T_map_camera], features, "RGB")
        return torch.autograd.grad(images, features, grad_outputs=onehot[None].to(images.dtype))[0]

    def _rasterize(
        self,
        gaussians: Gaussians,
        cameras: Sequence[Camera],
        T_map_cameras: Sequence[Float64Array],
        colors: Tensor,
        mode: str,
    ) -> tuple[Tensor, Tensor]:
        """(images [C, H, W, D], alphas [C, H, W]); mode RGB+ED appends the mean depth as the last channel."""
        width, height = cameras[0].width, cameras[0].height
        if len(gaussians) == 0:
            channels = colors.shape[1] + (mode == "RGB+ED")
            empty = torch.zeros(len(cameras), height, width, channels + 1, device=self.device)
            return empty[..., :-1], empty[..., -1]
        viewmats, Ks = self._cameras.batch(cameras, T_map_cameras)
        images, alphas, _ = self._rasterization(
            means=gaussians.means,
            quats=gaussians.quats_wxyz,
            scales=gaussians.scales,
            opacities=gaussians.opacities,
            colors=colors,
            viewmats=viewmats,
            Ks=Ks,
            width=width,
            height=height,
            near_plane=NEAR_PLANE,
            eps2d=EPS_2D_PX2,
            sh_degree=None,
            packed=False,
            render_mode=mode,
        )
        return images, alphas[..., 0]


class CameraCache:
    """Matrices of cameras on a device, so that those of a keyframe are copied once.

    The key is the value (intrinsics and pose). At most `max_cameras` are kept; the least recently used is dropped first.
    """

    def __init__(self, device: torch.device, max_cameras: int = MAX_CAMERAS) -> None:
        self._device = device
        self._max_cameras = max_cameras
        self._kept: OrderedDict[tuple[Camera, bytes], tuple[Tensor, Tensor]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def batch(self, cameras: Sequence[Camera], T_map_cameras: Sequence[Float64Array]) -> tuple[Tensor, Tensor]:
        """(T_camera_map [C, 4, 4], K [C, 3, 3]) float32 on the device, from cache or copied."""
        views = [self._matrices(camera, pose) for camera, pose in zip(cameras, T_map_cameras, strict=True)]
        if len(views) == 1:
            return views[0][0][None], views[0][1][None]
        return torch.stack([view for view, _ in views]), torch.stack([K for _, K in views])

    def _matrices(self, camera: Camera, T_map_camera: Float64Array) -> tuple[Tensor, Tensor]:
        pose = np.ascontiguousarray(T_map_camera, dtype=np.float64)
        key = (camera, pose.tobytes())
        if key not in self._kept:
            numbers = np.concatenate([geometry.inverse(pose).ravel(), camera.matrix.ravel()]).astype(np.float32)
            values = to_device(numbers, self._device)
            self._kept[key] = (values[:16].view(4, 4), values[16:].view(3, 3))
            if len(self._kept) > self._max_cameras:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def limit_vram(device: torch.device, vram_gb: float) -> None:
    """Limit the memory that torch allocates on the device for this process to `vram_gb` GiB; 0 = no limit.

    The limit holds for the whole process; the last call counts. At the limit torch first frees its reserve and then raises
    torch.cuda.OutOfMemoryError. Kernels and CUDA's own context (about 0.5 GiB) are not counted. The memory of the map
    grows with map.max_gaussians and the image size.
    """
    if device.type != "cuda" or vram_gb <= 0:
        return
    index = torch.cuda.current_device() if device.index is None else device.index
    total = torch.cuda.get_device_properties(index).total_memory
    torch.cuda.set_per_process_memory_fraction(min(vram_gb * 2**30 / total, 1.0), index)


def _gsplat_rasterization(device: torch.device) -> Rasterization:
    if device.type != "cuda" or not torch.cuda.is_available():
        raise BackendError(f"rasterizer gsplat needs a CUDA device (asked for {str(device)!r}): use numba on the CPU")
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise BackendError(f"rasterizer gsplat: {error}; pip install gsplat==1.5.3 packaging ninja") from error
    function: Rasterization = rasterization
    return function
