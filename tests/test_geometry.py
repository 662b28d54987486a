"""Geometry against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from upright_box import upright_box

from echoseg_ros import geometry
from echoseg_ros.errors import PoseError, TimeError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.types import Box, Camera

CAMERA = Camera(640, 480, 500.0, 510.0, 320.0, 240.0)
UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])


def random_transform(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return geometry.transform(Rotation.random(random_state=seed).as_matrix(), rng.normal(size=3))


def test_inverse_and_chain() -> None:
    T_a_b, T_b_c = random_transform(0), random_transform(1)
    np.testing.assert_allclose(geometry.inverse(T_a_b) @ T_a_b, np.eye(4), atol=1e-12)
    point_c = np.array([0.3, -0.2, 1.0])
    chained = geometry.apply(T_a_b, geometry.apply(T_b_c, point_c))
    np.testing.assert_allclose(geometry.apply(T_a_b @ T_b_c, point_c), chained, atol=1e-12)


def test_quaternion_round_trip_and_refusals() -> None:
    T = random_transform(2)
    back = geometry.transform_from_quaternion(T[:3, 3], geometry.quaternion_xyzw(T[:3, :3]))
    np.testing.assert_allclose(back, T, atol=1e-12)
    with pytest.raises(PoseError, match="finite"):
        geometry.transform_from_quaternion(np.array([0, np.nan, 0]), UPRIGHT)
    with pytest.raises(PoseError, match="length"):
        geometry.transform_from_quaternion(np.zeros(3), np.zeros(4))


@pytest.mark.parametrize("b", [[0, 0, 1], [0, 0, -1], [1, 0, 0], [0.2, -0.5, 0.7]])
def test_smallest_rotation(b: list[float]) -> None:
    a, b_unit = np.array([0.0, 0.0, 1.0]), np.array(b) / np.linalg.norm(b)
    rotation = geometry.smallest_rotation(a, np.array(b, dtype=float))
    np.testing.assert_allclose(rotation @ a, b_unit, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    angle = np.linalg.norm(Rotation.from_matrix(rotation).as_rotvec())
    assert angle == pytest.approx(np.arccos(b_unit @ a), abs=1e-9)


def test_look_at_puts_the_target_ahead_and_up_above() -> None:
    T_map_camera = geometry.look_at(np.array([1.0, 2.0, 1.2]), np.array([3.0, 2.0, 1.2]))
    target = geometry.apply(geometry.inverse(T_map_camera), np.array([3.0, 2.0, 1.2]))
    np.testing.assert_allclose(target, [0, 0, 2], atol=1e-12)
    higher = geometry.apply(geometry.inverse(T_map_camera), np.array([3.0, 2.0, 2.2]))
    assert higher[1] < 0, "image y points down, so what is higher has a smaller y"
    assert np.linalg.det(T_map_camera[:3, :3]) == pytest.approx(1)


def test_project_and_backproject_are_inverse() -> None:
    depth = np.full((480, 640), 2.0, np.float32)
    points = geometry.backproject(CAMERA, depth)
    pixels, z = geometry.project(CAMERA, points)
    assert np.allclose(z, 2.0)
    np.testing.assert_allclose(pixels[10, 20], [20.5, 10.5], atol=1e-9)
    np.testing.assert_allclose(pixels[-1, -1], [639.5, 479.5], atol=1e-9)


def test_resized_camera_sees_the_same_rays() -> None:
    small = CAMERA.resized(320, 240)
    point = np.array([0.4, -0.3, 2.0])
    (big_px, _), (small_px, _) = geometry.project(CAMERA, point), geometry.project(small, point)
    np.testing.assert_allclose(small_px * 2, big_px, atol=1e-9)


def test_upright_box_of_a_turned_box() -> None:
    yaw, size = 0.4, np.array([0.4, 0.2, 0.3])
    rng = np.random.default_rng(3)
    points = rng.uniform(-0.5, 0.5, (20_000, 3)) * size
    points = points @ Rotation.from_euler("z", yaw).as_matrix().T + [1, 2, 0.5]
    box = upright_box(points, trim=0.0)
    true = Box(np.array([1, 2, 0.5]), size, Rotation.from_euler("z", yaw).as_quat())
    assert geometry.box_iou(box, true) > 0.97


def test_upright_box_of_few_points() -> None:
    box = upright_box(np.array([[1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(box.center_m, [1, 2, 3])
    np.testing.assert_allclose(box.size_m, 0)
    with pytest.raises(ValueError, match="point"):
        upright_box(np.zeros((0, 3)))


def test_box_iou_closed_forms() -> None:
    unit = Box(np.zeros(3), np.ones(3), UPRIGHT)
    assert geometry.box_iou(unit, unit) == pytest.approx(1)
    shifted = Box(np.array([0.5, 0, 0]), np.ones(3), UPRIGHT)
    assert geometry.box_iou(unit, shifted) == pytest.approx(0.5 / 1.5)
    apart = Box(np.array([1.5, 0, 0]), np.ones(3), UPRIGHT)
    assert geometry.box_iou(unit, apart) == 0
    turned = Box(np.zeros(3), np.ones(3), Rotation.from_euler("z", np.pi / 4).as_quat())
    octagon = 2 * (np.sqrt(2) - 1)  # a unit square and its copy turned by 45 degrees
    assert geometry.box_iou(unit, turned) == pytest.approx(octagon / (2 - octagon), rel=1e-6)
    assert geometry.box_iou(unit, Box(np.zeros(3), np.array([1.0, 1.0, 0.0]), UPRIGHT)) == 0


def test_pose_track_interpolates_and_may_say_none() -> None:
    track = PoseTrack(max_gap_s=0.5)
    start, end = np.eye(4), geometry.transform(Rotation.from_euler("z", 0.2).as_matrix(), np.array([1.0, 0, 0]))
    track.add(0, start)
    track.add(400_000_000, end)
    middle = track.at(100_000_000)
    assert middle is not None
    np.testing.assert_allclose(middle[:3, 3], [0.25, 0, 0], atol=1e-12)
    np.testing.assert_allclose(Rotation.from_matrix(middle[:3, :3]).as_euler("zyx")[0], 0.05, atol=1e-12)
    assert track.at(-1) is None and track.at(400_000_001) is None
    track.add(2_000_000_000, end)
    assert track.at(1_000_000_000) is None, "a gap of 1.6 s is not bridged"


def test_pose_track_refuses_bad_poses_and_keeps_the_good() -> None:
    track = PoseTrack()
    track.add(1_000_000_000, np.eye(4))
    with pytest.raises(PoseError):
        track.add(1_100_000_000, np.full((4, 4), np.nan))
    with pytest.raises(TimeError):
        track.add(900_000_000, np.eye(4))
    assert track.newest_ns == 1_000_000_000
    assert track.at(1_000_000_000) is not None
