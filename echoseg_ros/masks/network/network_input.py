"""Input of the grouping network: colour, and depth as channels that depend little on rotation and scale."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.masks.surface import Surface
from echoseg_ros.types import Camera, Float64Array, FloatImage, RgbImage

# Channels of the input.
CHANNELS = 14
# Sides of the windows whose mean log depth is subtracted, pixels.
_DEPTH_WINDOWS_PX = (9, 41)
# Sides of the windows whose mean height is subtracted, pixels.
_HEIGHT_WINDOWS_PX = (15, 61)
# Gains of the differences in log depth, one a window; a cup on a table then has about 1.
_DEPTH_GAINS = (20.0, 8.0)
# Gains of the differences in height, one a window, 1/m.
_HEIGHT_GAINS = (15.0, 6.0)
# Size of a pixel on the surface at which the scale channel is 0, metres.
_TYPICAL_METRES_PER_PX = 0.012


def network_input(
    camera: Camera, rgb: RgbImage, surface: Surface, alpha: FloatImage, T_map_camera: Float64Array
) -> FloatImage:
    """[CHANNELS, H, W] input of the network.

    Channels: colour (3), normals to the right, ahead and up in the camera's level frame (3), coverage, log of metres per
    pixel, log depth less its mean in two windows (2), height less its mean in two windows (2), height above the camera,
    slope of the ray. Channels from depth are 0 at pixels without depth. alpha: [H, W] coverage by known depth, in [0, 1].
    """
    known = surface.valid.astype(np.float32)
    depth_m = np.where(surface.valid, surface.depth_m, 1).astype(np.float32)
    log_depth = np.log(depth_m)
    height_m = surface.points[..., 2] - np.float32(T_map_camera[2, 3])
    channels: list[NDArray[np.floating[Any]]] = [(rgb[..., k].astype(np.float32) - 115) / 70 for k in range(3)]
    channels += list(np.moveaxis(surface.normals @ _level_axes(T_map_camera), -1, 0))
    channels.append(alpha * known)
    channels.append(known * (log_depth - np.float32(np.log(camera.fx * _TYPICAL_METRES_PER_PX))))
    for window, gain in zip(_DEPTH_WINDOWS_PX, _DEPTH_GAINS, strict=True):
        channels.append(_local_contrast(log_depth, known, window, gain))
    for window, gain in zip(_HEIGHT_WINDOWS_PX, _HEIGHT_GAINS, strict=True):
        channels.append(_local_contrast(height_m, known, window, gain))
    channels.append(known * np.clip(height_m, -3, 3))
    channels.append(surface.rays[..., 2] / np.linalg.norm(surface.rays, axis=-1))
    return np.ascontiguousarray(np.stack(channels), np.float32)


def _level_axes(T_map_camera: Float64Array) -> FloatImage:
    """[3, 3] axes right, ahead and up, as columns in the map, of the level frame with the camera's azimuth."""
    up = np.array([0.0, 0.0, 1.0])
    right = T_map_camera[:3, 0] - up * T_map_camera[2, 0]
    right = right / max(float(np.linalg.norm(right)), 1e-9)
    return np.stack([right, np.cross(up, right), up], axis=1).astype(np.float32)


def _local_contrast(values: FloatImage, known: FloatImage, window_px: int, gain: float) -> FloatImage:
    """[H, W] difference to the mean of the known values in a window, times the gain, limited to [-1, 1] by tanh."""
    size = (window_px, window_px)
    total = cv2.boxFilter(values * known, -1, size, normalize=False, borderType=cv2.BORDER_REPLICATE)
    count = cv2.boxFilter(known, -1, size, normalize=False, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(known * np.tanh(gain * (values - total / np.maximum(count, 1))), np.float32)
