"""Random degradation of depth like that of sensors and of maps, and random changes of colour like those of other cameras.

No function changes its arguments.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import FloatImage, RgbImage

# An image [H, W] or [H, W, 3] of any type.
Image = NDArray[Any]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> FloatImage:
    """Smooth noise [H, W] with a standard deviation of about 1 and a correlation length of `scale_px`."""
    coarse = rng.standard_normal((int(shape[0] / scale_px) + 3, int(shape[1] / scale_px) + 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def sensor_depth(rng: np.random.Generator, depth_m: FloatImage) -> FloatImage:
    """Depth [H, W] like that of a structured-light sensor: noise with z^2, disparity steps, ragged edges, shadows, holes."""
    shape = depth_m.shape
    depth = depth_m.copy()
    if rng.random() < 0.6:  # readings of neighbouring pixels
        rows, columns = np.indices(shape)
        reach = rng.uniform(0.3, 1.0)
        rows = np.clip(rows + np.round(rng.normal(0, reach, shape)), 0, shape[0] - 1).astype(int)
        columns = np.clip(columns + np.round(rng.normal(0, reach, shape)), 0, shape[1] - 1).astype(int)
        depth = depth[rows, columns]
    noise = rng.uniform(0.0005, 0.003)
    depth = depth + noise * depth**2 * rng.standard_normal(shape).astype(np.float32)
    depth = depth + rng.uniform(0, 0.004) * depth**2 * smooth_noise(rng, shape, rng.uniform(4, 40))
    if rng.random() < 0.5:
        step = rng.uniform(0.001, 0.003)
        depth = np.where(depth > 0.1, 1 / (np.round(1 / np.maximum(depth, 0.1) / step) * step + 1e-6), 0)
    if rng.random() < 0.7:
        depth = np.where(_shadows(rng, depth_m), 0, depth)
    if rng.random() < 0.6:
        depth = np.where(_blobs(rng, shape, rng.uniform(0.0, 0.15)), 0, depth)
    near, far = rng.uniform(0.3, 0.6), rng.uniform(3.5, 8)
    return np.where((depth_m > near) & (depth_m < far), depth, 0).astype(np.float32)


def map_depth(rng: np.random.Generator, depth_m: FloatImage, ids: Image) -> tuple[FloatImage, FloatImage]:
    """Depth and alpha [H, W] like those of a map made from colour alone: blurred edges, waves, flattened objects, holes.

    ids: [H, W] object numbers.
    """
    shape = depth_m.shape
    log_depth = np.log(np.maximum(depth_m, 0.1))
    waves = rng.uniform(0.002, 0.02) * smooth_noise(rng, shape, rng.uniform(20, 60))
    waves += rng.uniform(0.001, 0.012) * smooth_noise(rng, shape, rng.uniform(4, 16))
    edge = _edges(log_depth, 0.04)
    shift = rng.uniform(0, 2.5)  # silhouettes are displaced
    moved = _warped(rng, log_depth, shift, rng.uniform(3, 12))
    soft = cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.5, 2.5))
    wide = cv2.GaussianBlur(log_depth, (0, 0), rng.uniform(4, 12))
    sunk = np.zeros(shape, np.float32)
    for number in np.unique(ids[ids > 0]):
        if rng.random() < 0.4:
            sunk[ids == number] = rng.uniform(0, 0.9)
    sunk = np.clip(cv2.GaussianBlur(sunk, (0, 0), 2.0), 0, 1)
    logs = soft * (1 - sunk) + wide * sunk + waves
    if rng.random() < 0.4:  # regions with a wrong depth by parallax
        logs = logs + _blobs(rng, shape, rng.uniform(0.02, 0.15)) * rng.normal(0, 0.3)
    depth = np.exp(logs)
    depth *= 1 + rng.uniform(0, 0.006) * rng.standard_normal(shape).astype(np.float32)
    near_edge = cv2.GaussianBlur(edge.astype(np.float32), (0, 0), 3.0)
    doubt = 0.9 * smooth_noise(rng, shape, rng.uniform(5, 20)) + 2.5 * near_edge
    alpha = 1 - np.clip(doubt - rng.uniform(1.5, 3.5), 0, 1) * rng.uniform(0.3, 1.0)
    return depth.astype(np.float32), alpha.astype(np.float32)


def other_colours(rng: np.random.Generator, rgb: RgbImage, ids: Image) -> RgbImage:
    """Image [H, W, 3] with other object colours, patterns, light and sharpness; sometimes grey. ids: [H, W] object numbers."""
    image = rgb.astype(np.float32) / 255
    shape = ids.shape
    if rng.random() < 0.5:
        image = _repainted(rng, image, ids)
    if rng.random() < 0.5:  # shadows and bright regions
        image = image * np.exp(0.25 * smooth_noise(rng, shape, rng.uniform(15, 80)))[..., None]
    image = image * rng.uniform(0.5, 1.5) * rng.uniform(0.8, 1.25, 3)
    image = np.clip(image, 0, 1) ** rng.uniform(0.6, 1.6)
    grey = image.mean(axis=-1, keepdims=True)
    image = grey + (image - grey) * rng.choice([0.0, rng.uniform(0.3, 1.0), 1.0, 1.4])
    if rng.random() < 0.3:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8))
    image = image + rng.uniform(0, 0.05) * rng.standard_normal(image.shape).astype(np.float32)
    changed: RgbImage = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    return changed


def _repainted(rng: np.random.Generator, image: Image, ids: Image) -> Image:
    """The image with a random part of the objects recoloured: their own look, one colour, and a common pattern, mixed."""
    image = image.copy()
    pattern = smooth_noise(rng, ids.shape, rng.uniform(2, 12))[..., None] * rng.normal(0, 0.15, 3)
    for number in np.unique(ids):
        if rng.random() < 0.6:
            continue
        where = ids == number
        paint = rng.uniform(0, 1, 3)
        own = image[where]
        light = own.mean(axis=-1, keepdims=True) / max(float(own.mean()), 0.05)
        share = rng.uniform(0.2, 1.0)
        image[where] = own * (1 - share) + paint * light * share + pattern[where] * (rng.random() < 0.5)
    return image.astype(np.float32)


def _shadows(rng: np.random.Generator, depth_m: FloatImage) -> Image:
    """Mask [H, W] of pixels beside nearer surfaces that a projector beside the lens does not light."""
    inverse = 1 / np.maximum(depth_m, 0.1)
    reach = int(rng.integers(1, 5)) * (1 if rng.random() < 0.5 else -1)
    other = np.roll(inverse, reach, axis=1)
    return np.asarray(other - inverse > rng.uniform(0.02, 0.1))


def _blobs(rng: np.random.Generator, shape: tuple[int, int], share: float) -> Image:
    noise = smooth_noise(rng, shape, rng.uniform(3, 15))
    return np.asarray(noise > np.quantile(noise, 1 - share))


def _edges(log_depth: FloatImage, step: float) -> Image:
    right = np.abs(np.diff(log_depth, axis=1, append=log_depth[:, -1:])) > step
    down = np.abs(np.diff(log_depth, axis=0, append=log_depth[-1:])) > step
    return np.asarray(right | down)


def _warped(rng: np.random.Generator, image: FloatImage, shift_px: float, scale_px: float) -> FloatImage:
    rows, columns = np.indices(image.shape, np.float32)
    columns = columns + shift_px * 0.6 * smooth_noise(rng, image.shape, scale_px)
    rows = rows + shift_px * 0.6 * smooth_noise(rng, image.shape, scale_px)
    return np.asarray(cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
