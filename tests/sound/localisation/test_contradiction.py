"""Old evidence loses weight when newer evidence contradicts it, and only then."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from reflecting_room import room_surface
from waves import cube, evidence_along, path, simulated_window

from echoseg_ros.config import SoundConfig, SourceConfig
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import Float32Array, Float64Array, SoundEvidence

NO_SURFACE = np.empty((0, 3), dtype=np.float32)
FIRST_M, SECOND_M = np.array([3.5, 3.5, 1.0]), np.array([1.0, 3.6, 0.8])
# Period of the windows, s.
STEP_S = 0.25
WINDOWS_PER_DECISION = 4


def strongest_positions(evidence: list[SoundEvidence], surface: Float32Array = NO_SURFACE) -> list[Float64Array | None]:
    """Position of the strongest source after each window; None while there is none."""
    estimator, places = SourceEstimator(SourceConfig()), []
    for k, window in enumerate(evidence):
        estimator.add(window)
        if k % WINDOWS_PER_DECISION == WINDOWS_PER_DECISION - 1:
            estimates = estimator.update_estimates(surface)
            places += [estimates[0].position_m if estimates else None] * WINDOWS_PER_DECISION
    return places


def near(place_m: Float64Array | None, truth_m: Float64Array, within_m: float = 0.4) -> bool:
    return place_m is not None and bool(np.linalg.norm(place_m - truth_m) < within_m)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_moved_source_is_found_long_before_its_old_place_is_forgotten(seed: int) -> None:
    """Bug: the sum over the memory of 60 s favoured the first place until the second had as much evidence."""
    poses = path(40) + path(44)[::-1]
    places = strongest_positions(evidence_along(cube(), poses, [FIRST_M] * 40 + [SECOND_M] * 44, seed))
    assert near(places[39], FIRST_M)
    after = [near(place_m, SECOND_M) for place_m in places[40:]]
    assert all(after[round(8.0 / STEP_S) :])


def test_a_pause_contradicts_nothing() -> None:
    places = strongest_positions(evidence_along(cube(), path(70), [FIRST_M] * 40 + [None] * 30, 2))
    assert all(near(place_m, FIRST_M) for place_m in places[39:])


def test_reflections_past_an_obstacle_contradict_nothing() -> None:
    """For 10 s only reflections arrive. They shift the estimate by half a metre, but do not contradict the place.

    Without the floor in the map they would, by its mirror image 2 m below.
    """
    rng, extract = np.random.default_rng(3), EvidenceExtractor(cube(), 16000.0, SoundConfig())
    evidence = [
        extract(simulated_window(cube(), pose, FIRST_M, rng, round(k * STEP_S * 1e9), direct=1.0 if k < 40 else 0.05))
        for k, pose in enumerate(path(80))
    ]
    assert all(near(place_m, FIRST_M, 0.7) for place_m in strongest_positions(evidence, room_surface())[39:])


def test_a_source_that_returns_regains_all_its_evidence() -> None:
    truth = [FIRST_M] * 40 + [SECOND_M] * 36 + [FIRST_M] * 36
    places = strongest_positions(evidence_along(cube(), path(40) + path(36)[::-1] + path(36), truth, 4))
    assert near(places[75], SECOND_M) and near(places[-1], FIRST_M)


def test_a_source_that_returns_beside_the_other_is_found_beside_it() -> None:
    """Bug: while the second source went on, the first stayed contradicted for the whole memory."""
    poses = [*path(40), *path(36)[::-1], *path(44)]
    first = evidence_along(cube(), poses, [FIRST_M] * 120, 5)
    second = evidence_along(cube(), poses, [SECOND_M] * 120, 6)
    estimator, surface = SourceEstimator(SourceConfig()), room_surface()
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        window = (
            a if k < 40 else b if k < 76 else replace(a, energy=np.asarray((a.energy + b.energy) / 2, dtype=np.float32))
        )
        estimator.add(replace(window, lobes=first[0].lobes))
        if k % WINDOWS_PER_DECISION == WINDOWS_PER_DECISION - 1:
            estimates = estimator.update_estimates(surface)
        if k == 75:
            assert [near(estimate.position_m, SECOND_M) for estimate in estimates] == [True]
    assert {near(estimate.position_m, FIRST_M) for estimate in estimates} == {True, False}


def estimator_after_move(memory_s: float = 60.0) -> SourceEstimator:
    """After 10 s of the first place and 9 s of the second."""
    estimator = SourceEstimator(SourceConfig(memory_s=memory_s))
    poses = [*path(40), *path(36)[::-1]]
    for k, window in enumerate(evidence_along(cube(), poses, [FIRST_M] * 40 + [SECOND_M] * 36, 4)):
        estimator.add(window)
        if k % WINDOWS_PER_DECISION == WINDOWS_PER_DECISION - 1:
            (estimate,) = estimator.update_estimates(NO_SURFACE)
    assert near(estimate.position_m, SECOND_M)
    return estimator


def test_windows_for_neither_place_keep_their_weight() -> None:
    """Bug: half of the windows of a third source, with little contrast at both places, were dropped."""
    estimator = estimator_after_move()
    third = evidence_along(cube(), path(30), [np.array([4.5, 1.0, 0.5])] * 30, 7)
    for window in third:
        estimator.add(replace(window, stamp_ns=window.stamp_ns + round(76 * STEP_S * 1e9)))
    slots, _ = estimator._weighted_windows()
    assert len(slots) >= 36 + 28


def test_after_a_change_of_scale_the_old_place_stays_contradicted() -> None:
    estimator = estimator_after_move()
    estimator.rescale(2.0)
    (estimate,) = estimator.update_estimates(NO_SURFACE)
    assert near(estimate.position_m / 2, SECOND_M)


def test_a_contradiction_ends_with_the_windows_that_it_contradicts() -> None:
    """Bug: it outlived the old windows, and new ones towards the old place had no weight."""
    estimator = estimator_after_move(memory_s=8.0)
    for window in evidence_along(cube(), path(8), [FIRST_M] * 8, 8):
        estimator.add(replace(window, stamp_ns=window.stamp_ns + round(76 * STEP_S * 1e9)))
    estimator.update_estimates(NO_SURFACE)
    slots, _ = estimator._weighted_windows()
    assert len(slots) == len(estimator.memory.slots())


def test_contradicted_windows_belong_to_the_heard_intervals() -> None:
    """Bug: heard intervals of a source had gaps where the windows of another one had lost weight."""
    estimator = estimator_after_move()
    (estimate,) = estimator.update_estimates(NO_SURFACE)
    assert len(estimate.stamps_ns) == len(estimate.window_contrasts) == len(estimator.memory.slots())


def test_a_window_longer_than_the_recent_time_is_recent() -> None:
    """Bug: no window was recent, and means over nothing were taken."""
    evidence = evidence_along(cube(), path(12), [FIRST_M] * 6 + [SECOND_M] * 6, 9)
    estimator = SourceEstimator(SourceConfig())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for k, window in enumerate(evidence):
            estimator.add(replace(window, stamp_ns=k * 5_000_000_000, duration_s=5.0, activity=1.0))
            assert k == 0 or estimator.update_estimates(NO_SURFACE)
