"""Sources from evidence along a path: position, range, several sources, walls, and the bounds of the score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from waves import cube, evidence_along, path

from echoseg_ros.config import SourceConfig
from echoseg_ros.geometry import transform
from echoseg_ros.sound.localisation import source_estimator
from echoseg_ros.sound.localisation.hypotheses import LocatedSound
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import Float32Array, SoundEvidence

SOURCE_M = np.array([3.2, 3.4, 0.8])
NO_SURFACE = np.empty((0, 3), dtype=np.float32)


def estimator_of(evidence: list[SoundEvidence], **settings: float) -> SourceEstimator:
    estimator = SourceEstimator(SourceConfig(**settings))  # type: ignore[arg-type]
    for window in evidence:
        estimator.add(window)
    return estimator


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_source_among_reflections_is_found_in_free_space(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source_m = SOURCE_M + rng.uniform(-0.5, 0.5, 3)
    (estimate,) = estimator_of(evidence_along(cube(), path(30), [source_m] * 30, seed)).update_estimates(NO_SURFACE)
    error_m = estimate.position_m - source_m
    assert np.linalg.norm(error_m) < 0.12
    assert error_m @ np.linalg.solve(estimate.covariance_m2, error_m) < 11.3  # 99 % of three dimensions


def test_evidence_is_taken_from_the_array_frame_to_the_map_frame() -> None:
    """A rotation of the array between windows does not move the source."""
    poses = path(24)
    rng = np.random.default_rng(4)
    for k, pose in enumerate(poses):
        axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        poses[k] = pose.copy()
        poses[k][:3, :3] = axes * np.sign(np.linalg.det(axes))
    (estimate,) = estimator_of(evidence_along(cube(), poses, [SOURCE_M] * 24, 0)).update_estimates(NO_SURFACE)
    assert np.linalg.norm(estimate.position_m - SOURCE_M) < 0.12


def test_range_stays_open_while_the_array_stands_still() -> None:
    evidence = evidence_along(cube(), [path(2)[0]] * 12, [SOURCE_M] * 12, 0)
    (estimate,) = estimator_of(evidence).update_estimates(NO_SURFACE)
    spread, axes = np.linalg.eigh(estimate.covariance_m2)
    sight = SOURCE_M - path(2)[0][:3, 3]
    assert abs(axes[:, 2] @ sight) / np.linalg.norm(sight) > 0.9
    assert spread[2] > 9 * spread[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_range_stays_open_whatever_the_line_of_sight(seed: int) -> None:
    """Bug: differences along the axes of the map gave a range of 0.3 m deviation on a line of constant score."""
    rng = np.random.default_rng(seed)
    standing = transform(np.eye(3), np.array([2.5, 2.0, 1.0]))
    sight = rng.standard_normal(3) * [1, 1, 0.3]
    sight /= np.linalg.norm(sight)
    evidence = evidence_along(cube(), [standing] * 12, [standing[:3, 3] + 1.7 * sight] * 12, seed)
    (estimate,) = estimator_of(evidence).update_estimates(NO_SURFACE)
    assert np.sqrt(sight @ estimate.covariance_m2 @ sight) > 0.8


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_near_field_gives_the_range_to_a_standing_array(seed: int) -> None:
    """Without the correlations of the pairs the range stays open."""
    rng = np.random.default_rng(seed)
    standing = transform(np.eye(3), np.array([2.5, 2.0, 1.0]))
    sight = rng.standard_normal(3) * [1, 1, 0.3]
    source_m = standing[:3, 3] + 0.3 * sight / np.linalg.norm(sight)
    evidence = evidence_along(cube(), [standing] * 12, [source_m] * 12, seed)
    (estimate,) = estimator_of(evidence).update_estimates(NO_SURFACE)
    assert np.linalg.norm(estimate.position_m - source_m) < 0.2
    (far,) = estimator_of([replace(window, microphones_m=None) for window in evidence]).update_estimates(NO_SURFACE)
    assert np.linalg.norm(far.position_m - source_m) > 1.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_surface_of_the_map_gives_the_range(seed: int) -> None:
    """A source on a shelf, heard from one array position: the direction meets the shelf."""
    evidence = evidence_along(cube(), [path(2)[0]] * 12, [SOURCE_M] * 12, seed)
    y, z = np.meshgrid(np.arange(-0.35, 0.36, 0.02), np.arange(-0.35, 0.36, 0.02))
    shelf = (SOURCE_M + np.stack([y, 0 * y, z], axis=-1).reshape(-1, 3)).astype(np.float32)
    free = estimator_of(evidence).update_estimates(NO_SURFACE)[0]
    on_shelf = estimator_of(evidence).update_estimates(shelf)[0]
    assert np.linalg.norm(on_shelf.position_m - SOURCE_M) < 0.2
    assert np.trace(on_shelf.covariance_m2) < 0.3 * np.trace(free.covariance_m2)
    # Sources are seldom on bare walls: a wall is less likely than a shelf, but more likely than free space.
    y, z = np.meshgrid(np.arange(-1, 1, 0.05), np.arange(-0.8, 1, 0.05))
    wall = (SOURCE_M + np.stack([y, 0 * y, z], axis=-1).reshape(-1, 3)).astype(np.float32)
    on_wall = estimator_of(evidence).update_estimates(wall)[0]
    assert np.trace(on_wall.covariance_m2) < np.trace(free.covariance_m2)


def test_diffuse_noise_and_silence_give_no_source() -> None:
    noise = estimator_of(evidence_along(cube(), path(40), [None] * 40, 0))
    assert noise.update_estimates(NO_SURFACE) == ()
    assert SourceEstimator(SourceConfig()).update_estimates(NO_SURFACE) == ()


def test_old_evidence_is_forgotten() -> None:
    moved = [np.array([3.5, 3.5, 1.0])] * 24 + [np.array([1.5, 3.5, 1.0])] * 24
    poses = path(24) + path(24)[::-1]
    (estimate,) = estimator_of(evidence_along(cube(), poses, moved, 0), memory_s=5.5).update_estimates(NO_SURFACE)
    assert np.linalg.norm(estimate.position_m - np.array([1.5, 3.5, 1.0])) < 0.15


def room_surface() -> Float32Array:
    """[S, 3] points on floor and walls of a room around the path."""
    rng = np.random.default_rng(0)
    parts = []
    for axis, at in ((0, -1.0), (0, 6.0), (1, -1.0), (1, 5.0), (2, 0.0)):
        points = rng.uniform([-1, -1, 0], [6, 5, 2.4], (3000, 3))
        points[:, axis] = at
        parts.append(points)
    return np.concatenate(parts).astype(np.float32)


def test_two_sources_at_the_same_time_are_both_found() -> None:
    places = [np.array([3.2, 3.4, 0.8]), np.array([1.2, 3.0, 1.3])]
    first, second = (evidence_along(cube(), path(30), [place] * 30, 0, room=False) for place in places)
    both = [replace(a, energy=0.55 * a.energy + 0.45 * b.energy) for a, b in zip(first, second, strict=True)]
    estimates = estimator_of(both, max_sources=3).update_estimates(room_surface(), [place[None] for place in places])
    assert len(estimates) == 2
    for k, (place, estimate) in enumerate(zip(places, estimates, strict=True)):
        assert np.linalg.norm(estimate.position_m - place) < 0.25
        assert estimate.instance_probabilities is not None and np.argmax(estimate.instance_probabilities) == k


def test_without_walls_reflections_are_no_second_source() -> None:
    evidence = evidence_along(cube(), path(30), [SOURCE_M] * 30, 0)
    assert len(estimator_of(evidence, max_sources=3).update_estimates(NO_SURFACE)) == 1


def test_evidence_without_lobes_gives_one_source() -> None:
    """As from a remote array, whose evidence arrives by topic."""
    evidence = [replace(window, lobes=None) for window in evidence_along(cube(), path(30), [SOURCE_M] * 30, 0)]
    (estimate,) = estimator_of(evidence, max_sources=3).update_estimates(NO_SURFACE, [SOURCE_M[None]])
    assert estimate.instance_probabilities is None
    assert np.linalg.norm(estimate.position_m - SOURCE_M) < 0.12


def test_scores_are_highest_at_the_source_and_within_0_and_1() -> None:
    estimator = estimator_of(evidence_along(cube(), path(20), [SOURCE_M] * 20, 0))
    points = np.concatenate([SOURCE_M[None], SOURCE_M + np.random.default_rng(0).uniform(-2, 2, (500, 3))])
    scores = estimator.score(points)
    assert scores.shape == (501,)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores[0] > np.quantile(scores, 0.97)
    assert (SourceEstimator(SourceConfig()).score(points) == 0).all()


def test_the_same_evidence_gives_the_same_bits() -> None:
    estimators = [estimator_of(evidence_along(cube(), path(10), [SOURCE_M] * 10, 7)) for _ in range(2)]
    first, second = (estimator.update_estimates(NO_SURFACE)[0] for estimator in estimators)
    assert first.position_m.tobytes() == second.position_m.tobytes()
    assert first.covariance_m2.tobytes() == second.covariance_m2.tobytes()


@pytest.mark.parametrize("blocked", [False, True])
def test_a_sound_through_a_wall_is_in_no_instance_in_front_of_it(
    blocked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: noise from the next room was assigned to an instance on its way, though its posterior lay behind the wall.

    A sound behind an obstacle may have its posterior there as well: at its mirror image.
    """
    front_m = np.array([5.75, 2.2, 1.0]) + 0.1 * np.random.default_rng(0).uniform(-1, 1, (40, 3))
    sound = LocatedSound(front_m[0], 0, 5.0, 5.0, np.array([0.0, 0.5]), 30, is_blocked=blocked)
    monkeypatch.setattr(source_estimator, "find_sounds", lambda *_: (sound,))
    evidence = evidence_along(cube(), path(30, 2.5), [np.array([7.4, 2.6, 1.0])] * 30, 0, room=False)
    (estimate,) = estimator_of(evidence).update_estimates(room_surface(), [front_m])
    assert estimate.outside_probability > source_estimator.SURE_OUTSIDE and estimate.instance_probabilities is not None
    assert (
        estimate.instance_probabilities[0] > 0.5
    ) == blocked and estimate.instance_probabilities.sum() == pytest.approx(1.0)
