"""Training samples of the network from stored views: a random crop with degraded depth and colour, and its targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.masks.network.model import MULTIPLE_PX, OFFSET_UNIT_PX
from echoseg_ros.masks.network.network_input import network_input
from echoseg_ros.masks.surface import make_surface, merge_depth
from echoseg_ros.types import Camera, Float32Array, Float64Array, FloatImage, RgbImage
from echoseg_ros.units import scaled_pose
from train_masks.degrade import map_depth, other_colours, sensor_depth

# Side of a crop, px.
CROP_PX = 160
# Least number of pixels of an object in view; smaller objects have no weight.
_LEAST_PX = 10
# Channel of the normals' component to the right, whose sign a mirrored image inverts.
_RIGHT_CHANNEL = 3
# Channels that depth gives, which are set to zero in samples without depth.
_DEPTH_CHANNELS = slice(3, 13)
# Probability of a sample without colour, and of a sample without either colour or depth.
_NO_COLOUR, _NO_COLOUR_OR_DEPTH = 0.12, 0.17
# Standard deviations of the logarithm of a sample's scale: views with the depth of a map, and other views.
_MAP_SCALE_SPREAD, _SCALE_SPREAD = 0.25, 0.12
# Side of an object with the loss weight 1, px, and the bounds of the weight.
_UNIT_WEIGHT_SIDE_PX = 20
_WEIGHT_BOUNDS = (0.7, 3.0)


# An image [H, W] or [H, W, 3] of any type.
Image = NDArray[Any]


@dataclass(frozen=True, eq=False)
class View:
    """A stored view.

    rgb: [H, W, 3]; depth_m: [H, W] true; ids: [H, W] object numbers, 0 or less = none; map_depth_m: [H, W] and alpha:
    [H, W] uint8 of a map, or None; scale: factor from metres to the pipeline's nominal metres.
    """

    camera: Camera
    rgb: RgbImage
    depth_m: NDArray[np.floating[Any]]
    ids: NDArray[np.integer[Any]]
    T_map_camera: Float64Array
    map_depth_m: NDArray[np.floating[Any]] | None = None
    alpha: NDArray[np.uint8] | None = None
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Sample:
    """One training sample.

    inputs: [C, H, W]; target: [H, W] 1 on objects, else 0; weight: [H, W] of the target's loss; votes: [3, H/2, W/2] offset
    (x, y) to the object's centre in OFFSET_UNIT_PX and logarithm of its side; vote_weight: [H/2, W/2].
    """

    inputs: Float32Array
    target: Float32Array
    weight: Float32Array
    votes: Float32Array
    vote_weight: Float32Array


def load_views(file: Path) -> list[View]:
    """The views in a file of make_views.py or make_maps.py."""
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if "camera" in arrays:
        width, height, *intrinsics = arrays["camera"].tolist()
        camera = Camera(int(width), int(height), *intrinsics)
        return [
            View(camera, arrays["rgb"][i], arrays["true_depth"][i], arrays["ids"][i], arrays["pose"][i],
                 arrays["depth"][i], arrays["alpha"][i], float(arrays["scale"][i]))
            for i in range(len(arrays["rgb"]))
        ]  # fmt: skip
    views = []
    for shape in ("square", "wide"):
        rgb, focal = arrays[f"{shape}_rgb"], arrays[f"{shape}_focal"][:, 0]
        height, width = rgb.shape[1:3]
        for i, f in enumerate(focal.tolist()):
            camera = Camera(width, height, f, f, width / 2, height / 2)
            row = (arrays[f"{shape}_{name}"][i] for name in ("depth", "ids", "pose"))
            views.append(View(camera, rgb[i], *row))
    return views


def make_sample(view: View, rng: np.random.Generator, full_view: bool = False) -> Sample:
    """A random crop of CROP_PX; with `full_view`, the full view, padded to multiples of MULTIPLE_PX."""
    view = _resized(view, rng.uniform(0.75, 1.35) if rng.random() < 0.6 and not full_view else 1.0)
    view = _padded(view) if full_view else _cropped(view, rng)
    depth_m, alpha = _depth(view, rng)
    rotation = cv2.Rodrigues(rng.normal(0, 0.02, 3))[0]
    pose = view.T_map_camera.copy()
    pose[:3, :3] = rotation @ pose[:3, :3]
    spread = _MAP_SCALE_SPREAD if view.map_depth_m is not None else _SCALE_SPREAD
    factor = view.scale * float(np.clip(np.exp(rng.normal(0, spread)), 0.5, 2.0))
    pose = scaled_pose(pose, factor)
    surface = make_surface(view.camera, depth_m * np.float32(factor), pose)
    rgb = other_colours(rng, view.rgb, view.ids) if rng.random() < 0.9 else view.rgb
    inputs = network_input(view.camera, rgb, surface, alpha, pose)
    dropped = rng.random()
    if dropped < _NO_COLOUR:
        inputs[:3] = 0
    elif dropped < _NO_COLOUR_OR_DEPTH:
        inputs[_DEPTH_CHANNELS] = 0
    ids = view.ids
    if rng.random() < 0.5:
        inputs, ids = np.ascontiguousarray(inputs[..., ::-1]), np.ascontiguousarray(ids[:, ::-1])
        inputs[_RIGHT_CHANNEL] *= -1
    return Sample(inputs, *targets(ids))


def targets(ids: NDArray[np.integer[Any]]) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array]:
    """(target, weight, votes, vote_weight) of a Sample for object numbers [H, W]; H and W are even."""
    flat = np.maximum(ids, 0).ravel().astype(int)
    area: Float32Array = np.bincount(flat).astype(np.float32)
    pixels: Float32Array = np.indices(ids.shape, np.float32)
    rows, columns = pixels[0], pixels[1]
    center_x: Float64Array = np.bincount(flat, columns.ravel()) / np.maximum(area, 1)
    center_y: Float64Array = np.bincount(flat, rows.ravel()) / np.maximum(area, 1)
    small = area < _LEAST_PX
    small[0] = False
    number = flat.reshape(ids.shape)
    target = (number > 0).astype(np.float32)
    side: Float32Array = np.sqrt(np.maximum(area, 1))
    object_weight = np.clip(_UNIT_WEIGHT_SIDE_PX / side, *_WEIGHT_BOUNDS)
    object_weight[0] = 1.0
    kernel = np.ones((5, 5), np.uint8)
    number_image = number.astype(np.uint8)
    border = np.asarray(cv2.dilate(number_image, kernel)) != np.asarray(cv2.erode(number_image, kernel))
    nearby_weight = np.asarray(cv2.dilate(object_weight[number].astype(np.float32) * target, kernel))
    weight: Float32Array = np.where(border, 2.0 * np.maximum(nearby_weight, 1), object_weight[number]).astype(
        np.float32
    )
    weight[small[number]] = 0
    half = number[::2, ::2]
    votes = np.stack([
        (center_x[half] - (columns[::2, ::2] + 0.5)) / OFFSET_UNIT_PX,
        (center_y[half] - (rows[::2, ::2] + 0.5)) / OFFSET_UNIT_PX,
        np.log(side / OFFSET_UNIT_PX)[half],
    ])  # fmt: skip
    vote_weight = np.where((half > 0) & ~small[half], 1 / side[half] ** 1.5, 0)
    return target, weight, votes.astype(np.float32), vote_weight.astype(np.float32)


def _depth(view: View, rng: np.random.Generator) -> tuple[FloatImage, FloatImage]:
    """Depth in metres and alpha [H, W] as a mask backend gets them: of a map, of a sensor, or of both."""
    true: FloatImage = view.depth_m.astype(np.float32)
    ones: FloatImage = np.ones(true.shape, np.float32)
    if view.map_depth_m is not None and view.alpha is not None and rng.random() < 0.9:
        alpha: FloatImage = (view.alpha.astype(np.float32) / 255).astype(np.float32)
        depth = view.map_depth_m.astype(np.float32)
        if rng.random() < 0.3:
            depth = (depth * np.exp(rng.uniform(0, 0.01) * _waves(rng, true.shape))).astype(np.float32)
        return np.asarray(merge_depth(None, depth, alpha)), alpha
    if rng.random() < 0.5:
        depth, alpha = map_depth(rng, true, view.ids)
        return np.asarray(merge_depth(None, depth, alpha)), alpha
    sensor = sensor_depth(rng, true)
    if rng.random() < 0.5:
        drawn, alpha = map_depth(rng, true, np.zeros_like(view.ids))
        return np.asarray(merge_depth(sensor, drawn, alpha)), np.where(sensor > 0, 1, alpha).astype(np.float32)
    return sensor, ones


def _waves(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatImage:
    """Smooth noise [H, W] with twelve random values along each side."""
    coarse = rng.standard_normal((12, 12)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _with_images(view: View, camera: Camera, change: Callable[[Image, bool], Image]) -> View:
    """The view with another camera and all its images replaced by change(image, is_colour)."""
    return View(
        camera, change(view.rgb, True), change(view.depth_m, False), change(view.ids, False), view.T_map_camera,
        None if view.map_depth_m is None else change(view.map_depth_m, False),
        None if view.alpha is None else change(view.alpha, False), view.scale,
    )  # fmt: skip


def _resized(view: View, factor: float) -> View:
    width, height = round(view.camera.width * factor), round(view.camera.height * factor)
    if (width, height) == (view.camera.width, view.camera.height):
        return view
    rows = ((np.arange(height) + 0.5) * view.camera.height / height).astype(int)
    columns = ((np.arange(width) + 0.5) * view.camera.width / width).astype(int)

    def resized(image: Image, is_colour: bool) -> Image:
        if not is_colour:
            nearest: Image = image[np.ix_(rows, columns)]
            return nearest
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation))

    return _with_images(view, view.camera.resized(width, height), resized)


def _cropped(view: View, rng: np.random.Generator) -> View:
    height, width = view.ids.shape
    rows, columns = np.nonzero(view.ids > 0)
    if len(rows) and rng.random() < 0.8:
        numbers = np.unique(view.ids[rows, columns])
        object_pixels = np.flatnonzero(view.ids[rows, columns] == rng.choice(numbers))
        at = object_pixels[rng.integers(len(object_pixels))]
        row, column = rows[at] - rng.integers(CROP_PX), columns[at] - rng.integers(CROP_PX)
    else:
        row, column = rng.integers(max(height - CROP_PX, 1)), rng.integers(max(width - CROP_PX, 1))
    row = int(np.clip(row, 0, max(height - CROP_PX, 0)))
    column = int(np.clip(column, 0, max(width - CROP_PX, 0)))
    return _window(view, row, column, CROP_PX, CROP_PX)


def _padded(view: View) -> View:
    height, width = (-(-side // MULTIPLE_PX) * MULTIPLE_PX for side in view.ids.shape)
    return _window(view, 0, 0, height, width)


def _window(view: View, row: int, column: int, height: int, width: int) -> View:
    """A window of the view, padded with zeros outside the view."""
    camera = Camera(width, height, view.camera.fx, view.camera.fy, view.camera.cx - column, view.camera.cy - row)

    def cropped(image: Image, is_colour: bool) -> Image:
        part = image[row : row + height, column : column + width]
        missing = [(0, height - part.shape[0]), (0, width - part.shape[1])] + [(0, 0)] * (image.ndim - 2)
        return np.ascontiguousarray(np.pad(part, missing))

    return _with_images(view, camera, cropped)
