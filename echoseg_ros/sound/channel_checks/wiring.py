"""How an array is wired, from the correlations of its pairs: inverted and swapped channels, and delays of a wrong length.

An inverted microphone turns the sign of all its pairs' peaks (GCC-PHAT). Swapped channels and a wrong sample rate
contradict the geometry, and because many arrays look the same after a turn or in a mirror, the contradiction is looked
for along the whole path: one place that all windows point to (steered power, DiBiase 2000, back-projected over the
poses) is the stronger the more right the assumed wiring and rate are. Something is found only if it makes that place
clearly stronger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.channel_checks.findings import Finding, Recording, channel_finding, usual_rate_hz
from echoseg_ros.sound.evidence.extractor import FRAME_S
from echoseg_ros.types import Float64Array

# Windows that are looked at, and their length.
WINDOWS, WINDOW_S = 60, 0.5
# By what factor another wiring or rate has to make the common place stronger, and how far all delays must be off.
SWAP_GAIN, SCALE_GAIN = 1.05, 1.03
# A flat array takes a change of scale for one of elevation, and no head is quite a sphere.
SCALE_LEAST, SCALE_LEAST_FLAT = 1.06, 1.25
# Contrast (1 = a lone plane wave) of the windows towards their common place that noise alone does not reach; without
# poses each window has a place of its own.
LEAST_CONTRAST, LEAST_CONTRAST_APART = 0.04, 0.15
# Standard errors (over windows) by which something has to stand out.
SURE = 4.0
_SCALES = np.geomspace(0.25, 4.0, 97)
_LOW_HZ, _HIGH_HZ = 200.0, 6000.0
_STEPS_PER_PERIOD = 10  # of the lag grid, at the highest frequency
_DIRECTIONS = fibonacci_sphere(1200)
_RANGES = np.array([0.5, 1.0, 2.0, 4.0, 8.0])  # of a common place, in extents of the path


@dataclass(frozen=True)
class Correlations:
    """Pair correlations of windows.

    values: [W, P, L]; lags_s: [L]; pairs: [P, 2] numbers of alive microphones; T_map_array: [W, 4, 4] or None without
    poses.
    """

    values: NDArray[np.float32]
    lags_s: Float64Array
    pairs: NDArray[np.int64]
    T_map_array: Float64Array | None

    def flipped(self, microphones: Sequence[int]) -> Correlations:
        """With the polarity of some microphones turned."""
        sign = 1 - 2 * (np.isin(self.pairs, microphones).sum(axis=1) % 2)
        values = self.values * sign[:, None].astype(np.float32)
        return Correlations(values, self.lags_s, self.pairs, self.T_map_array)


def listen(
    recording: Recording, array: ArrayGeometry, samples: NDArray[np.floating], alive: list[int]
) -> Correlations | None:
    """The correlations of the loudest half of the windows, None where nothing sounds."""
    rate_hz = recording.sample_rate_hz
    length = round(WINDOW_S * rate_hz)
    if len(samples) < 4 * length:
        return None
    starts = np.unique(np.linspace(0, len(samples) - length, 2 * WINDOWS).astype(int))
    levels = np.array([np.square(samples[s : s + length][:, alive]).mean() for s in starts])
    loud = np.sort(np.argsort(levels)[-max(4, len(starts) // 2) :])
    frame = 2 ** round(np.log2(FRAME_S * rate_hz))
    frequencies_hz = np.fft.rfftfreq(frame, 1 / rate_hz)
    used = (frequencies_hz >= _LOW_HZ) & (frequencies_hz <= min(_HIGH_HZ, 0.475 * rate_hz))
    pairs = np.array(list(combinations(range(len(alive)), 2)))
    lags_s = _lag_grid(array, alive, float(frequencies_hz[used][-1]))
    steering = np.exp(2j * np.pi * frequencies_hz[used][:, None] * lags_s).astype(np.complex64)
    late = np.exp(2j * np.pi * frequencies_hz[used] * array.delays_s[alive][:, None]).astype(np.complex64)
    values, poses = [], []
    for start in starts[loud]:
        T_map_camera = None
        if recording.poses is not None:
            T_map_camera = recording.poses.at(_time_ns(recording, start + length / 2))
            if T_map_camera is None:
                continue
            poses.append(T_map_camera @ array.T_camera_array)
        cross = _cross_spectra(samples[start : start + length][:, alive].T, frame, used, late, pairs)
        values.append((cross @ steering).real.astype(np.float32))
    if len(values) < 4:
        return None
    return Correlations(np.stack(values), lags_s, pairs, np.stack(poses) if poses else None)


def _time_ns(recording: Recording, sample: float) -> int:
    """When a sample was taken: by the stamps, or counted from the first."""
    count, stamp_ns = 0.0, float(recording.first_ns)
    if recording.stamps:
        numbers, stamps_ns = np.array(recording.stamps, dtype=float).T
        count, stamp_ns = min(sample, float(numbers[-1])), float(np.interp(sample, numbers, stamps_ns))
    return round(stamp_ns + (sample - count) / recording.sample_rate_hz * 1e9)


def _lag_grid(array: ArrayGeometry, alive: list[int], high_hz: float) -> Float64Array:
    """[L] lags that any pair may have, at any of the scales below 2 (beyond it only what fits)."""
    delays_s = array.delays_for(_DIRECTIONS)[:, alive]
    largest_s = 2 * float((delays_s.max(axis=1) - delays_s.min(axis=1)).max())
    half = int(np.ceil(largest_s * high_hz * _STEPS_PER_PERIOD)) + 1
    return np.arange(-half, half + 1) / (high_hz * _STEPS_PER_PERIOD)


def _cross_spectra(
    samples: NDArray[np.floating], frame: int, used: NDArray[np.bool_], late: NDArray[np.complex64],
    pairs: NDArray[np.int64],
) -> NDArray[np.complex64]:  # fmt: skip
    """[P, F] whitened, weighted by each bin's level in the window; magnitudes sum to 1 for a lone plane wave."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame, axis=1)[:, :: frame // 2]
    spectra = np.fft.rfft(frames * np.hanning(frame), axis=2)[:, :, used] * late[:, None]
    magnitude = np.abs(spectra)
    power = np.square(magnitude).mean(axis=0)  # [T, F]
    weights = np.sqrt(power / (power.max(axis=0) + 1e-20))
    floor = np.median(power) * 1e-3 + 1e-20
    weights = weights * np.clip(10 * np.log10(power / floor) / 30, 0.03, 1)
    whitened = spectra / np.maximum(magnitude, 1e-12)
    first, second = whitened[pairs[:, 0]], whitened[pairs[:, 1]]
    cross = np.einsum("tf,ptf,ptf->pf", weights / weights.sum(), first, np.conj(second))
    return cross.astype(np.complex64)


def inverted_microphones(heard: Correlations) -> list[int]:
    """Microphones (numbers among the alive ones) whose pairs correlate with the wrong sign; the fewer of two groups."""
    peaks, troughs = heard.values.max(axis=2), -heard.values.min(axis=2)
    signs = (peaks - troughs) / np.maximum(peaks + troughs, 1e-9)  # [W, P]
    mean = signs.mean(axis=0)
    error = signs.std(axis=0) / np.sqrt(len(signs)) + 0.02
    count = int(heard.pairs.max()) + 1
    agreement = np.zeros((count, count))
    agreement[heard.pairs[:, 0], heard.pairs[:, 1]] = agreement[heard.pairs[:, 1], heard.pairs[:, 0]] = mean / error
    sides = np.ones(count)
    for _ in range(2 * count):  # turn the one microphone that disagrees most, until none does
        support = sides * (agreement @ sides)
        worst = int(np.argmin(support))
        if support[worst] >= 0:
            break
        sides[worst] = -sides[worst]
    fewer = np.flatnonzero(sides < 0) if (sides < 0).sum() <= count / 2 else np.flatnonzero(sides > 0)
    # Sure only if the turned signs really were negative, not merely weak.
    across = sides[heard.pairs[:, 0]] * sides[heard.pairs[:, 1]] < 0
    sure = len(fewer) and float((mean[across] / error[across]).mean()) < -SURE and float(mean[across].mean()) < -0.08
    return [int(k) for k in fewer] if sure else []


def polarity_findings(array: ArrayGeometry, inverted: list[int], alive: int) -> list[Finding]:
    """What inverted microphones are called; of two nobody knows which."""
    if inverted and alive == 2:
        channels = tuple(int(c) for c in array.channel_order)
        return [
            Finding("inverted", channels, f"one of the channels {channels[0]} and {channels[1]} has inverted polarity")
        ]
    return [channel_finding("inverted", array, k, "has inverted polarity") for k in inverted]


def geometry_findings(
    heard: Correlations, array: ArrayGeometry, alive: list[int], rate_hz: float, known_scale: float
) -> list[Finding]:
    """Swapped channels, or delays that are all too long or too short."""
    steering = _Steering(heard, array, alive, known_scale)
    least = LEAST_CONTRAST_APART if heard.T_map_array is None else LEAST_CONTRAST
    as_described = steering.towards_best(np.arange(len(alive)), 1.0)
    swaps = list(combinations(range(len(alive)), 2))
    swapped = [steering.towards_best(_swap(len(alive), i, j), 1.0) for i, j in swaps]
    best = int(np.argmax([values.sum() for values in swapped]))
    if _clearly_above(swapped[best], as_described, SWAP_GAIN, least):
        a, b = sorted(int(array.channel_order[alive[k]]) for k in swaps[best])
        either = " (or the array is mounted back to front)" if len(alive) == 2 else ""
        return [Finding("swapped", (a, b), f"channels {a} and {b} are swapped{either}")]
    if known_scale != 1.0:
        return []
    scale, scaled = _best_scale(steering, len(alive))
    smallest = SCALE_LEAST if _is_solid(array, alive) else SCALE_LEAST_FLAT
    if max(scale, 1 / scale) < smallest or not _clearly_above(scaled, as_described, SCALE_GAIN, least):
        return []
    real_hz = usual_rate_hz(rate_hz * scale)
    other = "the head is larger or smaller than described" if array.head else "the array's measures are wrong"
    text = f"delays are {scale:.2f} times what the array allows: the sample rate is about {real_hz:.0f} Hz, or {other}"
    return [Finding("sample_rate", (), text, real_hz)]


def _best_scale(steering: _Steering, count: int) -> tuple[float, Float64Array]:
    """The scale with the largest contrast, and [W] each window's: every third one, then those about the best."""
    tried: dict[int, Float64Array] = {}

    def best_of(numbers: range) -> int:
        for n in numbers:
            if n not in tried and 0 <= n < len(_SCALES):
                tried[n] = steering.towards_best(np.arange(count), float(_SCALES[n]))
        return max(tried, key=lambda n: float(tried[n].sum()))

    best = best_of(range(0, len(_SCALES), 3))
    best = best_of(range(best - 2, best + 3))
    return float(_SCALES[best]), tried[best]


def _is_solid(array: ArrayGeometry, alive: list[int]) -> bool:
    """Whether the microphones span space."""
    if array.head is not None or len(alive) < 4:
        return False
    spread = np.linalg.svd(array.microphones_m[alive] - array.microphones_m[alive].mean(axis=0), compute_uv=False)
    return bool(spread[2] > 0.2 * spread[0])


def _swap(count: int, i: int, j: int) -> NDArray[np.int64]:
    order = np.arange(count)
    order[[i, j]] = j, i
    return order


def _clearly_above(better: Float64Array, worse: Float64Array, gain: float, least: float) -> bool:
    """Whether one assumption gives window by window [W] more than another, and `least` at all."""
    if better.mean() < least:
        return False
    difference = better - worse
    error = difference.std() / np.sqrt(len(difference))
    return bool(better.sum() > gain * max(worse.sum(), 0.0) and difference.mean() > SURE * error)


class _Steering:
    """Contrast of the windows towards their common place, for any wiring and scale of the delays."""

    def __init__(self, heard: Correlations, array: ArrayGeometry, alive: list[int], known_scale: float) -> None:
        self._heard = heard
        self._delays_s = array.delays_for(_DIRECTIONS)[:, alive] * known_scale
        self._mean: NDArray[np.float32] | None = None  # of the first assumption, the array as described
        self._nearest = None if heard.T_map_array is None else _nearest_directions(heard.T_map_array)

    def towards_best(self, order: NDArray[np.int64], scale: float) -> Float64Array:
        """[W] contrast of each window towards the place (without poses: its own direction) where the sum is largest.

        order: [M] the microphone that each channel is taken for; scale: real sample rate over the assumed one.
        """
        heard = self._heard
        # Lags were measured with the assumed rate: at a higher real one they are longer by that factor.
        lags_s = self._delays_s[:, order[heard.pairs]] * scale
        lags_s = lags_s[..., 0] - lags_s[..., 1]  # [D, P]
        step_s = heard.lags_s[1] - heard.lags_s[0]
        place = np.clip((lags_s - heard.lags_s[0]) / step_s, 0, len(heard.lags_s) - 1.001)
        maps = _steered(heard.values, place.T.astype(np.float32))
        if self._mean is None:
            self._mean = maps.mean(axis=1, keepdims=True)
        maps = maps - self._mean
        if self._nearest is None:
            return maps.max(axis=1).astype(float)
        sums = np.take_along_axis(maps, self._nearest, axis=1)  # [W, P]
        return sums[:, int(np.argmax(sums.sum(axis=0)))].astype(float)


def _nearest_directions(T_map_array: Float64Array) -> NDArray[np.int64]:
    """[W, P] number of the direction in which each window sees each candidate place."""
    places = T_map_array[:, :3, 3]
    extent = float(np.sqrt(places.var(axis=0).sum())) or 1.0
    points = places.mean(axis=0) + extent * (_RANGES[:, None, None] * fibonacci_sphere(600)).reshape(-1, 3)
    tree = cKDTree(_DIRECTIONS)
    sights = np.einsum("wji,wpj->wpi", T_map_array[:, :3, :3], points - places[:, None])
    return tree.query(sights / np.maximum(np.linalg.norm(sights, axis=2, keepdims=True), 1e-9))[1]


@njit(cache=True, nogil=True)
def _steered(values, place):  # type: ignore[no-untyped-def]
    """[W, D] sum over pairs of correlations [W, P, L] at the places [P, D] on the lag grid, linear between lags."""
    windows, pairs, _ = values.shape
    directions = place.shape[1]
    total = np.zeros((windows, directions), dtype=np.float32)
    for w in range(windows):
        for p in range(pairs):
            row = values[w, p]
            for d in range(directions):
                k = int(place[p, d])
                share = place[p, d] - np.float32(k)
                total[w, d] += (np.float32(1) - share) * row[k] + share * row[k + 1]
    return total / np.float32(pairs)
