"""Scaling of lengths between map units and metres, and nominal metres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from checkered_room import pose, room_view
from table_world import PLACES, evidence, instance, snapshot

from echoseg_ros.types import Box, Interval, SoundEvidence, SoundingObject, SoundSource, Verdict
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

FACTORS = [0.1, 10.0]
INSTANCE = instance(1, PLACES[1])
SPREAD_M2 = np.diag([0.01, 0.04, 0.09])
SOURCE = SoundSource(4, PLACES[1] + 0.02, SPREAD_M2, 0.7, 1, ((1, 0.8), (None, 0.2)), (Interval(5, 9),))
VERDICT = Verdict(10, 20, (SOURCE,), (SoundingObject(INSTANCE, SOURCE, 0.8, "object 1"),))


def metric_evidence(window: SoundEvidence, factor: float) -> SoundEvidence:
    return scaled_evidence(window, factor, has_metres=True)


def assert_same(a: Any, b: Any, name: str = "") -> None:
    """Dataclasses, tuples and arrays are equal in all fields; numbers to six digits."""
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
def test_scaling_and_its_inverse_cancel(factor: float) -> None:
    rng = np.random.default_rng(0)
    cases: list[tuple[Callable[[Any, float], Any], Any]] = [
        (scaled_pose, pose(0.3)),
        (scaled_frame, room_view(0, pose(0.3))),
        (scaled_frame, replace(room_view(0, pose(0.3)), depth_m=None)),
        (metric_evidence, evidence(3, PLACES[0], rng)),
        (scaled_instance, INSTANCE),
        (scaled_snapshot, snapshot((INSTANCE,))),
        (scaled_verdict, VERDICT),
    ]
    scaled_and_back = [(value, change(change(value, factor), 1 / factor)) for change, value in cases]
    for before, after in scaled_and_back:
        assert_same(before, after, type(before).__name__)


@pytest.mark.parametrize("factor", FACTORS)
def test_only_lengths_are_scaled(factor: float) -> None:
    before = room_view(0, pose(0.3))
    after = scaled_frame(before, factor)
    np.testing.assert_allclose(after.T_map_camera[:3, 3], before.T_map_camera[:3, 3] * factor)
    np.testing.assert_array_equal(after.T_map_camera[:3, :3], before.T_map_camera[:3, :3])
    assert before.depth_m is not None and after.depth_m is not None
    np.testing.assert_allclose(after.depth_m, before.depth_m * factor, rtol=1e-6)
    assert after.depth_m.dtype == np.float32 and after.rgb is before.rgb and after.camera == before.camera

    big = scaled_instance(INSTANCE, factor)
    np.testing.assert_allclose(big.points_map, INSTANCE.points_map * factor, rtol=1e-6)
    expected = Box(INSTANCE.box.center_m * factor, INSTANCE.box.size_m * factor, INSTANCE.box.quaternion_xyzw)
    assert_same(expected, big.box)
    np.testing.assert_allclose(big.position_m, INSTANCE.position_m * factor)

    world = scaled_snapshot(snapshot((INSTANCE,)), factor)
    np.testing.assert_allclose(world.surface_points, snapshot((INSTANCE,)).surface_points * factor, rtol=1e-6)
    assert_same(big, world.instances[0])

    verdict = scaled_verdict(VERDICT, factor)
    np.testing.assert_allclose(verdict.sources[0].position_m, SOURCE.position_m * factor)
    np.testing.assert_allclose(verdict.sources[0].covariance_m2, SPREAD_M2 * factor**2)
    assert verdict.sounding[0].source is verdict.sources[0]
    assert verdict.sounding[0].probability == 0.8 and verdict.sources[0].candidates == SOURCE.candidates
    assert_same(big, verdict.sounding[0].instance)


def test_the_scaled_pose_is_a_copy() -> None:
    T_map_camera = pose(0.3)
    before = T_map_camera.copy()
    scaled_pose(T_map_camera, 10.0)
    np.testing.assert_array_equal(T_map_camera, before)


def test_metric_poses_keep_their_scale() -> None:
    scale = MapScale("metres")
    scale.add_median_depth(7.0)
    assert scale.metres_per_unit == 1.0


def test_nominal_metres_follow_the_usual_depth() -> None:
    """A single outlier, such as the first view of a camera without depth, does not last; small changes are not applied."""
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
