"""Gaussians drawn on the CPU by numba kernels: projection, tile lists, blending, and the gradients of all of it.

Bit-repeatable and independent of the number of threads (see numba_blending). Needs no compiler on the user's machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import torch
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import ALPHA_FLOOR, Rendered, ViewByView, check_labels
from echoseg_ros.mapping.rasterizers.numba import blending as blending
from echoseg_ros.mapping.rasterizers.numba import lifting as lifting
from echoseg_ros.mapping.rasterizers.numba import projection as projection
from echoseg_ros.mapping.rasterizers.numba import tiles as tiles
from echoseg_ros.types import Camera, Float32Array, Float64Array

# Work is cut into this many pieces per kernel: enough for 16 threads, and the same for any number of them.
_CHUNKS = 64


@dataclass(frozen=True)
class _View:
    """A camera as the kernels want it. view: [3, 4] T_camera_map; lens: [6]; tiles: counts of tiles along x and y."""

    view: Float32Array
    lens: Float32Array
    width: int
    height: int
    tiles_x: int
    tiles_y: int
    order: projection.Ints


@dataclass(frozen=True)
class _Binned:
    """Gaussians projected and dealt to tiles; see numba_projection.project and numba_tiles.bin_tiles."""

    records: Float32Array
    offsets: projection.Ints
    starts: projection.Ints
    pair_row: projection.Ints
    pair_slot: projection.Ints


class NumbaRasterizer(ViewByView):
    """The CPU backend. Computes in float32."""

    def render(self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array) -> Rendered:
        """See Rasterizer.render."""
        rgb, weighted_depth, alpha = _Blend.apply(
            gaussians.means, gaussians.quats_wxyz, gaussians.scales, gaussians.opacities, gaussians.rgb,
            _view(camera, T_map_camera),
        )  # fmt: skip
        return Rendered(rgb, weighted_depth / alpha.clamp(min=ALPHA_FLOOR), alpha)

    @torch.no_grad()
    def render_features(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See Rasterizer.render_features."""
        view = _view(camera, T_map_camera)
        binned = _bin(_parameters(gaussians), view)
        image, alpha = lifting.blend_features(
            binned.records,
            _array(features),
            binned.starts,
            binned.pair_row,
            view.order,
            view.width,
            view.height,
            view.tiles_x,
        )
        return torch.from_numpy(image), torch.from_numpy(alpha)

    @torch.no_grad()
    def lift(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, labels: np.ndarray, classes: int
    ) -> Tensor:
        """See Rasterizer.lift. One pass for any number of classes."""
        check_labels(labels, camera, classes)
        view = _view(camera, T_map_camera)
        binned = _bin(_parameters(gaussians), view)
        image = np.ascontiguousarray(labels, dtype=np.int32)
        label_starts, label_values, local = lifting.tile_labels(image, classes, view.tiles_x, view.tiles_y)
        sum_starts = np.concatenate([[0], np.cumsum(np.diff(binned.starts) * np.diff(label_starts))])
        sums = lifting.lift_tiles(
            binned.records, binned.starts, binned.pair_row, view.order, view.tiles_x, local, label_starts, sum_starts
        )
        lifted = lifting.gather_lifted(
            binned.pair_row, binned.starts, label_starts, label_values, sum_starts, sums,
            len(gaussians), classes,
        )  # fmt: skip
        return torch.from_numpy(lifted)


class _Blend(torch.autograd.Function):
    """(rgb [H, W, 3], sum of w z [H, W], alpha [H, W]) of activated parameters."""

    @staticmethod
    def forward(
        ctx: Any, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, rgb: Tensor, view: _View
    ) -> Any:
        parameters = tuple(_array(tensor) for tensor in (means, quats, scales, opacities, rgb))
        binned = _bin(parameters, view)
        planes, pair_span = blending.blend(
            binned.records, binned.starts, binned.pair_row, view.order, view.width, view.height, view.tiles_x
        )
        ctx.view, ctx.parameters, ctx.binned, ctx.planes, ctx.pair_span = view, parameters, binned, planes, pair_span
        image = torch.from_numpy(planes)
        return image[:3].permute(1, 2, 0), image[3].clone(), 1 - image[4]

    @staticmethod
    def backward(ctx: Any, d_rgb: Tensor, d_depth: Tensor, d_alpha: Tensor) -> Any:  # type: ignore[override]
        gradients = torch.cat([d_rgb.permute(2, 0, 1), d_depth[None], d_alpha[None]]).contiguous()
        binned, view = ctx.binned, ctx.view
        slots = blending.blend_backward(
            binned.records, binned.starts, binned.pair_row, binned.pair_slot, ctx.pair_span, view.order, view.tiles_x,
            ctx.planes, _array(gradients),
        )  # fmt: skip
        means, quats, scales, opacities, _ = ctx.parameters
        results = projection.project_backward(
            means, quats, scales, opacities, view.view, view.lens, binned.records, binned.offsets, slots, _CHUNKS
        )
        return *(torch.from_numpy(result) for result in results), None


def _view(camera: Camera, T_map_camera: Float64Array) -> _View:
    tiles_x, tiles_y = -(-camera.width // projection.TILE_WIDTH), -(-camera.height // projection.TILE_HEIGHT)
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height], np.float32)
    order = tiles.tile_order(tiles_x * tiles_y, nb.get_num_threads())
    view = np.ascontiguousarray(geometry.inverse(np.asarray(T_map_camera, dtype=float))[:3], dtype=np.float32)
    return _View(view, lens, camera.width, camera.height, tiles_x, tiles_y, order)


def _parameters(gaussians: Gaussians) -> tuple[Float32Array, ...]:
    tensors = (gaussians.means, gaussians.quats_wxyz, gaussians.scales, gaussians.opacities, gaussians.rgb)
    return tuple(_array(tensor) for tensor in tensors)


def _array(tensor: Tensor) -> Float32Array:
    return tensor.detach().to(torch.float32).contiguous().numpy()  # type: ignore[no-any-return]


def _bin(parameters: tuple[Float32Array, ...], view: _View) -> _Binned:
    means, quats, scales, opacities, rgb = parameters
    records, rectangles = projection.project(means, quats, scales, opacities, rgb, view.view, view.lens, _CHUNKS)
    rows = tiles.depth_order(records, rectangles)
    bands = min(nb.get_num_threads(), view.tiles_y)
    return _Binned(records, *tiles.bin_tiles(rows, rectangles, view.tiles_x, view.tiles_y, bands))
