"""Tiled rasterizer in plain torch, without own kernels: the baseline for the speed of the CPU kernels.

Projection, sorting and assignment to tiles are vectorised over all Gaussians; a tile is blended as one dense matrix of
pixels x Gaussians; gradients come from autograd.
"""

from __future__ import annotations

import torch
from torch import Tensor

from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import (
    ALPHA_FLOOR,
    ALPHA_MAX,
    ALPHA_MIN,
    MAX_EXTENT_SIGMA,
    TRANSMITTANCE_STOP,
    Rendered,
)
from echoseg_ros.mapping.rasterizers.reference import Projected, project
from echoseg_ros.types import Camera, Float64Array

# Side of a tile, px.
TILE = 16


def render_tiled(gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array) -> Rendered:
    """See Rasterizer.render."""
    projected = project(gaussians, camera, T_map_camera)
    opacities, rgb = gaussians.opacities[projected.rows], gaussians.rgb[projected.rows]
    ranks, counts = _tile_lists(projected, opacities.detach(), camera)
    drawn = torch.cat([rgb, projected.depths[:, None], torch.ones_like(opacities)[:, None]], 1)
    # One gather for all tiles: with one gather a tile, autograd would add up a gradient of full length for each tile.
    shapes = torch.cat([projected.means_px, projected.conics, opacities[:, None], drawn], 1)[ranks].split(counts)  # type: ignore[no-untyped-call]
    tiles_x, tiles_y = _tile_counts(camera)
    tiles = [_blend_tile(shapes[tile], tile % tiles_x * TILE, tile // tiles_x * TILE) for tile in range(len(counts))]
    image = torch.stack(tiles).reshape(tiles_y, tiles_x, TILE, TILE, 5).transpose(1, 2)
    image = image.reshape(tiles_y * TILE, tiles_x * TILE, 5)[: camera.height, : camera.width]
    alpha = image[..., 4]
    return Rendered(image[..., :3], image[..., 3] / alpha.clamp(min=ALPHA_FLOOR), alpha)


def _tile_counts(camera: Camera) -> tuple[int, int]:
    return -(-camera.width // TILE), -(-camera.height // TILE)


@torch.no_grad()
def tile_rectangles(projected: Projected, opacities: Tensor, camera: Camera) -> Tensor:
    """[V, 4] tiles x0, x1, y0, y1 (ends excluded) with all pixels where a Gaussian's alpha reaches ALPHA_MIN.

    opacities: [V] of the projected Gaussians.
    """
    a, b, c = projected.conics.unbind(1)
    extent = (2 * (opacities / ALPHA_MIN).clamp(min=1).log()).sqrt().clamp(max=MAX_EXTENT_SIGMA) + 1e-3
    determinant = a * c - b * b
    radii = extent[:, None] * torch.stack([c / determinant, a / determinant], 1).sqrt()
    limits = torch.tensor(_tile_counts(camera), device=radii.device)
    first = ((projected.means_px - radii) / TILE).floor().long().clamp(min=0)
    end = torch.minimum(((projected.means_px + radii) / TILE).floor().long() + 1, limits)
    end = torch.where((opacities >= ALPHA_MIN)[:, None], torch.maximum(end, first), first)
    empty = (end == first).any(1, keepdim=True)
    end = torch.where(empty, first, end)
    return torch.stack([first[:, 0], end[:, 0], first[:, 1], end[:, 1]], 1)


@torch.no_grad()
def _tile_lists(projected: Projected, opacities: Tensor, camera: Camera) -> tuple[Tensor, list[int]]:
    """(ranks [P]: the Gaussians of each tile in order of tiles, front to back; their number in each tile)."""
    x0, x1, y0, y1 = tile_rectangles(projected, opacities, camera).unbind(1)
    areas = (x1 - x0) * (y1 - y0)
    ranks = torch.repeat_interleave(areas)
    place = torch.arange(len(ranks), device=ranks.device) - (areas.cumsum(0) - areas)[ranks]
    across = (x1 - x0)[ranks]
    tiles_x, tiles_y = _tile_counts(camera)
    tiles = (y0[ranks] + place // across) * tiles_x + x0[ranks] + place % across
    return ranks[torch.argsort(tiles, stable=True)], torch.bincount(tiles, minlength=tiles_x * tiles_y).tolist()


def _blend_tile(shapes: Tensor, left: int, top: int) -> Tensor:  # [TILE^2, 5]
    """Sums of blending weight times rgb, depth and 1 for each pixel of a tile.

    shapes: [K, 11] centre, conic, opacity, rgb, depth and 1 of the tile's Gaussians, front to back.
    """
    u, v, a, b, c, opacities = shapes[:, :6].unbind(1)
    places = torch.arange(TILE, device=shapes.device).to(shapes) + 0.5
    dx = (u - (left + places)[:, None]).repeat(TILE, 1)
    dy = (v - (top + places)[:, None]).repeat_interleave(TILE, 0)
    exponent = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (opacities * torch.exp(-exponent)).clamp(max=ALPHA_MAX)
    alpha = torch.where(alpha >= ALPHA_MIN, alpha, torch.zeros_like(alpha))
    passed = torch.log1p(-alpha)
    after = passed.cumsum(1)
    weights = alpha * torch.exp(after - passed)
    weights = torch.where(after.exp() > TRANSMITTANCE_STOP, weights, torch.zeros_like(weights))
    return weights @ shapes[:, 6:]
