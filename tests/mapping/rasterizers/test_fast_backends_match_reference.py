"""Scenario: the fast rasterizers give the results of the dense reference: images, gradients, features and lifting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gaussian_scene import CAMERA, T_MAP_CAMERA, gaussian_scene, leaves
from torch import Tensor

from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer, Rendered
from echoseg_ros.mapping.rasterizers.gsplat import MAX_CHANNELS, GsplatRasterizer
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer
from echoseg_ros.mapping.rasterizers.reference import ReferenceRasterizer
from gpu_check import gsplat_stand_in


def make_fast(name: str) -> Rasterizer:
    return NumbaRasterizer() if name == "numba" else GsplatRasterizer("cpu", gsplat_stand_in.rasterization)


@pytest.fixture(params=["numba", "gsplat"])
def fast(request: pytest.FixtureRequest) -> Rasterizer:
    return make_fast(request.param)


@pytest.mark.parametrize("seed", [0, 1])
def test_forward_matches_reference(fast: Rasterizer, seed: int) -> None:
    gaussians = gaussian_scene(250, seed)
    with torch.no_grad():
        drawn = fast.render(gaussians, CAMERA, T_MAP_CAMERA)
        truth = ReferenceRasterizer().render(gaussians.to("cpu", torch.float64), CAMERA, T_MAP_CAMERA)
    assert 0.3 < truth.alpha.mean() < 0.999
    torch.testing.assert_close(drawn.rgb.double(), truth.rgb, atol=1e-5, rtol=0)
    torch.testing.assert_close(drawn.alpha.double(), truth.alpha, atol=1e-5, rtol=0)
    torch.testing.assert_close(drawn.depth.double(), truth.depth, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("output", ["rgb", "depth", "alpha"])
@pytest.mark.parametrize(("count", "size_px"), [(250, 4.0), (40, 25.0)])
def test_gradients_match_reference(fast: Rasterizer, output: str, count: int, size_px: float) -> None:
    weight = torch.randn(CAMERA.height, CAMERA.width, generator=torch.Generator().manual_seed(3))

    def loss(drawn: Rendered) -> Tensor:
        image: Tensor = getattr(drawn, output)
        return (image * (weight[..., None] if image.dim() == 3 else weight).to(image.dtype)).sum()

    single, double = (
        leaves(gaussian_scene(count, 5, size_px), torch.float32),
        leaves(gaussian_scene(count, 5, size_px), torch.float64),
    )
    torch.autograd.backward(loss(fast.render(single, CAMERA, T_MAP_CAMERA)))
    torch.autograd.backward(loss(ReferenceRasterizer().render(double, CAMERA, T_MAP_CAMERA)))
    for (name, tensor), (_, truth) in zip(single.items(), double.items(), strict=True):
        if output != "rgb" and name == "rgb":
            continue
        assert tensor.grad is not None and truth.grad is not None
        error = (tensor.grad.double() - truth.grad).norm() / truth.grad.norm()
        assert truth.grad.norm() > 0 and error < 1e-4, f"{name}: relative error {error:.2e}"


@pytest.mark.parametrize("classes", [3, MAX_CHANNELS + 9])
def test_lifting_weights_are_exact(fast: Rasterizer, classes: int) -> None:
    """Also with labels outside the classes, and with more classes than one pass takes."""
    gaussians = gaussian_scene(200, 2)
    labels = np.random.default_rng(0).integers(-1, classes + 1, (CAMERA.height, CAMERA.width))
    lifted = fast.lift(gaussians, CAMERA, T_MAP_CAMERA, labels, classes)
    truth = ReferenceRasterizer().lift(gaussians.to("cpu", torch.float64), CAMERA, T_MAP_CAMERA, labels, classes)
    assert lifted.shape == (200, classes)
    torch.testing.assert_close(lifted.double(), truth, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 5, MAX_CHANNELS + 3])
def test_features_match_reference(fast: Rasterizer, channels: int) -> None:
    gaussians = gaussian_scene(200, 6)
    features = torch.randn(200, channels, generator=torch.Generator().manual_seed(0))
    image, alpha = fast.render_features(gaussians, CAMERA, T_MAP_CAMERA, features)
    truth, true_alpha = ReferenceRasterizer().render_features(
        gaussians.to("cpu", torch.float64), CAMERA, T_MAP_CAMERA, features
    )
    torch.testing.assert_close(image.double(), truth, atol=1e-5 * float(features.abs().max()), rtol=0)
    torch.testing.assert_close(alpha.double(), true_alpha, atol=1e-5, rtol=0)


def test_empty_map_draws_black(fast: Rasterizer) -> None:
    drawn = fast.render(Gaussians.empty(), CAMERA, T_MAP_CAMERA)
    assert (
        float(drawn.rgb.abs().max()) == 0 and float(drawn.alpha.abs().max()) == 0 and torch.isfinite(drawn.depth).all()
    )
    assert fast.lift(Gaussians.empty(), CAMERA, T_MAP_CAMERA, np.zeros((37, 45), int), 4).shape == (0, 4)


def test_labels_of_another_size_are_refused(fast: Rasterizer) -> None:
    with pytest.raises(ValueError, match=r"want integers \[37, 45\]"):
        fast.lift(gaussian_scene(5, 0), CAMERA, T_MAP_CAMERA, np.zeros((10, 10), int), 2)
