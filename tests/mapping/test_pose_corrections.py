"""Pose corrections: their gradient against finite differences, their limits, and a wrong pose in a known room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from checkered_room import SMALL, mapped, pose, room_view
from known_depth import depth_of
from scipy.spatial.transform import Rotation
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.mapping import pose_corrections
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.mapping.pose_corrections import MAX_MOVE, MAX_TURN_RAD, PoseCorrections
from echoseg_ros.mapping.rasterizers.conventions import Rendered
from echoseg_ros.mapping.rasterizers.reference import ReferenceRasterizer
from echoseg_ros.types import Camera, Float64Array

CAMERA = Camera(24, 18, 24.0, 23.0, 12.3, 8.8)
# Multiples of 0.25 are exact in float32, the precision of the camera centre.
T_MAP_CAMERA = geometry.look_at(np.array([1.0, -2.0, 0.5]), np.array([0.0, 0.0, 0.25]))
REFINED = SMALL.updated({"map.refine_poses": True})


def moved(T_map_camera: Float64Array, twist: Float64Array) -> Float64Array:
    """The camera moved [3] and turned [3] rad in its own frame."""
    return T_map_camera @ geometry.transform(Rotation.from_rotvec(twist[3:]).as_matrix(), np.asarray(twist[:3]))


def scene(count: int, seed: int) -> Gaussians:
    """[count] Gaussians of any shape before the camera, in double precision; quaternions of any length."""
    random = np.random.default_rng(seed)
    depth = random.uniform(1.0, 3.0, count)
    pixels = random.uniform(0.1, 0.9, (count, 2)) * [CAMERA.width, CAMERA.height]
    rays = np.stack([(pixels[:, 0] - CAMERA.cx) / CAMERA.fx, (pixels[:, 1] - CAMERA.cy) / CAMERA.fy, np.ones(count)], 1)
    parts = [geometry.apply(T_MAP_CAMERA, rays * depth[:, None]), random.normal(size=(count, 4))]
    parts += [np.log(0.12 * depth)[:, None] + random.normal(0, 0.5, (count, 3)), random.normal(0, 1, count)]
    return Gaussians(*(torch.tensor(part) for part in [*parts, random.uniform(0, 1, (count, 3))]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradient_by_the_camera_motion_equals_finite_differences(seed: int) -> None:
    gaussians = scene(12, seed)
    weight = torch.randn(CAMERA.height, CAMERA.width, 3, generator=torch.Generator().manual_seed(seed)).double()

    def loss(drawn: Rendered) -> Tensor:
        return (weight * drawn.rgb).sum() + (weight[..., 0] * drawn.alpha * drawn.depth).sum()

    leaves = gaussians.map(lambda tensor: tensor.clone().requires_grad_())
    torch.autograd.backward(loss(ReferenceRasterizer().render(leaves, CAMERA, T_MAP_CAMERA)))
    found = pose_corrections._twist_gradient(T_MAP_CAMERA, gaussians, leaves.gradients())

    def at(twist: Float64Array) -> float:
        with torch.no_grad():
            return float(loss(ReferenceRasterizer().render(gaussians, CAMERA, moved(T_MAP_CAMERA, twist))))

    step = 1e-6
    expected = [(at(step * axis) - at(-step * axis)) / (2 * step) for axis in np.eye(6)]
    assert np.abs(expected).min() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def displaced_px(T_map_camera: Float64Array, true: Float64Array) -> float:
    """Mean distance in the image between the room's points at this pose and at the true pose, pixels."""
    view = room_view(0, true)
    rays = geometry.pixel_rays(view.camera)
    points = geometry.apply(geometry.inverse(T_map_camera) @ true, (rays * depth_of(view)[..., None]).reshape(-1, 3))
    off = points[:, :2] / points[:, 2:] - rays.reshape(-1, 3)[:, :2]
    return float(np.linalg.norm(off * view.camera.fx, axis=1).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_wrong_pose_is_corrected(seed: int) -> None:
    """An error of 1 cm and 0.5 degrees in a mapped room is reduced to less than half in the image."""
    mapper = mapped(REFINED)
    true = pose(0.05)
    random = np.random.default_rng(seed)
    move, turn = (v / np.linalg.norm(v) for v in random.normal(size=(2, 3)))
    wrong = moved(true, np.concatenate([0.01 * move, np.radians(0.5) * turn]))
    mapper.add_frame(replace(room_view(5, true), T_map_camera=wrong))
    view = mapper._optimizer._keyframe_tensors[-1]
    before = displaced_px(view.T_map_camera, true)
    mapper.optimise(100)
    assert before > 0.8
    assert displaced_px(view.T_map_camera, true) < 0.5 * before
    assert np.linalg.norm(view.T_map_camera[:3, 3] - true[:3, 3]) < 0.015
    turned = Rotation.from_matrix(view.T_map_camera[:3, :3].T @ true[:3, :3]).magnitude()
    assert turned < 0.7 * np.radians(0.5)
    np.testing.assert_array_equal(view.keyframe.T_map_camera, wrong)


def test_poses_stay_without_the_setting() -> None:
    mapper = mapped(steps=5)
    for view in mapper._optimizer._keyframe_tensors:
        np.testing.assert_array_equal(view.T_map_camera, view.keyframe.T_map_camera)


def one_gaussian(gradient: tuple[float, float, float]) -> tuple[Gaussians, Gaussians]:
    values = ([[0.0, 0.0, 2.0]], [[1.0, 0.0, 0.0, 0.0]], [[-2.0, -2.0, -2.0]], [0.0], [[0.5, 0.5, 0.5]])
    gaussian = Gaussians(*(torch.tensor(value) for value in values))
    return gaussian, replace(gaussian.map(torch.zeros_like), means=torch.tensor([gradient]))


@pytest.mark.parametrize("depth", [0.2, 2.0, 20.0])
def test_corrections_are_bounded(depth: float) -> None:
    """By a share of the scene's depth, however many steps the gradient points the same way."""
    corrections = PoseCorrections()
    corrections.add(0)
    gaussian, gradients = one_gaussian((1.0, -2.0, 0.5))
    for _ in range(600):
        corrections.step(0, corrections.corrected(0, np.eye(4)), gaussian, gradients, depth)
    T = corrections.corrected(0, np.eye(4))
    assert np.abs(T[:3, 3]).max() == pytest.approx(MAX_MOVE * depth)
    turned = np.abs(Rotation.from_matrix(T[:3, :3]).as_rotvec())
    assert 0.5 * MAX_TURN_RAD < turned.max() <= MAX_TURN_RAD * (1 + 1e-9)


def test_correction_between_keyframes_is_interpolated() -> None:
    corrections = PoseCorrections()
    assert np.array_equal(corrections.corrected_at(5, pose(0.1)), pose(0.1))
    gaussian, gradients = one_gaussian((1.0, 0.0, 0.0))
    corrections.add(0)
    corrections.add(1000)
    for _ in range(20):
        corrections.step(1, np.eye(4), gaussian, gradients, 2.0)
    last = corrections.corrected(1, np.eye(4))
    assert last[0, 3] > 0.005
    assert np.array_equal(corrections.corrected_at(-50, np.eye(4)), np.eye(4))
    np.testing.assert_allclose(corrections.corrected_at(500, np.eye(4))[:3, 3], last[:3, 3] / 2)
    np.testing.assert_allclose(corrections.corrected_at(5000, np.eye(4)), last)


def test_a_new_keyframe_starts_from_the_last_correction_and_removal_keeps_the_others() -> None:
    corrections = PoseCorrections()
    gaussian, gradients = one_gaussian((1.0, 0.0, 0.0))
    corrections.add(0)
    for _ in range(20):
        corrections.step(0, np.eye(4), gaussian, gradients, 2.0)
    corrections.add(1000)
    np.testing.assert_array_equal(corrections.corrected(1, np.eye(4)), corrections.corrected(0, np.eye(4)))
    first = corrections.corrected(0, np.eye(4))
    corrections.step(1, np.eye(4), gaussian, gradients, 2.0)
    np.testing.assert_array_equal(corrections.corrected(0, np.eye(4)), first)  # not the same array
    last = corrections.corrected(1, np.eye(4))
    corrections.remove(0)
    np.testing.assert_array_equal(corrections.corrected(0, np.eye(4)), last)
    corrections.clear()
    np.testing.assert_array_equal(corrections.corrected_at(0, np.eye(4)), np.eye(4))


def test_clear_removes_the_corrections() -> None:
    mapper = Mapper(REFINED)
    for i in range(2):
        mapper.add_frame(room_view(i, pose(-0.3 + 0.15 * i)))
        mapper.optimise(5)
    corrections = mapper._optimizer.corrections
    assert not np.array_equal(corrections.corrected_at(0, np.eye(4)), np.eye(4))
    mapper.clear()
    assert np.array_equal(corrections.corrected_at(0, np.eye(4)), np.eye(4))
