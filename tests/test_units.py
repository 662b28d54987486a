"""Worlds of another size: what is scaled and back is the same, and the judge finds the same object in all of them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from checkered_room import pose, room_view
from table_world import PLACES, evidence, instance, snapshot

from echoseg_ros.config import Config
from echoseg_ros.objects.map_snapshot import EMPTY_SNAPSHOT
from echoseg_ros.pipeline.decision_stage import DecisionStage
from echoseg_ros.types import Box, Interval, MapSnapshot, SoundEvidence, SoundingObject, SoundSource, Verdict
from echoseg_ros.units import (
    NOMINAL_DEPTH_M,
    MapScale,
    scaled_evidence,
    scaled_frame,
    scaled_instance,
    scaled_pose,
    scaled_snapshot,
    scaled_verdict,
)

# Decided after every window, so that both worlds' last verdicts are of the same one.
METRES = Config().updated({"sources.every_s": 0.0})
ARBITRARY = METRES.updated({"input.pose_units": "arbitrary"})
FACTORS = [0.1, 10.0]
THING = instance(1, PLACES[1])
SPREAD_M2 = np.diag([0.01, 0.04, 0.09])
SOURCE = SoundSource(4, PLACES[1] + 0.02, SPREAD_M2, 0.7, 1, ((1, 0.8), (None, 0.2)), (Interval(5, 9),))
VERDICT = Verdict(10, 20, (SOURCE,), (SoundingObject(THING, SOURCE, 0.8, "object 1"),))


def metric_evidence(window: SoundEvidence, factor: float) -> SoundEvidence:
    return scaled_evidence(window, factor, has_metres=True)


def assert_same(a: object, b: object, name: str = "") -> None:
    """Field by field, whatever the dataclass; numbers to six digits."""
    if hasattr(a, "__dataclass_fields__"):
        assert type(a) is type(b)
        for f in fields(a):
            assert_same(getattr(a, f.name), getattr(b, f.name), f"{name}.{f.name}")
    elif isinstance(a, tuple):
        assert len(a) == len(b), name
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{name}[{i}]")
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, name
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-9, err_msg=name)
    else:
        assert a == b, name


@pytest.mark.parametrize("factor", FACTORS)
def test_there_and_back_is_the_same(factor: float) -> None:
    rng = np.random.default_rng(0)
    scaled_and_back = [
        (value, change(change(value, factor), 1 / factor))
        for change, value in (
            (scaled_pose, pose(0.3)),
            (scaled_frame, room_view(0, pose(0.3))),
            (scaled_frame, replace(room_view(0, pose(0.3)), depth_m=None)),
            (metric_evidence, evidence(3, PLACES[0], rng)),
            (scaled_instance, THING),
            (scaled_snapshot, snapshot((THING,))),
            (scaled_verdict, VERDICT),
        )
    ]
    for before, after in scaled_and_back:
        assert_same(before, after, type(before).__name__)


@pytest.mark.parametrize("factor", FACTORS)
def test_lengths_are_scaled_and_nothing_else(factor: float) -> None:
    before = room_view(0, pose(0.3))
    after = scaled_frame(before, factor)
    np.testing.assert_allclose(after.T_map_camera[:3, 3], before.T_map_camera[:3, 3] * factor)
    np.testing.assert_array_equal(after.T_map_camera[:3, :3], before.T_map_camera[:3, :3])
    np.testing.assert_allclose(after.depth_m, before.depth_m * factor, rtol=1e-6)
    assert after.depth_m.dtype == np.float32 and after.rgb is before.rgb and after.camera == before.camera

    big = scaled_instance(THING, factor)
    np.testing.assert_allclose(big.points_map, THING.points_map * factor, rtol=1e-6)
    expected = Box(THING.box.center_m * factor, THING.box.size_m * factor, THING.box.quaternion_xyzw)
    assert_same(expected, big.box)
    np.testing.assert_allclose(big.position_m, THING.position_m * factor)

    world = scaled_snapshot(snapshot((THING,)), factor)
    np.testing.assert_allclose(world.surface_points, snapshot((THING,)).surface_points * factor, rtol=1e-6)
    assert_same(big, world.instances[0])

    verdict = scaled_verdict(VERDICT, factor)
    np.testing.assert_allclose(verdict.sources[0].position_m, SOURCE.position_m * factor)
    np.testing.assert_allclose(verdict.sources[0].covariance_m2, SPREAD_M2 * factor**2)
    assert verdict.sounding[0].source is verdict.sources[0]
    assert verdict.sounding[0].probability == 0.8 and verdict.sources[0].candidates == SOURCE.candidates
    assert_same(big, verdict.sounding[0].instance)


def test_what_is_scaled_is_a_copy() -> None:
    T_map_camera = pose(0.3)
    before = T_map_camera.copy()
    scaled_pose(T_map_camera, 10.0)
    np.testing.assert_array_equal(T_map_camera, before)


def heard(windows: int = 40) -> list[SoundEvidence]:
    rng = np.random.default_rng(2)
    return [evidence(k, PLACES[2], rng) for k in range(windows)]


def things() -> MapSnapshot:
    return snapshot(tuple(instance(k, place) for k, place in enumerate(PLACES)))


def judged(config: Config, windows: list[SoundEvidence], world: MapSnapshot) -> tuple[DecisionStage, Verdict]:
    judge = DecisionStage(config)
    return judge, [judge.add(window, world) for window in windows][-1]


@pytest.fixture(scope="module")
def metric() -> tuple[DecisionStage, Verdict]:
    return judged(METRES, heard(), things())


@pytest.mark.parametrize("factor", FACTORS)
def test_the_judge_finds_the_same_object_in_a_world_without_metres(
    metric: tuple[DecisionStage, Verdict], factor: float
) -> None:
    """Poses and map in units of 1 / factor metres; the verdict comes in the same units."""
    expected_judge, expected = metric
    world = replace(scaled_snapshot(things(), factor), metres_per_unit=1 / factor)
    judge, verdict = judged(ARBITRARY, [metric_evidence(window, factor) for window in heard()], world)
    assert expected.sounding[0].instance.id == verdict.sounding[0].instance.id == 2
    assert (verdict.stamp_ns, verdict.window_end_ns) == (expected.stamp_ns, expected.window_end_ns)
    (source,), (truth,) = verdict.sources, expected.sources
    np.testing.assert_allclose(source.position_m / factor, truth.position_m, atol=2e-3)
    np.testing.assert_allclose(source.covariance_m2 / factor**2, truth.covariance_m2, atol=1e-4)
    assert dict(source.candidates) == pytest.approx(dict(truth.candidates), abs=0.02)
    assert source.heard_intervals == truth.heard_intervals and source.object_id == 2
    assert verdict.sounding[0].probability == pytest.approx(expected.sounding[0].probability, abs=0.02)
    np.testing.assert_allclose(verdict.sounding[0].instance.points_map, world.instances[2].points_map, rtol=1e-5)
    points = things().surface_points[::40]
    scores = judge.score(points * np.float32(factor))
    np.testing.assert_allclose(scores, expected_judge.score(points), atol=0.01)
    assert scores.max() > scores.min() + 0.05


def test_sounds_wait_for_the_first_sight_of_a_world_without_metres(metric: tuple[DecisionStage, Verdict]) -> None:
    """What was heard before counts once the unit is known."""
    windows = [metric_evidence(window, 10.0) for window in heard()]
    judge = DecisionStage(ARBITRARY)
    for window in windows[:-1]:
        verdict = judge.add(window, EMPTY_SNAPSHOT)
        assert verdict.sources == () and verdict.stamp_ns == window.stamp_ns
    world = replace(scaled_snapshot(things(), 10.0), metres_per_unit=0.1)
    last = judge.add(windows[-1], world)
    np.testing.assert_allclose(last.sources[0].position_m / 10, metric[1].sources[0].position_m, atol=2e-3)
    assert last.sounding[0].instance.id == 2


def test_metres_stay_metres() -> None:
    scale = MapScale("metres")
    scale.add_median_depth(7.0)
    assert scale.metres_per_unit == 1.0


def test_nominal_metres_follow_what_is_usually_seen() -> None:
    """One odd view, as the first one of a camera without depth may be, does not last; small changes are not worth it."""
    scale = MapScale("arbitrary")
    assert scale.metres_per_unit is None
    scale.add_median_depth(1.0)
    assert scale.metres_per_unit == NOMINAL_DEPTH_M
    for _ in range(5):
        scale.add_median_depth(5.0)
    assert scale.metres_per_unit == NOMINAL_DEPTH_M / 5.0
    for _ in range(50):
        scale.add_median_depth(5.2)
    assert scale.metres_per_unit == NOMINAL_DEPTH_M / 5.0


def test_what_was_heard_follows_the_nominal_metres(metric: tuple[DecisionStage, Verdict]) -> None:
    """The first sights took the world for twice its size: in the end the verdict is the same."""
    world = replace(scaled_snapshot(things(), 10.0), metres_per_unit=0.2)
    judge, ids = DecisionStage(ARBITRARY), []
    for k, window in enumerate(heard()):
        verdict = judge.add(metric_evidence(window, 10.0), world)
        ids.append([source.id for source in verdict.sources])
        if k == 20:
            world = replace(world, metres_per_unit=0.1)
    np.testing.assert_allclose(verdict.sources[0].position_m / 10, metric[1].sources[0].position_m, atol=2e-3)
    assert verdict.sounding[0].instance.id == 2
    assert len(ids[20]) == 1 and ids[20] == ids[21] == ids[-1]  # it is still the same source


def test_between_decisions_the_last_one_holds() -> None:
    judge, windows = DecisionStage(Config().updated({"sources.every_s": 1.0})), heard()
    verdicts = [judge.add(window, things()) for window in windows]
    spacing_s = (windows[1].stamp_ns - windows[0].stamp_ns) / 1e9
    assert 0 < spacing_s < 0.5
    for window, verdict in zip(windows, verdicts, strict=True):
        assert verdict.stamp_ns == window.stamp_ns < verdict.window_end_ns
    fresh = sum(a.sources is not b.sources for a, b in zip(verdicts, verdicts[1:], strict=False))
    assert 0 < fresh <= np.ceil(len(windows) * spacing_s / 1.0)
