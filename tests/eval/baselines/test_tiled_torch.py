"""The tiled torch rasterizer renders what the dense reference renders, with its gradients."""

from __future__ import annotations

import numpy as np
import torch

from echoseg_ros.eval.baselines.tiled_torch import render_tiled
from echoseg_ros.eval.map.step_time import visible_scene
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.reference import ReferenceRasterizer


def test_tiled_torch_equals_the_dense_reference() -> None:
    """The image size is no multiple of the tile's, so the last tiles are cut."""
    gaussians, camera = visible_scene(45, 37, 300, seed=1)
    results = []
    for render in (render_tiled, ReferenceRasterizer().render):
        inputs = gaussians.map(lambda tensor: tensor.double().requires_grad_())
        rendered = render(inputs, camera, np.eye(4))
        weight = torch.linspace(-1, 1, 45 * 37, dtype=torch.float64).reshape(37, 45)
        ((rendered.rgb.sum(2) + rendered.depth + rendered.alpha) * weight).sum().backward()  # type: ignore[no-untyped-call]
        results.append((rendered, Gaussians(*(tensor.grad for _, tensor in inputs.items()))))  # type: ignore[arg-type]
    (tiled, gradients), (dense, true_gradients) = results
    for name in ("rgb", "depth", "alpha"):
        torch.testing.assert_close(getattr(tiled, name), getattr(dense, name), atol=1e-6, rtol=1e-6)
    for (name, gradient), (_, truth) in zip(gradients.items(), true_gradients.items(), strict=True):
        assert (gradient - truth).norm() < 1e-5 * truth.norm(), name
