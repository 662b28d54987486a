"""Insertion of Gaussians from a keyframe's depth where the map does not explain it: thin discs on the surface.

Regions of one colour get a few large discs and contours many small ones, so that edges are sharp and the number of
Gaussians stays low. The computation runs on the map's device; the host waits only for the number of Gaussians.
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
from echoseg_ros.mapping.device_transfer import to_device
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.keyframe_tensors import KeyframeTensors
from echoseg_ros.mapping.keyframes import BRIGHTNESS_WEIGHTS
from echoseg_ros.mapping.rotations import quaternions_wxyz
from echoseg_ros.types import Camera, Float64Array

# Alpha below which the map does not cover a pixel.
MIN_ALPHA = 0.5
# Distance of a measured surface in front of the rendered one from which it is new, as a share of the rendered depth.
IN_FRONT_MARGIN = 0.06
# Least width of a region that the map does not cover, pixels.
MIN_UNCOVERED_PX = 3
# Least width of a region in front of the rendered surface, pixels.
MIN_IN_FRONT_PX = 5
# Distance of a Gaussian in front of the measured depth from which it is in free space, as a share of the depth.
FREE_SPACE_MARGIN = 0.06
# Side of the pixel square whose nearest depth bounds the free space.
FREE_SPACE_WINDOW_PX = 5
# Sides of the cells that get one Gaussian each, coarse to fine, pixels. Remaining pixels get one each.
CELL_SIZES_PX = (4, 2)
# Largest contrast in a cell of each size: standard deviation of brightness (0..1).
MAX_CONTRAST = (0.015, math.inf)
# Share of the pixels of a cell that must need a Gaussian. Lower than 1, or borders of regions would be single pixels.
MIN_FILLED_SHARE = 0.5
# Largest range of the depths in a cell, as a share of the depth.
MAX_DEPTH_SPREAD = 0.03
# Standard deviation of a disc in its plane, as a share of the cell's side.
DISC_SIGMA = 0.55
# Thickness of a disc, as a share of its standard deviation in the plane.
THICKNESS = 0.2
# Largest elongation of a disc on a slanted surface; normals at grazing angles are unreliable.
MAX_STRETCH = 3.0
# Opacity of a new Gaussian.
INITIAL_OPACITY = 0.9
# Distance to each side of the depths that give a normal, pixels. Differences of closer ones are mostly noise.
NORMAL_REACH_PX = 2
# Range of these depths from which they lie across an edge, as a share of the depth.
MAX_SLOPE_SPREAD = 0.1


class Cells(NamedTuple):
    """Squares of pixels that get one Gaussian each. All float32.

    positions_px: [N, 2] mean (x, y) of the cell's filled pixels, pixel centres at halves; sizes_px: [N]; depths: [N]
    depth at that position, exact on planes; rgb: [N, 3] mean colour of the filled pixels.
    """

    positions_px: Tensor
    sizes_px: Tensor
    depths: Tensor
    rgb: Tensor


def new_gaussians(view: KeyframeTensors, needed: Tensor) -> Gaussians:
    """New Gaussians for the `needed` pixels [H, W] bool that have a depth."""
    return _discs(view, cells_to_fill(view.image, view.depth, needed))


def recoloured(gaussians: Gaussians, change: Callable[[Tensor], Tensor]) -> Gaussians:
    """The Gaussians with `change` applied to their colours [N, 3]."""
    return replace(gaussians, rgb=change(gaussians.rgb))


def unexplained(depth: Tensor, rendered_depth: Tensor, alpha: Tensor) -> Tensor:
    """Pixels [H, W] bool with a depth whose surface the map lacks: not covered, or only by something farther away.

    Narrow strips are left out: they are contours under a slightly wrong pose, or gaps that optimisation closes.
    depth: [H, W] of the keyframe, 0 = none; rendered_depth, alpha: [H, W] of the map.
    """
    uncovered = (depth > 0) & (alpha < MIN_ALPHA)
    in_front = (depth > 0) & (alpha >= MIN_ALPHA) & (depth < rendered_depth * (1 - IN_FRONT_MARGIN))
    return _opened(uncovered, MIN_UNCOVERED_PX) | _opened(in_front, MIN_IN_FRONT_PX)


def _opened(mask: Tensor, size_px: int) -> Tensor:
    """Morphological opening of a mask [H, W] by a square of side `size_px`; pixels outside the image are False."""
    eroded = _over_squares(mask, size_px, torch.logical_and, 0.0)
    return _over_squares(eroded, size_px, torch.logical_or, 0.0)


def _over_squares(image: Tensor, size_px: int, merge: Callable[[Tensor, Tensor], Tensor], outside: float) -> Tensor:
    """Image [H, W] of the pixels merged over the square of odd side around each; on the CPU much faster than pooling."""
    (h, w), reach = image.shape, size_px // 2
    padded = functional.pad(image, (reach,) * 4, value=outside)
    columns = reduce(merge, [padded[i : i + h] for i in range(size_px)])
    return reduce(merge, [columns[:, j : j + w] for j in range(size_px)])


def in_free_space(view: KeyframeTensors, means: Tensor) -> Tensor:
    """Whether each centre [N, 3] lies clearly in front of every depth measured in the pixel square around it: [N] bool."""
    camera, T_camera_map = view.keyframe.camera, _on_device(geometry.inverse(view.T_map_camera), means)
    x, y, depth = (means @ T_camera_map[:3, :3].T + T_camera_map[:3, 3]).unbind(1)
    in_front = depth > 0
    divisor = torch.where(in_front, depth, math.inf)
    columns = _pixel_index(x * camera.fx / divisor + camera.cx, camera.width)
    rows = _pixel_index(y * camera.fy / divisor + camera.cy, camera.height)
    nearest = _over_squares(view.depth.clamp(min=0), FREE_SPACE_WINDOW_PX, torch.minimum, math.inf)
    nearest = functional.pad(nearest, (1,) * 4)
    return in_front & (depth < nearest[rows + 1, columns + 1] * (1 - FREE_SPACE_MARGIN))


def _pixel_index(position_px: Tensor, count: int) -> Tensor:
    """Index [N] int64 of the pixel at each position; -1 or `count` outside the image."""
    return position_px.nan_to_num(nan=-1.0).floor().clamp(-1, count).long()


def cells_to_fill(image: Tensor, depth: Tensor, needed: Tensor) -> Cells:
    """Cells that together cover every needed pixel with a depth once, coarse to fine, row by row.

    image: [H, W, 3]; depth: [H, W], 0 = none; needed: [H, W] bool.
    """
    red, green, blue = BRIGHTNESS_WEIGHTS
    brightness = red * image[..., 0] + green * image[..., 1] + blue * image[..., 2]
    remaining = torch.where(needed, depth, 0.0).clamp(min=0)
    parts = []
    for size_px, contrast in zip(CELL_SIZES_PX, MAX_CONTRAST, strict=True):
        uniform = _uniform_cells(brightness, remaining, size_px, contrast)
        parts.append(_cells_of_size(image, remaining, uniform, size_px))
        _blocks(remaining, size_px).masked_fill_(uniform[:, None, :, None], 0.0)
    parts.append(_cells_of_size(image, remaining, remaining > 0, 1))
    return Cells(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _uniform_cells(brightness: Tensor, remaining: Tensor, size_px: int, max_contrast: float) -> Tensor:
    """Whether each cell has one brightness and one surface: [H // size, W // size] bool.

    remaining: [H, W] depths of the pixels that still need a Gaussian, else 0.
    """
    depths = _blocks(remaining, size_px)
    filled = depths > 0
    farthest, nearest = depths.amax(dim=(1, 3)), torch.where(filled, depths, math.inf).amin(dim=(1, 3))
    filled_enough = filled.mean(dim=(1, 3), dtype=torch.float32) >= MIN_FILLED_SHARE
    one_surface = filled_enough & (farthest - nearest < MAX_DEPTH_SPREAD * farthest)
    if max_contrast == math.inf:
        return one_surface
    values = _blocks(brightness, size_px)
    contrast = (values - values.mean(dim=(1, 3), keepdim=True)).square().mean(dim=(1, 3)).sqrt()
    return one_surface & (contrast < max_contrast)


def _blocks(image: Tensor, size_px: int) -> Tensor:
    """View [h, size, w, size, ...] of the whole cells of an image [H, W, ...]; incomplete cells at the end are cut off."""
    h, w = image.shape[0] // size_px, image.shape[1] // size_px
    cropped = image[: h * size_px, : w * size_px]
    return torch.unflatten(torch.unflatten(cropped, 1, (w, size_px)), 0, (h, size_px))


def _cells_of_size(image: Tensor, remaining: Tensor, mask: Tensor, size_px: int) -> Cells:
    """The cells of one size where the mask [h, w] is True; arguments as for _uniform_cells."""
    rows, columns = mask.nonzero(as_tuple=True)
    depths = _blocks(remaining, size_px)[rows, :, columns]
    filled = (depths > 0).to(depths.dtype)
    share = filled / filled.sum(dim=(1, 2), keepdim=True)
    centres = torch.arange(size_px, device=depths.device) + 0.5
    x = (share * centres).sum(dim=(1, 2)) + columns * size_px
    y = (share * centres[:, None]).sum(dim=(1, 2)) + rows * size_px
    rgb = (_blocks(image, size_px)[rows, :, columns] * share[..., None]).sum(dim=(1, 2))
    # The inverse depth of a plane is linear in the pixel position.
    depth = (share * torch.where(depths > 0, depths, 1.0).reciprocal()).sum(dim=(1, 2)).reciprocal()
    return Cells(torch.stack([x, y], dim=-1), torch.full_like(x, size_px), depth, rgb)


def _discs(view: KeyframeTensors, cells: Cells) -> Gaussians:
    """One Gaussian for each cell: a disc on the surface."""
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
    """(axes [N, 3, 3] as columns in the camera frame, elongation of the first axis [N]) of discs.

    The first axis lies along the slope in the direction of view, the third along the normal.
    """
    views = functional.normalize(rays, dim=1)
    cosine = _dot(views, normals)
    slope = views - cosine * normals
    fallback = torch.stack([-normals[:, 2], torch.zeros_like(normals[:, 0]), normals[:, 0]], dim=1) + 1e-6
    first = torch.where(_dot(slope, slope) > 1e-6, slope, fallback)
    first = functional.normalize(first - _dot(first, normals) * normals, dim=1)
    axes = torch.stack([first, torch.linalg.cross(normals, first), normals], dim=-1)
    return axes, cosine.abs().clamp(min=1 / MAX_STRETCH).reciprocal().squeeze(1)


def surface_normals(camera: Camera, depth: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Unit normals [N, 3] towards the camera at pixels (rows [N], columns [N]), from the slopes of depth [H, W].

    Where the slope is unknown, the normal is the direction from the surface to the camera.
    """
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
    """Points [N, 3] of depth 1 at pixel positions x [N], y [N]."""
    x, y = (x_px - camera.cx) / camera.fx, (y_px - camera.cy) / camera.fy
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)


def _dot(a: Tensor, b: Tensor) -> Tensor:  # [N, 1]
    return (a * b).sum(dim=1, keepdim=True)


def _on_device(T_a_b: Float64Array, like: Tensor) -> Tensor:
    """The transform [4, 4] as float32 on the device of another tensor."""
    return to_device(T_a_b.astype(np.float32), like.device)
