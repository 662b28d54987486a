"""New Gaussians from a keyframe's depth, where the map does not explain it yet: thin discs that lie on the surface.

Flat regions get a few large discs and contours many small ones, so that edges are sharp and the count stays low.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussian_map import Gaussians
from echoseg_ros.types import Array, Camera, CameraFrame

# Where less than this of a pixel is covered, it is not explained.
MIN_ALPHA = 0.5
# A measured surface this share of its depth in front of the drawn one is new.
IN_FRONT = 0.06
# A Gaussian this share of the depth in front of what is measured around it floats in free space.
FREE_SPACE = 0.06
# Cells with less contrast than this (standard deviation of brightness, 0..1) are flat enough for one Gaussian: sizes of
# cells in pixels and their bounds, coarse to fine. Single pixels are left where a cell would cross an edge of depth.
CELL_SIZES_PX = (8, 4, 2)
MAX_CONTRAST = (0.03, 0.08, np.inf)
# Depths within a cell may spread by this share of the depth.
MAX_DEPTH_SPREAD = 0.03
# Standard deviation of a disc in units of its cell, its thickness in units of the deviation.
DISC_SIGMA, THICKNESS = 0.55, 0.2
# A slanted surface needs longer discs to be closed; no longer than this, for grazing normals are unreliable.
MAX_STRETCH = 3.0
INITIAL_OPACITY = 0.8
# Normals come from the depths this many pixels to each side: closer ones are mostly noise.
NORMAL_REACH_PX = 2

# ITU-R BT.601, for bytes.
BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)

Mask = NDArray[np.bool_]


def new_gaussians(frame: CameraFrame, depth_m: NDArray[np.float32], needed: Mask) -> Gaussians:
    """Gaussians for the `needed` pixels [H, W] that have a depth [H, W]."""
    parts = [_cell_gaussians(frame, depth_m, *cells) for cells in cells_to_fill(frame.rgb, depth_m, needed)]
    return Gaussians(*(torch.cat(tensors) for tensors in zip(*([t for _, t in p.items()] for p in parts), strict=True)))


def recoloured(gaussians: Gaussians, change: Callable[[torch.Tensor], torch.Tensor]) -> Gaussians:
    """The same Gaussians with changed colours [N, 3]."""
    return replace(gaussians, rgb=change(gaussians.rgb))


def unexplained(depth_m: NDArray[np.float32], drawn_depth_m: NDArray[np.float32], alpha: NDArray[np.float32]) -> Mask:
    """[H, W] pixels with a depth whose surface the map lacks: nothing drawn there, or only something farther away.

    Narrow strips are left out: contours seen from a slightly wrong pose, or gaps that the neighbours will close.
    """
    bare = _opened((depth_m > 0) & (alpha < MIN_ALPHA), 3)
    in_front = (depth_m > 0) & (alpha >= MIN_ALPHA) & (depth_m < drawn_depth_m * (1 - IN_FRONT))
    return bare | _opened(in_front, 5)


def _opened(mask: Mask, size_px: int) -> Mask:
    """The mask [H, W] without what is smaller than a square of `size_px`; outside the image there is nothing."""
    bytes_ = mask.astype(np.uint8)
    eroded = ndimage.minimum_filter(bytes_, size_px, mode="constant", cval=0)
    return np.asarray(ndimage.maximum_filter(eroded, size_px, mode="constant", cval=0) > 0)


def in_free_space(frame: CameraFrame, means: NDArray[np.float32]) -> Mask:
    """[N] centres [N, 3] that lie clearly in front of every depth measured in the 5 x 5 pixels around them."""
    assert frame.depth_m is not None
    T_camera_map = geometry.inverse(frame.T_map_camera).astype(np.float32)
    points = means @ T_camera_map[:3, :3].T + T_camera_map[:3, 3]
    pixels, depth = geometry.project(frame.camera, points)
    columns, rows = np.floor(np.nan_to_num(pixels, posinf=-1, neginf=-1)).clip(-1, 2**30).astype(np.int64).T
    seen = (depth > 0) & (columns >= 0) & (rows >= 0) & (columns < frame.camera.width) & (rows < frame.camera.height)
    nearest = ndimage.minimum_filter(np.where(frame.depth_m > 0, frame.depth_m, 0), size=5)
    result = np.zeros(len(means), bool)
    result[seen] = depth[seen] < nearest[rows[seen], columns[seen]] * (1 - FREE_SPACE)
    return result


def cells_to_fill(
    rgb: NDArray[np.uint8], depth_m: NDArray[np.float32], needed: Mask
) -> list[tuple[NDArray, NDArray, int]]:
    """(rows, columns, size in pixels) of cells' centres, coarse to fine; every needed pixel is in one cell."""
    brightness = (rgb.astype(np.float32) @ BRIGHTNESS).astype(np.float32)
    left = needed & (depth_m > 0)
    result: list[tuple[NDArray, NDArray, int]] = []
    for size, contrast in zip(CELL_SIZES_PX, MAX_CONTRAST, strict=True):
        flat = _flat_cells(brightness, depth_m, left, size, contrast)
        cell_rows, cell_columns = np.nonzero(flat)
        result.append((cell_rows * size + size // 2, cell_columns * size + size // 2, size))
        taken = np.kron(flat, np.ones((size, size), bool))
        left[: taken.shape[0], : taken.shape[1]] &= ~taken
    rows, columns = np.nonzero(left)
    return [*result, (rows, columns, 1)]


def _flat_cells(
    brightness: NDArray[np.float32], depth_m: NDArray[np.float32], left: Mask, size: int, contrast: float
) -> Mask:
    """[H // size, W // size] cells that are needed as a whole, of one brightness and of one surface."""
    values, depths, needed = (_cells(image, size) for image in (brightness, depth_m, left))
    spread = depths.max(axis=-1) - depths.min(axis=-1)
    return needed.all(axis=-1) & (values.std(axis=-1) < contrast) & (spread < MAX_DEPTH_SPREAD * depths.max(axis=-1))


def _cells(image: NDArray, size: int) -> NDArray:  # [h, w, size * size]
    h, w = image.shape[0] // size, image.shape[1] // size
    cells = image[: h * size, : w * size].reshape(h, size, w, size)
    return cells.transpose(0, 2, 1, 3).reshape(h, w, size * size)


def _cell_gaussians(
    frame: CameraFrame, depth_m: NDArray[np.float32], rows: NDArray, columns: NDArray, size: int
) -> Gaussians:
    camera, depth = frame.camera, depth_m[rows, columns].astype(float)
    # The middle of a cell of even size is the corner between its pixels.
    offset = 0.5 if size == 1 else 0.0
    rays = _ray(camera, rows, columns, offset)
    normals = surface_normals(camera, depth_m, rows, columns)
    quats_wxyz, stretch = _disc_axes(frame.T_map_camera[:3, :3], normals, rays)
    sigma = DISC_SIGMA * size * depth / camera.fx
    scales = np.stack([sigma * stretch, sigma, sigma * THICKNESS], axis=-1)
    means = geometry.apply(frame.T_map_camera, rays * depth[:, None])
    return Gaussians(
        _tensor(means), _tensor(quats_wxyz), _tensor(np.log(np.maximum(scales, 1e-12))),
        torch.full((len(rows),), float(np.log(INITIAL_OPACITY / (1 - INITIAL_OPACITY)))),
        _tensor(_mean_colours(frame.rgb, rows, columns, size)),
    )  # fmt: skip


def _mean_colours(rgb: NDArray[np.uint8], rows: NDArray, columns: NDArray, size: int) -> Array:
    total = np.zeros((len(rows), 3))
    for i in range(-(size // 2), size - size // 2):
        for j in range(-(size // 2), size - size // 2):
            total += rgb[rows + i, columns + j]
    return total / (255.0 * size * size)


def _disc_axes(R_map_camera: Array, normals: Array, rays: Array) -> tuple[Array, Array]:
    """(quaternions wxyz [N, 4], stretch [N]) of discs: first axis down the slope, third along the normal."""
    views = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    cosine = np.abs((views * normals).sum(axis=1))
    slope = views - (views * normals).sum(axis=1, keepdims=True) * normals
    length = np.linalg.norm(slope, axis=1, keepdims=True)
    fallback = np.cross(normals, [0.0, 1.0, 0.0]) + 1e-6
    first = np.where(length > 1e-3, slope, fallback)
    first = first - (first * normals).sum(axis=1, keepdims=True) * normals
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    axes = np.stack([first, np.cross(normals, first), normals], axis=-1)
    quats_xyzw = Rotation.from_matrix(R_map_camera @ axes).as_quat() if len(axes) else np.zeros((0, 4))
    return np.roll(quats_xyzw, 1, axis=1), np.minimum(1 / np.maximum(cosine, 1e-3), MAX_STRETCH)


def surface_normals(camera: Camera, depth_m: NDArray[np.float32], rows: NDArray, columns: NDArray) -> Array:
    """[n, 3] unit normals towards the camera at pixels [n], from the depth's slopes; the view's own where unknown."""
    low_row, high_row = np.maximum(rows - NORMAL_REACH_PX, 0), np.minimum(rows + NORMAL_REACH_PX, camera.height - 1)
    left, right = np.maximum(columns - NORMAL_REACH_PX, 0), np.minimum(columns + NORMAL_REACH_PX, camera.width - 1)
    corners = [(rows, left), (rows, right), (low_row, columns), (high_row, columns)]
    depths = np.stack([depth_m[at] for at in corners])
    points = [_ray(camera, *at) * depth[:, None].astype(float) for at, depth in zip(corners, depths, strict=True)]
    normals = np.cross(points[3] - points[2], points[1] - points[0])
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    # Slopes across an edge of depth, or from a hole, are no surface.
    spread = depths.max(axis=0) - depths.min(axis=0)
    known = (depths.min(axis=0) > 0) & (spread < 0.1 * depths.max(axis=0)) & (length[:, 0] > 0)
    rays = _ray(camera, rows, columns)
    facing = -rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    normals = np.where(known[:, None], normals / np.maximum(length, 1e-30), facing)
    return np.where((normals * rays).sum(axis=-1, keepdims=True) > 0, -normals, normals)


def _ray(camera: Camera, rows: NDArray, columns: NDArray, offset: float = 0.5) -> Array:
    x, y = (columns + offset - camera.cx) / camera.fx, (rows + offset - camera.cy) / camera.fy
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
