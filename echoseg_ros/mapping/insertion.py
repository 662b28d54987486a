"""New Gaussians from a keyframe's depth, where the map does not explain it yet: thin discs that lie on the surface.

Flat regions get a few large discs and contours many small ones, so that edges are sharp and the count stays low.
All of it runs on the map's device; the host waits only to learn how many Gaussians there will be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.optimizer_views import View
from echoseg_ros.mapping.rasterizers.gsplat import uploaded
from echoseg_ros.mapping.rotations import quaternions_wxyz
from echoseg_ros.types import Camera, Float64Array

# Where less than this of a pixel is covered, it is not explained.
MIN_ALPHA = 0.5
# A measured surface this share of its depth in front of the drawn one is new.
IN_FRONT = 0.06
# Unexplained regions narrower than this are left out: where nothing is drawn, where something farther away is.
MIN_BARE_PX, MIN_IN_FRONT_PX = 3, 5
# A Gaussian this share of the depth in front of what is measured in the square around it floats in free space.
FREE_SPACE, FREE_SPACE_PX = 0.06, 5
# Cells with less contrast than this (standard deviation of brightness, 0..1) are flat enough for one Gaussian: sizes of
# cells in pixels and their bounds, coarse to fine. Single pixels are left where a cell would cross an edge of depth.
# A cell is filled from this share of it on: the rims of regions would else be single pixels.
CELL_SIZES_PX = (4, 2)
MIN_FILLED = 0.5
MAX_CONTRAST = (0.015, math.inf)
# Depths within a cell may spread by this share of the depth.
MAX_DEPTH_SPREAD = 0.03
# Standard deviation of a disc in units of its cell, its thickness in units of the deviation.
DISC_SIGMA, THICKNESS = 0.55, 0.2
# A slanted surface needs longer discs to be closed; no longer than this, for grazing normals are unreliable.
MAX_STRETCH = 3.0
INITIAL_OPACITY = 0.9
# Normals come from the depths this many pixels to each side: closer ones are mostly noise.
NORMAL_REACH_PX = 2
# Slopes across an edge of depth, where depths differ by this share, are no surface.
MAX_SLOPE_SPREAD = 0.1

# ITU-R BT.601.
BRIGHTNESS = (0.299, 0.587, 0.114)


class Cells(NamedTuple):
    """Squares of pixels that get one Gaussian each.

    positions_px: [N, 2] centre (x, y) of the cell's filled pixels, pixel centres at halves; sizes_px: [N]; depths: [N] at
    the centre, for a plane exactly, and rgb: [N, 3], both means over the filled pixels. All float32.
    """

    positions_px: Tensor
    sizes_px: Tensor
    depths: Tensor
    rgb: Tensor


def new_gaussians(view: View, needed: Tensor) -> Gaussians:
    """Gaussians for the `needed` pixels [H, W] bool that have a depth."""
    return _discs(view, cells_to_fill(view.image, view.depth, needed))


def recoloured(gaussians: Gaussians, change: Callable[[Tensor], Tensor]) -> Gaussians:
    """The same Gaussians with changed colours [N, 3]."""
    return replace(gaussians, rgb=change(gaussians.rgb))


def unexplained(depth: Tensor, drawn_depth: Tensor, alpha: Tensor) -> Tensor:
    """[H, W] bool: pixels with a depth whose surface the map lacks: nothing drawn there, or only something farther away.

    Narrow strips are left out: contours seen from a slightly wrong pose, or gaps that the neighbours will close.
    """
    bare = (depth > 0) & (alpha < MIN_ALPHA)
    in_front = (depth > 0) & (alpha >= MIN_ALPHA) & (depth < drawn_depth * (1 - IN_FRONT))
    return _opened(bare, MIN_BARE_PX) | _opened(in_front, MIN_IN_FRONT_PX)


def _opened(mask: Tensor, size_px: int) -> Tensor:
    """The mask [H, W] without what is smaller than a square of `size_px`; outside the image there is nothing."""
    eroded = _over_squares(mask, size_px, torch.logical_and, 0.0)
    return _over_squares(eroded, size_px, torch.logical_or, 0.0)


def _over_squares(image: Tensor, size_px: int, merge: Callable[[Tensor, Tensor], Tensor], outside: float) -> Tensor:
    """[H, W] pixels merged over the square of odd size around each: a few shifts, on the CPU far faster than pooling."""
    (h, w), reach = image.shape, size_px // 2
    padded = functional.pad(image, (reach,) * 4, value=outside)
    columns = reduce(merge, [padded[i : i + h] for i in range(size_px)])
    return reduce(merge, [columns[:, j : j + w] for j in range(size_px)])


def in_free_space(view: View, means: Tensor) -> Tensor:
    """[N] bool: centres [N, 3] that lie clearly in front of every depth measured in the 5 x 5 pixels around them."""
    camera, T_camera_map = view.keyframe.camera, _on_device(geometry.inverse(view.T_map_camera), means)
    x, y, depth = (means @ T_camera_map[:3, :3].T + T_camera_map[:3, 3]).unbind(1)
    ahead = depth > 0
    safe = torch.where(ahead, depth, math.inf)
    columns = _pixel_index(x * camera.fx / safe + camera.cx, camera.width)
    rows = _pixel_index(y * camera.fy / safe + camera.cy, camera.height)
    nearest = _over_squares(view.depth.clamp(min=0), FREE_SPACE_PX, torch.minimum, math.inf)
    nearest = functional.pad(nearest, (1,) * 4)
    return ahead & (depth < nearest[rows + 1, columns + 1] * (1 - FREE_SPACE))


def _pixel_index(position_px: Tensor, count: int) -> Tensor:
    """[N] int64 index of the pixel at a position; -1 or `count` outside the image."""
    return position_px.nan_to_num(nan=-1.0).floor().clamp(-1, count).long()


def cells_to_fill(image: Tensor, depth: Tensor, needed: Tensor) -> Cells:
    """Cells coarse to fine, row by row; every needed pixel [H, W] with a depth [H, W] is in one. image: [H, W, 3]."""
    brightness = BRIGHTNESS[0] * image[..., 0] + BRIGHTNESS[1] * image[..., 1] + BRIGHTNESS[2] * image[..., 2]
    left = torch.where(needed, depth, 0.0).clamp(min=0)
    parts = []
    for size_px, contrast in zip(CELL_SIZES_PX, MAX_CONTRAST, strict=True):
        flat = _flat_cells(brightness, left, size_px, contrast)
        parts.append(_picked(image, left, flat, size_px))
        _blocks(left, size_px).masked_fill_(flat[:, None, :, None], 0.0)
    parts.append(_picked(image, left, left > 0, 1))
    return Cells(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _flat_cells(brightness: Tensor, left: Tensor, size_px: int, max_contrast: float) -> Tensor:
    """[H // size, W // size] bool: cells of one brightness and of one surface; depths `left` [H, W] are 0 where filled."""
    depths = _blocks(left, size_px)
    filled = depths > 0
    farthest, nearest = depths.amax(dim=(1, 3)), torch.where(filled, depths, math.inf).amin(dim=(1, 3))
    filled_enough = filled.mean(dim=(1, 3), dtype=torch.float32) >= MIN_FILLED
    one_surface = filled_enough & (farthest - nearest < MAX_DEPTH_SPREAD * farthest)
    if max_contrast == math.inf:
        return one_surface
    values = _blocks(brightness, size_px)
    contrast = (values - values.mean(dim=(1, 3), keepdim=True)).square().mean(dim=(1, 3)).sqrt()
    return one_surface & (contrast < max_contrast)


def _blocks(image: Tensor, size_px: int) -> Tensor:
    """[h, size, w, size, ...] view of the cells of an image [H, W, ...]; what is left of a cell at the end is cut."""
    h, w = image.shape[0] // size_px, image.shape[1] // size_px
    whole = image[: h * size_px, : w * size_px]
    return whole.unflatten(1, (w, size_px)).unflatten(0, (h, size_px))


def _picked(image: Tensor, left: Tensor, mask: Tensor, size_px: int) -> Cells:
    """The cells of one size where the mask [h, w] holds; the depths `left` [H, W] are 0 where a pixel is not filled."""
    rows, columns = mask.nonzero(as_tuple=True)
    depths = _blocks(left, size_px)[rows, :, columns]
    filled = (depths > 0).to(depths.dtype)
    share = filled / filled.sum(dim=(1, 2), keepdim=True)
    centres = torch.arange(size_px, device=depths.device) + 0.5
    x = (share * centres).sum(dim=(1, 2)) + columns * size_px
    y = (share * centres[:, None]).sum(dim=(1, 2)) + rows * size_px
    rgb = (_blocks(image, size_px)[rows, :, columns] * share[..., None]).sum(dim=(1, 2))
    # The inverse depth of a plane is linear in the image.
    depth = (share * torch.where(depths > 0, depths, 1.0).reciprocal()).sum(dim=(1, 2)).reciprocal()
    return Cells(torch.stack([x, y], dim=-1), torch.full_like(x, size_px), depth, rgb)


def _discs(view: View, cells: Cells) -> Gaussians:
    """One Gaussian a cell."""
    camera, T_map_camera = view.keyframe.camera, _on_device(view.T_map_camera, view.depth)
    x_px, y_px = cells.positions_px.unbind(1)
    rays = _rays(camera, x_px, y_px)
    axes, stretch = _disc_axes(surface_normals(camera, view.depth, y_px.long(), x_px.long()), rays)
    sigma = cells.sizes_px * cells.depths * (DISC_SIGMA / camera.fx)
    scales = torch.stack([sigma * stretch, sigma, sigma * THICKNESS], dim=-1)
    return Gaussians(
        means=(rays * cells.depths[:, None]) @ T_map_camera[:3, :3].T + T_map_camera[:3, 3],
        quats_wxyz=quaternions_wxyz(T_map_camera[:3, :3] @ axes),
        log_scales=scales.clamp(min=1e-12).log(),
        opacity_logits=torch.full_like(sigma, math.log(INITIAL_OPACITY / (1 - INITIAL_OPACITY))),
        rgb=cells.rgb,
    )


def _disc_axes(normals: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
    """(axes [N, 3, 3] as columns in the camera frame, stretch [N]): first axis down the slope, third along the normal."""
    views = functional.normalize(rays, dim=1)
    cosine = _dot(views, normals)
    slope = views - cosine * normals
    fallback = torch.stack([-normals[:, 2], torch.zeros_like(normals[:, 0]), normals[:, 0]], dim=1) + 1e-6
    first = torch.where(_dot(slope, slope) > 1e-6, slope, fallback)
    first = functional.normalize(first - _dot(first, normals) * normals, dim=1)
    axes = torch.stack([first, torch.linalg.cross(normals, first), normals], dim=-1)
    return axes, cosine.abs().clamp(min=1 / MAX_STRETCH).reciprocal().squeeze(1)


def surface_normals(camera: Camera, depth: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """[N, 3] unit normals towards the camera at pixels [N], from the slopes of depth [H, W]; the view's own where unknown."""
    low_row, high_row = (rows - NORMAL_REACH_PX).clamp(min=0), (rows + NORMAL_REACH_PX).clamp(max=camera.height - 1)
    left, right = (columns - NORMAL_REACH_PX).clamp(min=0), (columns + NORMAL_REACH_PX).clamp(max=camera.width - 1)
    corners = [(rows, left), (rows, right), (low_row, columns), (high_row, columns)]
    depths = torch.stack([depth[at] for at in corners])
    points = [
        _rays(camera, at[1] + 0.5, at[0] + 0.5) * z[:, None] for at, z in zip(corners, depths.unbind(0), strict=True)
    ]
    normals = torch.linalg.cross(points[3] - points[2], points[1] - points[0])
    length = torch.linalg.vector_norm(normals, dim=1)
    farthest, nearest = depths.amax(dim=0), depths.amin(dim=0)
    known = (nearest > 0) & (farthest - nearest < MAX_SLOPE_SPREAD * farthest) & (length > 0)
    rays = _rays(camera, columns + 0.5, rows + 0.5)
    normals = torch.where(known[:, None], normals / length[:, None], -functional.normalize(rays, dim=1))
    return torch.where(_dot(normals, rays) > 0, -normals, normals)


def _rays(camera: Camera, x_px: Tensor, y_px: Tensor) -> Tensor:
    """[N, 3] points of depth 1 at positions [N] in the image."""
    x, y = (x_px - camera.cx) / camera.fx, (y_px - camera.cy) / camera.fy
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def _dot(a: Tensor, b: Tensor) -> Tensor:  # [N, 1]
    return (a * b).sum(dim=1, keepdim=True)


def _on_device(T_a_b: Float64Array, like: Tensor) -> Tensor:
    """[4, 4] float32 on the device of another tensor."""
    return uploaded(T_a_b.astype(np.float32), like.device)
