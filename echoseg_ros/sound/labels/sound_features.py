"""What can be measured of a sound without knowing what it is: level, events, rhythm, tones, pitch, noisiness.

Standard measures: events over a quantile floor (minimum statistics, Martin 2001), onsets as the rise of log band
energies and rhythm as the statistics of their intervals (Bello et al. 2005), pitch by YIN (de Cheveigne & Kawahara
2002), spectral flatness (Johnston 1988), and lines: peaks of a fine spectrum over its running median.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, median_filter
from scipy.signal import butter, find_peaks, firwin, resample_poly, sosfilt

from echoseg_ros.types import Float32Array, Float64Array

# Everything is measured at this rate: what tells sounds apart lies below 8 kHz.
RATE_HZ = 16_000.0
FRAME_S, HOP_S = 0.032, 0.008
LOW_HZ, HIGH_HZ = 80.0, 7600.0
BANDS = 20
# The floor is the tenth part of the frames that is quietest; what stands this far above it belongs to an event.
FLOOR_SHARE, FLOOR_FACTOR = 0.1, 2.5
SMOOTH_BINS = 9  # and frames: one before and one after
# Beyond this share of the energy in events, events are what is measured; below it, the whole.
MAINLY_EVENTS = 0.3
# An onset: a rise of the log energies by this share of the greatest rises, and by so many decades at least.
ONSET_SHARE, ONSET_LEAST = 0.35, 0.12
ONSET_RISE_FRAMES, ONSET_APART_S = 3, 0.06
# Onsets with this share of the strongest may keep a rhythm that weaker ones (echoes, other things) blur.
STRONG_SHARE = 0.5
# Sounds that rise by less begin too softly for onsets: where they are loud may give their rhythm.
SOFT_DECADES = 0.25
# Intervals this near to the median one are even.
EVEN, LEAST_ONSETS = 0.16, 4
# An event is loud where it has this share of the energy of the loudest.
LOUD_SHARE = 0.1
# A partial and its skirts, in bins to each side.
PARTIAL_BINS = 3
PITCH_HZ = (60.0, 1000.0)
PITCH_RATE_HZ, PITCH_FRAME_S, PITCH_HOP_S = 8000.0, 0.04, 0.032
# A voice has its strong partials below this; a ringing tick has its own above, and would be given a pitch.
PITCH_LOWPASS_HZ, LOW_SHARE = 1800.0, 0.1
# YIN's threshold on its first dip, and the depth of the dip up to which a frame counts as periodic.
YIN_DIP, YIN_PERIODIC = 0.2, 0.4
# Lines are looked for with this frame; they stand this far above the median of their neighbourhood.
LINE_FRAME_S, LINE_OVER, LINE_NEIGHBOURS = 0.25, 12.0, 61
# A line below the strongest is its fundamental if it has this share of its power.
FUNDAMENTAL_SHARE = 0.1
LEAST_S = 0.5


@dataclass(frozen=True)
class SoundFeatures:
    """Measures of a stretch of sound; all but `level_db` (dBFS) are independent of its level.

    Events: event_share in [0, 1], energy above the steady part; duty in [0, 1], share of the time they fill; onsets,
    how many; onset_decades, how far energy rises there; rate_hz, evenness in [0, 1], one over the usual interval and the share
    of the time that is made of such intervals; event_s, how long an event takes to fall by 10 dB; onset_hz, centroid of
    what rises. Tones: tone_hz, purity, tone_spread, the strongest partial, its share of the energy and the octaves
    between the quartiles of its frequency; pitch_hz, voicing, pitch_spread, the same of the fundamental of harmonic sound;
    lines, line_hz, share of the energy in steady lines and their fundamental. Noise: flatness in [0, 1], 1 = white; centroid_hz;
    middle_hz, with half of the energy below it.
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
    flatness: float
    centroid_hz: float
    middle_hz: float


def resampled(signal: NDArray[np.floating], rate_hz: float, wanted_hz: float) -> Float32Array:
    """The signal [S] at another rate (polyphase)."""
    ratio = Fraction(wanted_hz / rate_hz).limit_denominator(1000)
    samples = np.asarray(signal, dtype=np.float32)
    if ratio == Fraction(1, 2):
        taps, count = _half_band(), (len(samples) + 1) // 2
        silence = np.zeros(len(taps) // 2, dtype=np.float32)
        padded = np.concatenate([silence, samples, silence, silence])
        return np.asarray(_halved(padded[::2].copy(), padded[1::2].copy(), taps, count))
    return samples if ratio == 1 else resample_poly(samples, ratio.numerator, ratio.denominator).astype(np.float32)


def compile_kernels() -> None:
    """Once, before anybody waits for a measure."""
    measure(np.random.default_rng(0).standard_normal(round(RATE_HZ)), RATE_HZ)


@lru_cache(maxsize=1)
def _half_band() -> Float32Array:
    """[41] the low-pass of scipy's resample_poly(x, 1, 2)."""
    return np.asarray(firwin(41, 0.5, window=("kaiser", 5.0)), dtype=np.float32)


@njit(cache=True, nogil=True)
def _halved(even, odd, taps, count):  # type: ignore[no-untyped-def]
    """[count] every second sample after a symmetric filter [41], from the even and the odd ones in silence."""
    out = np.zeros(count, dtype=np.float32)
    for k in range(len(taps)):
        if abs(taps[k]) > 1e-9:  # of a half band every second one is nothing
            source = even[k // 2 : k // 2 + count] if k % 2 == 0 else odd[k // 2 : k // 2 + count]
            for n in range(count):
                out[n] += taps[k] * source[n]
    return out


def measure(signal: NDArray[np.floating], rate_hz: float) -> SoundFeatures | None:
    """The features of a mono signal [S]; None if it is shorter than LEAST_S, not finite, or digital silence."""
    if len(signal) < LEAST_S * rate_hz or not np.isfinite(signal).all() or not np.any(signal):
        return None
    rate_now_hz = min(rate_hz, RATE_HZ)
    samples = resampled(signal, rate_hz, rate_now_hz)
    samples = sosfilt(_filter("highpass", LOW_HZ, rate_now_hz), samples)
    level = float(np.mean(np.square(samples, dtype=float)))
    samples = samples / np.float32(np.sqrt(level) + 1e-20)
    power, frequencies_hz = spectrogram(samples, rate_now_hz)
    events, floor = _events(power)
    envelope, total = events.sum(axis=1), power.sum(axis=1)
    event_share = float(envelope.sum() / max(float(total.sum()), 1e-30))
    of_events = event_share > MAINLY_EVENTS
    weights = envelope if of_events else total
    rises = _rises(events, floor, frequencies_hz)
    onsets = _onsets(rises)
    onset_decades = float(np.median(rises[onsets])) if len(onsets) else 0.0
    beats = [onsets, onsets[rises[onsets] > STRONG_SHARE * rises[onsets].max(initial=0.0)]]
    beats += [_starts(envelope)] if onset_decades < SOFT_DECADES else []
    even = max(beats, key=lambda frames: _rhythm(frames)[1])
    rate_hz_found, evenness = _rhythm(even)
    tone_hz, purity, tone_spread = _tone(np.maximum(power - floor, 0) if of_events else power, frequencies_hz, weights)
    pitch_hz, voicing, pitch_spread = _pitch(samples, rate_now_hz, weights)
    lines, line_hz = _lines(samples, rate_now_hz)
    mean = power.mean(axis=0).astype(float)
    spectrum = events.sum(axis=0) if of_events else mean
    return SoundFeatures(
        level_db=10 * float(np.log10(max(level, 1e-20))),
        event_share=event_share,
        duty=float(np.mean(envelope > LOUD_SHARE * np.quantile(envelope, 0.98))) if of_events else 1.0,
        onsets=len(onsets),
        onset_decades=onset_decades,
        rate_hz=rate_hz_found,
        evenness=evenness,
        event_s=_event_length(envelope, even),
        onset_hz=_onset_centroid(power, onsets, frequencies_hz),
        tone_hz=tone_hz,
        purity=purity,
        tone_spread=tone_spread,
        pitch_hz=pitch_hz,
        voicing=voicing,
        pitch_spread=pitch_spread,
        lines=lines,
        line_hz=line_hz,
        flatness=float(np.exp(np.mean(np.log(mean + 1e-30))) / max(float(mean.mean()), 1e-30)),
        centroid_hz=_centroid(spectrum, frequencies_hz),
        middle_hz=float(frequencies_hz[np.searchsorted(np.cumsum(spectrum), 0.5 * float(np.sum(spectrum)))]),
    )


@lru_cache(maxsize=4)
def _filter(kind: str, edge_hz: float, rate_hz: float) -> Float32Array:
    return np.asarray(butter(2, min(edge_hz, 0.45 * rate_hz), kind, fs=rate_hz, output="sos"), dtype=np.float32)


def spectrogram(samples: Float32Array, rate_hz: float) -> tuple[Float32Array, Float64Array]:
    """Power [T, F] in frames of FRAME_S every HOP_S, and the frequencies [F] between LOW_HZ and HIGH_HZ."""
    frame, hop = round(FRAME_S * rate_hz), round(HOP_S * rate_hz)
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop]
    spectra = scipy.fft.rfft(frames * _taper(frame), axis=1, workers=1)
    frequencies_hz: Float64Array = np.asarray(np.fft.rfftfreq(frame, 1 / rate_hz), dtype=np.float64)
    low, high = np.searchsorted(frequencies_hz, [LOW_HZ, np.nextafter(HIGH_HZ, np.inf)])
    return np.asarray(_power(spectra, low, high)), frequencies_hz[low:high]


@lru_cache(maxsize=8)
def _taper(frame: int) -> Float32Array:
    return np.hanning(frame).astype(np.float32)


@njit(cache=True, nogil=True)
def _power(spectra, low, high):  # type: ignore[no-untyped-def]
    """[T, high - low] squared moduli of spectra [T, F] from bin `low` on."""
    power = np.empty((len(spectra), high - low), dtype=np.float32)
    for t in range(len(spectra)):
        row = spectra[t, low:high]
        for f in range(len(row)):
            power[t, f] = row[f].real * row[f].real + row[f].imag * row[f].imag
    return power


def _events(power: Float32Array) -> tuple[Float32Array, Float32Array]:
    """[T, F] what stands above the steady part, and the steady part [F] itself (an upper bound of it)."""
    smooth = _smoothed(np.pad(power, ((0, 0), (SMOOTH_BINS // 2, SMOOTH_BINS // 2)), mode="symmetric"))
    rank = int(FLOOR_SHARE * len(smooth))
    floor = np.float32(FLOOR_FACTOR) * np.partition(np.ascontiguousarray(smooth.T), rank, axis=1)[:, rank]
    return np.maximum(smooth - floor, 0.0), floor


@njit(cache=True, nogil=True)
def _smoothed(padded):  # type: ignore[no-untyped-def]
    """[T, F] mean of padded [T, F + SMOOTH_BINS - 1] over SMOOTH_BINS and over a frame, the one before and the one after."""
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


def _rises(events: Float32Array, floor: Float32Array, frequencies_hz: Float64Array) -> Float32Array:
    """[T] mean rise of the log band energies, decades in ONSET_RISE_FRAMES."""
    edges_hz = np.geomspace(frequencies_hz[0], frequencies_hz[-1] * 1.001, BANDS + 1)
    starts = np.unique(np.searchsorted(frequencies_hz, edges_hz[:-1]))
    energy = np.add.reduceat(events, starts, axis=1)
    # Against the floor, and against a little of the loudest: without noise every whisper would be an onset.
    least = np.add.reduceat(floor, starts) + np.float32(1e-3 * energy.max() / BANDS + 1e-30)
    decades = np.log10(1 + energy / least)
    rise = np.zeros_like(decades)
    rise[ONSET_RISE_FRAMES:] = np.maximum(decades[ONSET_RISE_FRAMES:] - decades[:-ONSET_RISE_FRAMES], 0.0)
    return rise.mean(axis=1)


def _onsets(rises: Float32Array) -> NDArray[np.int64]:
    """Frames at which something begins."""
    height = max(ONSET_SHARE * float(np.quantile(rises, 0.99)), ONSET_LEAST)
    found, _ = find_peaks(rises, height=height, distance=round(ONSET_APART_S / HOP_S))
    return np.asarray(found)


def _starts(envelope: Float32Array) -> NDArray[np.int64]:
    """Frames at which the loudness rises out of a pause, for sounds that begin softly."""
    loud = envelope > LOUD_SHARE * np.quantile(envelope, 0.98)
    apart = round(ONSET_APART_S / HOP_S)
    closed = binary_closing(np.pad(loud, apart), np.ones(apart))[apart:-apart]
    starts = np.flatnonzero(closed[1:] & ~closed[:-1]) + 1
    return starts[starts > 2 * apart]  # what was cut off at the beginning begins too late


def _rhythm(onsets: NDArray[np.int64]) -> tuple[float, float]:
    """Onsets per second and the share of the time between first and last that even intervals fill; (0, 0) for few."""
    if len(onsets) < LEAST_ONSETS:
        return 0.0, 0.0
    intervals_s = np.diff(onsets) * HOP_S
    usual_s = float(np.sort(intervals_s)[len(intervals_s) // 2])
    even = np.abs(intervals_s / usual_s - 1) < EVEN
    return float(1 / np.mean(intervals_s[even])), float(intervals_s[even].sum() / intervals_s.sum())


def _event_length(envelope: Float32Array, onsets: NDArray[np.int64]) -> float:
    """Median time from an onset until the energy has fallen by 10 dB from its peak there, seconds."""
    lengths = []
    for start, end in zip(onsets, [*onsets[1:], len(envelope)]):
        event = envelope[start:end]
        if len(event) < 2 or event.max() <= 0:
            continue
        peak = int(np.argmax(event))
        fallen = np.flatnonzero(event[peak:] < 0.1 * event[peak])
        lengths.append((peak + fallen[0]) * HOP_S if len(fallen) else len(event) * HOP_S)
    return float(np.median(lengths)) if lengths else 0.0


def _onset_centroid(power: Float32Array, onsets: NDArray[np.int64], frequencies_hz: Float64Array) -> float:
    """Centroid of what is there just after the onsets and was not before, Hz."""
    if not len(onsets):
        return 0.0
    after = power[np.minimum(onsets + 1, len(power) - 1)]
    before = power[np.maximum(onsets - ONSET_RISE_FRAMES - 1, 0)]
    return _centroid(np.maximum(after - before, 0).sum(axis=0), frequencies_hz)


def _tone(power: Float32Array, frequencies_hz: Float64Array, weights: Float32Array) -> tuple[float, float, float]:
    """The strongest partial: frequency, share of the energy, octaves between the quartiles of its frequency."""
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
    return middle_hz, purity, float(np.log2(high_hz / low_hz))


def _pitch(samples: Float32Array, rate_hz: float, weights: Float32Array) -> tuple[float, float, float]:
    """Fundamental, share of the (weighted) energy in periodic frames, octaves between the quartiles; YIN."""
    rate_now_hz = min(rate_hz, PITCH_RATE_HZ)
    whole = resampled(samples, rate_hz, rate_now_hz)
    low = sosfilt(_filter("lowpass", PITCH_LOWPASS_HZ, rate_now_hz), whole)
    frame, hop = round(PITCH_FRAME_S * rate_now_hz), round(PITCH_HOP_S * rate_now_hz)
    longest, shortest = int(rate_now_hz / PITCH_HZ[0]) + 1, int(rate_now_hz / PITCH_HZ[1])
    if len(low) < frame + longest:
        return 0.0, 0.0, 0.0
    segments = np.lib.stride_tricks.sliding_window_view(low, frame + longest)[::hop]
    centre = (np.arange(len(segments)) * hop + (frame + longest) / 2) / rate_now_hz / HOP_S - 0.5 * FRAME_S / HOP_S
    weight = weights[np.clip(np.round(centre), 0, len(weights) - 1).astype(np.int64)]
    loud = weight > 1e-3 * weight.max()
    segments, weight = segments[loud], weight[loud]
    wide = np.lib.stride_tricks.sliding_window_view(whole, frame + longest)[::hop][loud]
    share = np.einsum("ts,ts->t", segments, segments) / np.maximum(np.einsum("ts,ts->t", wide, wide), 1e-20)
    difference = _differences(segments, frame, longest)
    mean = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, longest, dtype=np.float32)
    dips = (difference[:, 1:] / np.maximum(mean, 1e-30))[:, shortest - 1 :].astype(
        np.float32
    )  # column k: lag k + shortest
    lag = np.clip(_first_dip(dips), 1, dips.shape[1] - 2)
    rows = np.arange(len(dips))
    before, at, after = (dips[rows, lag + k] for k in (-1, 0, 1))
    shift = np.clip(0.5 * (before - after) / np.maximum(before - 2 * at + after, 1e-9), -0.5, 0.5)
    periodic = (at < YIN_PERIODIC) & (share > LOW_SHARE)
    if not weight[periodic].sum() > 0:
        return 0.0, 0.0, 0.0
    pitches_hz = rate_now_hz / (lag + shortest + shift)
    low_hz, middle_hz, high_hz = _weighted_quartiles(pitches_hz[periodic], weight[periodic])
    return middle_hz, float(weight[periodic].sum() / weight.sum()), float(np.log2(high_hz / low_hz))


def _differences(segments: Float32Array, frame: int, longest: int) -> Float32Array:
    """[T, longest] YIN's squared differences between each segment's first frame and itself later by each lag."""
    size = scipy.fft.next_fast_len(segments.shape[1], real=True)
    head = scipy.fft.rfft(segments[:, :frame], size, axis=1, workers=1)
    whole = scipy.fft.rfft(segments, size, axis=1, workers=1)
    product = scipy.fft.irfft(whole * head.conj(), size, axis=1, workers=1)[:, :longest]
    energy = np.cumsum(np.pad(np.square(segments, dtype=float), ((0, 0), (1, 0))), axis=1)
    moved = energy[:, frame : frame + longest] - energy[:, :longest]
    return np.maximum(energy[:, frame : frame + 1] + moved - 2 * product, 0.0).astype(np.float32)


def _first_dip(dips: Float32Array) -> NDArray[np.int64]:
    """[T] the first local minimum under YIN's threshold, else the lowest value."""
    inner = dips[:, 1:-1]
    local = (inner < YIN_DIP) & (inner <= dips[:, :-2]) & (inner < dips[:, 2:])
    return np.where(local.any(axis=1), np.argmax(local, axis=1) + 1, np.argmin(dips, axis=1))


def _lines(samples: Float32Array, rate_hz: float) -> tuple[float, float]:
    """Share of the energy in steady lines, and the frequency of their fundamental (0 without lines)."""
    frame = round(LINE_FRAME_S * rate_hz)
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[:: frame // 2]
    spectra = scipy.fft.rfft(frames * _taper(frame), axis=1, workers=1)
    power = _power(spectra, 0, spectra.shape[1])
    # Of each bin the median over time: what is there for a moment only is no steady line.
    ordered = np.sort(np.ascontiguousarray(np.sqrt(power).T), axis=1)  # five times as fast as np.median over time
    steady = (0.5 * (ordered[:, (len(power) - 1) // 2] + ordered[:, len(power) // 2])) ** 2
    mean = np.mean(power, axis=0)
    around = median_filter(steady, LINE_NEIGHBOURS)
    frequencies_hz = np.fft.rfftfreq(frame, 1 / rate_hz)
    line = (steady > LINE_OVER * around) & (frequencies_hz > LOW_HZ)
    share = float(np.minimum(steady, mean)[line].sum() / max(float(mean.sum()), 1e-30))
    peaks = np.flatnonzero(line[1:-1] & (steady[1:-1] >= steady[:-2]) & (steady[1:-1] > steady[2:])) + 1
    if not len(peaks):
        return share, 0.0
    strongest = int(peaks[np.argmax(steady[peaks])])
    for peak in peaks[peaks < strongest]:
        multiple = strongest / peak
        if steady[peak] > FUNDAMENTAL_SHARE * steady[strongest] and abs(multiple - round(multiple)) * peak < 2:
            strongest = int(peak)
            break
    below, at, above = np.log(steady[strongest - 1 : strongest + 2] + 1e-30)
    shift = 0.5 * (below - above) / min(below - 2 * at + above, -1e-9)
    return share, float((strongest + shift) / LINE_FRAME_S)


def _centroid(spectrum: Float64Array, frequencies_hz: Float64Array) -> float:
    return float(spectrum @ frequencies_hz / max(float(spectrum.sum()), 1e-30))


def _weighted_quartiles(values: Float64Array, weights: Float32Array) -> tuple[float, float, float]:
    order = np.argsort(values)
    filled = np.cumsum(weights[order])
    places = np.searchsorted(filled, np.array([0.25, 0.5, 0.75]) * filled[-1])
    low, middle, high = (float(values[order[min(int(place), len(order) - 1)]]) for place in places)
    return low, middle, high
