"""How alike two pictures are: PSNR, SSIM, and the error of a depth picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from echoseg_ros.errors import ImageFormatError
from echoseg_ros.types import Float64Array, FloatImage

# Wang, Bovik, Sheikh and Simoncelli 2004: window of 11 x 11 px, Gaussian of 1.5 px, constants for values in 0..1.
_WINDOW_PX, _SIGMA_PX = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
# Where less than this of a pixel is covered, the map does not claim to know its depth.
DRAWN_ALPHA = 0.5


def psnr_db(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Peak signal to noise ratio of two pictures of one shape, values in 0..1; at most 300 dB, where they are equal."""
    _check(a, b)
    return float(-10 * np.log10(np.mean((np.asarray(a, float) - b) ** 2) + 1e-30))


def ssim(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Structural similarity of two pictures [H, W, 3] with values in 0..1: 1 = equal, about 0 = nothing in common.

    Wang et al., Image Quality Assessment (2004), equation 13, over all windows that lie inside the picture, mean over
    the three channels. Raises ImageFormatError if the shapes differ or a picture is smaller than the window.
    """
    _check(a, b)
    if a.ndim != 3 or min(a.shape[:2]) < _WINDOW_PX:
        raise ImageFormatError(f"SSIM of pictures of {a.shape}: want [H, W, C] of at least {_WINDOW_PX} px a side")
    x, y = np.asarray(a, float), np.asarray(b, float)
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x, var_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return float(np.mean(luminance * structure))


def depth_errors_pct(drawn: FloatImage, alpha: FloatImage, truth: FloatImage) -> FloatImage:
    """[n] errors in % of the true depth, of the pixels that have one (> 0) and that the map draws (alpha > DRAWN_ALPHA).

    drawn, alpha, truth: [H, W], depths in one unit.
    """
    _check(drawn, truth)
    known = (truth > 0) & (alpha > DRAWN_ALPHA)
    return np.asarray(100 * np.abs(drawn[known] - truth[known]) / truth[known], dtype=np.float32)


def _windowed(image: Float64Array) -> Float64Array:
    """Gaussian-weighted mean around each pixel whose window lies inside the image: [H - 10, W - 10, C]."""
    offsets = np.arange(_WINDOW_PX) - _WINDOW_PX // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA_PX**2))
    weights /= weights.sum()
    for axis in (0, 1):
        image = ndimage.correlate1d(image, weights, axis=axis)
    edge = _WINDOW_PX // 2
    return image[edge:-edge, edge:-edge]


def _check(a: NDArray, b: NDArray) -> None:
    if a.shape != b.shape:
        raise ImageFormatError(f"pictures of {a.shape} and {b.shape}: want one shape")
