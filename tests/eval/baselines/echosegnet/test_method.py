"""The reference method's stages against cases computed by hand, its weaknesses among them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from echoseg_ros.eval.baselines.echosegnet.aisrm import choose_cluster, intensity, intensity_centre, loudness, scene_eps
from echoseg_ros.eval.baselines.echosegnet.centre_lifting import OUTSIDE, centre_pixels, vote_lift
from echoseg_ros.eval.baselines.echosegnet.dbscan import NOISE, dbscan
from echoseg_ros.eval.baselines.echosegnet.decompose import decompose
from echoseg_ros.eval.baselines.echosegnet.method import ReferenceMask
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.factory import make_rasterizer
from echoseg_ros.types import Camera

CAMERA = Camera(20, 20, 20.0, 20.0, 10.0, 10.0)
HALF = np.zeros((20, 20), bool)
HALF[:, :10] = True


def gaussians(means: list[list[float]], scales: list[list[float]], opacity_logit: float = 8.0) -> Gaussians:
    count = len(means)
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1)
    logits = torch.full((count,), opacity_logit)
    return Gaussians(torch.tensor(means), quats, torch.tensor(scales).log(), logits, torch.ones(count, 3))


def test_votes_count_views_that_see_the_centre_whatever_stands_before_it() -> None:
    # In front, behind it on the same ray, beside the image, behind the camera.
    points = np.array([[-0.1, 0, 1.0], [-0.3, 0, 3.0], [2.0, 0, 1.0], [0, 0, -1.0]])
    pixels = centre_pixels(points, [CAMERA] * 10, [np.eye(4)] * 10)
    assert pixels[0].tolist() == [10 * 20 + 8, 10 * 20 + 8, OUTSIDE, OUTSIDE]
    empty = np.zeros_like(HALF)
    assert vote_lift(pixels, [HALF] * 4 + [empty] * 6).tolist() == [True, True, False, False]
    assert not vote_lift(pixels, [HALF] * 3 + [empty] * 7).any()  # 0.3 is not more than 0.3
    # A view without a mask does not vote.
    assert vote_lift(pixels, [HALF] * 3 + [None] * 7).tolist() == [True, True, False, False]


def test_loudness_is_a_trailing_average_over_six_frames_and_the_first_five_are_raw() -> None:
    clips = [np.full((100, 2), [level, 2 * level]) for level in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 13.0)]
    loud = loudness(clips)
    assert loud[:5, 0].tolist() == [1, 2, 3, 4, 5]
    assert loud[5, 0] == pytest.approx(21 / 6)
    assert loud[6, 0] == pytest.approx(33 / 6)
    assert loud[:, 1] == pytest.approx(2 * loud[:, 0])
    assert loudness([None, np.ones((3, 2))]).tolist() == [[0, 0], [1, 1]]


def turned(angle: float) -> np.ndarray:
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


def blob(x: float, count: int) -> np.ndarray:
    return np.array([x, 0, 0]) + 0.002 * np.arange(count)[:, None] * [0, 1, 0]


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


def test_eps_as_if_the_scene_was_normalised() -> None:
    centres = np.linspace(0, 1, 101)[:, None] * [100.0, 0, 0]  # the middle 80 % spans 80 units, not 10
    assert scene_eps(centres, np.zeros((0, 3))) == pytest.approx(0.04 * 8)
    line = np.arange(100)[:, None] * [1.0, 0, 0]  # of 6 neighbours on a line, itself one, the last is 3 away
    assert scene_eps(centres, line) == pytest.approx(6.0)


def test_dbscan_against_all_distances() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (400, 3))
    labels = dbscan(points, 0.12, 6)
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) <= 0.12
    core = near.sum(axis=1) >= 6
    reached = np.eye(len(points), dtype=bool) & core[:, None]
    while True:  # the transitive closure over cores
        more = (reached.astype(int) @ (near & core[None]).astype(int) > 0) & core[:, None]
        if (more == reached).all():
            break
        reached = more
    assert 0 < core.sum() < len(points)
    assert (labels[core] >= 0).all()
    same = labels[core][:, None] == labels[core][None]
    assert (same == reached[np.ix_(core, core)]).all()
    border = ~core & (near & core[None]).any(axis=1)
    assert ((labels >= 0) == (core | border)).all()
    assert (labels[~core & ~border] == NOISE).all()
    for i in np.flatnonzero(border):
        assert labels[i] in labels[core & near[i]]
    with pytest.raises(ValueError, match="eps"):
        dbscan(points, 0.0, 6)


def test_a_gaussian_that_straddles_the_border_shrinks_and_moves_inside() -> None:
    # 1 m ahead, 0.1 long in x: its ends are 3 px to each side of the border, so half of it is inside.
    before = gaussians([[0.0, 0.0, 1.0]], [[0.1, 0.01, 0.01]])
    after = decompose(before, [CAMERA], [np.eye(4)], [HALF])
    ratio = 0.5
    assert after.scales[0].numpy() == pytest.approx(0.8 * ratio * np.array([0.1, 0.01, 0.01]), rel=0.05)
    assert after.means[0].numpy() == pytest.approx([-0.5 * (1 - ratio) * 3 * 0.1, 0, 1], abs=0.006)
    # Turned by half a turn, its own axis points the other way; it still moves inside.
    other = Gaussians(**{**dict(before.items()), "quats_wxyz": torch.tensor([[0.0, 0, 1.0, 0]])})
    assert decompose(other, [CAMERA], [np.eye(4)], [HALF]).means[0, 0] == pytest.approx(after.means[0, 0], abs=1e-6)


def test_gaussians_inside_outside_or_beyond_the_image_stay_as_they_are() -> None:
    before = gaussians([[-0.25, 0, 1.0], [0.25, 0, 1.0], [0.0, 0, -1.0], [0.5, 0, 1.0]], [[0.05, 0.01, 0.01]] * 4)
    after = decompose(before, [CAMERA], [np.eye(4)], [HALF])
    assert torch.equal(after.means, before.means)
    assert after.scales.numpy() == pytest.approx(before.scales.numpy(), rel=1e-5)


def test_a_missing_mask_pairs_the_later_ones_with_the_wrong_views() -> None:
    straddling = gaussians([[0.0, 0.0, 1.0]], [[0.1, 0.01, 0.01]])
    away = np.eye(4)
    away[0, 3] = 50.0  # sees nothing of it
    poses = [away, away, away, away, np.eye(4)]
    empty = np.zeros_like(HALF)
    masks = [empty, empty, empty, empty, HALF]
    assert decompose(straddling, [CAMERA] * 5, poses, masks).means[0, 0] < -0.05
    # Without the first mask only four are left: the fifth view, the second of every fourth, is never reached.
    shifted = decompose(straddling, [CAMERA] * 5, poses, [None, *masks[1:]])
    assert torch.equal(shifted.means, straddling.means)


def test_chosen_gaussians_are_drawn_alone_and_show_through_walls() -> None:
    found = ReferenceMask(np.array([True]), gaussians([[0.0, 0.0, 3.0]], [[0.3, 0.3, 0.3]]))
    mask = found.mask(make_rasterizer("numba"), CAMERA, np.eye(4))
    assert mask[10, 10] and not mask[0, 0]  # the map's wall before it was never drawn
    faint = ReferenceMask(np.array([True]), gaussians([[0.0, 0.0, 3.0]], [[0.3, 0.3, 0.3]], 1.0))  # opacity 0.73
    assert not faint.mask(make_rasterizer("numba"), CAMERA, np.eye(4)).any()
    nothing = ReferenceMask(np.array([False]), gaussians([[0.0, 0.0, 3.0]], [[0.3] * 3]).map(lambda t: t[:0]))
    assert not nothing.mask(make_rasterizer("numba"), CAMERA, np.eye(4)).any()
