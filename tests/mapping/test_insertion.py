"""Position and orientation of new Gaussians, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.mapping import insertion
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.keyframe_tensors import KeyframeTensors
from echoseg_ros.mapping.keyframes import Keyframe, KeyframeReason
from echoseg_ros.mapping.rotations import rotation_matrices
from echoseg_ros.types import Camera, Float64Array

# Odd sizes: the last cells are cut.
CAMERA = Camera(75, 53, 60.0, 58.0, 36.3, 27.1)
T_MAP_CAMERA = geometry.look_at(np.array([1.0, -2.0, 0.5]), np.array([0.3, 1.0, 0.4]))
# Of slanted planes: a steep one, and one that is nearly square to the view.
NORMAL_CAMERA = np.array([0.3, -0.5, -1.0]) / np.linalg.norm([0.3, -0.5, -1.0])
MILD_CAMERA = np.array([0.02, -0.05, -1.0]) / np.linalg.norm([0.02, -0.05, -1.0])


def view_of(
    rgb: Float64Array, depth: Float64Array, T_map_camera: Float64Array = T_MAP_CAMERA, camera: Camera = CAMERA
) -> KeyframeTensors:
    keyframe = Keyframe(
        0, 0, camera, rgb.astype(np.uint8), depth.astype(np.float32), T_map_camera, 0, KeyframeReason.FIRST
    )
    return KeyframeTensors.of(keyframe, torch.device("cpu"))


def plane_depth(normal_camera: Float64Array) -> Float64Array:
    """[H, W] depth of a plane two metres from the camera."""
    return -2.0 / (geometry.pixel_rays(CAMERA) @ normal_camera)


def cluttered_view(scale: float = 1.0) -> KeyframeTensors:
    """A view of a plane with patches of noise, holes and a depth step; the map unit is 1 / `scale` metres."""
    random = np.random.default_rng(4)
    patches = np.kron(random.integers(0, 3, (7, 10)), np.ones((8, 8)))[: CAMERA.height, : CAMERA.width]
    rgb = 120 + random.normal(0, 1, (CAMERA.height, CAMERA.width, 3)) * (patches * 12)[..., None]
    depth = np.where(np.arange(CAMERA.width) > 40, 0.7, 1.0) * plane_depth(MILD_CAMERA)
    depth[random.uniform(size=depth.shape) < 0.01] = 0
    T_map_camera = T_MAP_CAMERA.copy()
    T_map_camera[:3, 3] *= scale
    return view_of(rgb.clip(0, 255), depth * scale, T_map_camera)


def everything(view: KeyframeTensors) -> Tensor:
    return torch.ones(view.image.shape[:2], dtype=torch.bool)


def test_cells_cover_each_needed_pixel_once() -> None:
    view = cluttered_view()
    needed = torch.rand(view.image.shape[:2], generator=torch.Generator().manual_seed(0)) < 0.995
    assert view.depth is not None
    cells = insertion.cells_to_fill(view.image, view.depth, needed)
    filled = (needed & (view.depth > 0)).numpy()
    covered = np.zeros(needed.shape, int)
    for position, size, depth, rgb in zip(*(part.numpy() for part in cells)):
        # The centre of at least half a cell lies within it.
        first_column, first_row = (position // size * size).astype(int)
        square = (slice(first_row, first_row + int(size)), slice(first_column, first_column + int(size)))
        covered[square] += filled[square]
        assert filled[square].mean() >= insertion.MIN_FILLED_SHARE
        np.testing.assert_allclose(view.image.numpy()[square][filled[square]].mean(axis=0), rgb, atol=1e-6)
        np.testing.assert_allclose(1 / view.depth.numpy()[square][filled[square]].mean() * depth, 1, rtol=1e-3)
        x, y = (np.nonzero(filled[square])[axis].mean() + 0.5 for axis in (1, 0))
        np.testing.assert_allclose(position, (first_column + x, first_row + y), atol=1e-4)
    np.testing.assert_array_equal(covered, filled.astype(int))
    assert set(cells.sizes_px.tolist()) == {4, 2, 1} and (cells.sizes_px.diff() <= 0).all()


@pytest.mark.parametrize(("noise", "size_px"), [(0.0, 4), (0.05, 2), (0.2, 2)])
def test_cells_shrink_with_contrast(noise: float, size_px: int) -> None:
    """A chessboard of two brightnesses has in every cell a standard deviation of half their difference."""
    sign = (-1.0) ** np.indices((48, 64)).sum(axis=0)
    image = torch.from_numpy(0.5 + noise * sign[..., None].repeat(3, axis=-1)).float()
    cells = insertion.cells_to_fill(image, torch.ones(48, 64), torch.ones(48, 64, dtype=torch.bool))
    assert torch.unique(cells.sizes_px).tolist() == [size_px] and len(cells.depths) == 48 * 64 // size_px**2


def test_no_cell_lies_across_an_edge_of_depth() -> None:
    depth = torch.ones(16, 16)
    depth[:, 5:] = 2.0
    cells = insertion.cells_to_fill(torch.zeros(16, 16, 3), depth, depth > 0)
    first = cells.positions_px[:, 0] - cells.sizes_px / 2
    assert ((first + cells.sizes_px <= 5) | (first >= 5)).all()


def test_discs_lie_on_a_slanted_plane() -> None:
    view = view_of(np.full((CAMERA.height, CAMERA.width, 3), 90), plane_depth(NORMAL_CAMERA))
    gaussians = insertion.new_gaussians(view, everything(view))
    axes = rotation_matrices(gaussians.quats_wxyz).double().numpy()
    scales = gaussians.scales.double().numpy()
    normal = T_MAP_CAMERA[:3, :3] @ NORMAL_CAMERA
    np.testing.assert_allclose(axes[:, :, 2], np.broadcast_to(normal, (len(axes), 3)), atol=2e-4)
    from_camera = gaussians.means.double().numpy() - T_MAP_CAMERA[:3, 3]
    np.testing.assert_allclose(from_camera @ normal, -2.0, atol=1e-5)
    # Longest down the slope: along the view as far as it lies in the plane, and longer the more it slants.
    views = from_camera / np.linalg.norm(from_camera, axis=1, keepdims=True)
    cosine = -views @ normal
    slope = views + cosine[:, None] * normal
    slope /= np.linalg.norm(slope, axis=1, keepdims=True)
    slanted = cosine < 0.99
    assert slanted.sum() > 50
    np.testing.assert_allclose(np.abs((axes[:, :, 0] * slope).sum(axis=1))[slanted], 1.0, atol=1e-4)
    np.testing.assert_allclose(scales[:, 0] / scales[:, 1], np.minimum(1 / cosine, insertion.MAX_STRETCH), rtol=1e-4)
    np.testing.assert_allclose(scales[:, 2] / scales[:, 1], insertion.THICKNESS, rtol=1e-4)


def test_normals_face_the_camera_at_depth_edges() -> None:
    depth = torch.full((CAMERA.height, CAMERA.width), 2.0)
    depth[:, 30:], depth[20, 12] = 4.0, 0.0
    rows, columns = torch.tensor([10, 10, 20, 22, 40]), torch.tensor([29, 31, 14, 12, 60])
    normals = insertion.surface_normals(CAMERA, depth, rows, columns)
    rays = torch.from_numpy(geometry.pixel_rays(CAMERA)).float()[rows, columns]
    facing = -torch.nn.functional.normalize(rays, dim=1)
    torch.testing.assert_close(normals[:4], facing[:4], atol=1e-6, rtol=0)
    torch.testing.assert_close(normals[4], torch.tensor([0.0, 0.0, -1.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(53, 75), (5, 7), (1, 1)])
def test_an_empty_mask_gives_no_gaussians(shape: tuple[int, int]) -> None:
    camera = CAMERA.resized(shape[1], shape[0])
    view = view_of(np.zeros((*shape, 3)), np.ones(shape), camera=camera)
    none, no_depth = ~everything(view), view_of(np.zeros((*shape, 3)), np.zeros(shape), camera=camera)
    shapes = [tuple(tensor.shape) for _, tensor in Gaussians.empty().items()]
    for gaussians in (insertion.new_gaussians(view, none), insertion.new_gaussians(no_depth, ~none)):
        assert [tuple(tensor.shape) for _, tensor in gaussians.items()] == shapes
    assert len(insertion.new_gaussians(view, ~none)) > 0
    assert insertion.in_free_space(view, torch.zeros(0, 3)).shape == (0,)


def test_unexplained_leaves_out_narrow_strips() -> None:
    depth, drawn, alpha = torch.full((40, 60), 2.0), torch.full((40, 60), 2.0), torch.ones(40, 60)
    truth = torch.zeros(40, 60, dtype=torch.bool)
    alpha[5:8, 5:15] = 0.0  # wide enough to be bare
    truth[5:8, 5:15] = True
    alpha[5:7, 25:50] = 0.0  # a strip
    drawn[15:20, 5:15] = 2.3  # a new surface in front
    truth[15:20, 5:15] = True
    drawn[15:19, 25:50] = 2.3  # a strip
    drawn[25:35, 5:15] = 2.1  # within the depth's noise
    drawn[25:35, 25:35] = 1.0  # hidden
    alpha[:3, :] = 0.0  # at the border as elsewhere
    truth[:3, :] = True
    alpha[-2:, :] = 0.0  # too narrow: outside the image counts as explained
    alpha[12:30, 52:58], depth[12:30, 52:58] = 0.0, 0.0  # no depth
    assert torch.equal(insertion.unexplained(depth, drawn, alpha), truth)


@pytest.mark.parametrize("size_px", [3, 5])
def test_opening_equals_scipys(size_px: int) -> None:
    mask = np.random.default_rng(5).uniform(size=(31, 44)) < 0.85
    truth = ndimage.binary_opening(mask, np.ones((size_px, size_px)))
    assert 0 < truth.sum() < mask.sum()
    np.testing.assert_array_equal(insertion._opened(torch.from_numpy(mask), size_px).numpy(), truth)


def test_free_space_is_in_front_of_every_depth_nearby() -> None:
    depth = np.full((CAMERA.height, CAMERA.width), 2.0)
    depth[:, 40:], depth[30, 20] = 1.0, 0.0
    view = view_of(np.zeros((*depth.shape, 3)), depth)
    cases = [  # row, column, depth, whether it floats
        (10, 10, 1.5, True),
        (10, 10, 1.9, False),  # within the margin
        (10, 10, 2.5, False),  # behind the surface
        (10, 37, 1.5, True),
        (10, 38, 1.5, False),  # two pixels from a nearer surface
        (32, 22, 1.5, False),  # a hole next to it: nothing known
        (33, 22, 1.5, True),
        (0, 0, 1.5, True),  # the window is cut at the image border
        (52, 74, 0.5, True),
        (-1, 10, 1.5, False), (53, 10, 1.5, False), (10, -1, 1.5, False), (10, 75, 1.5, False),  # outside
        (10, 10, -1.5, False), (10, 10, 0.0, False),  # behind the camera, in it
    ]  # fmt: skip
    rows, columns, depths, truth = (np.array(column) for column in zip(*cases, strict=True))
    x, y = (columns + 0.5 - CAMERA.cx) / CAMERA.fx, (rows + 0.5 - CAMERA.cy) / CAMERA.fy
    points = geometry.apply(T_MAP_CAMERA, np.stack([x, y, np.ones(len(cases))], axis=1) * depths[:, None])
    means = torch.from_numpy(np.concatenate([points, [[np.nan] * 3]])).float()
    assert insertion.in_free_space(view, means).tolist() == [*truth.tolist(), False]


def test_gaussians_scale_with_the_map_unit() -> None:
    small, large = (insertion.new_gaussians(v, everything(v)) for v in (cluttered_view(), cluttered_view(10.0)))
    assert len(small) > 200
    torch.testing.assert_close(large.means, small.means * 10, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(large.log_scales, small.log_scales + math.log(10), rtol=0, atol=1e-3)
    torch.testing.assert_close(
        rotation_matrices(large.quats_wxyz), rotation_matrices(small.quats_wxyz), rtol=0, atol=1e-3
    )
    torch.testing.assert_close(large.rgb, small.rgb)
    torch.testing.assert_close(large.opacity_logits, small.opacity_logits)
