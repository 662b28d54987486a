"""Spectrogram of a mono signal and its events: the energy above the noise floor (minimum statistics, Martin 2001)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

from echoseg_ros.types import Complex64Array, Float32Array, Float64Array

# Length and period of the frames, s.
FRAME_S = 0.032
HOP_S = 0.008
# Lowest and highest frequency, Hz.
LOW_HZ = 80.0
HIGH_HZ = 7600.0
# Quantile over time of the smoothed power that gives the floor.
FLOOR_SHARE = 0.1
# Factor from that quantile to the floor.
FLOOR_FACTOR = 2.5
# Bins over which the power is smoothed for the floor; also over 3 frames.
SMOOTH_BINS = 9


def spectrogram(samples: Float32Array, rate_hz: float) -> tuple[Float32Array, Float64Array]:
    """Power [T, F] in frames of FRAME_S every HOP_S, and the frequencies [F] between LOW_HZ and HIGH_HZ."""
    frame, hop = round(FRAME_S * rate_hz), round(HOP_S * rate_hz)
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop]
    spectra = tapered_spectra(frames)
    frequencies_hz: Float64Array = np.asarray(np.fft.rfftfreq(frame, 1 / rate_hz), dtype=np.float64)
    low, high = np.searchsorted(frequencies_hz, [LOW_HZ, np.nextafter(HIGH_HZ, np.inf)])
    return np.asarray(squared_moduli(spectra, low, high)), frequencies_hz[low:high]


def tapered_spectra(frames: Float32Array) -> Complex64Array:
    """[T, F] spectra of frames [T, S] with a Hann taper."""
    return np.asarray(scipy.fft.rfft(frames * _taper(frames.shape[1]), axis=1, workers=1))


def events_above_floor(power: Float32Array) -> tuple[Float32Array, Float32Array]:
    """[T, F] smoothed power above the floor, and the floor [F], an upper bound of the steady part of the sound."""
    smooth = _smoothed(np.pad(power, ((0, 0), (SMOOTH_BINS // 2, SMOOTH_BINS // 2)), mode="symmetric"))
    rank = int(FLOOR_SHARE * len(smooth))
    floor = np.float32(FLOOR_FACTOR) * np.partition(np.ascontiguousarray(smooth.T), rank, axis=1)[:, rank]
    return np.maximum(smooth - floor, 0.0), floor


def centroid(spectrum: NDArray[np.floating[Any]], frequencies_hz: Float64Array) -> float:
    """Mean frequency of a power spectrum [F], Hz."""
    return float(spectrum @ frequencies_hz / max(float(spectrum.sum()), 1e-30))


@lru_cache(maxsize=8)
def _taper(frame: int) -> Float32Array:
    return np.hanning(frame).astype(np.float32)


@njit(cache=True, nogil=True)
def squared_moduli(spectra, low, high):  # type: ignore[no-untyped-def]
    """[T, high - low] squared moduli of spectra [T, F] from bin `low` to before bin `high`."""
    power = np.empty((len(spectra), high - low), dtype=np.float32)
    for t in range(len(spectra)):
        row = spectra[t, low:high]
        for f in range(len(row)):
            power[t, f] = row[f].real * row[f].real + row[f].imag * row[f].imag
    return power


@njit(cache=True, nogil=True)
def _smoothed(padded):  # type: ignore[no-untyped-def]
    """[T, F] mean of padded [T, F + SMOOTH_BINS - 1] over SMOOTH_BINS bins and over a frame and its two neighbours."""
    frames, bins = padded.shape[0], padded.shape[1] - SMOOTH_BINS + 1
    across = np.zeros((frames, bins), dtype=np.float32)
    for t in range(frames):
        row = across[t]
        for k in range(SMOOTH_BINS):
            moved = padded[t, k : k + bins]
            for f in range(bins):
                row[f] += moved[f]
    smooth = np.empty_like(across)
    for t in range(frames):
        before, at, after = across[max(t - 1, 0)], across[t], across[min(t + 1, frames - 1)]
        for f in range(bins):
            smooth[t, f] = (before[f] + at[f] + after[f]) * np.float32(1 / (3 * SMOOTH_BINS))
    return smooth
