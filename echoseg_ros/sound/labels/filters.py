"""Resampling and filters of a mono signal."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.signal import butter, firwin, resample_poly, sosfilt

from echoseg_ros.types import Float32Array

# Largest denominator of a ratio of sample rates.
MAX_DENOMINATOR = 1000
# Taps of the half-band filter, as in scipy's resample_poly(x, 1, 2).
HALF_BAND_TAPS = 41
# Largest edge of a filter, as a share of the sample rate.
MAX_EDGE_SHARE = 0.45


def resampled(signal: NDArray[np.floating[Any]], rate_hz: float, wanted_hz: float) -> Float32Array:
    """The signal [S] at another sample rate (polyphase filter)."""
    ratio = Fraction(wanted_hz / rate_hz).limit_denominator(MAX_DENOMINATOR)
    samples = np.asarray(signal, dtype=np.float32)
    if ratio == Fraction(1, 2):
        taps, count = _half_band(), (len(samples) + 1) // 2
        silence = np.zeros(len(taps) // 2, dtype=np.float32)
        padded = np.concatenate([silence, samples, silence, silence])
        return np.asarray(_halved(padded[::2].copy(), padded[1::2].copy(), taps, count))
    if ratio == 1:
        return samples
    return np.asarray(resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32))


def filtered(samples: Float32Array, kind: str, edge_hz: float, rate_hz: float) -> Float32Array:
    """Samples [S] after a Butterworth filter of second order; kind: "highpass" or "lowpass"."""
    return np.asarray(sosfilt(_sections(kind, edge_hz, rate_hz), samples))


@lru_cache(maxsize=4)
def _sections(kind: str, edge_hz: float, rate_hz: float) -> Float32Array:
    sections = butter(2, min(edge_hz, MAX_EDGE_SHARE * rate_hz), kind, fs=rate_hz, output="sos")
    return np.asarray(sections, dtype=np.float32)


@lru_cache(maxsize=1)
def _half_band() -> Float32Array:
    return np.asarray(firwin(HALF_BAND_TAPS, 0.5, window=("kaiser", 5.0)), dtype=np.float32)


@njit(cache=True, nogil=True)
def _halved(even, odd, taps, count):  # type: ignore[no-untyped-def]
    """[count] every second sample after a symmetric filter; even, odd: samples of even and odd index, padded with 0."""
    out = np.zeros(count, dtype=np.float32)
    for k in range(len(taps)):
        if abs(taps[k]) > 1e-9:  # every second tap of a half-band filter is 0
            source = even[k // 2 : k // 2 + count] if k % 2 == 0 else odd[k // 2 : k // 2 + count]
            for n in range(count):
                out[n] += taps[k] * source[n]
    return out
