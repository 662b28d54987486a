"""Conversions between quaternions and rotation matrices, against scipy."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from echoseg_ros.mapping.rotations import quaternions_wxyz, rotation_matrices


def test_quaternions_of_rotations() -> None:
    """Random ones, and half turns and the identity, where three of the four components vanish."""
    quats_xyzw = np.concatenate([np.random.default_rng(2).normal(size=(500, 4)), np.eye(4)])
    truth = Rotation.from_quat(quats_xyzw)
    found = quaternions_wxyz(torch.from_numpy(truth.as_matrix()).float())
    torch.testing.assert_close(
        found, torch.from_numpy(np.roll(truth.as_quat(), 1, axis=1)).float() * _sign(found, truth)
    )
    np.testing.assert_allclose(rotation_matrices(found).numpy(), truth.as_matrix(), atol=2e-6)


def _sign(found: Tensor, truth: Rotation) -> Tensor:
    """q and -q are one rotation."""
    return (found * torch.from_numpy(np.roll(truth.as_quat(), 1, axis=1))).sum(dim=1, keepdim=True).sign().float()
