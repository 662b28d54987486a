"""A small camera, a mask of its left half, and Gaussians."""

from __future__ import annotations

import numpy as np
import torch

from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.types import Camera

CAMERA = Camera(20, 20, 20.0, 20.0, 10.0, 10.0)

HALF = np.zeros((20, 20), bool)
HALF[:, :10] = True


def gaussians(means: list[list[float]], scales: list[list[float]], opacity_logit: float = 8.0) -> Gaussians:
    count = len(means)
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1)
    logits = torch.full((count,), opacity_logit)
    return Gaussians(torch.tensor(means), quats, torch.tensor(scales).log(), logits, torch.ones(count, 3))
