"""The half-band kernel against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from echoseg_ros.sound.labels.filters import resampled


@pytest.mark.parametrize("samples", [4000, 4001])
def test_half_the_sample_rate_agrees_with_scipy(samples: int) -> None:
    signal = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    halved = resampled(signal, 16000.0, 8000.0)
    np.testing.assert_allclose(halved, resample_poly(signal, 1, 2), atol=1e-6)
