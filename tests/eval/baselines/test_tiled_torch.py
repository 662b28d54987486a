"""The benchmark's baseline draws what the dense reference draws, and has its gradients."""

from __future__ import annotations

import numpy as np
import torch

from echoseg_ros.eval.baselines.tiled_torch import render_tiled
from echoseg_ros.eval.map.step_time import step_times, visible_scene
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.reference import ReferenceRasterizer


def test_tiled_torch_equals_the_dense_reference() -> None:
    """Odd image size: the last tiles are cut."""
    gaussians, camera = visible_scene(45, 37, 300, seed=1)
    results = []
    for render in (render_tiled, ReferenceRasterizer().render):
        inputs = gaussians.map(lambda tensor: tensor.double().requires_grad_())
        drawn = render(inputs, camera, np.eye(4))
        weight = torch.linspace(-1, 1, 45 * 37, dtype=torch.float64).reshape(37, 45)
        ((drawn.rgb.sum(2) + drawn.depth + drawn.alpha) * weight).sum().backward()
        results.append((drawn, Gaussians(*(tensor.grad for _, tensor in inputs.items()))))  # type: ignore[arg-type]
    (tiled, gradients), (dense, true_gradients) = results
    for name in ("rgb", "depth", "alpha"):
        torch.testing.assert_close(getattr(tiled, name), getattr(dense, name), atol=1e-6, rtol=1e-6)
    for (name, gradient), (_, truth) in zip(gradients.items(), true_gradients.items(), strict=True):
        assert (gradient - truth).norm() < 1e-5 * truth.norm(), name


def test_step_times_names_all_its_figures() -> None:
    figures = step_times(48, 32, 200, seed=0, repeats=2)
    assert figures["step_ms_48x32_200"] > 0 and figures["forward_ms_48x32_200"] > 0
    assert figures["step_speedup_vs_torch_tiled"] > 0 and figures["reference_matmul_ms"] > 0
    assert 2 < figures["tiles_per_gaussian"] < 6
