"""Spherical harmonics of the stand-in for gsplat."""

from __future__ import annotations

import numpy as np
import torch

from echoseg_ros import geometry
from gpu_check.gsplat_stand_in import sh_colors


def test_spherical_harmonics_are_3dgs() -> None:
    """Degree 0 does not depend on the direction; the three functions of degree 1 are -y, z, -x of the viewing direction."""
    means = torch.tensor([[0.0, 0.0, 2.0]])
    viewmat = torch.tensor(geometry.inverse(np.eye(4)), dtype=torch.float32)
    coefficients = torch.zeros(1, 16, 3)
    coefficients[0, 0] = 1.0
    coefficients[0, 2] = torch.tensor([0.1, 0.2, -0.3])
    torch.testing.assert_close(sh_colors(means, viewmat, coefficients, 0), torch.full((1, 3), 0.5 + 0.28209479))
    expected = 0.5 + 0.28209479 + 0.48860251 * torch.tensor([[0.1, 0.2, -0.3]])
    torch.testing.assert_close(sh_colors(means, viewmat, coefficients, 3), expected)
