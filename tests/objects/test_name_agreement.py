"""Factors on the probabilities of instances from the agreement of their names with the names of the sound."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.objects.instance_choice import reweighted
from echoseg_ros.objects.name_agreement import MAX_ODDS, factors, instance_factors
from echoseg_ros.types import Box, Instance


def instance(number: int, names: tuple[tuple[str, float], ...]) -> Instance:
    box = Box(np.zeros(3), np.ones(3), np.array([0.0, 0, 0, 1]))
    return Instance(number, np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(3),
                    box, 3, 1.0, names=names)  # fmt: skip


def test_instances_of_one_name_get_one_factor_in_the_ratio_of_the_shares() -> None:
    shares = {"clock": 0.5, "phone": 0.3, "kettle": 0.2}
    instances = [instance(7, (("clock", 1.0),)), instance(9, (("phone", 1.0),)), instance(12, (("clock", 1.0),))]
    found = instance_factors(instances, shares)
    assert found[7] == found[12]
    assert found[7] / found[9] == pytest.approx(shares["clock"] / shares["phone"], rel=1e-4)


def test_an_instance_with_two_names_gets_the_mean_of_their_shares() -> None:
    mixed, clock = instance(1, (("clock", 0.75), ("phone", 0.25))), instance(2, (("clock", 1.0),))
    found = instance_factors([mixed, clock], {"clock": 0.6, "phone": 0.4})
    assert found[1] / found[2] == pytest.approx((0.75 * 0.6 + 0.25 * 0.4) / 0.6)


def test_instances_without_a_known_name_get_the_share_of_chance() -> None:
    instances = [instance(1, ()), instance(2, (("unicorn", 1.0),)), instance(3, (("clock", 1.0),))]
    found = instance_factors(instances, {"clock": 0.5, "phone": 0.3, "kettle": 0.2})
    assert found[1] == found[2] and found[3] / found[1] == pytest.approx(0.5 * 3)
    assert instance_factors(instances[:2], {"clock": 0.5, "phone": 0.5}) == {}, (
        "no instance has one of the texts as its name"
    )
    assert instance_factors(instances, {}) == {}


def test_names_separate_instances_of_nearly_equal_probability() -> None:
    instances = [instance(7, (("clock", 1.0),)), instance(9, (("phone", 1.0),))]
    candidates = ((9, 0.46), (7, 0.44), (None, 0.1))
    posterior = dict(reweighted(candidates, instance_factors(instances, {"clock": 0.8, "phone": 0.2})))
    assert posterior[7] > 0.7 > posterior[9] and sum(posterior.values()) == pytest.approx(1.0)
    assert reweighted(candidates, {}) == candidates


def test_factors_keep_the_odds_and_their_bound() -> None:
    found = factors(np.array([0.6, 0.3, 0.1]))
    np.testing.assert_allclose(found[0] / found[1], 2.0)
    np.testing.assert_allclose(np.prod(found), 1.0)
    np.testing.assert_allclose(factors(np.full(3, 0.2)), 1.0)
    extreme = factors(np.array([1.0, 0.0]))
    assert extreme[0] / extreme[1] == pytest.approx(MAX_ODDS)
    assert len(factors(np.zeros(0))) == 0
