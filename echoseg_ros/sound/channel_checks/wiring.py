"""Wiring faults by the correlations of pairs: inverted and swapped channels, and delays of a wrong length.

An inverted microphone turns the sign of the correlation peaks of all its pairs. Swapped channels and a wrong sample rate
contradict the geometry. Many arrays look the same after a turn or in a mirror, so that the contradiction is measured over the
whole path: the steered power (DiBiase 2000) towards one common place, back-projected over the poses, grows with the accuracy
of the assumed wiring and rate. A fault is reported only if it makes that place clearly stronger.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.channel_checks.channel_faults import ChannelFault, common_rate_hz, microphone_fault
from echoseg_ros.sound.channel_checks.pair_correlations import DIRECTIONS, PairCorrelations
from echoseg_ros.types import Float32Array, Float64Array

# Factor by which another wiring has to make the common place stronger, and another rate.
MIN_SWAP_GAIN = 1.05
MIN_SCALE_GAIN = 1.03
# Least factor, either way, by which all delays have to be off: a head is no exact sphere, and a flat array confuses a change
# of scale with one of elevation.
MIN_SCALE = 1.06
MIN_SCALE_FLAT = 1.25
# Least mean contrast (1 = a lone plane wave) of the windows towards their common place, above that of noise; without poses
# each window has a place of its own.
MIN_CONTRAST = 0.04
MIN_CONTRAST_WITHOUT_POSES = 0.15
# Standard errors over windows by which a fault has to exceed zero.
MIN_STANDARD_ERRORS = 4.0
# Least mean negative correlation sign between the two groups of polarities.
MIN_NEGATIVE_SIGN = 0.08
# Standard error that is added to that of a pair's mean sign.
_SIGN_ERROR = 0.02
# Factors on the delays that are tried.
_SCALES = np.geomspace(0.25, 4.0, 97)
# Candidates for the common place: distances in extents of the path, and number of directions.
_RANGES = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
_PLACE_DIRECTIONS = 600


def inverted_microphones(correlations: PairCorrelations) -> list[int]:
    """Working microphones whose pairs correlate with the wrong sign; the smaller one of the two groups."""
    peaks, troughs = correlations.values.max(axis=2), -correlations.values.min(axis=2)
    signs = (peaks - troughs) / np.maximum(peaks + troughs, 1e-9)  # [W, P]
    mean = signs.mean(axis=0)
    error = signs.std(axis=0) / np.sqrt(len(signs)) + _SIGN_ERROR
    first, second = correlations.pairs.T
    count = int(correlations.pairs.max()) + 1
    agreement = np.zeros((count, count))
    agreement[first, second] = agreement[second, first] = mean / error
    sides = np.ones(count)
    for _ in range(2 * count):  # turn the microphone that disagrees most, until none does
        support = sides * (agreement @ sides)
        worst = int(np.argmin(support))
        if support[worst] >= 0:
            break
        sides[worst] = -sides[worst]
    smaller = np.flatnonzero(sides < 0) if (sides < 0).sum() <= count / 2 else np.flatnonzero(sides > 0)
    # The signs between the groups have to be negative, not merely weak.
    across = sides[first] * sides[second] < 0
    is_certain = (
        len(smaller)
        and float((mean[across] / error[across]).mean()) < -MIN_STANDARD_ERRORS
        and float(mean[across].mean()) < -MIN_NEGATIVE_SIGN
    )
    return [int(k) for k in smaller] if is_certain else []


def polarity_faults(array: ArrayGeometry, inverted: list[int], working: int) -> list[ChannelFault]:
    """The faults of inverted microphones; with two working microphones either one may be the inverted one."""
    if inverted and working == 2:
        channels = tuple(int(c) for c in array.channel_order)
        text = f"one of the channels {channels[0]} and {channels[1]} has inverted polarity"
        return [ChannelFault("inverted", channels, text)]
    return [microphone_fault("inverted", array, k, "has inverted polarity") for k in inverted]


def geometry_faults(
    correlations: PairCorrelations, array: ArrayGeometry, working: list[int], rate_hz: float, known_scale: float
) -> list[ChannelFault]:
    """Swapped channels, or delays that are all too long or too short.

    rate_hz: the stated sample rate; known_scale: actual over stated rate where the stamps already show it, else 1.
    """
    contrast = _CommonPlaceContrast(correlations, array, working, known_scale)
    least = MIN_CONTRAST_WITHOUT_POSES if correlations.T_map_array is None else MIN_CONTRAST
    as_described = contrast.towards_best_place(np.arange(len(working)), 1.0)
    swaps = list(combinations(range(len(working)), 2))
    swapped = [contrast.towards_best_place(_swapped_order(len(working), i, j), 1.0) for i, j in swaps]
    best = int(np.argmax([values.sum() for values in swapped]))
    if _is_clearly_above(swapped[best], as_described, MIN_SWAP_GAIN, least):
        a, b = sorted(int(array.channel_order[working[k]]) for k in swaps[best])
        either = " (or the array is mounted back to front)" if len(working) == 2 else ""
        return [ChannelFault("swapped", (a, b), f"channels {a} and {b} are swapped{either}")]
    if known_scale != 1.0:
        return []
    scale, scaled = _best_scale(contrast, len(working))
    smallest = MIN_SCALE if _spans_space(array, working) else MIN_SCALE_FLAT
    if max(scale, 1 / scale) < smallest or not _is_clearly_above(scaled, as_described, MIN_SCALE_GAIN, least):
        return []
    actual_hz = common_rate_hz(rate_hz * scale)
    other = "the head is larger or smaller than described" if array.head else "microphones_m of the array is wrong"
    text = (
        f"delays are {scale:.2f} times what the array allows: the sample rate is about {actual_hz:.0f} Hz, or {other}"
    )
    return [ChannelFault("sample_rate", (), text, actual_hz)]


def _best_scale(contrast: _CommonPlaceContrast, count: int) -> tuple[float, Float64Array]:
    """The scale of the largest contrast, and [W] each window's: first every third scale, then those around the best."""
    tried: dict[int, Float64Array] = {}

    def best_of(numbers: range) -> int:
        for n in numbers:
            if n not in tried and 0 <= n < len(_SCALES):
                tried[n] = contrast.towards_best_place(np.arange(count), float(_SCALES[n]))
        return max(tried, key=lambda n: float(tried[n].sum()))

    best = best_of(range(0, len(_SCALES), 3))
    best = best_of(range(best - 2, best + 3))
    return float(_SCALES[best]), tried[best]


def _spans_space(array: ArrayGeometry, working: list[int]) -> bool:
    """Whether the working microphones span all three dimensions."""
    if array.head is not None or len(working) < 4:
        return False
    places_m = array.microphones_m[working]
    spread = np.linalg.svd(places_m - places_m.mean(axis=0), compute_uv=False)
    return bool(spread[2] > 0.2 * spread[0])


def _swapped_order(count: int, i: int, j: int) -> NDArray[np.int64]:
    order = np.arange(count)
    order[[i, j]] = j, i
    return order


def _is_clearly_above(better: Float64Array, worse: Float64Array, gain: float, least: float) -> bool:
    """Whether values [W] of one assumption exceed another's by the factor `gain` and significantly, and `least` at all."""
    if better.mean() < least:
        return False
    difference = better - worse
    error = difference.std() / np.sqrt(len(difference))
    return bool(better.sum() > gain * max(worse.sum(), 0.0) and difference.mean() > MIN_STANDARD_ERRORS * error)


class _CommonPlaceContrast:
    """Contrast of the windows towards their common place, for any wiring and scale of the delays."""

    def __init__(
        self, correlations: PairCorrelations, array: ArrayGeometry, working: list[int], known_scale: float
    ) -> None:
        self._correlations = correlations
        self._delays_s = array.far_field_delays_s(DIRECTIONS)[:, working] * known_scale
        T_map_array = correlations.T_map_array
        self._nearest = None if T_map_array is None else _nearest_directions(T_map_array)
        # [W, 1] mean of the maps for the array as described, which is subtracted from the maps of all assumptions.
        self._mean: Float32Array = self._maps(np.arange(len(working)), 1.0).mean(axis=1, keepdims=True)

    def towards_best_place(self, order: NDArray[np.int64], scale: float) -> Float64Array:
        """[W] contrast of each window towards the place where the sum is largest; without poses its own direction.

        order: [M] the microphone that each channel is assumed to be; scale: actual over stated sample rate.
        """
        maps: Float32Array = self._maps(order, scale) - self._mean
        if self._nearest is None:
            peaks: Float32Array = maps.max(axis=1)
            return peaks.astype(float)
        sums: Float32Array = np.take_along_axis(maps, self._nearest, axis=1)  # [W, places]
        best: Float32Array = sums[:, int(np.argmax(sums.sum(axis=0)))]
        return best.astype(float)

    def _maps(self, order: NDArray[np.int64], scale: float) -> Float32Array:
        """[W, D] steered power of each window."""
        correlations = self._correlations
        # The lags were measured at the stated rate: if the actual rate is higher, they appear longer by that factor.
        lags_s = self._delays_s[:, order[correlations.pairs]] * scale
        lags_s = lags_s[..., 0] - lags_s[..., 1]  # [D, P]
        step_s = correlations.lags_s[1] - correlations.lags_s[0]
        place = np.clip((lags_s - correlations.lags_s[0]) / step_s, 0, len(correlations.lags_s) - 1.001)
        maps: Float32Array = _steered_mean(correlations.values, place.T.astype(np.float32))
        return maps


def _nearest_directions(T_map_array: Float64Array) -> NDArray[np.int64]:
    """[W, places] number of the direction in which each window sees each candidate place."""
    positions = T_map_array[:, :3, 3]
    extent = float(np.sqrt(positions.var(axis=0).sum())) or 1.0
    shells = (_RANGES[:, None, None] * fibonacci_sphere(_PLACE_DIRECTIONS)).reshape(-1, 3)
    places = positions.mean(axis=0) + extent * shells
    tree = cKDTree(DIRECTIONS)
    sights = np.einsum("wji,wpj->wpi", T_map_array[:, :3, :3], places - positions[:, None])
    numbers: NDArray[np.int64] = tree.query(sights / np.maximum(np.linalg.norm(sights, axis=2, keepdims=True), 1e-9))[1]
    return numbers


@njit(cache=True, nogil=True)
def _steered_mean(values, place):  # type: ignore[no-untyped-def]
    """[W, D] mean over pairs of correlations [W, P, L] at places [P, D] on the lag grid, linear between lags."""
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
