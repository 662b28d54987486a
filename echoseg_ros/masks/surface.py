"""Depth images as surfaces: filled, smoothed, with points, normals and noise in the level map frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from echoseg_ros.errors import ImageFormatError
from echoseg_ros.types import Camera, CameraFrame, Float64Array, FloatImage

# Error of a structured-light or time-of-flight camera along the optical axis, as a * (1 + z^2 * b): about 3 mm at 1 m
# and 16 mm at 3 m. (Nguyen, Izadi, Lovell, "Modeling Kinect sensor noise", 3DIMPVT 2012, gives the same growth.)
_NOISE_FLOOR_M = 0.0015
_NOISE_PER_M2 = 0.0017
# Rendered depth is believed where the map covers the pixel almost fully.
_MIN_ALPHA = 0.8
# Inverse depth has the same noise at every range, so that one bilateral filter fits all: 5 px, 3 standard deviations.
_FILTER_PX = 5
_FILTER_INVERSE_M = 0.005
# A step of the inverse depth beyond what the surface's slope explains is an edge from this size on (5 deviations).
_STEP_INVERSE_M = 0.006
# So is any change larger than this share of the depth: at 320 px only surfaces seen at a grazing angle change so fast.
_STEP_SHARE = 0.04


@dataclass(frozen=True)
class Surface:
    """What a depth image shows.

    depth_m: [H, W] smoothed, 0 = unknown; valid: [H, W] where it is known; points: [H, W, 3] in the map; normals:
    [H, W, 3] in the map, towards the camera; noise_m: [H, W] deviation along the optical axis; rays: [H, W, 3] of the
    pixels in the map with depth 1; step_right, step_down: [H, W] whether an edge of depth lies between a pixel and its
    neighbour.
    """

    depth_m: FloatImage
    valid: np.ndarray
    points: FloatImage
    normals: FloatImage
    noise_m: FloatImage
    rays: FloatImage
    step_right: np.ndarray
    step_down: np.ndarray


def known_depth(frame: CameraFrame, rendered_m: FloatImage | None, alpha: FloatImage | None) -> FloatImage | None:
    """[H, W] what is known of a view's depth (`merge_depth`), None where nothing is.

    Raises ImageFormatError if an image has not the size of the frame's camera.
    """
    shape = (frame.camera.height, frame.camera.width)
    for image in (frame.depth_m, rendered_m, alpha):
        if image is not None and image.shape != shape:
            raise ImageFormatError(f"depth of shape {image.shape} for masks: want the camera's {shape}")
    depth_m = merge_depth(frame.depth_m, rendered_m, alpha)
    return depth_m if depth_m is not None and (depth_m > 0).any() else None


def merge_depth(
    depth_m: FloatImage | None, rendered_m: FloatImage | None, alpha: FloatImage | None
) -> FloatImage | None:
    """[H, W] the sensor's depth, and the map's where the sensor has none; None without either."""
    trusted = None
    if rendered_m is not None and alpha is not None:
        trusted = np.where((alpha > _MIN_ALPHA) & np.isfinite(rendered_m), rendered_m, 0).astype(np.float32)
    if depth_m is None or trusted is None:
        return depth_m if trusted is None else trusted
    return np.where(depth_m > 0, depth_m, trusted).astype(np.float32)


def make_surface(camera: Camera, depth_m: FloatImage, T_map_camera: Float64Array) -> Surface:
    """The surface seen by a camera. depth_m: [H, W] along the optical axis, 0 = unknown."""
    known = depth_m > 0
    inverse = np.where(known, 1 / np.where(known, depth_m, 1), 0).astype(np.float32)
    inverse = np.asarray(cv2.bilateralFilter(inverse, _FILTER_PX, _FILTER_INVERSE_M, _FILTER_PX / 2), np.float32)
    inverse[~known] = 0
    smooth = np.where(known, 1 / np.where(known, inverse, 1), 0).astype(np.float32)
    u = ((np.arange(camera.width) + 0.5 - camera.cx) / camera.fx).astype(np.float32)
    v = ((np.arange(camera.height) + 0.5 - camera.cy) / camera.fy).astype(np.float32)
    rotation = T_map_camera[:3, :3].astype(np.float32)
    rays = u[None, :, None] * rotation[:, 0] + v[:, None, None] * rotation[:, 1] + rotation[:, 2]
    points = rays * smooth[..., None] + T_map_camera[:3, 3].astype(np.float32)
    step_right, step_down = _steps(inverse, known)
    return Surface(
        smooth, known, points, _normals(camera, inverse, known, step_right, step_down, u, v) @ rotation.T,
        _NOISE_FLOOR_M + _NOISE_PER_M2 * smooth**2, rays, step_right, step_down,
    )  # fmt: skip


def _steps(inverse: FloatImage, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _steps_along_rows(inverse, known), _steps_along_rows(inverse.T, known.T).T


def _steps_along_rows(inverse: FloatImage, known: np.ndarray) -> np.ndarray:
    """Whether the change from each pixel to its right neighbour exceeds the gentler of the slopes on either side."""
    change = np.diff(inverse, axis=1, append=inverse[:, -1:])
    both = known & np.roll(known, -1, axis=1)
    slope = np.where(both, change, 0)
    before, after = np.roll(slope, 1, axis=1), np.roll(slope, -1, axis=1)
    excess = np.minimum(np.abs(change - before), np.abs(change - after))
    step = (excess > _STEP_INVERSE_M) | (np.abs(change) > _STEP_SHARE * inverse) | ~both
    step[:, -1] = True
    return step


def _normals(
    camera: Camera,
    inverse: FloatImage,
    known: np.ndarray,
    step_right: np.ndarray,
    step_down: np.ndarray,
    u: FloatImage,
    v: FloatImage,
) -> FloatImage:
    """[H, W, 3] normals in the camera frame, towards the camera, from the gradient of the inverse depth.

    A plane n.p = d is linear in the image: 1/z = (n.r) / d for the ray r of a pixel, hence n ~ (fx gx, fy gy,
    1/z - fx gx u - fy gy v).
    """
    gx = camera.fx * _slope(inverse, step_right)
    gy = camera.fy * _slope(inverse.T, step_down.T).T
    normals = np.stack([gx, gy, inverse - gx * u - gy * v[:, None]], axis=-1)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(known[..., None], -normals / np.maximum(length, 1e-9), 0).astype(np.float32)


def _slope(inverse: FloatImage, step: np.ndarray) -> FloatImage:
    """[H, W] change per pixel along rows, averaged over the neighbourhood without crossing steps."""
    change = np.where(step, 0, np.diff(inverse, axis=1, append=inverse[:, -1:])).astype(np.float32)
    weight = (~step).astype(np.float32)
    kernel = (_FILTER_PX, _FILTER_PX)
    total = cv2.boxFilter(change, -1, kernel, anchor=(3, 2), normalize=False)
    count = cv2.boxFilter(weight, -1, kernel, anchor=(3, 2), normalize=False)
    return np.asarray(total / np.maximum(count, 1), np.float32)
