"""The one way to draw Gaussians, whoever draws them, and the conventions all backends share.

The conventions are gsplat 1.5.3's: EWA projection with the ray slope clamped a little outside the image, 0.3 px^2 added to
the projected covariance, pixel centres at +0.5, front to back by depth of the centre, contributions below 1/255 left
out, alpha clipped at 0.999, and a pixel ends before its transmittance would fall to 1e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.types import Camera, Float64Array

ALPHA_MIN = 1.0 / 255.0
ALPHA_MAX = 0.999
TRANSMITTANCE_STOP = 1e-4
EPS_2D_PX2 = 0.3
NEAR_PLANE = 0.01
FOV_MARGIN = 0.3  # share of the half field of view that ray slopes may lie outside the image before they are clamped
MAX_EXTENT_SIGMA = 3.33  # beyond this even an opaque Gaussian is below ALPHA_MIN
ALPHA_FLOOR = 1e-10  # keeps depth finite where nothing was drawn


@dataclass(frozen=True)
class Rendered:
    """A view of the map as tensors.

    rgb: [H, W, 3] on black; depth: [H, W] mean depth sum(w z) / sum(w); alpha: [H, W] sum(w).
    """

    rgb: Tensor
    depth: Tensor
    alpha: Tensor


class Rasterizer(Protocol):
    """Draws Gaussians into a pinhole view; w is the blending weight of a Gaussian in a pixel."""

    def render(self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array) -> Rendered:
        """Colour, depth and alpha, differentiable in every parameter of the Gaussians."""
        ...

    def render_views(
        self, gaussians: Gaussians, cameras: Sequence[Camera], T_map_cameras: Sequence[Float64Array]
    ) -> list[Rendered]:
        """The views of several cameras of one size, each as `render` draws it, in one pass where the backend can.

        Raises ValueError if the sizes differ or there is not one pose for each camera.
        """
        ...

    def render_features(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sums of w * features: [H, W, C] for features [N, C], and alpha [H, W]; without gradients."""
        ...

    def lift(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, labels: np.ndarray, classes: int
    ) -> Tensor:
        """[N, classes] float32: sums of w over the pixels of each label.

        labels: [H, W] integers; those outside 0..classes-1 are ignored.
        """
        ...


class ViewByView:
    """render_views for a backend that draws one view at a time."""

    def render_views(
        self: Rasterizer, gaussians: Gaussians, cameras: Sequence[Camera], T_map_cameras: Sequence[Float64Array]
    ) -> list[Rendered]:
        """See Rasterizer.render_views."""
        check_views(cameras, T_map_cameras)
        return [self.render(gaussians, camera, pose) for camera, pose in zip(cameras, T_map_cameras, strict=True)]


def check_views(cameras: Sequence[Camera], T_map_cameras: Sequence[Float64Array]) -> None:
    """Cameras must be of one size and have a pose each. Raises ValueError."""
    if len(cameras) != len(T_map_cameras):
        raise ValueError(f"{len(cameras)} cameras and {len(T_map_cameras)} poses: want one pose for each camera")
    sizes = {(camera.width, camera.height) for camera in cameras}
    if len(sizes) > 1:
        raise ValueError(f"cameras of sizes {sorted(sizes)}: want one size")


def check_labels(labels: np.ndarray, camera: Camera, classes: int) -> None:
    """Labels must be an integer image of the camera's size. Raises ValueError."""
    if labels.shape != (camera.height, camera.width) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels {labels.shape} {labels.dtype}: want integers [{camera.height}, {camera.width}]")
    if classes < 1:
        raise ValueError(f"classes = {classes}: want at least 1")
