"""Bodies and boxes of instances."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation
from upright_box import upright_box

from echoseg_ros.geometry import apply, box_iou, transform
from echoseg_ros.objects.instance_body import body_box, lowered_to_support, without_floaters
from echoseg_ros.types import Box, Float32Array


def block(center: ArrayLike, size: ArrayLike, yaw: float = 0.0, count: int = 3000, seed: int = 0) -> Float32Array:
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (count, 3)) * np.asarray(size)
    rotation = Rotation.from_euler("z", yaw).as_matrix()
    return apply(transform(rotation, np.asarray(center, float)), points).astype(np.float32)


def test_floaters_are_removed() -> None:
    body = block([1, 2, 0.8], [0.1, 0.2, 0.1])
    floaters = block([1, 2, 0.8], [2.0, 2.0, 1.0], count=60, seed=1)
    kept = without_floaters(np.concatenate([body, floaters]))
    assert kept[: len(body)].all()
    assert kept[len(body) :].mean() < 0.1


def test_two_parts_of_similar_size_are_kept() -> None:
    points = np.concatenate([block([0, 0, 1], [0.1, 0.1, 0.1]), block([0, 0, 1.3], [0.1, 0.1, 0.1], count=2000)])
    assert without_floaters(points).all()


@pytest.mark.parametrize("yaw_deg", [0, 17, 45, 80])
def test_the_box_fits_the_points(yaw_deg: float) -> None:
    yaw = np.radians(yaw_deg)
    truth = Box(np.array([5.0, -3.0, 0.7]), np.array([0.3, 0.12, 0.2]), Rotation.from_euler("z", yaw).as_quat())
    points = block(truth.center_m, truth.size_m, yaw, count=20_000)
    assert box_iou(body_box(points), truth) > 0.85
    assert box_iou(body_box(points), upright_box(points)) > 0.85


def test_the_box_of_few_points_has_their_extent() -> None:
    assert body_box(np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0.1]], np.float32)).size_m.max() > 0.05


def test_a_box_is_extended_down_to_the_table() -> None:
    box = Box(np.array([0.0, 0, 0.80]), np.array([0.1, 0.1, 0.06]), np.array([0.0, 0, 0, 1]))
    table = block([0, 0, 0.75], [1.0, 1.0, 0.002], count=20_000)
    lowered = lowered_to_support(box, table)
    assert lowered.center_m[2] - lowered.size_m[2] / 2 == pytest.approx(0.75, abs=2e-3)
    assert lowered.center_m[2] + lowered.size_m[2] / 2 == pytest.approx(0.83, abs=1e-9)


def test_a_box_without_a_support_below_is_not_changed() -> None:
    box = Box(np.array([0.0, 0, 1.5]), np.array([0.1, 0.1, 0.06]), np.array([0.0, 0, 0, 1]))
    assert lowered_to_support(box, block([0, 0, 0.75], [1.0, 1.0, 0.002])) is box
