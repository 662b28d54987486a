"""Tones: the strongest partial, the pitch of harmonic sound, and steady lines.

The pitch is found by YIN (de Cheveigne & Kawahara 2002), lines as peaks of a fine spectrum above its running median.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from echoseg_ros.sound.labels.filters import filtered, resampled
from echoseg_ros.sound.labels.spectrogram import FRAME_S, HOP_S, LOW_HZ, squared_moduli, tapered_spectra
from echoseg_ros.types import Float32Array, Float64Array

# Half width of a partial, bins.
PARTIAL_BINS = 3
# Lowest and highest pitch, Hz.
PITCH_HZ = (60.0, 1000.0)
# Sample rate, frame length and period of the pitch analysis.
PITCH_RATE_HZ = 8000.0
PITCH_FRAME_S = 0.04
PITCH_HOP_S = 0.032
# Edge of the low-pass before the pitch analysis, Hz. A voice has its strong partials below, a ringing tick above.
PITCH_LOWPASS_HZ = 1800.0
# Share of a frame's energy below that edge, at least; else it has no pitch.
MIN_LOW_SHARE = 0.1
# Weight of a frame that is analysed, as a share of the largest, at least.
MIN_WEIGHT_SHARE = 1e-3
# Threshold of YIN on its first dip.
YIN_DIP = 0.2
# Depth of the dip up to which a frame is periodic.
YIN_PERIODIC = 0.4
# Frame length of the spectrum for lines, s.
LINE_FRAME_S = 0.25
# Power of a line over the running median, and the length of the median, bins.
LINE_FACTOR = 12.0
LINE_MEDIAN_BINS = 61
# A lower line is the fundamental of the strongest one if it has this share of its power.
FUNDAMENTAL_SHARE = 0.1


class Tone(NamedTuple):
    """Median frequency in Hz, share of the energy, and octaves between the quartiles of the frequency."""

    frequency_hz: float
    share: float
    spread_octaves: float


def strongest_partial(power: Float32Array, frequencies_hz: Float64Array, weights: Float32Array) -> Tone:
    """The strongest partial of power [T, F], over frames with weights [T]."""
    inner = np.clip(np.argmax(power, axis=1), PARTIAL_BINS, power.shape[1] - PARTIAL_BINS - 1)
    rows = np.arange(len(power))
    near = sum(power[rows, inner + k] for k in range(-PARTIAL_BINS, PARTIAL_BINS + 1))
    share = near / np.maximum(power.sum(axis=1), 1e-30)
    below, at, above = (np.log(power[rows, inner + k] + 1e-30) for k in (-1, 0, 1))
    curve = np.minimum(below - 2 * at + above, -1e-9)
    shift = np.clip(0.5 * (below - above) / curve, -0.5, 0.5)
    tones_hz = frequencies_hz[inner] + shift * (frequencies_hz[1] - frequencies_hz[0])
    low_hz, middle_hz, high_hz = _weighted_quartiles(tones_hz, weights)
    purity = float(np.sum(share * weights) / max(float(weights.sum()), 1e-30))
    return Tone(middle_hz, purity, float(np.log2(high_hz / low_hz)))


def pitch(samples: Float32Array, rate_hz: float, weights: Float32Array) -> Tone:
    """The fundamental of samples [S]; weights: [T] of the frames of the spectrogram. The share is of periodic frames."""
    pitch_rate_hz = min(rate_hz, PITCH_RATE_HZ)
    full = resampled(samples, rate_hz, pitch_rate_hz)
    low = filtered(full, "lowpass", PITCH_LOWPASS_HZ, pitch_rate_hz)
    frame, hop = round(PITCH_FRAME_S * pitch_rate_hz), round(PITCH_HOP_S * pitch_rate_hz)
    max_lag, min_lag = int(pitch_rate_hz / PITCH_HZ[0]) + 1, int(pitch_rate_hz / PITCH_HZ[1])
    if len(low) < frame + max_lag:
        return Tone(0.0, 0.0, 0.0)
    segments = np.lib.stride_tricks.sliding_window_view(low, frame + max_lag)[::hop]
    centre = (np.arange(len(segments)) * hop + (frame + max_lag) / 2) / pitch_rate_hz / HOP_S - 0.5 * FRAME_S / HOP_S
    weight = weights[np.clip(np.round(centre), 0, len(weights) - 1).astype(np.int64)]
    loud = weight > MIN_WEIGHT_SHARE * weight.max()
    segments, weight = segments[loud], weight[loud]
    full_segments = np.lib.stride_tricks.sliding_window_view(full, frame + max_lag)[::hop][loud]
    energy = np.einsum("ts,ts->t", full_segments, full_segments)
    low_share = np.einsum("ts,ts->t", segments, segments) / np.maximum(energy, 1e-20)
    column, shift, dips = _dips(_normalised_differences(segments, frame, max_lag)[:, min_lag - 1 :])
    periodic = (dips < YIN_PERIODIC) & (low_share > MIN_LOW_SHARE)
    if not weight[periodic].sum() > 0:
        return Tone(0.0, 0.0, 0.0)
    pitches_hz = pitch_rate_hz / (column + min_lag + shift)
    low_hz, middle_hz, high_hz = _weighted_quartiles(pitches_hz[periodic], weight[periodic])
    share = float(weight[periodic].sum() / weight.sum())
    return Tone(middle_hz, share, float(np.log2(high_hz / low_hz)))


def steady_lines(samples: Float32Array, rate_hz: float) -> tuple[float, float]:
    """Share of the energy in steady lines, and the frequency of their fundamental in Hz (0 without lines)."""
    frame = round(LINE_FRAME_S * rate_hz)
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[:: frame // 2]
    spectra = tapered_spectra(frames)
    power = squared_moduli(spectra, 0, spectra.shape[1])
    # Median over time of each bin, which short sounds do not change; sorting is five times as fast as np.median here.
    ordered = np.sort(np.ascontiguousarray(np.sqrt(power).T), axis=1)
    steady = (0.5 * (ordered[:, (len(power) - 1) // 2] + ordered[:, len(power) // 2])) ** 2
    mean = np.mean(power, axis=0)
    around = median_filter(steady, LINE_MEDIAN_BINS)
    frequencies_hz = np.fft.rfftfreq(frame, 1 / rate_hz)
    line = (steady > LINE_FACTOR * around) & (frequencies_hz > LOW_HZ)
    share = float(np.minimum(steady, mean)[line].sum() / max(float(mean.sum()), 1e-30))
    peaks = np.flatnonzero(line[1:-1] & (steady[1:-1] >= steady[:-2]) & (steady[1:-1] > steady[2:])) + 1
    if not len(peaks):
        return share, 0.0
    bin_ = _fundamental_bin(steady, peaks)
    below, at, above = np.log(steady[bin_ - 1 : bin_ + 2] + 1e-30)
    shift = 0.5 * (below - above) / min(below - 2 * at + above, -1e-9)
    return share, float((bin_ + shift) / LINE_FRAME_S)


def _fundamental_bin(steady: Float32Array, peaks: NDArray[np.int64]) -> int:
    """The strongest of the peaks of a spectrum, or a lower peak of which it is a multiple."""
    strongest = int(peaks[np.argmax(steady[peaks])])
    for peak in peaks[peaks < strongest]:
        multiple = strongest / peak
        if steady[peak] > FUNDAMENTAL_SHARE * steady[strongest] and abs(multiple - round(multiple)) * peak < 2:
            return int(peak)
    return strongest


def _normalised_differences(segments: Float32Array, frame: int, max_lag: int) -> Float32Array:
    """[T, max_lag - 1] YIN's cumulative mean normalised differences at lags from 1; segments: [T, frame + max_lag]."""
    difference = _differences(segments, frame, max_lag)
    mean = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, max_lag, dtype=np.float32)
    return (difference[:, 1:] / np.maximum(mean, 1e-30)).astype(np.float32)


def _dips(differences: Float32Array) -> tuple[NDArray[np.int64], Float32Array, Float32Array]:
    """[T] columns of the first dip of differences [T, L], [T] shifts from there to its vertex, and [T] its depths."""
    column = np.clip(_first_dip(differences), 1, differences.shape[1] - 2)
    rows = np.arange(len(differences))
    before, at, after = (differences[rows, column + k] for k in (-1, 0, 1))
    shift = np.clip(0.5 * (before - after) / np.maximum(before - 2 * at + after, 1e-9), -0.5, 0.5)
    return column, shift, at


def _differences(segments: Float32Array, frame: int, max_lag: int) -> Float32Array:
    """[T, max_lag] YIN's squared differences between the first frame of each segment and itself later by each lag."""
    size = scipy.fft.next_fast_len(segments.shape[1], real=True)
    head = scipy.fft.rfft(segments[:, :frame], size, axis=1, workers=1)
    full = scipy.fft.rfft(segments, size, axis=1, workers=1)
    product = scipy.fft.irfft(full * head.conj(), size, axis=1, workers=1)[:, :max_lag]
    energy = np.cumsum(np.pad(np.square(segments, dtype=float), ((0, 0), (1, 0))), axis=1)
    moved = energy[:, frame : frame + max_lag] - energy[:, :max_lag]
    return np.asarray(np.maximum(energy[:, frame : frame + 1] + moved - 2 * product, 0.0).astype(np.float32))


def _first_dip(differences: Float32Array) -> NDArray[np.int64]:
    """[T] column of the first local minimum below YIN's threshold, else of the lowest value."""
    inner = differences[:, 1:-1]
    local = (inner < YIN_DIP) & (inner <= differences[:, :-2]) & (inner < differences[:, 2:])
    return np.asarray(np.where(local.any(axis=1), np.argmax(local, axis=1) + 1, np.argmin(differences, axis=1)))


def _weighted_quartiles(values: Float64Array, weights: Float32Array) -> tuple[float, float, float]:
    order = np.argsort(values)
    filled = np.cumsum(weights[order])
    ranks = np.searchsorted(filled, np.array([0.25, 0.5, 0.75]) * filled[-1])
    low, middle, high = (float(values[order[min(int(rank), len(order) - 1)]]) for rank in ranks)
    return low, middle, high
