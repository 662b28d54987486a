"""PSNR and SSIM against closed forms."""

from __future__ import annotations

import pytest
import torch

from gpu_check.quality import fitted_psnr_db, psnr_db, ssim


def test_quality_against_closed_forms() -> None:
    image = torch.rand(40, 50, 3, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    assert psnr_db(image + 0.1, image) == pytest.approx(20.0, abs=1e-3)
    assert fitted_psnr_db(image * 0.8 + 0.05, image) > 60
    assert float(ssim(image, image)) == pytest.approx(1.0, abs=1e-5)
    # SSIM of two flat images is the luminance term alone: (2 a b + C1) / (a^2 + b^2 + C1).
    flat = torch.full((20, 20, 3), 0.5)
    assert float(ssim(flat, flat * 0.5)) == pytest.approx((2 * 0.125 + 1e-4) / (0.3125 + 1e-4), abs=1e-4)
