"""Onsets, rhythm and length of events.

Onsets are rises of the log band energies; the rhythm is given by the statistics of their intervals (Bello et al. 2005).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing
from scipy.signal import find_peaks

from echoseg_ros.sound.labels.spectrogram import HOP_S, centroid
from echoseg_ros.types import Float32Array, Float64Array

# Bands of the log energies, evenly spaced over the logarithm of the frequency.
BANDS = 20
# Energy that is added to the floor of a band, as a share of the loudest energy: without noise, every faint sound would
# be an onset.
QUIET_SHARE = 1e-3
# Height of an onset, as a share of the 99 % quantile of the rises.
ONSET_SHARE = 0.35
# Height of an onset, at least, decades.
MIN_ONSET_DECADES = 0.12
# Frames over which a rise is taken.
ONSET_RISE_FRAMES = 3
# Time between two onsets, at least, s.
ONSET_SEPARATION_S = 0.06
# Onsets of this share of the strongest are also tried alone: weaker ones (echoes, other sources) may blur the rhythm.
STRONG_SHARE = 0.5
# Median rise below which a sound begins softly, and the starts of loud parts are tried instead of onsets, decades.
SOFT_DECADES = 0.25
# Relative difference of an even interval from the median interval, at most.
EVEN_SHARE = 0.16
# Onsets of a rhythm, at least.
MIN_ONSETS = 4
# Energy of a loud frame, as a share of the 98 % quantile.
LOUD_SHARE = 0.1
# Share of the peak energy at which an event ends: -10 dB.
EVENT_END_SHARE = 0.1


class EventFeatures(NamedTuple):
    """Events over the floor.

    onsets: their number; onset_decades: median rise of the log energy at onsets; rate_hz: inverse of the mean even
    interval; evenness in [0, 1]: share of the time between first and last onset that even intervals fill; event_s: median
    time until the energy has fallen by 10 dB; onset_hz: centroid of what rises at onsets.
    """

    onsets: int
    onset_decades: float
    rate_hz: float
    evenness: float
    event_s: float
    onset_hz: float


def event_features(
    power: Float32Array, events: Float32Array, floor: Float32Array, frequencies_hz: Float64Array
) -> EventFeatures:
    """Features of power [T, F] and its events [T, F] above the floor [F]."""
    envelope = events.sum(axis=1)
    rises = _rises(events, floor, frequencies_hz)
    onsets = _onsets(rises)
    onset_decades = float(np.median(rises[onsets])) if len(onsets) else 0.0
    beats = [onsets, onsets[rises[onsets] > STRONG_SHARE * rises[onsets].max(initial=0.0)]]
    beats += [_starts(envelope)] if onset_decades < SOFT_DECADES else []
    most_even = max(beats, key=lambda frames: _rhythm(frames)[1])
    rate_hz, evenness = _rhythm(most_even)
    return EventFeatures(
        len(onsets), onset_decades, rate_hz, evenness, _event_length_s(envelope, most_even),
        _onset_centroid(power, onsets, frequencies_hz),
    )  # fmt: skip


def is_loud(envelope: Float32Array) -> NDArray[np.bool_]:
    """[T] whether a frame has at least LOUD_SHARE of the energy of the loudest."""
    return np.asarray(envelope > LOUD_SHARE * np.quantile(envelope, 0.98))


def _rises(events: Float32Array, floor: Float32Array, frequencies_hz: Float64Array) -> Float32Array:
    """[T] mean over bands of the rise of the log energy within ONSET_RISE_FRAMES, decades."""
    edges_hz = np.geomspace(frequencies_hz[0], frequencies_hz[-1] * 1.001, BANDS + 1)
    starts = np.unique(np.searchsorted(frequencies_hz, edges_hz[:-1]))
    energy = np.add.reduceat(events, starts, axis=1)
    least = np.add.reduceat(floor, starts) + np.float32(QUIET_SHARE * energy.max() / BANDS + 1e-30)
    decades = np.log10(1 + energy / least)
    rise = np.zeros_like(decades)
    rise[ONSET_RISE_FRAMES:] = np.maximum(decades[ONSET_RISE_FRAMES:] - decades[:-ONSET_RISE_FRAMES], 0.0)
    return np.asarray(rise.mean(axis=1))


def _onsets(rises: Float32Array) -> NDArray[np.int64]:
    """Frames of the peaks of the rises [T]."""
    height = max(ONSET_SHARE * float(np.quantile(rises, 0.99)), MIN_ONSET_DECADES)
    found, _ = find_peaks(rises, height=height, distance=round(ONSET_SEPARATION_S / HOP_S))
    return np.asarray(found)


def _starts(envelope: Float32Array) -> NDArray[np.int64]:
    """Frames at which a loud part begins after a pause, for sounds that begin softly."""
    apart = round(ONSET_SEPARATION_S / HOP_S)
    closed = binary_closing(np.pad(is_loud(envelope), apart), np.ones(apart))[apart:-apart]
    starts = np.flatnonzero(closed[1:] & ~closed[:-1]) + 1
    return starts[starts > 2 * apart]  # the first part may be cut off at its beginning


def _rhythm(onsets: NDArray[np.int64]) -> tuple[float, float]:
    """Rate in Hz and evenness of onsets; (0, 0) for fewer than MIN_ONSETS."""
    if len(onsets) < MIN_ONSETS:
        return 0.0, 0.0
    intervals_s = np.diff(onsets) * HOP_S
    median_s = float(np.sort(intervals_s)[len(intervals_s) // 2])
    even = np.abs(intervals_s / median_s - 1) < EVEN_SHARE
    return float(1 / np.mean(intervals_s[even])), float(intervals_s[even].sum() / intervals_s.sum())


def _event_length_s(envelope: Float32Array, onsets: NDArray[np.int64]) -> float:
    """Median time from an onset until the energy has fallen by 10 dB from its peak, s."""
    lengths_s = []
    for start, end in zip(onsets, [*onsets[1:], len(envelope)]):
        event = envelope[start:end]
        if len(event) < 2 or event.max() <= 0:
            continue
        peak = int(np.argmax(event))
        fallen = np.flatnonzero(event[peak:] < EVENT_END_SHARE * event[peak])
        lengths_s.append((peak + fallen[0]) * HOP_S if len(fallen) else len(event) * HOP_S)
    return float(np.median(lengths_s)) if lengths_s else 0.0


def _onset_centroid(power: Float32Array, onsets: NDArray[np.int64], frequencies_hz: Float64Array) -> float:
    """Centroid of the increase of the power [T, F] at the onsets, Hz."""
    if not len(onsets):
        return 0.0
    after = power[np.minimum(onsets + 1, len(power) - 1)]
    before = power[np.maximum(onsets - ONSET_RISE_FRAMES - 1, 0)]
    return centroid(np.maximum(after - before, 0).sum(axis=0), frequencies_hz)
