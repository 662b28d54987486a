"""Correlations of all microphone pairs in windows of a recording (GCC-PHAT, Knapp & Carter 1976)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.channel_checks.channel_faults import ArrayRecording
from echoseg_ros.sound.evidence.extractor import FRAME_S
from echoseg_ros.types import Complex64Array, Float32Array, Float64Array

# Number of windows that are used, and their length.
WINDOWS = 60
WINDOW_S = 0.5
# Least number of windows for a check.
MIN_WINDOWS = 4
# Directions in which arrays are steered.
DIRECTIONS = fibonacci_sphere(1200)
# Frequency range that is used.
_LOW_HZ = 200.0
_HIGH_HZ = 6000.0
# Lags per period of the highest frequency.
_LAGS_PER_PERIOD = 10
# Largest lag on the grid over the largest of the array as described; larger scales use the lags that fit.
_LAG_MARGIN = 2


@dataclass(frozen=True)
class PairCorrelations:
    """Correlations of pairs in windows.

    values: [W, P, L]; lags_s: [L]; pairs: [P, 2] numbers of the working microphones; T_map_array: [W, 4, 4] or None without
    poses.
    """

    values: Float32Array
    lags_s: Float64Array
    pairs: NDArray[np.int64]
    T_map_array: Float64Array | None

    def with_inverted(self, microphones: Sequence[int]) -> PairCorrelations:
        """The correlations with the polarity of some microphones inverted."""
        sign = 1 - 2 * (np.isin(self.pairs, microphones).sum(axis=1) % 2)
        values = self.values * sign[:, None].astype(np.float32)
        return PairCorrelations(values, self.lags_s, self.pairs, self.T_map_array)


def loud_pair_correlations(
    recording: ArrayRecording, array: ArrayGeometry, samples: NDArray[np.floating], working: list[int]
) -> PairCorrelations | None:
    """The correlations of the louder half of the windows; None where the recording or its poses are too short.

    samples: [S, M] by microphone; working: the microphones that are not dead.
    """
    rate_hz = recording.sample_rate_hz
    length = round(WINDOW_S * rate_hz)
    if len(samples) < 4 * length:
        return None
    starts = _loud_starts(samples, working, length)
    frame = 2 ** round(np.log2(FRAME_S * rate_hz))
    frequencies_hz = np.fft.rfftfreq(frame, 1 / rate_hz)
    used = (frequencies_hz >= _LOW_HZ) & (frequencies_hz <= min(_HIGH_HZ, 0.475 * rate_hz))
    pairs = np.array(list(combinations(range(len(working)), 2)))
    lags_s = _lag_grid(array, working, float(frequencies_hz[used][-1]))
    steering = np.exp(2j * np.pi * frequencies_hz[used][:, None] * lags_s).astype(np.complex64)
    delay_phases = np.exp(2j * np.pi * frequencies_hz[used] * array.delays_s[working][:, None]).astype(np.complex64)
    values, poses = [], []
    for start in starts:
        if recording.poses is not None:
            T_map_camera = recording.poses.at(_time_ns(recording, start + length / 2))
            if T_map_camera is None:
                continue
            poses.append(T_map_camera @ array.T_camera_array)
        window = samples[start : start + length][:, working].T
        cross = _cross_spectra(window, frame, used, delay_phases, pairs)
        values.append((cross @ steering).real.astype(np.float32))
    if len(values) < MIN_WINDOWS:
        return None
    return PairCorrelations(np.stack(values), lags_s, pairs, np.stack(poses) if poses else None)


def _loud_starts(samples: NDArray[np.floating], working: list[int], length: int) -> NDArray[np.int64]:
    """[W] first samples of the louder half of the windows, in order of time."""
    starts = np.unique(np.linspace(0, len(samples) - length, 2 * WINDOWS).astype(int))
    levels = np.array([np.square(samples[s : s + length][:, working]).mean() for s in starts])
    loud = np.sort(np.argsort(levels)[-max(MIN_WINDOWS, len(starts) // 2) :])
    return np.asarray(starts[loud])


def _time_ns(recording: ArrayRecording, sample: float) -> int:
    """Time of a sample, interpolated between the stamps or counted from the first sample."""
    count, stamp_ns = 0.0, float(recording.first_ns)
    if recording.stamps:
        numbers, stamps_ns = np.array(recording.stamps, dtype=float).T
        count, stamp_ns = min(sample, float(numbers[-1])), float(np.interp(sample, numbers, stamps_ns))
    return round(stamp_ns + (sample - count) / recording.sample_rate_hz * 1e9)


def _lag_grid(array: ArrayGeometry, working: list[int], high_hz: float) -> Float64Array:
    """[L] lags in seconds around zero that any pair may have, for factors on the delays up to 2."""
    delays_s = array.far_field_delays_s(DIRECTIONS)[:, working]
    largest_s = _LAG_MARGIN * float((delays_s.max(axis=1) - delays_s.min(axis=1)).max())
    half = int(np.ceil(largest_s * high_hz * _LAGS_PER_PERIOD)) + 1
    return np.arange(-half, half + 1) / (high_hz * _LAGS_PER_PERIOD)


def _cross_spectra(
    samples: NDArray[np.floating], frame: int, used: NDArray[np.bool_], delay_phases: Complex64Array,
    pairs: NDArray[np.int64],
) -> Complex64Array:  # fmt: skip
    """[P, F] whitened cross spectra of samples [M, S], weighted by level; magnitudes sum to 1 for a lone plane wave."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame, axis=1)[:, :: frame // 2]
    spectra = np.fft.rfft(frames * np.hanning(frame), axis=2)[:, :, used] * delay_phases[:, None]
    magnitude = np.abs(spectra)
    power = np.square(magnitude).mean(axis=0)  # [T, F]
    weights = np.sqrt(power / (power.max(axis=0) + 1e-20))
    floor = np.median(power) * 1e-3 + 1e-20
    weights = weights * np.clip(10 * np.log10(power / floor) / 30, 0.03, 1)
    whitened = spectra / np.maximum(magnitude, 1e-12)
    first, second = whitened[pairs[:, 0]], whitened[pairs[:, 1]]
    cross: NDArray[np.complex128] = np.einsum("tf,ptf,ptf->pf", weights / weights.sum(), first, np.conj(second))
    return cross.astype(np.complex64)
