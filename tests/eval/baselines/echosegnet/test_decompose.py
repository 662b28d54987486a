"""Decomposition at mask borders against cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from half_mask import CAMERA, HALF, gaussians

from echoseg_ros.eval.baselines.echosegnet.decompose import decompose
from echoseg_ros.mapping.gaussians import Gaussians


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
