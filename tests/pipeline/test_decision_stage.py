"""Decisions without metric scale give the same verdict as with metres, in map units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from table_world import PLACES, evidence, instance, snapshot

from echoseg_ros.config import Config
from echoseg_ros.objects.map_snapshot import EMPTY_SNAPSHOT
from echoseg_ros.pipeline.decision_stage import DecisionStage
from echoseg_ros.types import MapSnapshot, SoundEvidence, Verdict
from echoseg_ros.units import scaled_evidence, scaled_snapshot

# A decision after every window: the last verdicts of both scales are of the same window.
METRES = Config().updated({"sources.every_s": 0.0})
ARBITRARY = METRES.updated({"input.pose_units": "arbitrary"})
FACTORS = [0.1, 10.0]


def windows_of_one_source(windows: int = 40) -> list[SoundEvidence]:
    rng = np.random.default_rng(2)
    return [evidence(k, PLACES[2], rng) for k in range(windows)]


def table_snapshot() -> MapSnapshot:
    return snapshot(tuple(instance(k, place) for k, place in enumerate(PLACES)))


def decide(config: Config, windows: list[SoundEvidence], map_snapshot: MapSnapshot) -> tuple[DecisionStage, Verdict]:
    stage = DecisionStage(config)
    return stage, [stage.add(window, map_snapshot) for window in windows][-1]


@pytest.fixture(scope="module")
def metric() -> tuple[DecisionStage, Verdict]:
    return decide(METRES, windows_of_one_source(), table_snapshot())


@pytest.mark.parametrize("factor", FACTORS)
def test_the_same_object_is_found_without_metric_scale(metric: tuple[DecisionStage, Verdict], factor: float) -> None:
    """Poses and map are in units of 1 / factor metres; the verdict is in the same units."""
    metric_stage, expected = metric
    map_snapshot = replace(scaled_snapshot(table_snapshot(), factor), metres_per_unit=1 / factor)
    stage, verdict = decide(
        ARBITRARY,
        [scaled_evidence(window, factor, has_metres=True) for window in windows_of_one_source()],
        map_snapshot,
    )
    assert expected.sounding[0].instance.id == verdict.sounding[0].instance.id == 2
    assert (verdict.stamp_ns, verdict.window_end_ns) == (expected.stamp_ns, expected.window_end_ns)
    (source,), (truth,) = verdict.sources, expected.sources
    np.testing.assert_allclose(source.position_m / factor, truth.position_m, atol=2e-3)
    np.testing.assert_allclose(source.covariance_m2 / factor**2, truth.covariance_m2, atol=1e-4)
    assert dict(source.candidates) == pytest.approx(dict(truth.candidates), abs=0.02)
    assert source.heard_intervals == truth.heard_intervals and source.object_id == 2
    assert verdict.sounding[0].probability == pytest.approx(expected.sounding[0].probability, abs=0.02)
    np.testing.assert_allclose(verdict.sounding[0].instance.points_map, map_snapshot.instances[2].points_map, rtol=1e-5)
    points = table_snapshot().surface_points[::40]
    scores = stage.score(points * np.float32(factor))
    np.testing.assert_allclose(scores, metric_stage.score(points), atol=0.01)
    assert scores.max() > scores.min() + 0.05


def test_evidence_waits_for_the_first_view_without_metric_scale(metric: tuple[DecisionStage, Verdict]) -> None:
    """Evidence from before counts as soon as the unit is known."""
    windows = [scaled_evidence(window, 10.0, has_metres=True) for window in windows_of_one_source()]
    stage = DecisionStage(ARBITRARY)
    for window in windows[:-1]:
        verdict = stage.add(window, EMPTY_SNAPSHOT)
        assert verdict.sources == () and verdict.stamp_ns == window.stamp_ns
    map_snapshot = replace(scaled_snapshot(table_snapshot(), 10.0), metres_per_unit=0.1)
    last = stage.add(windows[-1], map_snapshot)
    np.testing.assert_allclose(last.sources[0].position_m / 10, metric[1].sources[0].position_m, atol=2e-3)
    assert last.sounding[0].instance.id == 2


def test_evidence_follows_a_change_of_the_nominal_metres(metric: tuple[DecisionStage, Verdict]) -> None:
    """The first views gave twice the scale; the last verdict is the same as with metres."""
    map_snapshot = replace(scaled_snapshot(table_snapshot(), 10.0), metres_per_unit=0.2)
    stage, ids = DecisionStage(ARBITRARY), []
    for k, window in enumerate(windows_of_one_source()):
        verdict = stage.add(scaled_evidence(window, 10.0, has_metres=True), map_snapshot)
        ids.append([source.id for source in verdict.sources])
        if k == 20:
            map_snapshot = replace(map_snapshot, metres_per_unit=0.1)
    np.testing.assert_allclose(verdict.sources[0].position_m / 10, metric[1].sources[0].position_m, atol=2e-3)
    assert verdict.sounding[0].instance.id == 2
    assert len(ids[20]) == 1 and ids[20] == ids[21] == ids[-1]  # the id of the source is kept


def test_between_decisions_the_last_verdict_holds() -> None:
    stage, windows = DecisionStage(Config().updated({"sources.every_s": 1.0})), windows_of_one_source()
    verdicts = [stage.add(window, table_snapshot()) for window in windows]
    spacing_s = (windows[1].stamp_ns - windows[0].stamp_ns) / 1e9
    assert 0 < spacing_s < 0.5
    for window, verdict in zip(windows, verdicts, strict=True):
        assert verdict.stamp_ns == window.stamp_ns < verdict.window_end_ns
    fresh = sum(a.sources is not b.sources for a, b in zip(verdicts, verdicts[1:], strict=False))
    assert 0 < fresh <= np.ceil(len(windows) * spacing_s / 1.0)
