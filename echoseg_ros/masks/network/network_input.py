"""What the grouping network sees of a view: colour, and depth as channels that turn and scale leave much as they are."""

from __future__ import annotations

import cv2
import numpy as np

from echoseg_ros.masks.surface import Surface
from echoseg_ros.types import Camera, Float64Array, FloatImage, RgbImage

CHANNELS = 14
# Sides of the windows, in pixels, over which "nearer than around" and "higher than around" are asked.
_DEPTH_WINDOWS_PX = (9, 41)
_HEIGHT_WINDOWS_PX = (15, 61)
# What these come to is brought to about 1 for a cup on a table.
_DEPTH_GAINS = (20.0, 8.0)
_HEIGHT_GAINS = (15.0, 6.0)
_TYPICAL_METRES_PER_PX = 0.012


def network_input(
    camera: Camera, rgb: RgbImage, surface: Surface, alpha: FloatImage, T_map_camera: Float64Array
) -> FloatImage:
    """What the network gets: [CHANNELS, H, W].

    Colour (3), normals right, ahead and up in the camera's level frame (3), coverage, log of metres per pixel, log depth
    against two windows, height against two windows, height against the camera, slope of the ray. What comes from depth
    is 0 where there is none. alpha: [H, W] how much is known about a pixel's depth, in [0, 1].
    """
    known = surface.valid.astype(np.float32)
    depth_m = np.where(surface.valid, surface.depth_m, 1).astype(np.float32)
    log_depth = np.log(depth_m)
    height_m = surface.points[..., 2] - np.float32(T_map_camera[2, 3])
    channels: list[np.ndarray] = [(rgb[..., k].astype(np.float32) - 115) / 70 for k in range(3)]
    channels += list(np.moveaxis(surface.normals @ _level_axes(T_map_camera), -1, 0))
    channels.append(alpha * known)
    channels.append(known * (log_depth - np.float32(np.log(camera.fx * _TYPICAL_METRES_PER_PX))))
    for window, gain in zip(_DEPTH_WINDOWS_PX, _DEPTH_GAINS, strict=True):
        channels.append(_against_around(log_depth, known, window, gain))
    for window, gain in zip(_HEIGHT_WINDOWS_PX, _HEIGHT_GAINS, strict=True):
        channels.append(_against_around(height_m, known, window, gain))
    channels.append(known * np.clip(height_m, -3, 3))
    channels.append(surface.rays[..., 2] / np.linalg.norm(surface.rays, axis=-1))
    return np.ascontiguousarray(np.stack(channels), np.float32)


def _level_axes(T_map_camera: Float64Array) -> FloatImage:
    """[3, 3] columns right, ahead, up of the frame that is level and turned as the camera is."""
    up = np.array([0.0, 0.0, 1.0])
    right = T_map_camera[:3, 0] - up * T_map_camera[2, 0]
    right = right / max(float(np.linalg.norm(right)), 1e-9)
    return np.stack([right, np.cross(up, right), up], axis=1).astype(np.float32)


def _against_around(values: FloatImage, known: FloatImage, window_px: int, gain: float) -> FloatImage:
    """[H, W] difference to the mean of the known values in a window, softly limited."""
    size = (window_px, window_px)
    total = cv2.boxFilter(values * known, -1, size, normalize=False, borderType=cv2.BORDER_REPLICATE)
    count = cv2.boxFilter(known, -1, size, normalize=False, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(known * np.tanh(gain * (values - total / np.maximum(count, 1))), np.float32)
