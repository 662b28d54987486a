"""The choice of the instance among four on a table, by evidence of a moving array."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from table_world import PLACES, TABLE_Z_M, evidence, instance, snapshot, verdicts

from echoseg_ros.config import ChoiceConfig, SourceConfig
from echoseg_ros.objects.instance_choice import FEW_VIEWS, InstanceChooser, posterior_over
from echoseg_ros.sound.localisation.source_estimator import MIN_POSITIONS_TO_NAME, SourceEstimator


@pytest.mark.parametrize("which", range(4))
def test_the_right_one_of_four_instances_a_quarter_of_a_metre_apart_is_chosen(which: int) -> None:
    instances = tuple(instance(k, place) for k, place in enumerate(PLACES))
    last = verdicts([PLACES[which]] * 40, snapshot(instances), seed=which)[-1]
    (found,) = last.sounding
    assert found.instance.id == which
    assert found.probability > 0.8
    assert found.source.object_id == which
    assert sum(p for _, p in found.source.candidates) == pytest.approx(1.0)


def test_a_source_in_free_air_is_elsewhere() -> None:
    instances = tuple(instance(k, place) for k, place in enumerate(PLACES))
    free_m = PLACES[1] + [0.0, -0.1, 0.4]
    last = verdicts([free_m] * 40, snapshot(instances))[-1]
    (source,) = last.sources
    assert last.sounding == ()
    assert source.object_id is None
    assert source.candidates[0][0] is None
    assert np.linalg.norm(source.position_m - free_m) < 0.2


def test_a_small_instance_on_a_large_one_is_chosen_at_its_place() -> None:
    table = instance(9, np.array([2.5, 2.1, TABLE_Z_M - 0.1]), size_m=1.0)
    last = verdicts([PLACES[0]] * 40, snapshot((table, instance(0, PLACES[0]))))[-1]
    assert last.sounding[0].instance.id == 0


def test_of_two_equally_likely_instances_the_one_with_fewer_views_is_less_probable() -> None:
    """Regression: a fragment of two views, a metre behind a radio on the same line of sight, was chosen instead of the radio."""
    probabilities = {}
    for views in (60, 2):
        rng, estimator = np.random.default_rng(0), SourceEstimator(SourceConfig())
        neighbours = [
            replace(instance(k, PLACES[0] + side * np.array([0.06, 0.0, 0.0])), views=seen)
            for k, side, seen in ((0, -1, views), (1, 1, 60))
        ]
        for k in range(40):
            estimator.add(evidence(k, PLACES[0], rng))
        (source,) = InstanceChooser(ChoiceConfig()).decide(estimator, snapshot(tuple(neighbours)), 0, 0).sources
        probabilities[views] = dict(source.candidates)
    odds = [probabilities[views][0] / probabilities[views][1] for views in (60, 2)]
    assert odds[1] / odds[0] == pytest.approx((2 / (2 + FEW_VIEWS)) / (60 / (60 + FEW_VIEWS)), rel=0.01)


def test_the_density_of_the_position_decides_between_hypotheses_of_similar_probability() -> None:
    """Regression: the neighbour of a beeping clock was chosen (0.62 to 0.38) although the back-projection peaked in the clock."""
    instances = tuple(instance(k, place) for k, place in enumerate(PLACES))
    rng, estimator = np.random.default_rng(0), SourceEstimator(SourceConfig())
    for k in range(40):
        estimator.add(evidence(k, PLACES[1], rng))
    (estimate,) = estimator.update_estimates(snapshot(instances).surface_points)
    hypothesis_probabilities = np.array([0.01, 0.38, 0.6, 0.0, 0.01])
    estimate = replace(
        estimate, instance_probabilities=hypothesis_probabilities, array_position_count=MIN_POSITIONS_TO_NAME
    )
    probabilities = dict(posterior_over(estimate, instances, estimator.position_error_m))
    assert probabilities[1] > 0.9
    assert sum(probabilities.values()) == pytest.approx(1.0)
    # With few array positions the density may be confident of a wrong instance, so it is not used.
    early = replace(estimate, array_position_count=MIN_POSITIONS_TO_NAME - 1)
    assert dict(posterior_over(early, instances, estimator.position_error_m))[2] == 0.6
    # An instance far from the position is less probable than elsewhere, whatever its hypothesis says.
    far_instances = (instances[0], instances[3])
    hypothesis_probabilities = np.array([0.55, 0.0, 0.45])
    probabilities = dict(
        posterior_over(
            replace(estimate, instance_probabilities=hypothesis_probabilities),
            far_instances,
            estimator.position_error_m,
        )
    )
    assert probabilities[None] > 0.5 > probabilities[0] > 0.01


def test_names_decide_between_touching_instances_if_enabled() -> None:
    """The position lies midway between two instances; the tagger calls the sound a phone."""
    between_m, offset_m = PLACES[0], np.array([0.06, 0.0, 0.0])
    clock, phone = (
        replace(instance(k, between_m + side * offset_m), names=((name, 1.0),))
        for k, side, name in ((0, -1, "clock"), (1, 1, "phone"))
    )
    probabilities = {}
    for mode in ("off", "names"):
        rng, estimator = np.random.default_rng(0), SourceEstimator(SourceConfig())
        chooser = InstanceChooser(ChoiceConfig(audio_visual=mode))
        shares: dict[int, dict[str, float]] = {}
        for k in range(40):
            window = evidence(k, between_m, rng)
            estimator.add(window)
            last = chooser.decide(estimator, snapshot((clock, phone)), window.stamp_ns, window.stamp_ns, shares)
            shares = {source.id: {"clock": 0.1, "phone": 0.9} for source in last.sources}
        probabilities[mode] = dict(last.sources[0].candidates)
    assert probabilities["names"][1] / probabilities["names"][0] == pytest.approx(
        9 * probabilities["off"][1] / probabilities["off"][0], rel=0.05
    )
    assert last.sounding[0].instance.id == 1


def test_without_a_map_a_source_has_a_position_but_no_instance() -> None:
    last = verdicts([PLACES[0]] * 40, None)[-1]
    assert last.sounding == ()
    assert np.linalg.norm(last.sources[0].position_m - PLACES[0]) < 0.25


def test_silence_has_no_source() -> None:
    assert all(not verdict.sources for verdict in verdicts([None] * 40, snapshot((instance(0, PLACES[0]),))))


def test_source_and_choice_stay_the_same_over_time() -> None:
    instances = tuple(instance(k, place) for k, place in enumerate(PLACES))
    found = verdicts([PLACES[2]] * 60, snapshot(instances), seed=5)
    assert len({verdict.sources[0].id for verdict in found if verdict.sources}) == 1
    chosen = [verdict.sources[0].object_id for verdict in found if verdict.sources]
    assert sum(a != b for a, b in zip(chosen, chosen[1:])) <= 2
