"""Weights of keyframes by image sharpness, so that blurred images influence the map's colours less."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from echoseg_ros.types import RgbImage

# Lowest weight of an image. Not 0: a blurred image may be the only view of a place.
MIN_WEIGHT = 0.2
# Number of newest keyframes whose median sharpness is the reference; sharpness depends on the place.
SHARPNESS_WINDOW = 8


class SharpnessWeights:
    """Weights of images by their sharpness relative to the images just before them."""

    def __init__(self) -> None:
        self._recent: list[float] = []

    def add(self, rgb: RgbImage) -> float:
        """Record an image; returns its weight in [MIN_WEIGHT, 1]: its sharpness over the recent median."""
        sharpness = _fine_contrast_share(rgb)
        self._recent = [*self._recent, sharpness][-SHARPNESS_WINDOW:]
        median = float(np.median(self._recent))
        return float(np.clip(sharpness / max(median, 1e-9), MIN_WEIGHT, 1.0))


def _fine_contrast_share(rgb: RgbImage) -> float:
    """Share of the image's contrast in its finest details. Blur lowers it; gain and offset of exposure do not."""
    grey = rgb.mean(axis=-1, dtype=np.float32)
    fine = grey - ndimage.uniform_filter(grey, 3)
    return float(fine.std() / max(float(grey.std()), 1e-3))
