"""What is seen against what is heard."""

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


def test_things_of_one_name_count_alike_and_in_the_ratio_of_what_is_heard() -> None:
    heard = {"clock": 0.5, "phone": 0.3, "kettle": 0.2}
    things = [instance(7, (("clock", 1.0),)), instance(9, (("phone", 1.0),)), instance(12, (("clock", 1.0),))]
    made = instance_factors(things, heard)
    assert made[7] == made[12]
    assert made[7] / made[9] == pytest.approx(heard["clock"] / heard["phone"], rel=1e-4)


def test_a_thing_that_may_be_two_things_counts_between_them() -> None:
    mixed, clock = instance(1, (("clock", 0.75), ("phone", 0.25))), instance(2, (("clock", 1.0),))
    made = instance_factors([mixed, clock], {"clock": 0.6, "phone": 0.4})
    assert made[1] / made[2] == pytest.approx((0.75 * 0.6 + 0.25 * 0.4) / 0.6)


def test_what_has_no_name_or_an_unheard_of_one_is_as_likely_as_chance_has_it() -> None:
    things = [instance(1, ()), instance(2, (("unicorn", 1.0),)), instance(3, (("clock", 1.0),))]
    made = instance_factors(things, {"clock": 0.5, "phone": 0.3, "kettle": 0.2})
    assert made[1] == made[2] and made[3] / made[1] == pytest.approx(0.5 * 3)
    assert instance_factors(things[:2], {"clock": 0.5, "phone": 0.5}) == {}, "nobody has a name that was asked for"
    assert instance_factors(things, {}) == {}


def test_names_tell_things_apart_that_the_ears_do_not() -> None:
    things = [instance(7, (("clock", 1.0),)), instance(9, (("phone", 1.0),))]
    candidates = ((9, 0.46), (7, 0.44), (None, 0.1))
    judged = dict(reweighted(candidates, instance_factors(things, {"clock": 0.8, "phone": 0.2})))
    assert judged[7] > 0.7 > judged[9] and sum(judged.values()) == pytest.approx(1.0)
    assert reweighted(candidates, {}) == candidates


def test_factors_keep_the_odds_and_their_bound() -> None:
    made = factors(np.array([0.6, 0.3, 0.1]))
    np.testing.assert_allclose(made[0] / made[1], 2.0)
    np.testing.assert_allclose(np.prod(made), 1.0)
    np.testing.assert_allclose(factors(np.full(3, 0.2)), 1.0)
    extreme = factors(np.array([1.0, 0.0]))
    assert extreme[0] / extreme[1] == pytest.approx(MAX_ODDS)
    assert len(factors(np.zeros(0))) == 0
