"""Scenes of random Gaussians for the comparison of rasterizers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.types import Camera, Float64Array


@dataclass(frozen=True)
class RandomScene:
    """Random Gaussians in front of a camera.

    count: number of Gaussians; size_px: approximate size of a Gaussian in the image; dense: small enough for the reference.
    """

    camera: Camera
    count: int
    size_px: float
    seed: int
    dense: bool

    @property
    def name(self) -> str:
        """Name of the scene, such as "45x37, 250 of 4 px"."""
        return f"{self.camera.width}x{self.camera.height}, {self.count} of {self.size_px:g} px"

    @property
    def T_map_camera(self) -> Float64Array:
        """Pose of the camera, [4, 4]."""
        return geometry.look_at(np.array([1.0, -2.0, 0.5]), np.array([0.0, 0.0, 0.4]))

    def gaussians(self) -> Gaussians:
        """The Gaussians, of any shape; a few of them lie behind the camera or outside the image."""
        random, camera = np.random.default_rng(self.seed), self.camera
        depth = random.uniform(1.0, 4.0, self.count)
        pixels = random.uniform(-0.2, 1.2, (self.count, 2)) * [camera.width, camera.height]
        slopes = (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
        points = np.concatenate([slopes, np.ones((self.count, 1))], 1) * depth[:, None]
        points *= np.where(random.uniform(size=self.count) < 0.05, -1, 1)[:, None]
        sizes = np.log(depth / camera.fx * self.size_px / 2)[:, None] + random.normal(0, 0.4, (self.count, 3))
        parts = [geometry.apply(self.T_map_camera, points), random.normal(size=(self.count, 4)), sizes]
        parts += [random.normal(0, 2, self.count), random.uniform(0, 1, (self.count, 3))]
        return Gaussians(*(torch.tensor(part, dtype=torch.float32) for part in parts))

    def labels(self, classes: int) -> NDArray[np.int64]:
        """Random labels [H, W] from -1 to `classes`: some lie outside the classes."""
        shape = (self.camera.height, self.camera.width)
        return np.random.default_rng(self.seed).integers(-1, classes + 1, shape)


# A camera with odd sizes: the last tiles are partial.
SMALL = Camera(45, 37, 50.0, 48.0, 21.3, 19.1)
# Scenes that the dense reference can render.
DENSE_SCENES = (
    RandomScene(SMALL, 250, 4.0, 0, True),
    RandomScene(SMALL, 250, 4.0, 1, True),
    RandomScene(SMALL, 40, 25.0, 5, True),
    RandomScene(SMALL, 200, 4.0, 2, True),
)
# Scenes that are too large for the dense reference.
LARGE_SCENES = (RandomScene(Camera(320, 240, 300.0, 300.0, 160.0, 120.0), 20_000, 4.0, 3, False),)
