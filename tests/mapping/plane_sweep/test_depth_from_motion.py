"""Depth by plane sweep, against the exact depth of a scene cast ray by ray."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_depth import depth_of
from scipy.spatial.transform import Rotation
from sweep_scene import path, relative_error, scaled, view

from echoseg_ros import geometry
from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.mapping.plane_sweep import pose_adjustment
from echoseg_ros.mapping.plane_sweep.depth_from_motion import DepthEstimate, DepthFromMotion, ParallaxStatus


@pytest.fixture(scope="module")
def views() -> list[Keyframe]:
    return path()


@pytest.fixture(scope="module")
def estimates(views: list[Keyframe]) -> list[DepthEstimate]:
    return [DepthFromMotion().estimate(keyframe, views) for keyframe in views]


def test_depth_of_a_known_scene(views: list[Keyframe], estimates: list[DepthEstimate]) -> None:
    truth = depth_of(views[3])
    estimate = estimates[3]
    assert estimate.status is ParallaxStatus.OK
    assert estimate.depth.dtype == estimate.confidence.dtype == np.float32
    assert estimate.depth.shape == truth.shape
    assert 0 <= estimate.confidence.min() and estimate.confidence.max() <= 1
    assert (estimate.depth > 0).mean() > 0.95
    errors = relative_error(estimate.depth, truth)
    assert np.median(errors) < 0.01
    assert (errors < 0.05).mean() > 0.9


def test_cross_checked_depth_is_more_accurate(views: list[Keyframe], estimates: list[DepthEstimate]) -> None:
    pairs = list(zip(views, estimates, strict=True))
    checked = DepthFromMotion().cross_checked(views[3], estimates[3], pairs)
    errors = relative_error(checked.depth, depth_of(views[3]))
    assert (checked.depth > 0).mean() > 0.75
    assert np.median(errors) < 0.008
    assert (errors < 0.05).mean() > 0.97
    assert ((checked.depth > 0) == (checked.confidence > 0)).all()


def test_exposure_does_not_matter(views: list[Keyframe], estimates: list[DepthEstimate]) -> None:
    def exposed(keyframe: Keyframe, gain: float, bias: float) -> Keyframe:
        return replace(keyframe, rgb=np.clip(keyframe.rgb * gain + bias, 0, 255).round().astype(np.uint8))

    # Gains are halved, so that no colour saturates.
    others = [exposed(keyframe, 0.5 * 1.4 if i % 2 else 0.5, 12.0 * (i % 3)) for i, keyframe in enumerate(views)]
    estimate = DepthFromMotion().estimate(exposed(views[3], 0.5, 0.0), others)
    errors = relative_error(estimate.depth, depth_of(views[3]))
    plain = relative_error(estimates[3].depth, depth_of(views[3]))
    assert np.median(errors) < 0.01
    assert (errors < 0.05).mean() > (plain < 0.05).mean() - 0.02


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_result_does_not_depend_on_the_map_unit(
    views: list[Keyframe], estimates: list[DepthEstimate], factor: float
) -> None:
    grown = [scaled(keyframe, factor) for keyframe in views]
    estimate = DepthFromMotion().estimate(grown[3], grown)
    np.testing.assert_array_equal(estimate.depth > 0, estimates[3].depth > 0)
    same = np.isclose(estimate.depth, factor * estimates[3].depth, rtol=1e-3)
    assert same.mean() > 0.999  # rounding may tip a pixel between two planes


def test_a_known_range_or_prior_narrows_the_search(views: list[Keyframe]) -> None:
    truth = depth_of(views[3])
    with_range = DepthFromMotion().estimate(views[3], views, depth_range=(1.5, 5.0))
    with_prior = DepthFromMotion().estimate(views[3], views, prior=truth)
    for estimate in (with_range, with_prior):
        assert np.median(relative_error(estimate.depth, truth)) < 0.01
    with pytest.raises(ValueError, match="depth_range"):
        DepthFromMotion().estimate(views[3], views, depth_range=(2.0, 1.0))


def test_missing_parallax_is_reported() -> None:
    depth = DepthFromMotion()
    still = [view(i, (0, 0, 0)) for i in range(3)]
    turning = [view(i, (0, 0, 0), 4.0 * i) for i in range(3)]
    trembling = [view(i, (1e-4 * i, 0, 0), 4.0 * i) for i in range(3)]
    for keyframes in (still, turning, trembling, still[:1]):
        estimate = depth.estimate(keyframes[0], keyframes)
        assert estimate.status is ParallaxStatus.NONE
        assert not estimate.depth.any() and not estimate.confidence.any()
    assert "no parallax" in ParallaxStatus.NONE.value


def test_depth_that_other_views_contradict_is_rejected(views: list[Keyframe], estimates: list[DepthEstimate]) -> None:
    depth = estimates[3].depth.copy()
    depth[20:40, 20:40] *= 0.85
    wrong = replace(estimates[3], depth=depth)
    checked = DepthFromMotion().cross_checked(views[3], wrong, list(zip(views, estimates, strict=True)))
    # The border of the wrong patch is left out: a pixel there may be right by chance at a depth edge.
    assert (checked.depth[22:38, 22:38] > 0).mean() < 0.02
    assert (checked.depth > 0).mean() > 0.6
    # The view itself does not count as a confirmation; one other view is enough.
    alone = DepthFromMotion().cross_checked(views[3], estimates[3], [(views[3], estimates[3])])
    assert not alone.depth.any()
    two = DepthFromMotion().cross_checked(views[3], estimates[3], [(views[2], estimates[2])])
    assert (two.depth > 0).mean() > 0.5


def test_rotation_errors_of_poses_are_corrected(views: list[Keyframe], monkeypatch: pytest.MonkeyPatch) -> None:
    """Cause: stamps that are wrong by a few milliseconds shift whole images while the camera rotates."""

    def shaken(seed: int) -> list[Keyframe]:
        turns = Rotation.from_rotvec(np.random.default_rng(seed).normal(0, 0.002, (len(views), 3))).as_matrix()
        turned = [keyframe.T_map_camera @ geometry.transform(t, np.zeros(3)) for keyframe, t in zip(views, turns)]
        return [replace(keyframe, T_map_camera=T) for keyframe, T in zip(views, turned)]

    def mean_error() -> float:
        depths = [DepthFromMotion().estimate(keyframes[3], keyframes).depth for keyframes in map(shaken, range(8))]
        return float(np.mean([np.median(relative_error(depth, depth_of(views[3]))) for depth in depths]))

    corrected = mean_error()
    monkeypatch.setattr(pose_adjustment, "TURN_SIGMA_RAD", 1e-7)
    assert corrected < 0.8 * mean_error()


def test_result_repeats_bit_by_bit(views: list[Keyframe], estimates: list[DepthEstimate]) -> None:
    again = DepthFromMotion().estimate(views[3], views)
    np.testing.assert_array_equal(again.depth, estimates[3].depth)
    np.testing.assert_array_equal(again.confidence, estimates[3].confidence)
