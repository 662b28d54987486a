"""Views of a wall and a box in closed form, and a map of them."""

from __future__ import annotations

import numpy as np

from echoseg_ros import geometry
from echoseg_ros.config import Config
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.types import Camera, CameraFrame, Float64Array

CAMERA = Camera(160, 120, 150.0, 150.0, 80.0, 60.0)
SMALL = Config().updated({"map.image_width_px": 80, "map.max_gaussians": 6000})


def room_view(index: int, T_map_camera: Float64Array, camera: Camera = CAMERA) -> CameraFrame:
    """A view of a checkered wall at y = 2 m and a red box at y = 1.2 m; stamps are 0.5 s apart."""
    rays = geometry.pixel_rays(camera) @ T_map_camera[:3, :3].T
    origin = T_map_camera[:3, 3]

    def plane(y: float) -> tuple[Float64Array, Float64Array]:
        distance = (y - origin[1]) / rays[..., 1]
        return distance, origin + rays * distance[..., None]

    wall_depth, wall = plane(2.0)
    box_depth, box = plane(1.2)
    is_box = (np.abs(box[..., 0] - 0.1) < 0.2) & (np.abs(box[..., 2] - 0.4) < 0.15)
    checker = (np.floor(wall[..., 0] / 0.25) + np.floor(wall[..., 2] / 0.25)) % 2
    rgb = np.where(is_box[..., None], [200, 40, 30], 70 + 110 * checker[..., None] * np.array([1, 0.9, 0.6]))
    depth = np.where(is_box, box_depth, wall_depth)
    return CameraFrame(index * 500_000_000, index, camera, rgb.astype(np.uint8), depth.astype(np.float32), T_map_camera)


def pose(x: float, z: float = 0.4) -> Float64Array:
    return geometry.look_at(np.array([x, 0.0, z]), np.array([x * 0.3, 2.0, 0.4]))


def mapped(config: Config = SMALL, views: int = 5, steps: int = 15) -> Mapper:
    mapper = Mapper(config)
    for i in range(views):
        mapper.add_frame(room_view(i, pose(-0.3 + 0.15 * i)))
        mapper.optimise(steps)
    return mapper
