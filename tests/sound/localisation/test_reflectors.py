"""Reflectors of a map, mirror images, and the pull of reflections on apparent positions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reflecting_room import WALLS
from waves import cube, evidence_along, path

from echoseg_ros.config import SourceConfig
from echoseg_ros.sound.localisation.reflectors import PULLS, Reflector, find_reflectors, undo_pull
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import Float64Array

SIZE_M = np.array([5.0, 4.0, 2.5])
INSIDE = np.array([2.0, 2.0, 1.0])


def room_surface(yaw_rad: float, seed: int = 0) -> Float64Array:
    """[S, 3] floor, walls and a table of a room turned by an angle about the origin."""
    rng = np.random.default_rng(seed)
    parts = []
    for axis, at in ((0, 0.0), (0, SIZE_M[0]), (1, 0.0), (1, SIZE_M[1]), (2, 0.0)):
        points = rng.uniform(0, SIZE_M, (3000, 3))
        points[:, axis] = at
        parts.append(points)
    table = rng.uniform([1.0, 0.1, 0.7], [2.5, 0.8, 0.7], (1500, 3))
    points = np.concatenate([*parts, table]) + 0.01 * rng.standard_normal((len(parts) * 3000 + 1500, 3))
    return np.asarray(points @ turn(yaw_rad).T)


def turn(yaw_rad: float) -> Float64Array:
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])


@pytest.mark.parametrize("yaw_deg", [0, 21, -33])
def test_walls_and_floor_are_found_and_the_table_is_no_reflector(yaw_deg: int) -> None:
    R = turn(np.radians(yaw_deg))
    found = find_reflectors(room_surface(np.radians(yaw_deg)), R @ INSIDE)
    planes = {tuple(np.round(R.T @ f.normal).astype(int).tolist()): f.offset_m for f in found}
    assert set(planes) == {(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)} and len(found) == 5
    for normal, offset_m in planes.items():
        expected = min(0.0, float(np.array(normal) @ SIZE_M))
        assert offset_m == pytest.approx(expected, abs=0.05)


def test_distances_count_in_front_of_the_known_part_of_a_wall() -> None:
    wall = next(f for f in find_reflectors(room_surface(0.0), INSIDE) if f.normal[0] > 0.9)
    points = np.array([[0.4, 2.0, 1.0], [-0.2, 2.0, 1.0], [0.4, 7.0, 1.0]])
    np.testing.assert_allclose(wall.distance_m(points), [0.4, np.inf, np.inf], atol=0.02)


def test_a_small_surface_has_no_reflectors() -> None:
    assert find_reflectors(np.empty((0, 3)), INSIDE) == ()
    assert find_reflectors(room_surface(0.0)[:400], INSIDE) == ()


@pytest.mark.parametrize("pull", PULLS)
def test_the_pull_of_a_wall_is_undone(pull: float) -> None:
    wall = Reflector(np.array([1.0, 0, 0]), 0.0, np.eye(3), np.full(3, -9.0), np.full(3, 9.0))
    beam_m = 0.5
    truth = np.stack([np.linspace(0.01, 3.0, 50), np.full(50, 1.0), np.full(50, 2.0)], axis=1)
    apparent = truth.copy()
    apparent[:, 0] *= 1 - pull * np.exp(-((truth[:, 0] / beam_m) ** 2))
    points, stretch = undo_pull(apparent, (wall,), beam_m, pull)
    np.testing.assert_allclose(points, truth, atol=0.01)
    slope = np.gradient(truth[:, 0], apparent[:, 0])
    np.testing.assert_allclose(stretch[1:-1], slope[1:-1], rtol=0.1)
    behind = apparent * [-1, 1, 1]
    points, stretch = undo_pull(behind, (wall,), beam_m, pull)
    np.testing.assert_array_equal(points, behind)
    assert (stretch == 1).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_source_near_a_wall_is_found_in_front_of_it(seed: int) -> None:
    """Direct sound and a mirror image of half its power 0.4 m behind it: without the wall, one position in between."""
    source_m = np.array([3.2, 3.7, 0.8])
    wall_y = 3.9
    image_m = np.array([3.2, 2 * wall_y - 3.7, 0.8])
    direct, mirrored = (evidence_along(cube(), path(30), [p] * 30, seed, room=False) for p in (source_m, image_m))
    estimator = SourceEstimator(SourceConfig())
    for a, b in zip(direct, mirrored, strict=True):
        estimator.add(replace(a, energy=np.asarray((a.energy + 0.5 * b.energy) / 1.5, dtype=np.float32)))
    rng = np.random.default_rng(seed)
    wall = rng.uniform([0, wall_y, 0], [5, wall_y, 2.2], (4000, 3))
    floor = rng.uniform([0, 0, 0], [5, wall_y, 0], (4000, 3))
    (without_wall,) = estimator.update_estimates(np.empty((0, 3), np.float32))
    (with_wall,) = estimator.update_estimates(np.concatenate([wall, floor]).astype(np.float32))
    assert without_wall.position_m[1] - source_m[1] > 0.08
    # A fifth of the pull is undone: cells in front of the wall are moved all the way, those behind it stay at their
    # apparent position and hold the mean back. The bound follows the observed value; half of the pull would be right.
    assert abs(with_wall.position_m[1] - source_m[1]) < 0.85 * (without_wall.position_m[1] - source_m[1])
    error_m = with_wall.position_m - source_m
    assert error_m @ np.linalg.solve(with_wall.covariance_m2, error_m) < 11.3


def test_a_mirror_image_needs_a_point_in_front_of_the_plane() -> None:
    wall = WALLS[1]
    image = wall.mirror_image(np.array([5.0, 1.0, 1.0]))
    assert image is not None
    np.testing.assert_allclose(image, np.array([7.0, 1.0, 1.0]))
    assert wall.mirror_image(np.array([6.5, 1.0, 1.0])) is None
