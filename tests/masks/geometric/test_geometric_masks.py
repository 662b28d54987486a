"""Geometric masks in rooms of level boxes, ray-cast exactly: the proposals are the objects and nothing else."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import ImageFormatError
from echoseg_ros.geometry import look_at, pixel_rays
from echoseg_ros.masks.geometric.geometric_masks import GeometricMasks
from echoseg_ros.masks.protocol import UNJUDGED
from echoseg_ros.types import Camera, CameraFrame, Float64Array, FloatImage

CAMERA = Camera(320, 240, 270.0, 270.0, 160.0, 120.0)
# (low, high) corners of a level box, metres. In each scene the room's shell and a table come before the objects.
Box = tuple[Sequence[float], Sequence[float]]
SHELL: list[Box] = [([-3, -3, -0.1], [3, 3, 0]), ([2.5, -3, 0], [2.6, 3, 2.5]), ([-3, 2.5, 0], [3, 2.6, 2.5])]
TABLE: list[Box] = [([0.9, -0.7, 0.72], [1.9, 0.9, 0.75])]
CUP: Box = ([1.2, -0.3, 0.75], [1.29, -0.21, 0.86])
FLAT: Box = ([1.15, 0.1, 0.75], [1.33, 0.26, 0.81])
MICROWAVE: Box = ([1.45, 0.3, 0.75], [1.8, 0.75, 1.02])
EYE = np.array([-0.2, 0.0, 1.35])


def ray_cast(boxes: Sequence[Box], T_map_camera: Float64Array) -> tuple[FloatImage, NDArray[np.int64]]:
    """(depth [H, W], index of the box that each pixel shows [H, W]) by the slab method."""
    rays = pixel_rays(CAMERA) @ T_map_camera[:3, :3].T
    depth, hit = np.full(rays.shape[:2], np.inf), np.full(rays.shape[:2], -1)
    for i, (low, high) in enumerate(boxes):
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (np.asarray(low) - T_map_camera[:3, 3]) / rays, (np.asarray(high) - T_map_camera[:3, 3]) / rays
        near, far = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
        closer = (near < far) & (near > 0.1) & (near < depth)
        depth[closer], hit[closer] = near[closer], i
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32), hit


def view(
    boxes: Sequence[Box],
    eye: ArrayLike = EYE,
    target: ArrayLike = (1.5, 0.1, 0.75),
    noise: float = 0.0015,
    holes: float = 0.0,
    seed: int = 0,
) -> tuple[CameraFrame, NDArray[np.int64]]:
    """(frame, index of the box in each pixel).

    noise: standard deviation of the depth at 1 m; it grows with the square of the depth. holes: share of blocks of
    10 x 10 pixels without depth.
    """
    T_map_camera = look_at(np.asarray(eye, float), np.asarray(target, float))
    exact_m, hit = ray_cast(boxes, T_map_camera)
    rng = np.random.default_rng(seed)
    depth = exact_m + rng.normal(0, noise, exact_m.shape) * exact_m**2
    coarse = rng.random((24, 32)) < holes
    depth[np.kron(coarse, np.ones((10, 10), bool))] = 0
    rgb = np.zeros((*depth.shape, 3), np.uint8)
    return CameraFrame(5, 0, CAMERA, rgb, depth.astype(np.float32), T_map_camera), hit


def best_iou(labels: NDArray[np.int32], truth: NDArray[np.bool_]) -> float:
    """IoU of a true mask with the proposal that covers most of it."""
    inside = labels[truth]
    if not (inside > 0).any():
        return 0.0
    proposal = labels == np.bincount(inside[inside > 0]).argmax()
    return float((proposal & truth).sum() / (proposal | truth).sum())


@pytest.mark.parametrize("noise", [0.0, 0.0015, 0.0025])
def test_objects_on_a_table_are_found_and_nothing_else(noise: float) -> None:
    boxes = [*SHELL, *TABLE, CUP, FLAT, MICROWAVE]
    frame, hit = view(boxes, noise=noise)
    proposal = GeometricMasks(MaskConfig()).propose(frame)
    for index in (4, 5, 6):
        assert best_iou(proposal.labels, hit == index) > 0.7, boxes[index]
    assert (proposal.labels[hit < 3] > 0).mean() < 0.003
    assert (proposal.labels[hit == 3] > 0).mean() < 0.05  # the rim of the table may look like an object
    assert len(proposal.scores) == proposal.labels.max() and ((proposal.scores > 0) & (proposal.scores <= 1)).all()
    assert proposal.stamp_ns == 5 and proposal.labels.dtype == np.int32


def test_objects_on_the_floor_and_against_a_wall() -> None:
    boxes = [*SHELL, ([2.2, -0.2, 0], [2.45, 0.1, 0.3]), ([1.6, 0.5, 0], [1.75, 0.65, 0.2])]
    frame, hit = view(boxes, target=(2.0, 0.2, 0.2))
    labels = GeometricMasks().propose(frame).labels
    assert best_iou(labels, hit == 3) > 0.7 and best_iou(labels, hit == 4) > 0.7


def test_objects_one_behind_the_other_are_two() -> None:
    behind: Box = ([1.6, -0.35, 0.75], [1.75, -0.1, 0.95])
    frame, hit = view([*SHELL, *TABLE, CUP, behind])
    labels = GeometricMasks().propose(frame).labels
    assert best_iou(labels, hit == 4) > 0.7 and best_iou(labels, hit == 5) > 0.7


def test_a_lampshade_belongs_to_its_stem() -> None:
    stem, shade = ([1.38, 0.08, 0.75], [1.42, 0.12, 0.98]), ([1.28, -0.02, 0.95], [1.52, 0.22, 1.15])
    frame, hit = view([*SHELL, *TABLE, stem, shade])
    labels = GeometricMasks().propose(frame).labels
    assert best_iou(labels, (hit == 4) | (hit == 5)) > 0.7


def test_an_object_with_an_occluded_foot_is_unjudged() -> None:
    chair_back: Box = ([2.05, -0.2, 0.0], [2.10, 0.2, 0.95])  # behind a counter, only its upper part in view
    counter: Box = ([0.9, -0.7, 0.0], [1.9, 0.9, 0.75])
    frame, hit = view([*SHELL, counter, chair_back])
    labels = GeometricMasks().propose(frame).labels
    assert (labels[hit == 4] > 0).sum() == 0
    assert (labels[hit == 4] == UNJUDGED).mean() > 0.5


def test_a_sliver_at_the_border_of_the_image_is_unjudged() -> None:
    frame, hit = view([*SHELL, *TABLE, MICROWAVE], target=(1.5, -0.556, 0.75))
    seen = hit == 4
    assert seen[:, 0].sum() > 15
    labels = GeometricMasks().propose(frame).labels
    assert (labels[seen] > 0).sum() == 0


def test_rendered_depth_fills_holes() -> None:
    boxes = [*SHELL, *TABLE, CUP, FLAT, MICROWAVE]
    complete, hit = view(boxes, noise=0.0)
    holed, _ = view(boxes, holes=0.2, seed=3)
    alpha = np.ones((CAMERA.height, CAMERA.width), np.float32)
    labels = GeometricMasks().propose(holed, complete.depth_m, alpha).labels
    for index in (4, 5, 6):
        assert best_iou(labels, hit == index) > 0.65
    assert holed.depth_m is not None
    assert (GeometricMasks().propose(holed).labels[holed.depth_m == 0] <= 0).all()


def test_without_depth_all_pixels_are_unjudged() -> None:
    frame, _ = view(SHELL)
    blind = CameraFrame(1, 0, CAMERA, frame.rgb, None, frame.T_map_camera)
    proposal = GeometricMasks().propose(blind)
    assert (proposal.labels == UNJUDGED).all() and len(proposal.scores) == 0


def test_depth_of_another_size_is_refused() -> None:
    frame, _ = view(SHELL)
    assert frame.depth_m is not None
    wrong = CameraFrame(1, 0, CAMERA, frame.rgb, frame.depth_m[::2, ::2], frame.T_map_camera)
    with pytest.raises(ImageFormatError, match="120, 160"):
        GeometricMasks().propose(wrong)


def test_the_same_view_gives_the_same_labels() -> None:
    frame, _ = view([*SHELL, *TABLE, CUP, FLAT])
    a, b = GeometricMasks().propose(frame), GeometricMasks().propose(frame)
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.scores, b.scores)
