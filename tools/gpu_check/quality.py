"""Image quality: PSNR, and SSIM in plain torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Window and constants of SSIM: Z. Wang et al., "Image quality assessment: from error visibility to structural similarity",
# IEEE Trans. Image Processing 13, 2004.
WINDOW_PX, SIGMA_PX = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
# Least mean squared error: the PSNR of equal images is finite.
_MIN_ERROR = 1e-30


def psnr_db(drawn: Tensor, truth: Tensor) -> float:
    """PSNR of images [H, W, 3] with values in 0..1, dB; drawn values outside are clipped."""
    error = ((drawn.clamp(0, 1) - truth) ** 2).mean()
    return float(-10 * torch.log10(error + _MIN_ERROR))


def fitted_psnr_db(drawn: Tensor, truth: Tensor) -> float:
    """PSNR with the best gain and bias of each channel, dB: the camera's automatic exposure cannot be predicted."""
    images = (image.detach().clamp(0, 1).cpu().double().numpy().reshape(-1, 3) for image in (drawn, truth))
    x, y = images
    errors = []
    for k in range(3):
        gain, bias = np.polyfit(x[:, k], y[:, k], 1)
        errors.append(np.mean((gain * x[:, k] + bias - y[:, k]) ** 2))
    return float(-10 * np.log10(np.mean(errors) + _MIN_ERROR))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity of images [H, W, 3] in 0..1, differentiable; over windows that lie inside the image."""
    x, y = (image.permute(2, 0, 1)[:, None] for image in (a, b))  # [3, 1, H, W]
    means = _blurred(torch.cat([x, y, x * x, y * y, x * y]))
    mean_x, mean_y, xx, yy, xy = means.chunk(5)
    covariance = xy - mean_x * mean_y
    spread = (xx - mean_x**2) + (yy - mean_y**2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (luminance * (2 * covariance + C2) / (spread + C2)).mean()


def _blurred(images: Tensor) -> Tensor:  # [n, 1, H, W] -> [n, 1, H - 10, W - 10]
    offset = torch.arange(WINDOW_PX, device=images.device, dtype=images.dtype) - WINDOW_PX // 2
    weights = torch.exp(-(offset**2) / (2 * SIGMA_PX**2))
    weights = weights / weights.sum()
    rows = torch.nn.functional.conv2d(images, weights.view(1, 1, -1, 1))
    return torch.nn.functional.conv2d(rows, weights.view(1, 1, 1, -1))
