"""Confidence intervals against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.eval.segment.bootstrap import mean_estimate, paired_difference, rate_estimate


def test_a_single_scene_has_an_interval_of_no_width() -> None:
    estimate = mean_estimate([0.3])
    assert estimate is not None and (estimate.low, estimate.mean, estimate.high, estimate.count) == (0.3, 0.3, 0.3, 1)


def test_interval_of_a_mean_is_about_two_standard_errors() -> None:
    values = np.random.default_rng(0).normal(1.0, 0.2, 400)
    estimate = mean_estimate(values.tolist())
    assert estimate is not None
    error = values.std() / 20
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_pairs_remove_the_common_difficulty() -> None:
    hard = np.random.default_rng(1).uniform(0, 1, 17)
    estimate = paired_difference(list(hard + 0.1), list(hard))
    assert estimate is not None
    assert (estimate.low, estimate.mean, estimate.high) == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="pairs"):
        paired_difference([1.0], [])
    assert paired_difference([], []) is None


def test_rate_by_clopper_and_pearson() -> None:
    # No hit in n: the upper end is 1 - 0.025^(1/n); for 4 of 200 tables give 0.55 % to 5.04 %.
    none = rate_estimate(0, 200)
    assert none is not None and none.low == 0.0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 200))
    some = rate_estimate(4, 200)
    assert some is not None
    assert (some.low, some.high) == pytest.approx((0.00548, 0.0504), abs=2e-4)
    every = rate_estimate(3, 3)
    assert every is not None and every.high == 1.0
    assert every.low == pytest.approx(0.025 ** (1 / 3))
    assert rate_estimate(0, 0) is None
    with pytest.raises(ValueError, match="4 of 3"):
        rate_estimate(4, 3)
