"""Weights of the bands with and without tones."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.sound.localisation.lobe_matching import BAND_WEIGHT, DirectionMaps
from echoseg_ros.types import Float64Array


def maps_with(spectrum: Float64Array) -> DirectionMaps:
    nothing = np.zeros((1, 3, 4), np.float32)
    return DirectionMaps(nothing, nothing, np.zeros((1, 3)), np.eye(3)[None], np.ones(1), spectrum)


def test_bands_without_the_tone_have_little_weight() -> None:
    flat = np.full((3, 12), 1 / 12)
    tone = flat.copy()
    tone[1] = np.eye(12)[5]
    np.testing.assert_allclose(maps_with(flat).band_weights, BAND_WEIGHT)
    weights = maps_with(tone).band_weights
    assert weights[1] == weights.max() and weights[0] < 0.3 * BAND_WEIGHT[0] and weights[2] < 0.3 * BAND_WEIGHT[2]
    assert 0 < maps_with(tone).band_weight_share < maps_with(flat).band_weight_share == pytest.approx(1.0)
