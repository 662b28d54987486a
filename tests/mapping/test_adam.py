"""The Adam kernel for the CPU against Adam in torch."""

from __future__ import annotations

import copy

import torch

from echoseg_ros.mapping import optimize
from echoseg_ros.mapping.adam import adam_step_cpu
from echoseg_ros.mapping.gaussian_map import GaussianMap
from echoseg_ros.mapping.gaussians import Gaussians

COUNT = 1300


def random_gaussians(generator: torch.Generator) -> Gaussians:
    shapes = ((COUNT, 3), (COUNT, 4), (COUNT, 3), (COUNT,), (COUNT, 3))
    return Gaussians(*(torch.randn(shape, generator=generator) for shape in shapes))


def masked(gaussians: Gaussians, rows: torch.Tensor) -> Gaussians:
    """Small gradients in these rows [N] bool, 0 in the others."""
    return gaussians.map(lambda tensor: tensor * 1e-4 * rows.view(-1, *[1] * (tensor.dim() - 1)))


def test_kernel_equals_torch() -> None:
    """With rows that get gradients only sometimes or never, and with learning rates per row."""
    generator = torch.Generator().manual_seed(0)
    truth = GaussianMap(COUNT)
    truth.insert(random_gaussians(generator))
    start = copy.deepcopy(truth.gaussians)
    kernel, update_counts = copy.deepcopy(start), torch.zeros(COUNT)
    first, second = start.map(torch.zeros_like), start.map(torch.zeros_like)
    rates: dict[str, float | torch.Tensor] = {**optimize.RATES, "means": torch.rand(COUNT, generator=generator) * 0.1}
    hidden = torch.arange(COUNT) % 3 == 0
    for _ in range(12):
        seen = (torch.rand(COUNT, generator=generator) < 0.7) & ~hidden
        gradients = masked(random_gaussians(generator), seen)
        truth.adam_step(gradients, rates)
        adam_step_cpu(kernel, first, second, update_counts, gradients, rates)
    torch.testing.assert_close(update_counts, truth.update_counts, atol=0, rtol=0)
    for (name, moved), (_, want), (_, before) in zip(
        kernel.items(), truth.gaussians.items(), start.items(), strict=True
    ):
        # 1 - 0.999^n in float32 costs torch about 5e-5 of a step; the kernel takes it from a table computed in float64.
        assert (moved - want).norm() < 1e-4 * (want - before).norm(), name
        torch.testing.assert_close(moved[hidden], before[hidden], atol=0, rtol=0)
        assert not torch.equal(moved[~hidden], before[~hidden])


def test_step_without_gaussians() -> None:
    none = Gaussians.empty()
    adam_step_cpu(none, none, none, torch.zeros(0), none, {**optimize.RATES, "means": 0.1})
