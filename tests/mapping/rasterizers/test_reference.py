"""The reference rasterizer: its gradients against finite differences."""

from __future__ import annotations

import torch
from gaussian_scene import CAMERA, T_MAP_CAMERA, gaussian_scene
from torch import Tensor

from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.reference import ReferenceRasterizer


def test_reference_gradients_match_finite_differences() -> None:
    """Central differences in float64 of a smooth scene: no Gaussian is at a threshold."""
    gaussians = gaussian_scene(6, 8, 30.0).to("cpu", torch.float64)
    camera = CAMERA.resized(9, 7)

    def render(*tensors: Tensor) -> Tensor:
        drawn = ReferenceRasterizer().render(Gaussians(*tensors), camera, T_MAP_CAMERA)
        return torch.cat([drawn.rgb.sum((0, 1)), drawn.alpha.sum()[None]])

    inputs = tuple(tensor.requires_grad_() for _, tensor in gaussians.items())
    assert torch.autograd.gradcheck(render, inputs, eps=1e-7, atol=1e-4, rtol=1e-3, nondet_tol=0)
