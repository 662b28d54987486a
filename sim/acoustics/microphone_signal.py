"""Level, noise and wiring of the microphone signals of a simulated recording."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import Float32Array

logger = logging.getLogger(__name__)

# Level of the white noise of each microphone, dB relative to full scale.
NOISE_FLOOR_DBFS = -60.0
# Largest sample of a recording, relative to full scale; leaves room for gains. Louder recordings are turned down.
PEAK = 0.5


def with_noise(clean: Float32Array, active: NDArray[np.bool_], snr_db: float, rng: np.random.Generator) -> Float32Array:
    """Clean signals [M, S] at the requested level, plus noise at NOISE_FLOOR_DBFS.

    active: [S] where the power of the clean signals is measured; snr_db: that power over the noise's. If samples exceed
    PEAK, signals and noise are both turned down.
    """
    noise: Float32Array = rng.standard_normal(clean.shape, dtype=np.float32) * np.float32(10 ** (NOISE_FLOOR_DBFS / 20))
    sounding = clean if active.all() else clean[:, active]
    power = float(np.mean(np.square(sounding, dtype=float))) if active.any() else 0.0
    if power == 0.0:
        return noise
    samples: Float32Array = clean * np.float32(10 ** ((NOISE_FLOOR_DBFS + snr_db) / 20) / np.sqrt(power)) + noise
    loudest = float(np.abs(samples).max())
    if loudest > PEAK:
        logger.info("signals and noise turned down by %.1f dB: peak %.2f", 20 * np.log10(loudest / PEAK), PEAK)
        samples *= np.float32(PEAK / loudest)
    return samples


def to_channels(samples: Float32Array, array: ArrayGeometry) -> Float32Array:
    """Channels [S, channels] of microphone signals [M, S]: each with its microphone's gain, in the array's channel order."""
    out = np.zeros((samples.shape[1], array.channels), dtype=np.float32)
    out[:, array.channel_order] = (samples * (10 ** (array.gains_db / 20))[:, None]).T
    return np.clip(out, -1.0, 1.0)
