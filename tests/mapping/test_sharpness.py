"""Weights of images by sharpness: blur lowers them, exposure does not."""

from __future__ import annotations

import numpy as np
import pytest
from checkered_room import pose, room_view
from scipy import ndimage

from echoseg_ros.mapping.sharpness import MIN_WEIGHT, SHARPNESS_WINDOW, SharpnessWeights
from echoseg_ros.types import RgbImage


def images(count: int) -> list[RgbImage]:
    return [room_view(i, pose(-0.3 + 0.05 * i)).rgb for i in range(count)]


def blurred(rgb: RgbImage, sigma_px: float = 2.0) -> RgbImage:
    result: RgbImage = ndimage.gaussian_filter(rgb.astype(np.float32), (sigma_px, sigma_px, 0)).astype(np.uint8)
    return result


def test_a_blurred_image_weighs_less_than_sharp_ones_around_it() -> None:
    sharpness = SharpnessWeights()
    weights = [sharpness.add(blurred(rgb) if i == 4 else rgb) for i, rgb in enumerate(images(8))]
    assert MIN_WEIGHT <= weights[4] < 0.7
    assert min(weights[:4] + weights[5:]) > 0.9 and max(weights) <= 1.0


def test_weight_falls_with_blur_but_not_to_zero() -> None:
    def weight(sigma_px: float) -> float:
        sharpness = SharpnessWeights()
        *before, last = images(5)
        for rgb in before:
            sharpness.add(rgb)
        return sharpness.add(blurred(last, sigma_px))

    assert 1.0 > weight(0.5) > weight(0.8) > weight(20.0) >= MIN_WEIGHT
    sharpness = SharpnessWeights()
    for rgb in images(3):
        sharpness.add(rgb)
    assert sharpness.add(np.full((120, 160, 3), 80, np.uint8)) == MIN_WEIGHT


def test_lasting_blur_becomes_the_reference() -> None:
    """Only the last SHARPNESS_WINDOW images are compared with."""
    sharpness = SharpnessWeights()
    for rgb in images(SHARPNESS_WINDOW):
        sharpness.add(rgb)
    weights = [sharpness.add(blurred(rgb)) for rgb in images(SHARPNESS_WINDOW)]
    assert weights[0] < 0.7 and weights[-1] > 0.9


@pytest.mark.parametrize(("gain", "bias"), [(0.5, 40.0), (0.8, 0.0), (1.0, 50.0)])
def test_exposure_does_not_change_the_weight(gain: float, bias: float) -> None:
    def weights(exposed: bool) -> list[float]:
        sharpness = SharpnessWeights()
        rgbs = [blurred(rgb, 0.8) if i in (3, 5) else rgb for i, rgb in enumerate(images(6))]
        return [
            sharpness.add((rgb * gain + bias).round().astype(np.uint8) if exposed and i % 2 else rgb)
            for i, rgb in enumerate(rgbs)
        ]

    assert min(weights(False)) < 0.9
    np.testing.assert_allclose(weights(True), weights(False), atol=0.03)
