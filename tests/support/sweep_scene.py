"""A slanted, textured plane with a box before it, cast ray by ray, and a path of keyframes that view it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from echoseg_ros import geometry
from echoseg_ros.mapping.keyframes import Keyframe, KeyframeReason
from echoseg_ros.types import Camera, Float64Array, FloatImage, RgbImage

CAMERA = Camera(96, 72, 84.0, 84.0, 48.0, 36.0)
# The wall is the plane NORMAL . p = 3 m, rotated by 25 degrees.
NORMAL = np.array([np.sin(np.radians(25)), 0.0, np.cos(np.radians(25))])
BOX_LOW, BOX_HIGH = np.array([-0.55, -0.35, 1.9]), np.array([0.05, 0.3, 2.3])


def texture(points: Float64Array) -> RgbImage:
    """Colours [..., 3] of points [..., 3]: waves of many directions and lengths, down to about three pixels."""
    random = np.random.default_rng(7)
    value = np.zeros((*points.shape[:-1], 3))
    for frequency in np.geomspace(5, 32, 24):
        direction = random.normal(size=3) * (1.0, 0.5, 1.0)
        wave = np.sin(points @ (frequency * direction / np.linalg.norm(direction)) + random.uniform(0, 6.28))
        value += wave[..., None] * random.uniform(0.3, 1.0, 3) / frequency**0.3
    colours: RgbImage = (127 + 55 * np.tanh(0.5 * value)).astype(np.uint8)
    return colours


def view(number: int, position: tuple[float, float, float], turn_deg: float = 0.0) -> Keyframe:
    """A view of the scene from a position, with its exact depth."""
    T_map_camera = geometry.transform(Rotation.from_euler("y", turn_deg, degrees=True).as_matrix(), np.array(position))
    rays = geometry.pixel_rays(CAMERA) @ T_map_camera[:3, :3].T
    depth = (3.0 - T_map_camera[:3, 3] @ NORMAL) / (rays @ NORMAL)
    with np.errstate(divide="ignore"):
        a, b = (BOX_LOW - T_map_camera[:3, 3]) / rays, (BOX_HIGH - T_map_camera[:3, 3]) / rays
    enter, leave = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
    depth = np.where((enter < leave) & (enter > 0), enter, depth)
    rgb = texture(rays * depth[..., None] + T_map_camera[:3, 3])
    stamp_ns = number * 500_000_000
    return Keyframe(stamp_ns, number, CAMERA, rgb, depth.astype(np.float32), T_map_camera, number, KeyframeReason.MOVED)


def path(count: int = 7) -> list[Keyframe]:
    """Views along a swaying path with steps of 0.12 m to the side."""
    return [
        view(i, (0.12 * (i - count // 2), 0.03 * np.sin(2.0 * i), 0.02 * i), 1.5 * (count // 2 - i))
        for i in range(count)
    ]


def scaled(keyframe: Keyframe, factor: float) -> Keyframe:
    """The keyframe with its position scaled; its depth stays."""
    T_map_camera = keyframe.T_map_camera.copy()
    T_map_camera[:3, 3] *= factor
    return replace(keyframe, T_map_camera=T_map_camera)


def relative_error(depth: FloatImage, truth: FloatImage) -> FloatImage:
    """Relative errors [n] of the pixels with a depth."""
    known = depth > 0
    errors: FloatImage = np.abs(depth[known] - truth[known]) / truth[known]
    return errors
