"""Weights of the time-frequency bins of a window: level above the noise floor, tones, and onsets."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from numba import njit
from numpy.typing import NDArray

from echoseg_ros.types import Complex64Array, Float32Array, Float64Array

# Weight of a bin at the noise floor, as a share of the weight of a bin far above it.
MIN_WEIGHT = 0.005
# Level above the noise floor at which a bin has full weight.
FULL_WEIGHT_DB = 10.0
# Power of noise alone often exceeds its floor by this much in single bins. In a window with a tone this much is
# subtracted from the levels, or the sum of the many noise bins would outweigh the few bins of the tone. In other windows
# it is not, since a steady sound is its own floor.
NOISE_FLUCTUATION_DB = 6.0
# A bin this far above the median of the bins around it holds a tone and has the weight of a bin above the floor.
TONE_DB = 4.0
# Number of bins around a bin whose median it is compared with.
TONE_NEIGHBOURS = 15
# Assumed time in which reverberation falls by 60 dB. Frames are weighted by the share of their power that the decay of
# earlier frames does not explain: first arrivals come straight from the source (precedence effect).
REVERBERATION_S = 1.0
# Least such share.
MIN_DIRECT_SHARE = 0.05
# The floor is the least power over this time: longer than speech without a pause.
FLOOR_MEMORY_S = 12.0
# Level of a band above its floor at which a window has activity 0.5, and the width of the logistic curve.
ACTIVE_DB = 3.0
ACTIVE_WIDTH_DB = 0.6
# Windows below this level (dBFS) hold only rounding errors.
SILENCE_DB = -100.0


class NoiseFloor:
    """Least mean power of each bin and band over the last windows (minimum statistics, Martin 2001)."""

    # Mean of noise power over the least of some fifty window means.
    _BIAS = 1.2

    def __init__(self, windows: int) -> None:
        self._windows = max(2, windows)
        self._bins: Float32Array | None = None
        self._bands: Float64Array = np.empty(0)
        self._count = 0

    def update(self, bin_power: Float32Array, band_power: Float64Array) -> tuple[Float32Array, Float64Array]:
        """Adds the mean powers of a window by bin [F] and band [B]; returns the floors [F] and [B] with this window."""
        if self._bins is None:
            self._bins = np.full((self._windows, len(bin_power)), np.inf, dtype=np.float32)
            self._bands = np.full((self._windows, len(band_power)), np.inf)
        slot = self._count % self._windows
        self._bins[slot], self._bands[slot] = bin_power, band_power
        self._count += 1
        return self._bins.min(axis=0) * np.float32(self._BIAS), self._bands.min(axis=0)


class BinWeights:
    """Weights of the bins of an array's windows, with the noise floor of the windows so far.

    band_of_bin: [F] band of each bin; frame: samples of a frame; hop_s: time between windows.
    """

    def __init__(self, band_of_bin: NDArray[np.integer], frame: int, rate_hz: float, hop_s: float) -> None:
        self._band_of_bin, self._frame, self._rate_hz = band_of_bin, frame, rate_hz
        self._bands = int(band_of_bin.max()) + 1
        self._floor = NoiseFloor(round(FLOOR_MEMORY_S / hop_s))

    def update(self, spectra: Complex64Array) -> tuple[Float32Array, float]:
        """Adds a window's spectra [M, T, F] to the floor.

        Returns the weight of each frame and bin [T, F], and the activity of the window by its level, in [0, 1].
        """
        least = np.float32(10 ** (SILENCE_DB / 10) * self._frame)
        power: Float32Array = mean_power(spectra, least)  # [T, F]
        bin_power = power.mean(axis=0)
        band_power = np.bincount(self._band_of_bin, weights=bin_power, minlength=self._bands).astype(float)
        floor, band_floor = self._floor.update(bin_power, band_power)
        above_db = 10 * np.log10(power / floor)
        tones = _tonality(bin_power)
        above_db = np.maximum(above_db * (1 - tones.max()), above_db - np.float32(NOISE_FLUCTUATION_DB))
        weights = np.clip(above_db / np.float32(FULL_WEIGHT_DB), np.float32(MIN_WEIGHT), np.float32(1))
        weights = np.maximum(weights, tones * np.minimum(power / bin_power, np.float32(1)))
        rise_db = float(np.max(10 * np.log10(band_power / band_floor)))
        decay = np.float32(10 ** (-6 * self._frame / (2 * self._rate_hz) / REVERBERATION_S))
        weights = weights * direct_shares(power, decay)
        return weights, 1 / (1 + float(np.exp(-(rise_db - ACTIVE_DB) / ACTIVE_WIDTH_DB)))


def _tonality(bin_power: Float32Array) -> Float32Array:
    """[F] in [0, 1]: level of a bin's mean power [F] above the bins around it; a lasting tone is its own floor."""
    around = scipy.ndimage.median_filter(bin_power, TONE_NEIGHBOURS, mode="nearest")
    above_db = 10 * np.log10(bin_power / around)
    tonality: Float32Array = (above_db - np.float32(TONE_DB)) / np.float32(FULL_WEIGHT_DB)
    return np.clip(tonality, np.float32(0), np.float32(1))


@njit(cache=True, nogil=True, error_model="numpy")
def mean_power(spectra, least):  # type: ignore[no-untyped-def]
    """[T, F] mean over microphones of the power of spectra [M, T, F], plus `least`."""
    count, frames, bins = spectra.shape
    power = np.zeros((frames, bins), dtype=np.float32)
    for i in range(count):
        for t in range(frames):
            for f in range(bins):
                x = spectra[i, t, f]
                power[t, f] += x.real * x.real + x.imag * x.imag
    for t in range(frames):
        for f in range(bins):
            power[t, f] = power[t, f] / np.float32(count) + least
    return power


@njit(cache=True, nogil=True, error_model="numpy")
def direct_shares(power, decay):  # type: ignore[no-untyped-def]
    """[T, F] share of a bin's power [T, F] that the decay of earlier frames does not explain.

    decay: factor on power from one frame to the next.
    """
    frames, bins = power.shape
    least, one = np.float32(MIN_DIRECT_SHARE), np.float32(1)
    share = np.empty_like(power)
    echo = power[0].copy()
    for t in range(frames):
        for f in range(bins):
            if t > 0:
                echo[f] = decay * max(echo[f], power[t - 1, f])
            share[t, f] = min(max(one - echo[f] / power[t, f], least), one)
    return share
