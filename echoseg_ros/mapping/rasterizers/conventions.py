"""The interface of the rasterizers and the rendering conventions that all backends share.

The conventions are those of gsplat 1.5.3: EWA projection with the ray slope clamped a little outside the image, 0.3 px^2
added to the projected covariance, pixel centres at +0.5, blending front to back by depth of the centre, contributions
below 1/255 left out, alpha clipped at 0.999; the blending of a pixel ends before its transmittance would fall to 1e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.types import Camera, Float64Array

IntArray = NDArray[np.integer]

# Alpha of a Gaussian in a pixel below which it is left out.
ALPHA_MIN = 1.0 / 255.0
# Largest alpha of a Gaussian in a pixel.
ALPHA_MAX = 0.999
# Transmittance at which the blending of a pixel ends.
TRANSMITTANCE_STOP = 1e-4
# Variance added to the projected covariance, px^2.
EPS_2D_PX2 = 0.3
# Least depth of a rendered Gaussian, map units.
NEAR_PLANE = 0.01
# Distance outside the image at which ray slopes are clamped, as a share of half the field of view.
FOV_MARGIN = 0.3
# Radius in standard deviations outside which even an opaque Gaussian is below ALPHA_MIN.
MAX_EXTENT_SIGMA = 3.33
# Lower bound of alpha as a divisor: keeps the mean depth finite where nothing was rendered.
ALPHA_FLOOR = 1e-10


@dataclass(frozen=True)
class Rendered:
    """A view of the map as tensors.

    rgb: [H, W, 3] on black; depth: [H, W] mean depth sum(w z) / sum(w); alpha: [H, W] sum(w).
    """

    rgb: Tensor
    depth: Tensor
    alpha: Tensor


class Rasterizer(Protocol):
    """Renders Gaussians into a pinhole view; w is the blending weight of a Gaussian in a pixel."""

    def render(self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array) -> Rendered:
        """Render colour, depth and alpha, differentiable with respect to every parameter of the Gaussians."""
        ...

    def render_views(
        self, gaussians: Gaussians, cameras: Sequence[Camera], T_map_cameras: Sequence[Float64Array]
    ) -> list[Rendered]:
        """Render the views of several cameras of one size, in one pass if the backend supports it.

        Each view equals that of `render`. Raises ValueError if the image sizes differ or the numbers of cameras and poses
        differ.
        """
        ...

    def render_features(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Render features [N, C]: ([H, W, C] sums of w * feature, [H, W] alpha), without gradients."""
        ...

    def lift(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, labels: IntArray, classes: int
    ) -> Tensor:
        """Sums [N, classes] float32 of w over the pixels of each label.

        labels: [H, W] integers; labels outside 0..classes-1 are ignored.
        """
        ...


class SequentialViews:
    """Mixin with render_views for a backend that renders one view at a time."""

    def render_views(
        self: Rasterizer, gaussians: Gaussians, cameras: Sequence[Camera], T_map_cameras: Sequence[Float64Array]
    ) -> list[Rendered]:
        """See Rasterizer.render_views."""
        check_views(cameras, T_map_cameras)
        return [self.render(gaussians, camera, pose) for camera, pose in zip(cameras, T_map_cameras, strict=True)]


def check_views(cameras: Sequence[Camera], T_map_cameras: Sequence[Float64Array]) -> None:
    """Raise ValueError unless the cameras have one image size and one pose each."""
    if len(cameras) != len(T_map_cameras):
        raise ValueError(f"{len(cameras)} cameras and {len(T_map_cameras)} poses: want one pose for each camera")
    sizes = {(camera.width, camera.height) for camera in cameras}
    if len(sizes) > 1:
        raise ValueError(f"cameras of sizes {sorted(sizes)}: want one size")


def check_labels(labels: IntArray, camera: Camera, classes: int) -> None:
    """Raise ValueError unless the labels are an integer image of the camera's size and classes >= 1."""
    if labels.shape != (camera.height, camera.width) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels {labels.shape} {labels.dtype}: want integers [{camera.height}, {camera.width}]")
    if classes < 1:
        raise ValueError(f"classes = {classes}: want at least 1")
