"""Source tracks: intervals in which a source was heard."""

from __future__ import annotations

import numpy as np
import pytest
from table_world import PLACES, evidence, instance, snapshot, verdicts

from echoseg_ros.config import ChoiceConfig, SourceConfig
from echoseg_ros.objects.instance_choice import InstanceChooser
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator


def test_heard_intervals_follow_the_sound() -> None:
    """On from 0 to 4 s and from 7 to 10 s."""
    on = [PLACES[0] if t < 4 or 7 <= t < 10 else None for t in 0.25 + 0.25 * np.arange(48)]
    last = verdicts(on, snapshot((instance(0, PLACES[0]),)))[-1]
    heard_s = [(i.start_ns / 1e9, i.end_ns / 1e9) for i in last.sources[0].heard_intervals]
    assert heard_s == [pytest.approx((0.125, 3.875), abs=0.3), pytest.approx((6.875, 9.875), abs=0.3)]


def test_heard_intervals_outlive_the_evidence() -> None:
    rng = np.random.default_rng(0)
    estimator, chooser = SourceEstimator(SourceConfig(memory_s=3.0)), InstanceChooser(ChoiceConfig())
    map_snapshot = snapshot((instance(0, PLACES[0]),))
    for k in range(48):
        window = evidence(k, PLACES[0], rng)
        estimator.add(window)
        last = chooser.decide(estimator, map_snapshot, window.stamp_ns, window.stamp_ns)
    (interval,) = last.sources[0].heard_intervals
    assert interval.start_ns < 1e9
    assert interval.end_ns > 11.5e9
