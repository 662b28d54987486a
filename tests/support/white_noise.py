"""White noise as a test signal."""

from __future__ import annotations

import numpy as np

from echoseg_ros.types import Float32Array


def white_noise(seconds: float, rate_hz: int) -> Float32Array:
    """[S] noise with a standard deviation of 0.05; the same in each call."""
    return 0.05 * np.random.default_rng(0).standard_normal(round(seconds * rate_hz)).astype(np.float32)
