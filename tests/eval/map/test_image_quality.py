"""SSIM and depth errors against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.errors import ImageFormatError
from echoseg_ros.eval.map.image_quality import depth_errors_pct, ssim
from echoseg_ros.types import Float64Array

C1, C2 = 0.01**2, 0.03**2


def noise(seed: int = 0, shape: tuple[int, ...] = (40, 50, 3)) -> Float64Array:
    return np.random.default_rng(seed).uniform(0, 1, shape)


def test_ssim_of_an_image_with_itself_is_one() -> None:
    assert ssim(noise(), noise()) == pytest.approx(1.0)


def test_ssim_of_two_constant_images_is_the_luminance_term() -> None:
    a, b = np.full((20, 20, 3), 0.5), np.full((20, 20, 3), 0.7)
    assert ssim(a, b) == pytest.approx((2 * 0.5 * 0.7 + C1) / (0.5**2 + 0.7**2 + C1))


def test_ssim_of_one_window_is_the_formula_with_gaussian_weights() -> None:
    """An image of 11 x 11 px has one window: the sums of Wang et al. written out."""
    a, b = noise(1, (11, 11, 1)), noise(2, (11, 11, 1))
    at = np.arange(11) - 5
    weights = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.5**2))
    weights = (weights / weights.sum())[..., None]
    mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
    var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
    covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
    expected = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    expected /= (mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2)
    assert ssim(a, b) == pytest.approx(expected)


def test_ssim_is_symmetric_falls_with_noise_and_is_negative_for_a_negative() -> None:
    a = noise(3)
    values = [ssim(a, a + sigma * np.random.default_rng(4).normal(size=a.shape)) for sigma in (0.02, 0.1, 0.5)]
    assert 1 > values[0] > values[1] > values[2]
    assert ssim(a, noise(5)) == pytest.approx(ssim(noise(5), a))
    assert abs(ssim(a, noise(5))) < 0.1
    assert ssim(a, 1 - a) < -0.8


def test_depth_errors_are_of_covered_pixels_with_known_depth() -> None:
    truth = np.array([[2.0, 2.0], [0.0, 4.0]], np.float32)
    rendered = np.array([[2.1, 9.0], [1.0, 3.0]], np.float32)
    alpha = np.array([[1.0, 0.2], [1.0, 0.9]], np.float32)
    np.testing.assert_allclose(depth_errors_pct(rendered, alpha, truth), [5.0, 25.0], rtol=1e-5)


def test_images_of_wrong_size_are_refused() -> None:
    with pytest.raises(ImageFormatError, match="one shape"):
        ssim(np.zeros((14, 14, 3)), np.zeros((14, 15, 3)))
    with pytest.raises(ImageFormatError, match="11 px"):
        ssim(np.zeros((10, 20, 3)), np.zeros((10, 20, 3)))
