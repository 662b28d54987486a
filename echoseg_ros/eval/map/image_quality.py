"""Image similarity (SSIM) and errors of depth images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from echoseg_ros.errors import ImageFormatError
from echoseg_ros.types import Float64Array, FloatImage

# Side of the square SSIM window, px (Wang, Bovik, Sheikh & Simoncelli 2004, as all SSIM constants).
_WINDOW_PX = 11
# Standard deviation of the Gaussian weights of the SSIM window, px.
_SIGMA_PX = 1.5
# Stabilising constants of SSIM for values in 0..1: of the luminance term and of the contrast term.
_C1 = 0.01**2
_C2 = 0.03**2
# Alpha above which the map covers a pixel and has a depth there.
COVERED_ALPHA = 0.5


def ssim(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Structural similarity of two images [H, W, C] with values in 0..1: 1 = equal, about 0 = unrelated.

    Wang et al., Image Quality Assessment (2004), equation 13: mean over all windows inside the image and over channels.
    Raises ImageFormatError if the shapes differ or an image is smaller than the window.
    """
    _check_shapes(a, b)
    if a.ndim != 3 or min(a.shape[:2]) < _WINDOW_PX:
        raise ImageFormatError(f"SSIM of images of {a.shape}: want [H, W, C] of at least {_WINDOW_PX} px a side")
    x, y = np.asarray(a, float), np.asarray(b, float)
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x, var_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return float(np.mean(luminance * structure))


def depth_errors_pct(rendered: FloatImage, alpha: FloatImage, truth: FloatImage) -> FloatImage:
    """[n] depth errors in % of the true depth, of pixels with a true depth (> 0) that the map covers.

    rendered, alpha, truth: [H, W] rendered depth, alpha and true depth, both depths in one unit. Covered: alpha >
    COVERED_ALPHA. Raises ImageFormatError if the shapes differ.
    """
    _check_shapes(rendered, truth)
    known = (truth > 0) & (alpha > COVERED_ALPHA)
    return np.asarray(100 * np.abs(rendered[known] - truth[known]) / truth[known], dtype=np.float32)


def _windowed(image: Float64Array) -> Float64Array:
    """Gaussian-weighted mean around each pixel whose window lies inside the image: [H - 10, W - 10, C]."""
    offsets = np.arange(_WINDOW_PX) - _WINDOW_PX // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA_PX**2))
    weights /= weights.sum()
    for axis in (0, 1):
        image = ndimage.correlate1d(image, weights, axis=axis)
    edge = _WINDOW_PX // 2
    return image[edge:-edge, edge:-edge]


def _check_shapes(a: NDArray[Any], b: NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise ImageFormatError(f"images of {a.shape} and {b.shape}: want one shape")
