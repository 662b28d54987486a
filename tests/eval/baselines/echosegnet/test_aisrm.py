"""Loudness, intensity and choice of the cluster against cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.eval.baselines.echosegnet.aisrm import choose_cluster, intensity, intensity_centre, loudness, scene_eps
from echoseg_ros.types import Float64Array


def test_loudness_is_a_trailing_average_over_six_frames_and_the_first_five_are_raw() -> None:
    clips = [np.full((100, 2), [level, 2 * level]) for level in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 13.0)]
    loud = loudness(clips)
    assert loud[:5, 0].tolist() == [1, 2, 3, 4, 5]
    assert loud[5, 0] == pytest.approx(21 / 6)
    assert loud[6, 0] == pytest.approx(33 / 6)
    assert loud[:, 1] == pytest.approx(2 * loud[:, 0])
    assert loudness([None, np.ones((3, 2))]).tolist() == [[0, 0], [1, 1]]


def turned(angle: float) -> Float64Array:
    """T_world_camera of a camera at the origin of COLMAP's frame that has turned about y."""
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    return pose


def test_intensity_of_the_louder_half_plane_as_published() -> None:
    # Heading atan2(R13, R11) = 0, d = (1, 0) in (x, z): "left" is z > 0.
    points = np.array([[0, 0, 1.0], [0, 0, -1.0]])
    assert intensity(points, [np.eye(4)], np.array([[2.0, 1.0]])) == pytest.approx([1, 0])
    assert intensity(points, [np.eye(4)], np.array([[1.0, 2.0]])) == pytest.approx([0, 1])
    # Each frame adds |L - R| / max: 0.5 for the first, 0.25 for the second, then the largest sum is 1.
    both = intensity(points, [np.eye(4)] * 2, np.array([[2.0, 1.0], [3.0, 4.0]]))
    assert both == pytest.approx([1, 0.5])


def test_with_the_heading_of_the_camera_left_is_left() -> None:
    for angle in (0.0, 0.7, 2.5):
        pose = turned(angle)
        left = (pose @ [-1.0, 0, 0, 1])[:3]
        points = np.stack([left, -left])
        assert intensity(points, [pose], np.array([[2.0, 1.0]]), forward_heading=True) == pytest.approx([1, 0])


def test_centre_is_the_weighted_mean_of_the_loudest() -> None:
    points = np.array([[0, 0, 0], [1.0, 0, 0], [9, 9, 9]])
    assert intensity_centre(points, np.array([0.9, 1.0, 0.85])) == pytest.approx([1.0 / 1.9, 0, 0])
    assert intensity_centre(points, np.zeros(3)) is None


def blob(x: float, count: int) -> Float64Array:
    points: Float64Array = np.array([x, 0, 0]) + 0.002 * np.arange(count)[:, None] * [0, 1, 0]
    return points


def test_the_large_cluster_nearest_to_the_centre_wins() -> None:
    points = np.concatenate([blob(0, 40), blob(1, 40), blob(2, 7), blob(3, 7), blob(4, 7)])
    kept = choose_cluster(points, np.array([1.2, 50.0, 0]))  # the height does not count
    assert np.flatnonzero(kept).tolist() == list(range(40, 80))


def test_a_single_cluster_is_never_large_so_that_nothing_is_chosen() -> None:
    points = np.concatenate([blob(0, 40), [[5.0, 0, 0]]])
    assert choose_cluster(points, np.zeros(3)).all()  # the stray point stays too
    assert choose_cluster(np.concatenate([blob(0, 40), blob(1, 40)]), np.zeros(3)).all()
    assert choose_cluster(points, None).all()
    assert choose_cluster(np.zeros((0, 3)), np.zeros(3)).shape == (0,)


def test_clusters_need_a_radius_above_zero() -> None:
    with pytest.raises(ValueError, match="eps"):
        choose_cluster(blob(0, 40), np.zeros(3), 0.0)


def test_eps_as_if_the_scene_was_normalised() -> None:
    centres = np.linspace(0, 1, 101)[:, None] * [100.0, 0, 0]  # the middle 80 % spans 80 units, not 10
    assert scene_eps(centres, np.zeros((0, 3))) == pytest.approx(0.04 * 8)
    line = np.arange(100)[:, None] * [1.0, 0, 0]  # of 6 neighbours on a line, itself one, the last is 3 away
    assert scene_eps(centres, line) == pytest.approx(6.0)
