"""Insertion, removal and splitting of Gaussians, the limit of their number, and their contribution and sensitivity."""

from __future__ import annotations

import pytest
import torch

from echoseg_ros.mapping.gaussian_map import NEW_CONTRIBUTION_PX, SPLIT_LENGTH, SPLIT_OFFSET, GaussianMap
from echoseg_ros.mapping.gaussians import PARAMETERS, Gaussians
from echoseg_ros.mapping.rotations import rotation_matrices

STILL: dict[str, float | torch.Tensor] = dict.fromkeys(PARAMETERS, 0.0)


def some(count: int, seed: int = 0) -> Gaussians:
    """Gaussians of random shape, position and orientation; quaternions of any length."""
    random = torch.Generator().manual_seed(seed)
    shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, 3))
    return Gaussians(*(torch.randn(shape, generator=random) for shape in shapes))


def filled(count: int, cap: int = 100, seed: int = 0) -> GaussianMap:
    gaussian_map = GaussianMap(cap)
    gaussian_map.insert(some(count, seed))
    return gaussian_map


def rising(uids: torch.Tensor) -> bool:
    return bool((uids[1:] > uids[:-1]).all())


def test_rows_stay_aligned() -> None:
    """Inserting and pruning keep parameters, moments, contributions and uids aligned."""
    gaussian_map = filled(8, cap=10)
    gradients = gaussian_map.gaussians.map(torch.ones_like)
    gradients.opacity_logits[2] = 0.0
    before = gaussian_map.gaussians.means.clone()
    gaussian_map.adam_step(gradients, dict.fromkeys(PARAMETERS, 0.1))
    # Adam's first step is the rate itself; a Gaussian without gradient stays.
    torch.testing.assert_close(gaussian_map.gaussians.means[0], before[0] - 0.1)
    assert torch.equal(gaussian_map.gaussians.means[2], before[2])
    painted = torch.arange(8.0) + 10
    gaussian_map.update_contribution(painted)
    kept = [0, 2, 3, 4, 5, 6, 7]
    means = gaussian_map.gaussians.means[kept]
    gaussian_map.keep(torch.tensor([row in kept for row in range(8)]))
    assert gaussian_map.uids.tolist() == kept and gaussian_map.update_counts.tolist() == [1, 0, 1, 1, 1, 1, 1]
    assert torch.equal(gaussian_map.gaussians.means, means) and torch.equal(gaussian_map.contribution, painted[kept])
    gaussian_map.insert(some(3, seed=1))
    assert gaussian_map.uids.tolist() == [*kept, 8, 9, 10]
    assert gaussian_map.update_counts.tolist() == [1, 0, 1, 1, 1, 1, 1, 0, 0, 0]
    assert gaussian_map.contribution.tolist() == [
        *painted[kept].tolist(),
        NEW_CONTRIBUTION_PX,
        NEW_CONTRIBUTION_PX,
        NEW_CONTRIBUTION_PX,
    ]


def test_halves_lie_on_the_longest_axis_of_their_parent() -> None:
    gaussian_map = filled(6)
    parents = gaussian_map.gaussians.map(torch.clone)
    rows = torch.tensor([4, 1])
    gaussian_map.split(rows)
    after = gaussian_map.gaussians
    assert len(gaussian_map) == 8
    for row, child in ((4, 6), (1, 7)):
        longest = int(parents.log_scales[row].argmax())
        length = parents.scales[row, longest]
        axis = rotation_matrices(parents.quats_wxyz[row : row + 1])[0, :, longest]
        # Symmetric about the parent, half a deviation to each side.
        torch.testing.assert_close((after.means[row] + after.means[child]) / 2, parents.means[row])
        torch.testing.assert_close(after.means[child] - after.means[row], 2 * SPLIT_OFFSET * length * axis)
        shares = torch.ones(3)
        shares[longest] = SPLIT_LENGTH
        for half in (row, child):
            torch.testing.assert_close(after.scales[half], parents.scales[row] * shares)
            for name in ("quats_wxyz", "opacity_logits", "rgb"):
                assert torch.equal(getattr(after, name)[half], getattr(parents, name)[row]), name
        # Together they are about as long as the parent was.
        spread = (SPLIT_LENGTH**2 + SPLIT_OFFSET**2) ** 0.5
        assert spread == pytest.approx(1.0, abs=0.15)
    others = [0, 2, 3, 5]
    for name, tensor in parents.items():
        assert torch.equal(getattr(after, name)[others], tensor[others]), name


def test_a_split_gaussian_keeps_its_uid_and_its_halves_restart() -> None:
    gaussian_map = filled(5)
    gaussian_map.adam_step(gaussian_map.gaussians.map(torch.ones_like), dict.fromkeys(PARAMETERS, 0.01))
    gaussian_map.split(torch.tensor([3, 0]))
    assert gaussian_map.uids.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert gaussian_map.update_counts.tolist() == [0, 1, 1, 0, 1, 0, 0]
    assert gaussian_map.loss_sensitivity[[0, 3, 5, 6]].tolist() == [0, 0, 0, 0] and bool(
        (gaussian_map.loss_sensitivity[[1, 2, 4]] > 0).all()
    )
    assert len(gaussian_map.contribution) == 7
    gaussian_map.keep(torch.tensor([True] * 6 + [False]))
    gaussian_map.split(torch.tensor([5]))
    assert gaussian_map.uids.tolist() == [0, 1, 2, 3, 4, 5, 7]  # the uid of the removed Gaussian is not reused


def test_splitting_respects_the_limit() -> None:
    """The first rows are split first; a full map stays unchanged."""
    gaussian_map = filled(4, cap=6)
    scales = gaussian_map.gaussians.scales.clone()
    gaussian_map.split(torch.tensor([2, 0, 3, 1]))
    assert len(gaussian_map) == 6 and rising(gaussian_map.uids)
    changed = (gaussian_map.gaussians.scales[:4] != scales).any(dim=1)
    assert changed.tolist() == [True, False, True, False]
    before = gaussian_map.gaussians.map(torch.clone)
    gaussian_map.split(torch.tensor([1, 3]))
    assert len(gaussian_map) == 6 and torch.equal(gaussian_map.gaussians.means, before.means)


def test_at_the_limit_the_lowest_contribution_is_removed_first() -> None:
    gaussian_map = filled(6, cap=6)
    for _ in range(40):
        gaussian_map.update_contribution(torch.tensor([9.0, 0.5, 30.0, 2.0, 7.0, 1.0]))
    gaussian_map.insert(some(2, seed=1))
    assert gaussian_map.uids.tolist() == [0, 2, 3, 4, 6, 7]
    gaussian_map.insert(some(1, seed=2))  # the newest Gaussians have no keyframe yet and stay
    assert gaussian_map.uids.tolist() == [0, 2, 4, 6, 7, 8]


def test_insertion_respects_the_limit() -> None:
    gaussian_map = filled(4, cap=6)
    assert gaussian_map.insert(some(20, seed=1)) == 6
    assert gaussian_map.uids.tolist() == [4, 5, 6, 7, 8, 9]


def test_contribution_is_the_largest_of_recent_keyframes() -> None:
    gaussian_map = filled(3)
    gaussian_map.update_contribution(torch.tensor([20.0, 0.0, 3.9]))
    assert gaussian_map.contribution[0] == 20.0
    assert gaussian_map.contribution[1] == NEW_CONTRIBUTION_PX  # outside the view: unchanged
    before = gaussian_map.contribution[0]
    gaussian_map.update_contribution(torch.tensor([1.0, 0.0, 0.0]))
    assert 1.0 < gaussian_map.contribution[0] < before  # one distant view lowers it only a little
    for _ in range(200):
        gaussian_map.update_contribution(torch.tensor([1.0, 0.0, 0.0]))
    assert gaussian_map.contribution.tolist()[:2] == [1.0, NEW_CONTRIBUTION_PX]


def test_loss_sensitivity_is_the_rms_gradient_times_the_size() -> None:
    """Also for gradients of alternating sign, whose mean would be 0."""
    gaussian_map = filled(4)
    gradient = torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 2.0]])
    assert gaussian_map.loss_sensitivity.tolist() == [0.0] * 4
    for sign in (1, -1, 1, -1, 1, -1):
        gradients = gaussian_map.gaussians.map(torch.ones_like)
        gradients.means.copy_(sign * gradient)
        gaussian_map.adam_step(gradients, STILL)
    size = gaussian_map.gaussians.scales.amax(dim=1)
    torch.testing.assert_close(
        gaussian_map.loss_sensitivity, torch.tensor([5.0, 0.5, 0.0, 3.0]) * size, rtol=1e-3, atol=1e-6
    )
