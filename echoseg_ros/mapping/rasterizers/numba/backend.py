"""The rasterizer on the CPU: numba kernels for projection, tile lists and blending, with their gradients.

Results repeat bit for bit and do not depend on the number of threads (see blending). No compiler is needed at run time.
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
from echoseg_ros.mapping.rasterizers.conventions import ALPHA_FLOOR, IntArray, Rendered, SequentialViews, check_labels
from echoseg_ros.mapping.rasterizers.numba import blending, lifting, projection, tiles
from echoseg_ros.types import Camera, Float32Array, Float64Array

# Pieces of work per kernel: enough for 16 threads, and the same for any number of threads.
_CHUNKS = 64


@dataclass(frozen=True)
class _KernelView:
    """A camera with pose, as the kernels expect it.

    view: [3, 4] T_camera_map; lens: [6] fx fy cx cy width height; width, height: pixels; tiles_x, tiles_y: numbers of
    tiles; order: [T] order in which the threads take the tiles.
    """

    view: Float32Array
    lens: Float32Array
    width: int
    height: int
    tiles_x: int
    tiles_y: int
    order: IntArray


@dataclass(frozen=True)
class _TileLists:
    """Projected Gaussians and the list of each tile; see projection.project and tiles.tile_lists."""

    records: Float32Array
    offsets: IntArray
    starts: IntArray
    pair_row: IntArray
    pair_slot: IntArray


class NumbaRasterizer(SequentialViews):
    """Rasterizer on the CPU, in float32."""

    def render(self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array) -> Rendered:
        """See Rasterizer.render."""
        rgb, weighted_depth, alpha = _Blend.apply(  # type: ignore[no-untyped-call]
            gaussians.means, gaussians.quats_wxyz, gaussians.scales, gaussians.opacities, gaussians.rgb,
            _kernel_view(camera, T_map_camera),
        )  # fmt: skip
        return Rendered(rgb, weighted_depth / alpha.clamp(min=ALPHA_FLOOR), alpha)

    @torch.no_grad()
    def render_features(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See Rasterizer.render_features."""
        view = _kernel_view(camera, T_map_camera)
        lists = _tile_lists(_parameters(gaussians), view)
        image, alpha = lifting.blend_features(
            lists.records,
            _array(features),
            lists.starts,
            lists.pair_row,
            view.order,
            view.width,
            view.height,
            view.tiles_x,
        )
        return torch.from_numpy(image), torch.from_numpy(alpha)

    @torch.no_grad()
    def lift(
        self, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, labels: IntArray, classes: int
    ) -> Tensor:
        """See Rasterizer.lift. Takes one pass for any number of classes."""
        check_labels(labels, camera, classes)
        view = _kernel_view(camera, T_map_camera)
        lists = _tile_lists(_parameters(gaussians), view)
        image = np.ascontiguousarray(labels, dtype=np.int32)
        label_starts, label_values, label_indices = lifting.tile_labels(image, classes, view.tiles_x, view.tiles_y)
        sum_starts = np.concatenate([[0], np.cumsum(np.diff(lists.starts) * np.diff(label_starts))])
        sums = lifting.lift_tiles(
            lists.records,
            lists.starts,
            lists.pair_row,
            view.order,
            view.tiles_x,
            label_indices,
            label_starts,
            sum_starts,
        )
        lifted = lifting.gather_lifted(
            lists.pair_row, lists.starts, label_starts, label_values, sum_starts, sums,
            len(gaussians), classes,
        )  # fmt: skip
        return torch.from_numpy(lifted)


class _Blend(torch.autograd.Function):
    """Render activated parameters: (rgb [H, W, 3], sum of w z [H, W], alpha [H, W])."""

    @staticmethod
    def forward(
        ctx: Any, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, rgb: Tensor, view: _KernelView
    ) -> Any:
        parameters = tuple(_array(tensor) for tensor in (means, quats, scales, opacities, rgb))
        lists = _tile_lists(parameters, view)
        planes, pair_span = blending.blend(
            lists.records, lists.starts, lists.pair_row, view.order, view.width, view.height, view.tiles_x
        )
        ctx.view, ctx.parameters, ctx.lists, ctx.planes, ctx.pair_span = view, parameters, lists, planes, pair_span
        image = torch.from_numpy(planes)
        return image[:3].permute(1, 2, 0), image[3].clone(), 1 - image[4]

    @staticmethod
    def backward(ctx: Any, d_rgb: Tensor, d_depth: Tensor, d_alpha: Tensor) -> Any:
        gradients = torch.cat([d_rgb.permute(2, 0, 1), d_depth[None], d_alpha[None]]).contiguous()
        lists, view = ctx.lists, ctx.view
        slots = blending.blend_backward(
            lists.records, lists.starts, lists.pair_row, lists.pair_slot, ctx.pair_span, view.order, view.tiles_x,
            ctx.planes, _array(gradients),
        )  # fmt: skip
        means, quats, scales, opacities, _ = ctx.parameters
        results = projection.project_backward(
            means, quats, scales, opacities, view.view, view.lens, lists.records, lists.offsets, slots, _CHUNKS
        )
        return *(torch.from_numpy(result) for result in results), None


def _kernel_view(camera: Camera, T_map_camera: Float64Array) -> _KernelView:
    tiles_x, tiles_y = -(-camera.width // projection.TILE_WIDTH), -(-camera.height // projection.TILE_HEIGHT)
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height], np.float32)
    order = tiles.tile_order(tiles_x * tiles_y, nb.get_num_threads())
    view = np.ascontiguousarray(geometry.inverse(np.asarray(T_map_camera, dtype=float))[:3], dtype=np.float32)
    return _KernelView(view, lens, camera.width, camera.height, tiles_x, tiles_y, order)


def _parameters(gaussians: Gaussians) -> tuple[Float32Array, ...]:
    tensors = (gaussians.means, gaussians.quats_wxyz, gaussians.scales, gaussians.opacities, gaussians.rgb)
    return tuple(_array(tensor) for tensor in tensors)


def _array(tensor: Tensor) -> Float32Array:
    array: Float32Array = tensor.detach().to(torch.float32).contiguous().numpy()
    return array


def _tile_lists(parameters: tuple[Float32Array, ...], view: _KernelView) -> _TileLists:
    means, quats, scales, opacities, rgb = parameters
    records, rectangles = projection.project(means, quats, scales, opacities, rgb, view.view, view.lens, _CHUNKS)
    rows = tiles.depth_order(records, rectangles)
    bands = min(nb.get_num_threads(), view.tiles_y)
    return _TileLists(records, *tiles.tile_lists(rows, rectangles, view.tiles_x, view.tiles_y, bands))
