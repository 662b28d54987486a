"""How much each time-frequency bin of a window counts: what stands above the noise, what is a tone, what has just begun."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from numba import njit
from numpy.typing import NDArray

from echoseg_ros.types import Float64Array

# A bin at the noise floor still counts this much of a clean one.
MIN_WEIGHT = 0.005
# The power of noise alone in one frame and bin is often so far above its floor. In a window with a tone this much does not
# count, or the many bins of noise outweigh the few of the tone (beeps, two ears, 5 rooms, 10 dB: heard in none of them,
# with 3 dB in all; in 36 cases behind and beside things the score is 1.9 times as high with 6 dB as with 3, and no higher with
# 9). In other windows it does, since a steady sound is its own floor.
NOISE_DB = 6.0
# Bins this far above the noise floor count in full.
FULL_WEIGHT_DB = 10.0
# A bin that stands so far above the median of so many around it holds a tone, and counts as if it were above the floor.
LINE_DB, LINE_BINS = 4.0, 15
# What sounds is followed by its reverberation, taken to fall by 60 dB in this time. Frames count by what of their power is
# new (the precedence effect: first arrivals come straight), but no less than so much. 42 places in 3 rooms, noise,
# speech, dog, clock and baby, 20 and 5 dB, against the root of a frame's power over the bin's loudest (degrees, median /
# 90th percentile): 0.4 s 2.2/7.4 -> 1.9/7.2 and 3.8/23 -> 3.4/22; 0.7 s 2.7/12 -> 2.3/9.7 and 4.2/45 -> 4.1/31; the peak
# stands out 1.5 to 1.7 times as far. The gain is in what begins (clock 2.4 -> 1.3, beeps); steady noise and rain are as
# before, and at 0 dB, where noise begins too, the median is up to a fifth worse. Both together were worse than this
# alone, and a weight by the pairs' coherence over 5 frames worse than none (0.7 s, 20 dB: 1.7/10 -> 2.2/21): it picks the
# bins where one strong reflection is alone.
ECHO_S, LEAST_DIRECT = 1.0, 0.05
# The floor is the least power of windows this long back: longer than any pause-free speech.
FLOOR_MEMORY_S = 12.0
# Level above the floor at which a window is as likely sound as noise, and the width of that change.
ACTIVE_DB, ACTIVE_WIDTH_DB = 3.0, 0.6
# Below this there is nothing but rounding.
SILENCE_DB = -100.0


class NoiseFloor:
    """Least mean power per bin and per band over the last windows (minimum statistics, Martin 2001)."""

    # The least of some fifty window means lies about this far below the mean itself.
    _BIAS = 1.2

    def __init__(self, windows: int) -> None:
        self._windows = max(2, windows)
        self._bins: NDArray[np.float32] | None = None
        self._bands: Float64Array = np.empty(0)
        self._count = 0

    def update(
        self, bin_power: NDArray[np.float32], band_power: Float64Array
    ) -> tuple[NDArray[np.float32], Float64Array]:
        """Take a window's mean powers [F] and [B]; returns the floors [F] and [B] with this window in them."""
        if self._bins is None:
            self._bins = np.full((self._windows, len(bin_power)), np.inf, dtype=np.float32)
            self._bands = np.full((self._windows, len(band_power)), np.inf)
        slot = self._count % self._windows
        self._bins[slot], self._bands[slot] = bin_power, band_power
        self._count += 1
        return self._bins.min(axis=0) * np.float32(self._BIAS), self._bands.min(axis=0)


class BinWeights:
    """Weights of the bins of an array's windows, by what went before them.

    band_of_bin: [F] band of each frequency; frame: its samples; hop_s: from window to window.
    """

    def __init__(self, band_of_bin: NDArray[np.integer], frame: int, rate_hz: float, hop_s: float) -> None:
        self._band_of_bin, self._frame, self._rate_hz = band_of_bin, frame, rate_hz
        self._bands = int(band_of_bin.max()) + 1
        self._floor = NoiseFloor(round(FLOOR_MEMORY_S / hop_s))

    def __call__(self, spectra: NDArray[np.complex64]) -> tuple[NDArray[np.float32], float]:
        """Weight of each frame and bin [T, F], and how far the level stands above the floor, in [0, 1]."""
        least = np.float32(10 ** (SILENCE_DB / 10) * self._frame)
        power = mean_power(spectra, least)  # [T, F]
        bin_power = power.mean(axis=0)
        band_power = np.bincount(self._band_of_bin, weights=bin_power, minlength=self._bands).astype(float)
        floor, band_floor = self._floor.update(bin_power, band_power)
        above_db = 10 * np.log10(power / floor)
        lines = _lines(bin_power)
        above_db = np.maximum(above_db * (1 - lines.max()), above_db - np.float32(NOISE_DB))
        clean = np.clip(above_db / np.float32(FULL_WEIGHT_DB), np.float32(MIN_WEIGHT), np.float32(1))
        clean = np.maximum(clean, lines * np.minimum(power / bin_power, np.float32(1)))
        rise_db = float(np.max(10 * np.log10(band_power / band_floor)))
        decay = np.float32(10 ** (-6 * self._frame / (2 * self._rate_hz) / ECHO_S))
        return clean * onsets(power, decay), 1 / (1 + float(np.exp(-(rise_db - ACTIVE_DB) / ACTIVE_WIDTH_DB)))


def _lines(bin_power: NDArray[np.float32]) -> NDArray[np.float32]:
    """[F] in [0, 1]: how far the mean power of a bin [F] stands above those around it. A tone that lasts is its own floor."""
    around = scipy.ndimage.median_filter(bin_power, LINE_BINS, mode="nearest")
    above_db = 10 * np.log10(bin_power / around)
    return np.clip((above_db - np.float32(LINE_DB)) / np.float32(FULL_WEIGHT_DB), np.float32(0), np.float32(1))


@njit(cache=True, nogil=True, error_model="numpy")
def mean_power(spectra, least):  # type: ignore[no-untyped-def]
    """[T, F] mean over microphones of the power of spectra [M, T, F], and a little more."""
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
def onsets(power, decay):  # type: ignore[no-untyped-def]
    """[T, F] share of a bin's power [T, F] that the decay of earlier frames, by `decay` each, does not explain."""
    frames, bins = power.shape
    least, one = np.float32(LEAST_DIRECT), np.float32(1)
    share = np.empty_like(power)
    echo = power[0].copy()
    for t in range(frames):
        for f in range(bins):
            if t > 0:
                echo[f] = decay * max(echo[f], power[t - 1, f])
            share[t, f] = min(max(one - echo[f] / power[t, f], least), one)
    return share
