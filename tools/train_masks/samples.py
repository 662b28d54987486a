"""From stored views to what the network is trained on: a piece of a view, degraded at random, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from echoseg_ros.masks.network.model import MULTIPLE_PX, OFFSET_UNIT_PX
from echoseg_ros.masks.network.network_input import network_input
from echoseg_ros.masks.surface import make_surface, merge_depth
from echoseg_ros.types import Camera
from echoseg_ros.units import scaled_pose
from train_masks.degrade import map_depth, other_colours, sensor_depth

CROP_PX = 160
_LEAST_PX = 10  # of an object in view: what is smaller is neither right nor wrong
_RIGHT = 3  # the channel that a mirror turns round
_HEIGHT_CHANNELS = slice(3, 14)


@dataclass(frozen=True, eq=False)
class View:
    """A stored view. depth_m: [H, W] true; map_depth_m, alpha: [H, W] of a real map, or None; metric: of what `scale` is."""

    camera: Camera
    rgb: np.ndarray
    depth_m: np.ndarray
    ids: np.ndarray
    T_map_camera: np.ndarray
    map_depth_m: np.ndarray | None = None
    alpha: np.ndarray | None = None
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Sample:
    """inputs: [C, H, W]; target: [H, W] 0 or 1; weight: [H, W]; votes: [3, H/2, W/2]; vote_weight: [H/2, W/2]."""

    inputs: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    votes: np.ndarray
    vote_weight: np.ndarray


def load_views(file: Path) -> list[View]:
    """The views of a room that make_views.py or make_maps.py has written."""
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


def make_sample(view: View, rng: np.random.Generator, whole: bool = False) -> Sample:
    """One sample of CROP_PX, or of the whole view brought to multiples of MULTIPLE_PX."""
    view = _resized(view, rng.uniform(0.75, 1.35) if rng.random() < 0.6 and not whole else 1.0)
    view = _whole(view) if whole else _cropped(view, rng)
    depth_m, alpha = _depth(view, rng)
    turn = cv2.Rodrigues(rng.normal(0, 0.02, 3))[0]
    pose = view.T_map_camera.copy()
    pose[:3, :3] = turn @ pose[:3, :3]
    spread = 0.25 if view.map_depth_m is not None else 0.12
    factor = view.scale * float(np.clip(np.exp(rng.normal(0, spread)), 0.5, 2.0))
    pose = scaled_pose(pose, factor)
    surface = make_surface(view.camera, depth_m * np.float32(factor), pose)
    rgb = other_colours(rng, view.rgb, view.ids) if rng.random() < 0.9 else view.rgb
    inputs = network_input(view.camera, rgb, surface, alpha, pose)
    dropped = rng.random()
    if dropped < 0.12:
        inputs[:3] = 0
    elif dropped < 0.17:
        inputs[_HEIGHT_CHANNELS.start : 13] = 0
    ids = view.ids
    if rng.random() < 0.5:
        inputs, ids = np.ascontiguousarray(inputs[..., ::-1]), np.ascontiguousarray(ids[:, ::-1])
        inputs[_RIGHT] *= -1
    return Sample(inputs, *targets(ids))


def targets(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(target, weight, votes, vote_weight) of the numbers [H, W] of the objects; sides even."""
    height, width = ids.shape
    flat = np.maximum(ids, 0).ravel().astype(int)
    area = np.bincount(flat).astype(np.float32)
    rows, columns = np.indices(ids.shape, np.float32)
    middle_x = np.bincount(flat, columns.ravel()) / np.maximum(area, 1)
    middle_y = np.bincount(flat, rows.ravel()) / np.maximum(area, 1)
    small = area < _LEAST_PX
    small[0] = False
    number = flat.reshape(ids.shape)
    target = (number > 0).astype(np.float32)
    side = np.sqrt(np.maximum(area, 1))
    heavy = np.clip(20 / side, 0.7, 3.0)
    heavy[0] = 1.0
    rim = np.zeros(ids.shape, bool)
    kernel = np.ones((5, 5), np.uint8)
    signed = number.astype(np.uint8)
    rim = cv2.dilate(signed, kernel) != cv2.erode(signed, kernel)
    around = cv2.dilate(heavy[number].astype(np.float32) * target, kernel)
    weight = np.where(rim, 2.0 * np.maximum(around, 1), heavy[number]).astype(np.float32)
    weight[small[number]] = 0
    half = number[::2, ::2]
    votes = np.stack([
        (middle_x[half] - (columns[::2, ::2] + 0.5)) / OFFSET_UNIT_PX,
        (middle_y[half] - (rows[::2, ::2] + 0.5)) / OFFSET_UNIT_PX,
        np.log(side / OFFSET_UNIT_PX)[half],
    ])  # fmt: skip
    vote_weight = np.where((half > 0) & ~small[half], 1 / side[half] ** 1.5, 0)
    return target, weight, votes.astype(np.float32), vote_weight.astype(np.float32)


def _depth(view: View, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(depth, alpha) as the backend gets them."""
    true = view.depth_m.astype(np.float32)
    ones = np.ones(true.shape, np.float32)
    if view.map_depth_m is not None and view.alpha is not None and rng.random() < 0.9:
        alpha = view.alpha.astype(np.float32) / 255
        depth = view.map_depth_m.astype(np.float32)
        if rng.random() < 0.3:
            depth = depth * np.exp(rng.uniform(0, 0.01) * _waves(rng, true.shape))
        return np.asarray(merge_depth(None, depth, alpha)), alpha
    if rng.random() < 0.5:
        depth, alpha = map_depth(rng, true, view.ids)
        return np.asarray(merge_depth(None, depth, alpha)), alpha
    sensor = sensor_depth(rng, true)
    if rng.random() < 0.5:
        drawn, alpha = map_depth(rng, true, np.zeros_like(view.ids))
        return np.asarray(merge_depth(sensor, drawn, alpha)), np.where(sensor > 0, 1, alpha).astype(np.float32)
    return sensor, ones


def _waves(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    coarse = rng.standard_normal((12, 12)).astype(np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _changed(view: View, camera: Camera, pick) -> View:  # type: ignore[no-untyped-def]
    """The view with all its images run through pick(image, is_colour)."""
    return View(
        camera, pick(view.rgb, True), pick(view.depth_m, False), pick(view.ids, False), view.T_map_camera,
        None if view.map_depth_m is None else pick(view.map_depth_m, False),
        None if view.alpha is None else pick(view.alpha, False), view.scale,
    )  # fmt: skip


def _resized(view: View, factor: float) -> View:
    width, height = round(view.camera.width * factor), round(view.camera.height * factor)
    if (width, height) == (view.camera.width, view.camera.height):
        return view
    rows = ((np.arange(height) + 0.5) * view.camera.height / height).astype(int)
    columns = ((np.arange(width) + 0.5) * view.camera.width / width).astype(int)

    def pick(image: np.ndarray, is_colour: bool) -> np.ndarray:
        if is_colour:
            return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        return image[np.ix_(rows, columns)]

    return _changed(view, view.camera.resized(width, height), pick)


def _cropped(view: View, rng: np.random.Generator) -> View:
    height, width = view.ids.shape
    rows, columns = np.nonzero(view.ids > 0)
    if len(rows) and rng.random() < 0.8:
        numbers = np.unique(view.ids[rows, columns])
        mine = np.flatnonzero(view.ids[rows, columns] == rng.choice(numbers))
        at = mine[rng.integers(len(mine))]
        row, column = rows[at] - rng.integers(CROP_PX), columns[at] - rng.integers(CROP_PX)
    else:
        row, column = rng.integers(max(height - CROP_PX, 1)), rng.integers(max(width - CROP_PX, 1))
    row = int(np.clip(row, 0, max(height - CROP_PX, 0)))
    column = int(np.clip(column, 0, max(width - CROP_PX, 0)))
    return _window(view, row, column, CROP_PX, CROP_PX)


def _whole(view: View) -> View:
    height, width = (-(-side // MULTIPLE_PX) * MULTIPLE_PX for side in view.ids.shape)
    return _window(view, 0, 0, height, width)


def _window(view: View, row: int, column: int, height: int, width: int) -> View:
    """A window, filled up with nothing where the view ends."""
    camera = Camera(width, height, view.camera.fx, view.camera.fy, view.camera.cx - column, view.camera.cy - row)

    def pick(image: np.ndarray, is_colour: bool) -> np.ndarray:
        part = image[row : row + height, column : column + width]
        missing = [(0, height - part.shape[0]), (0, width - part.shape[1])] + [(0, 0)] * (image.ndim - 2)
        return np.ascontiguousarray(np.pad(part, missing))

    return _changed(view, camera, pick)
