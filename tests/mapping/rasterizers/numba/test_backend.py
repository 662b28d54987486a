"""The rasterizer on the CPU: closed forms, occlusion, conventions and determinism."""

from __future__ import annotations

from dataclasses import replace

import numba as nb
import numpy as np
import pytest
import torch
from gaussian_scene import CAMERA, T_MAP_CAMERA, gaussian_scene, leaves

from echoseg_ros import geometry
from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer
from echoseg_ros.types import Camera, Float32Array, Float64Array


def test_lifting_is_the_derivative_of_the_render() -> None:
    """The derivative of sum(render(F) * onehot) by F is the sum of weights; the gsplat backend relies on this identity."""
    gaussians, labels = gaussian_scene(150, 4), np.random.default_rng(1).integers(0, 2, (CAMERA.height, CAMERA.width))
    colours = gaussians.rgb.clone().requires_grad_()
    drawn = NumbaRasterizer().render(replace(gaussians, rgb=colours), CAMERA, T_MAP_CAMERA)
    torch.autograd.backward((drawn.rgb[..., 0] * torch.from_numpy(labels == 1)).sum())
    lifted = NumbaRasterizer().lift(gaussians, CAMERA, T_MAP_CAMERA, labels, 2)
    assert colours.grad is not None
    torch.testing.assert_close(lifted[:, 1], colours.grad[:, 0], atol=1e-5, rtol=1e-5)


def test_hidden_gaussians_get_no_weight() -> None:
    """Lifting respects occlusion: a small Gaussian behind three opaque ones has no weight."""
    means = torch.tensor([[0.0, 0.0, 1.0]] * 3 + [[0.0, 0.0, 2.0]])
    log_scales = torch.tensor([[-1.0] * 3] * 3 + [[-4.0] * 3])
    gaussians = Gaussians(
        means, torch.tensor([[1.0, 0, 0, 0]] * 4), log_scales, torch.full((4,), 9.0), torch.rand(4, 3)
    )
    labels = np.zeros((CAMERA.height, CAMERA.width), int)
    lifted = NumbaRasterizer().lift(gaussians, CAMERA, np.eye(4), labels, 1)
    assert lifted[0, 0] > 100 and lifted[3, 0] == 0


def test_one_gaussian_against_the_closed_form() -> None:
    """Alpha equals the opacity at the centre and falls with the projected covariance plus 0.3 px^2."""
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
    gaussians = gaussian_scene(600, 7)

    def results() -> list[Float32Array]:
        inputs = leaves(gaussians, torch.float32)
        drawn = NumbaRasterizer().render(inputs, CAMERA, T_MAP_CAMERA)
        torch.autograd.backward(drawn.rgb.sum() + drawn.depth.sum())
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
