"""Gaussians without votes that the Gaussians of an instance enclose."""

from __future__ import annotations

import numpy as np

from echoseg_ros.objects.holes import hole_rows
from echoseg_ros.types import Float32Array


def sheet(side: int = 30) -> Float32Array:
    """[side^2, 3] points a centimetre apart on a wall."""
    y, z = np.mgrid[:side, :side] * 0.01
    return np.column_stack([np.zeros(side * side), y.ravel(), z.ravel()]).astype(np.float32)


def test_a_hole_is_filled_and_the_outline_stays() -> None:
    points = sheet()
    y, z = points[:, 1:].T
    box = (np.abs(y - 0.15) < 0.085) & (np.abs(z - 0.15) < 0.085)
    hole = np.hypot(y - 0.15, z - 0.15) < 0.025
    member = box & ~hole
    np.testing.assert_array_equal(hole_rows(points, member, ~member), np.flatnonzero(hole))


def test_gaussians_of_another_instance_do_not_fill_a_hole() -> None:
    points = sheet()
    hole = np.hypot(points[:, 1] - 0.15, points[:, 2] - 0.15) < 0.025
    member = ~hole
    assert len(hole_rows(points, member, np.zeros(len(points), bool))) == 0


def test_few_points_have_no_holes() -> None:
    points = sheet(3)
    assert len(hole_rows(points, np.ones(9, bool), np.zeros(9, bool))) == 0
