"""Depth images as surfaces: filled, smoothed, with points, normals and noise in the level map frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import ImageFormatError
from echoseg_ros.types import Camera, CameraFrame, Float64Array, FloatImage

# Standard deviation of measured depth z is _NOISE_FLOOR_M + _NOISE_PER_M * z^2: the part that does not grow, metres.
_NOISE_FLOOR_M = 0.0015
# Growth of the standard deviation with the square of the depth, 1/m.
_NOISE_PER_M = 0.0017
# Least opacity of the map at a pixel whose rendered depth is used.
_MIN_ALPHA = 0.8
# Width of the bilateral filter of the inverse depth, which has the same noise at every range, pixels.
_FILTER_PX = 5
# Range of the bilateral filter, inverse depth, 1/m.
_FILTER_RANGE_PER_M = 0.005
# Step of the inverse depth beyond the surface's slope that is an edge of depth, 1/m.
_MIN_STEP_PER_M = 0.006
# A change to the next pixel by more than this share of the depth is an edge whatever the slope is.
_MIN_STEP_SHARE = 0.04


@dataclass(frozen=True)
class Surface:
    """The surface that a depth image shows.

    depth_m: [H, W] smoothed depth, 0 = unknown; valid: [H, W] whether the depth is known; points: [H, W, 3] in the map;
    normals: [H, W, 3] in the map, towards the camera; noise_m: [H, W] standard deviation of the depth; rays: [H, W, 3]
    directions of the pixels in the map, for depth 1; step_right, step_down: [H, W] whether an edge of depth separates a
    pixel from its right or lower neighbour.
    """

    depth_m: FloatImage
    valid: NDArray[np.bool_]
    points: FloatImage
    normals: FloatImage
    noise_m: FloatImage
    rays: FloatImage
    step_right: NDArray[np.bool_]
    step_down: NDArray[np.bool_]


def available_depth(frame: CameraFrame, rendered_m: FloatImage | None, alpha: FloatImage | None) -> FloatImage | None:
    """[H, W] depth of a view from sensor and map (`merge_depth`), 0 = unknown; None if no pixel has depth.

    Raises ImageFormatError if an image does not have the size of the frame's camera.
    """
    shape = (frame.camera.height, frame.camera.width)
    for image in (frame.depth_m, rendered_m, alpha):
        if image is not None and image.shape != shape:
            raise ImageFormatError(f"masks: a depth image has the shape {image.shape}: want the camera's {shape}")
    depth_m = merge_depth(frame.depth_m, rendered_m, alpha)
    return depth_m if depth_m is not None and (depth_m > 0).any() else None


def merge_depth(
    depth_m: FloatImage | None, rendered_m: FloatImage | None, alpha: FloatImage | None
) -> FloatImage | None:
    """[H, W] the sensor's depth where it has any, else the map's where it is opaque; None without either."""
    opaque_m = None
    if rendered_m is not None and alpha is not None:
        opaque_m = np.where((alpha > _MIN_ALPHA) & np.isfinite(rendered_m), rendered_m, 0).astype(np.float32)
    if depth_m is None or opaque_m is None:
        return depth_m if opaque_m is None else opaque_m
    return np.where(depth_m > 0, depth_m, opaque_m).astype(np.float32)


def make_surface(camera: Camera, depth_m: FloatImage, T_map_camera: Float64Array) -> Surface:
    """The surface that a camera sees. depth_m: [H, W] along the optical axis, 0 = unknown."""
    known = depth_m > 0
    inverse = np.where(known, 1 / np.where(known, depth_m, 1), 0).astype(np.float32)
    inverse = np.asarray(cv2.bilateralFilter(inverse, _FILTER_PX, _FILTER_RANGE_PER_M, _FILTER_PX / 2), np.float32)
    inverse[~known] = 0
    smooth = np.where(known, 1 / np.where(known, inverse, 1), 0).astype(np.float32)
    u = ((np.arange(camera.width) + 0.5 - camera.cx) / camera.fx).astype(np.float32)
    v = ((np.arange(camera.height) + 0.5 - camera.cy) / camera.fy).astype(np.float32)
    rotation = T_map_camera[:3, :3].astype(np.float32)
    rays = u[None, :, None] * rotation[:, 0] + v[:, None, None] * rotation[:, 1] + rotation[:, 2]
    points = rays * smooth[..., None] + T_map_camera[:3, 3].astype(np.float32)
    step_right, step_down = _depth_steps(inverse, known)
    return Surface(
        smooth, known, points, _normals(camera, inverse, known, step_right, step_down, u, v) @ rotation.T,
        _NOISE_FLOOR_M + _NOISE_PER_M * smooth**2, rays, step_right, step_down,
    )  # fmt: skip


def _depth_steps(inverse: FloatImage, known: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[H, W] each: whether an edge of depth separates a pixel from its right, and its lower, neighbour."""
    return _steps_along_rows(inverse, known), _steps_along_rows(inverse.T, known.T).T


def _steps_along_rows(inverse: FloatImage, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the change to the right neighbour exceeds the gentler of the slopes on both sides by a step."""
    change = np.diff(inverse, axis=1, append=inverse[:, -1:])
    both = known & np.roll(known, -1, axis=1)
    slope = np.where(both, change, 0)
    before, after = np.roll(slope, 1, axis=1), np.roll(slope, -1, axis=1)
    excess = np.minimum(np.abs(change - before), np.abs(change - after))
    step = (excess > _MIN_STEP_PER_M) | (np.abs(change) > _MIN_STEP_SHARE * inverse) | ~both
    step[:, -1] = True
    return step


def _normals(
    camera: Camera,
    inverse: FloatImage,
    known: NDArray[np.bool_],
    step_right: NDArray[np.bool_],
    step_down: NDArray[np.bool_],
    u: FloatImage,
    v: FloatImage,
) -> FloatImage:
    """[H, W, 3] normals in the camera frame, towards the camera, from the gradient of the inverse depth.

    The inverse depth of a plane n.p = d is linear in the image: 1/z = (n.r) / d for the ray r of a pixel. Hence n is
    proportional to (fx gx, fy gy, 1/z - fx gx u - fy gy v).
    """
    gx = camera.fx * _slope(inverse, step_right)
    gy = camera.fy * _slope(inverse.T, step_down.T).T
    normals = np.stack([gx, gy, inverse - gx * u - gy * v[:, None]], axis=-1)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(known[..., None], -normals / np.maximum(length, 1e-9), 0).astype(np.float32)


def _slope(inverse: FloatImage, step: NDArray[np.bool_]) -> FloatImage:
    """[H, W] mean change per pixel along rows in the neighbourhood, without changes across steps."""
    change = np.where(step, 0, np.diff(inverse, axis=1, append=inverse[:, -1:])).astype(np.float32)
    weight = (~step).astype(np.float32)
    kernel = (_FILTER_PX, _FILTER_PX)
    total = cv2.boxFilter(change, -1, kernel, anchor=(3, 2), normalize=False)
    count = cv2.boxFilter(weight, -1, kernel, anchor=(3, 2), normalize=False)
    return np.asarray(total / np.maximum(count, 1), np.float32)
