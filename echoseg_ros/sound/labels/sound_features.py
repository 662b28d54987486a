"""Features of a sound that need no model: level, events, rhythm, tones, pitch and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.labels.filters import filtered, resampled
from echoseg_ros.sound.labels.rhythm import event_features, is_loud
from echoseg_ros.sound.labels.spectrogram import LOW_HZ, centroid, events_above_floor, spectrogram
from echoseg_ros.sound.labels.tones import pitch, steady_lines, strongest_partial
from echoseg_ros.types import Float32Array, Float64Array

# Highest sample rate of the analysis: what separates sounds lies below 8 kHz.
RATE_HZ = 16_000.0
# Shortest signal, s.
MIN_DURATION_S = 0.5
# Share of the energy in events above which the features are those of the events, else those of the full sound.
MAINLY_EVENTS = 0.3


@dataclass(frozen=True)
class SoundFeatures:
    """Features of a signal; all but `level_db` (dBFS) are independent of its level.

    event_share in [0, 1]: share of the energy above the floor; duty in [0, 1]: share of the time that events fill; onsets
    to onset_hz: see EventFeatures. tone_hz, purity, tone_spread: strongest partial, its share of the energy, and octaves
    between the quartiles of its frequency; pitch_hz, voicing, pitch_spread: the same of the fundamental of harmonic sound;
    lines, line_hz: share of the energy in steady lines, and their fundamental; centroid_hz: mean frequency;
    middle_hz: frequency with half of the energy below.
    """

    level_db: float
    event_share: float
    duty: float
    onsets: int
    onset_decades: float
    rate_hz: float
    evenness: float
    event_s: float
    onset_hz: float
    tone_hz: float
    purity: float
    tone_spread: float
    pitch_hz: float
    voicing: float
    pitch_spread: float
    lines: float
    line_hz: float
    centroid_hz: float
    middle_hz: float


def compile_kernels() -> None:
    """Compile the numba kernels before the first signal."""
    measure_features(np.random.default_rng(0).standard_normal(round(RATE_HZ)), RATE_HZ)


def measure_features(signal: NDArray[np.floating[Any]], rate_hz: float) -> SoundFeatures | None:
    """The features of a mono signal [S]; None if it is shorter than MIN_DURATION_S, not finite, or digital silence."""
    if len(signal) < MIN_DURATION_S * rate_hz or not np.isfinite(signal).all() or not np.any(signal):
        return None
    analysis_rate_hz = min(rate_hz, RATE_HZ)
    samples = filtered(resampled(signal, rate_hz, analysis_rate_hz), "highpass", LOW_HZ, analysis_rate_hz)
    level = float(np.mean(np.square(samples, dtype=float)))
    samples = samples / np.float32(np.sqrt(level) + 1e-20)
    power, frequencies_hz = spectrogram(samples, analysis_rate_hz)
    events, floor = events_above_floor(power)
    envelope, total = events.sum(axis=1), power.sum(axis=1)
    event_share = float(envelope.sum() / max(float(total.sum()), 1e-30))
    of_events = event_share > MAINLY_EVENTS
    weights = envelope if of_events else total
    tonal_power = np.maximum(power - floor, 0) if of_events else power
    tone = strongest_partial(tonal_power, frequencies_hz, weights)
    fundamental = pitch(samples, analysis_rate_hz, weights)
    lines, line_hz = steady_lines(samples, analysis_rate_hz)
    mean = power.mean(axis=0).astype(float)
    spectrum = events.sum(axis=0) if of_events else mean
    return SoundFeatures(
        10 * float(np.log10(max(level, 1e-20))), event_share, float(np.mean(is_loud(envelope))) if of_events else 1.0,
        *event_features(power, events, floor, frequencies_hz), *tone, *fundamental, lines, line_hz,
        centroid(spectrum, frequencies_hz), _middle_hz(spectrum, frequencies_hz),
    )  # fmt: skip


def _middle_hz(spectrum: Float32Array | Float64Array, frequencies_hz: Float64Array) -> float:
    return float(frequencies_hz[np.searchsorted(np.cumsum(spectrum), 0.5 * float(np.sum(spectrum)))])
