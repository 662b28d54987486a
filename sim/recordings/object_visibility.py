"""Share of the image that an object fills, by a grid of rays over its outline and without rendering."""

from __future__ import annotations

import numpy as np

from echoseg_ros.geometry import apply, box_corners, inverse
from echoseg_ros.types import Box, Camera, Float64Array
from echoseg_sim.rooms.scene import Geometry, cast_rays

# Rays along each side of the object's outline in the image.
_RAYS_A_SIDE = 16
# Least depth of a box's corner that is projected into the image, m.
_NEAR_M = 0.05


def image_share(geometry: Geometry, entity: int, box: Box, camera: Camera, T_room_camera: Float64Array) -> Float64Array:
    """Share [F] of the image that an entity fills from poses [F, 4, 4], occlusion included.

    box: around the entity. The resolution is the share of the box's outline divided by _RAYS_A_SIDE^2.
    """
    corners = box_corners(box)
    frames, rays, areas = [], [], []
    for frame, pose in enumerate(T_room_camera):
        outline = _outline(camera, apply(inverse(pose), corners))
        if outline is None:
            continue
        low, high = outline
        steps = (np.arange(_RAYS_A_SIDE) + 0.5) / _RAYS_A_SIDE
        u, v = np.meshgrid(low[0] + steps * (high[0] - low[0]), low[1] + steps * (high[1] - low[1]))
        local = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1)
        frames.append(frame)
        rays.append(local.reshape(-1, 3) @ pose[:3, :3].T)
        areas.append(float(np.prod(high - low)) / (camera.width * camera.height))
    share = np.zeros(len(T_room_camera))
    if not frames:
        return share
    origins = np.repeat(T_room_camera[frames, :3, 3], _RAYS_A_SIDE**2, axis=0)
    hits = cast_rays(geometry, origins, np.concatenate(rays))
    own = (hits.triangle >= 0) & (geometry.entity[hits.triangle] == entity)
    share[frames] = own.reshape(len(frames), -1).mean(axis=1) * areas
    return share


def _outline(camera: Camera, corners_camera: Float64Array) -> tuple[Float64Array, Float64Array] | None:
    """Lowest and highest pixel [2] of a box in the image; None if it is outside, the whole image if it is at the camera."""
    depth = corners_camera[:, 2]
    size = np.array([camera.width, camera.height], dtype=float)
    if depth.max() < _NEAR_M:
        return None
    if depth.min() < _NEAR_M:
        return np.zeros(2), size
    pixels = corners_camera[:, :2] / depth[:, None] * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    low, high = np.maximum(pixels.min(axis=0), 0), np.minimum(pixels.max(axis=0), size)
    return None if (high - low <= 0).any() else (low, high)
