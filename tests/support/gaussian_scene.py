"""Random Gaussians before a camera, as tests of rasterizers render them."""

from __future__ import annotations

import numpy as np
import torch

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.types import Camera

# Odd image sizes, so that the last tiles are cut.
CAMERA = Camera(45, 37, 50.0, 48.0, 21.3, 19.1)
T_MAP_CAMERA = geometry.look_at(np.array([1.0, -2.0, 0.5]), np.array([0.0, 0.0, 0.4]))


def gaussian_scene(count: int, seed: int, size_px: float = 4.0) -> Gaussians:
    """Gaussians of any shape in front of the camera, a few behind it or outside the image."""
    random = np.random.default_rng(seed)
    depth = random.uniform(1.0, 4.0, count)
    pixels = random.uniform(-0.2, 1.2, (count, 2)) * [CAMERA.width, CAMERA.height]
    rays = np.stack([(pixels[:, 0] - CAMERA.cx) / CAMERA.fx, (pixels[:, 1] - CAMERA.cy) / CAMERA.fy, np.ones(count)], 1)
    points = rays * depth[:, None] * np.where(random.uniform(size=count) < 0.05, -1, 1)[:, None]
    sizes = np.log(depth / CAMERA.fx * size_px / 2)[:, None] + random.normal(0, 0.4, (count, 3))
    parts = [geometry.apply(T_MAP_CAMERA, points), random.normal(size=(count, 4)), sizes]
    parts += [random.normal(0, 2, count), random.uniform(0, 1, (count, 3))]
    return Gaussians(*(torch.tensor(part, dtype=torch.float32) for part in parts))


def leaves(gaussians: Gaussians, dtype: torch.dtype) -> Gaussians:
    """Copies of the parameters as leaves that collect gradients."""
    return gaussians.map(lambda tensor: tensor.to(dtype, copy=True).requires_grad_())
