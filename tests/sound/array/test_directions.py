"""Sets of directions: unit length, even spread, the layout of the cube's nodes."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.sound.array.directions import cube_nodes, fibonacci_sphere


def test_directions_are_spread_evenly_over_the_sphere() -> None:
    directions = fibonacci_sphere(2500)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(np.ones(2500))
    assert directions.mean(axis=0) == pytest.approx(np.zeros(3), abs=2e-3)
    cosine = directions @ directions.T - 2 * np.eye(2500)
    nearest_deg = np.degrees(np.arccos(cosine.max(axis=1)))
    assert 3.0 < nearest_deg.min() and nearest_deg.max() < 4.5


def test_faces_of_the_cube_follow_the_axes() -> None:
    nodes = cube_nodes(4).reshape(3, 2, 5, 5, 3)
    assert np.linalg.norm(nodes, axis=-1) == pytest.approx(np.ones(nodes.shape[:-1]))
    for axis in range(3):
        assert nodes[axis, 0, 2, 2] == pytest.approx(np.eye(3)[axis])
        assert nodes[axis, 1, 2, 2] == pytest.approx(-np.eye(3)[axis])
        rows, columns = nodes[axis, 0, :, 2], nodes[axis, 0, 2]
        assert (np.diff(rows[:, (axis + 1) % 3]) > 0).all() and (np.diff(columns[:, (axis + 2) % 3]) > 0).all()
