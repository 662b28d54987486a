"""Fast backends against the dense reference: forward, gradients, features and lifting weights."""

from __future__ import annotations

from collections.abc import Callable

import numba as nb
import numpy as np
import pytest
import torch
from torch import Tensor

from echoseg_ros import geometry
from echoseg_ros.errors import BackendError
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer, Rendered
from echoseg_ros.mapping.rasterizers.factory import make_rasterizer
from echoseg_ros.mapping.rasterizers.gsplat import MAX_CHANNELS, GsplatRasterizer
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer
from echoseg_ros.mapping.rasterizers.reference import ReferenceRasterizer
from echoseg_ros.types import Camera, Float64Array
from gpu_check import gsplat_stand_in

# Odd sizes: the last tiles are cut.
CAMERA = Camera(45, 37, 50.0, 48.0, 21.3, 19.1)
T_MAP_CAMERA = geometry.look_at(np.array([1.0, -2.0, 0.5]), np.array([0.0, 0.0, 0.4]))


def scene(count: int, seed: int, size_px: float = 4.0) -> Gaussians:
    """Gaussians of any shape in front of the camera, a few behind it or outside the image."""
    random = np.random.default_rng(seed)
    depth = random.uniform(1.0, 4.0, count)
    pixels = random.uniform(-0.2, 1.2, (count, 2)) * [CAMERA.width, CAMERA.height]
    rays = np.stack([(pixels[:, 0] - CAMERA.cx) / CAMERA.fx, (pixels[:, 1] - CAMERA.cy) / CAMERA.fy, np.ones(count)], 1)
    points = rays * depth[:, None] * np.where(random.uniform(size=count) < 0.05, -1, 1)[:, None]
    sizes = np.log(depth / CAMERA.fx * size_px / 2)[:, None] + random.normal(0, 0.4, (count, 3))
    parts = [geometry.apply(T_MAP_CAMERA, points), random.normal(size=(count, 4)), sizes]
    parts += [random.normal(0, 2, count), random.uniform(0, 1, (count, 3))]
    return Gaussians(*(torch.tensor(part, dtype=torch.float32) for part in parts))


def leaves(gaussians: Gaussians, dtype: torch.dtype) -> Gaussians:
    return gaussians.map(lambda tensor: tensor.to(dtype, copy=True).requires_grad_())


def make_fast(name: str) -> Rasterizer:
    return NumbaRasterizer() if name == "numba" else GsplatRasterizer("cpu", gsplat_stand_in.rasterization)


@pytest.fixture(params=["numba", "gsplat"])
def fast(request: pytest.FixtureRequest) -> Rasterizer:
    return make_fast(request.param)


@pytest.mark.parametrize("seed", [0, 1])
def test_forward_matches_reference(fast: Rasterizer, seed: int) -> None:
    gaussians = scene(250, seed)
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

    single, double = leaves(scene(count, 5, size_px), torch.float32), leaves(scene(count, 5, size_px), torch.float64)
    loss(fast.render(single, CAMERA, T_MAP_CAMERA)).backward()
    loss(ReferenceRasterizer().render(double, CAMERA, T_MAP_CAMERA)).backward()
    for (name, tensor), (_, truth) in zip(single.items(), double.items(), strict=True):
        if output != "rgb" and name == "rgb":
            continue
        assert tensor.grad is not None and truth.grad is not None
        error = (tensor.grad.double() - truth.grad).norm() / truth.grad.norm()
        assert truth.grad.norm() > 0 and error < 1e-4, f"{name}: relative error {error:.2e}"


def test_reference_gradients_match_finite_differences() -> None:
    """The judge itself: float64 central differences of a smooth scene (no Gaussian at a threshold)."""
    gaussians = scene(6, 8, 30.0).to("cpu", torch.float64)
    camera = CAMERA.resized(9, 7)

    def render(*tensors: Tensor) -> Tensor:
        drawn = ReferenceRasterizer().render(Gaussians(*tensors), camera, T_MAP_CAMERA)
        return torch.cat([drawn.rgb.sum((0, 1)), drawn.alpha.sum()[None]])

    inputs = tuple(tensor.requires_grad_() for _, tensor in gaussians.items())
    assert torch.autograd.gradcheck(render, inputs, eps=1e-7, atol=1e-4, rtol=1e-3, nondet_tol=0)


@pytest.mark.parametrize("classes", [3, MAX_CHANNELS + 9])
def test_lifting_weights_are_exact(fast: Rasterizer, classes: int) -> None:
    """Sums of blending weights per label, also where labels fall outside the classes and classes outnumber a pass."""
    gaussians = scene(200, 2)
    labels = np.random.default_rng(0).integers(-1, classes + 1, (CAMERA.height, CAMERA.width))
    lifted = fast.lift(gaussians, CAMERA, T_MAP_CAMERA, labels, classes)
    truth = ReferenceRasterizer().lift(gaussians.to("cpu", torch.float64), CAMERA, T_MAP_CAMERA, labels, classes)
    assert lifted.shape == (200, classes)
    torch.testing.assert_close(lifted.double(), truth, atol=2e-5, rtol=1e-5)


def test_lifting_is_the_derivative_of_the_render() -> None:
    """d sum(render(F) * onehot) / dF is the sum of weights: the identity that the gsplat backend relies on."""
    gaussians, labels = scene(150, 4), np.random.default_rng(1).integers(0, 2, (CAMERA.height, CAMERA.width))
    colours = gaussians.rgb.clone().requires_grad_()
    drawn = NumbaRasterizer().render(
        Gaussians(*[t for _, t in gaussians.items()][:4], rgb=colours), CAMERA, T_MAP_CAMERA
    )
    (drawn.rgb[..., 0] * torch.from_numpy(labels == 1)).sum().backward()
    lifted = NumbaRasterizer().lift(gaussians, CAMERA, T_MAP_CAMERA, labels, 2)
    assert colours.grad is not None
    torch.testing.assert_close(lifted[:, 1], colours.grad[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 5, MAX_CHANNELS + 3])
def test_features_match_reference(fast: Rasterizer, channels: int) -> None:
    gaussians = scene(200, 6)
    features = torch.randn(200, channels, generator=torch.Generator().manual_seed(0))
    image, alpha = fast.render_features(gaussians, CAMERA, T_MAP_CAMERA, features)
    truth, true_alpha = ReferenceRasterizer().render_features(
        gaussians.to("cpu", torch.float64), CAMERA, T_MAP_CAMERA, features
    )
    torch.testing.assert_close(image.double(), truth, atol=1e-5 * float(features.abs().max()), rtol=0)
    torch.testing.assert_close(alpha.double(), true_alpha, atol=1e-5, rtol=0)


def test_hidden_gaussians_get_no_weight() -> None:
    """Lifting sees occlusion: behind three opaque discs a small Gaussian has no weight."""
    means = torch.tensor([[0.0, 0.0, 1.0]] * 3 + [[0.0, 0.0, 2.0]])
    log_scales = torch.tensor([[-1.0] * 3] * 3 + [[-4.0] * 3])
    gaussians = Gaussians(
        means, torch.tensor([[1.0, 0, 0, 0]] * 4), log_scales, torch.full((4,), 9.0), torch.rand(4, 3)
    )
    labels = np.zeros((CAMERA.height, CAMERA.width), int)
    lifted = NumbaRasterizer().lift(gaussians, CAMERA, np.eye(4), labels, 1)
    assert lifted[0, 0] > 100 and lifted[3, 0] == 0


def test_one_gaussian_against_the_closed_form() -> None:
    """Centred on a pixel: alpha = opacity there, and falls with the projected covariance plus 0.3 px^2."""
    camera = Camera(33, 33, 40.0, 40.0, 16.5, 16.5)
    sigma_m, depth_m, opacity = 0.1, 2.0, 0.6
    gaussians = Gaussians(
        torch.tensor([[0.0, 0.0, depth_m]]), torch.tensor([[2.0, 0, 0, 0]]), torch.full((1, 3), float(np.log(sigma_m))),
        torch.logit(torch.tensor([opacity])), torch.tensor([[1.0, 0.5, 0.25]]),
    )  # fmt: skip
    drawn = NumbaRasterizer().render(gaussians, camera, np.eye(4))
    variance_px2 = (40.0 * sigma_m / depth_m) ** 2 + 0.3
    for distance in (0, 1, 3, 5):
        assert float(drawn.alpha[16, 16 + distance]) == pytest.approx(
            opacity * np.exp(-0.5 * distance**2 / variance_px2), abs=1e-5
        )
    assert float(drawn.depth[16, 16]) == pytest.approx(depth_m, abs=1e-5)
    torch.testing.assert_close(drawn.rgb[16, 16], opacity * gaussians.rgb[0], atol=1e-6, rtol=0)


def test_numba_repeats_bit_by_bit_on_any_number_of_threads() -> None:
    gaussians = scene(600, 7)

    def results() -> list[np.ndarray]:
        inputs = leaves(gaussians, torch.float32)
        drawn = NumbaRasterizer().render(inputs, CAMERA, T_MAP_CAMERA)
        (drawn.rgb.sum() + drawn.depth.sum()).backward()
        return [
            drawn.rgb.detach().numpy(),
            *(tensor.grad.numpy() for _, tensor in inputs.items() if tensor.grad is not None),
        ]

    threads = nb.get_num_threads()
    first = results()
    try:
        nb.set_num_threads(1)
        again = results()
    finally:
        nb.set_num_threads(threads)
    for a, b, c in zip(first, results(), again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_empty_map_draws_black(fast: Rasterizer) -> None:
    drawn = fast.render(Gaussians.empty(), CAMERA, T_MAP_CAMERA)
    assert (
        float(drawn.rgb.abs().max()) == 0 and float(drawn.alpha.abs().max()) == 0 and torch.isfinite(drawn.depth).all()
    )
    assert fast.lift(Gaussians.empty(), CAMERA, T_MAP_CAMERA, np.zeros((37, 45), int), 4).shape == (0, 4)


def raising(function: Callable[[], object]) -> str:
    with pytest.raises(BackendError) as caught:
        function()
    return str(caught.value)


def test_backends_say_why_they_cannot_run() -> None:
    assert "want auto, numba" in raising(lambda: make_rasterizer("opengl"))
    assert "use gsplat" in raising(lambda: make_rasterizer("numba", "cuda"))
    assert "needs a CUDA device" in raising(lambda: make_rasterizer("gsplat", "cpu"))
    assert isinstance(make_rasterizer("auto", "cpu"), NumbaRasterizer)


def test_labels_of_another_size_are_refused(fast: Rasterizer) -> None:
    with pytest.raises(ValueError, match=r"want integers \[37, 45\]"):
        fast.lift(scene(5, 0), CAMERA, T_MAP_CAMERA, np.zeros((10, 10), int), 2)


def test_camera_pose_convention() -> None:
    """T_map_camera takes camera points into the map: a Gaussian on the optical axis lands on the principal point."""
    pose: Float64Array = T_MAP_CAMERA
    ahead = geometry.apply(pose, np.array([[0.0, 0.0, 1.5]]))
    gaussians = Gaussians(
        torch.tensor(ahead, dtype=torch.float32), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), -4.0),
        torch.tensor([5.0]), torch.ones(1, 3),
    )  # fmt: skip
    alpha = NumbaRasterizer().render(gaussians, CAMERA, pose).alpha.numpy()
    rows, columns = np.mgrid[: CAMERA.height, : CAMERA.width] + 0.5
    assert (alpha * columns).sum() / alpha.sum() == pytest.approx(CAMERA.cx, abs=0.02)
    assert (alpha * rows).sum() / alpha.sum() == pytest.approx(CAMERA.cy, abs=0.02)
