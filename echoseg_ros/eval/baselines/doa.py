"""What others would find in the same windows: directions by pyroomacoustics, places by lines, the half-plane vote.

SRP-PHAT, MUSIC and NormMUSIC are those of pyroomacoustics (Scheibler, Bezzam & Dokmanic 2018). Lines of directions are
put together as multi-robot and drone audition do: RANSAC, then least squares. The vote for the louder side is
EchoSegnet's (Sokolov, Bhosale & Zhu 2024).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import AudioWindow, Float64Array, MapSnapshot

DOA_METHODS = ("SRP", "NormMUSIC", "MUSIC")
LOW_HZ, HIGH_HZ, DIRECTIONS, FFT_S = 200.0, 6000.0, 2500, 0.032
# A line that misses the place by no more than this angle votes for it.
INLIER_RAD = np.radians(8.0)
RANSAC_PAIRS = 400
RANGE_M = (0.2, 8.0)
# EchoSegnet's: frames of its moving average, and the share of the highest intensity that counts for the centre.
AVERAGED_FRAMES, CENTRE_SHARE = 6, 0.85


class DirectionFinder:
    """One of pyroomacoustics' methods for open microphones (a head's shadow is not in their model)."""

    def __init__(self, array: ArrayGeometry, method: str) -> None:
        import pyroomacoustics as pra

        rate_hz = round(array.sample_rate_hz)
        self._fft = 2 ** round(np.log2(FFT_S * rate_hz))
        options: dict[str, Any] = {"dim": 3, "n_grid": DIRECTIONS, "num_src": 1, "c": SPEED_OF_SOUND_M_PER_S}
        self._doa = pra.doa.algorithms[method](array.microphones_m.T, rate_hz, self._fft, **options)
        frequencies_hz = np.fft.rfftfreq(self._fft, 1.0 / rate_hz)
        # freq_hz= raises in 0.10.1.
        self._bins = np.flatnonzero((frequencies_hz >= LOW_HZ) & (frequencies_hz <= min(HIGH_HZ, 0.475 * rate_hz)))

    def __call__(self, window: AudioWindow) -> Float64Array:
        """[3] unit vector towards the loudest source, array frame."""
        frames = np.lib.stride_tricks.sliding_window_view(window.samples, self._fft, axis=1)[:, :: self._fft // 2]
        spectra = np.fft.rfft(frames * np.hanning(self._fft), axis=2).transpose(0, 2, 1)  # [M, F, T]
        # A window with few peaks lowers num_src for good, so it is said each time.
        self._doa.locate_sources(spectra, num_src=1, freq_bins=self._bins)
        if len(self._doa.azimuth_recon) == 0:
            return np.array([1.0, 0.0, 0.0])
        azimuth, colatitude = float(self._doa.azimuth_recon[0]), float(self._doa.colatitude_recon[0])
        level = np.sin(colatitude)
        return np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.cos(colatitude)])


def triangulate(places: Float64Array, directions: Float64Array, seed: int = 0) -> Float64Array | None:
    """[3] where most of the half lines from places [W, 3] along unit directions [W, 3] pass; None if no two meet.

    Pairs of lines propose places, the one with most lines within INLIER_RAD wins and is refined by their least squares.
    """
    pairs = np.array(list(itertools.combinations(range(len(places)), 2)))
    if not len(pairs):
        return None
    rng = np.random.default_rng(seed)
    best_m, best = None, 0
    for i, j in pairs[rng.permutation(len(pairs))[:RANSAC_PAIRS]]:
        point_m = _nearest_to_lines(places[[i, j]], directions[[i, j]])
        votes = int(_inliers(point_m, places, directions).sum()) if point_m is not None else 0
        if point_m is not None and votes > best and _inliers(point_m, places, directions)[[i, j]].all():
            best_m, best = point_m, votes
    for _ in range(3):
        if best_m is None:
            return None
        near = _inliers(best_m, places, directions)
        refined_m = _nearest_to_lines(places[near], directions[near])
        best_m = refined_m if refined_m is not None else best_m
    return best_m


def _nearest_to_lines(places: Float64Array, directions: Float64Array) -> Float64Array | None:
    """[3] least squares of the distances to lines; None where they are parallel or meet too far away."""
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    total = across.sum(axis=0)
    if np.linalg.cond(total) > 1e5:
        return None
    point_m = np.linalg.solve(total, np.einsum("wij,wj->i", across, places))
    range_m = float(np.median(np.linalg.norm(point_m - places, axis=1)))
    return point_m if RANGE_M[0] < range_m < RANGE_M[1] else None


def _inliers(point_m: Float64Array, places: Float64Array, directions: Float64Array) -> NDArray[np.bool_]:
    sight = point_m - places
    sight /= np.maximum(np.linalg.norm(sight, axis=1, keepdims=True), 1e-9)
    return np.einsum("wi,wi->w", sight, directions) > np.cos(INLIER_RAD)


def object_at(position_m: Float64Array, snapshot: MapSnapshot, axes: int = 3) -> int:
    """Id of the instance whose box is nearest in the first `axes` axes."""
    distances_m = [
        float(np.linalg.norm(np.maximum(np.abs(position_m - box.center_m) - box.size_m / 2, 0)[:axes]))
        + 1e-3 * float(np.linalg.norm((position_m - box.center_m)[:axes]))  # inside of several: the nearest middle
        for box in (instance.box for instance in snapshot.instances)
    ]
    return snapshot.instances[int(np.argmin(distances_m))].id


@dataclass(frozen=True)
class LouderSide:
    """EchoSegnet's answer. position_m: [3] the centre of what has at least 0.85 of the intensity; object_id: nearest."""

    position_m: Float64Array
    object_id: int


def louder_side(windows: Sequence[AudioWindow], snapshot: MapSnapshot, averaged: bool) -> LouderSide:
    """The vote of the louder ear's half planes over a level map, for two ears on an array whose x points ahead.

    averaged: with the reference's trailing mean of the levels over six frames (the first five stay raw), as published;
    without, every frame for itself. The heading is the horizontal part of where the head looks: read by its letter,
    the reference's atan2(R13, R11) with (cos, sin) as (x, z) is 90 degrees off and its vote nearly random. The candidates of
    its clustering are the map's instances here, so that only the sound is compared.
    """
    levels = np.array([np.sqrt(np.mean(np.square(window.samples, dtype=np.float64), axis=1)) for window in windows])
    if averaged:
        levels = _trailing_mean(levels)
    points = snapshot.surface_points[:, :2].astype(float)
    intensity = np.zeros(len(points))
    for (left, right), window in zip(levels, windows, strict=True):
        ahead, place = window.T_map_array[:2, 0], window.T_map_array[:2, 3]
        offset = points - place
        is_left = ahead[0] * offset[:, 1] - ahead[1] * offset[:, 0] > 0
        side = is_left if left > right else ~is_left
        intensity[side] += abs(left - right) / (max(left, right) + 1e-6)
    intensity /= max(float(intensity.max()), 1e-12)
    high = intensity > CENTRE_SHARE
    weights = intensity[high] if high.any() else np.ones(len(points))
    where = snapshot.surface_points[high if high.any() else slice(None)].astype(float)
    position_m: Float64Array = weights @ where / weights.sum()
    centres = np.array([instance.position_m[:2] for instance in snapshot.instances])
    nearest = int(np.argmin(np.linalg.norm(centres - position_m[:2], axis=1)))
    return LouderSide(position_m, snapshot.instances[nearest].id)


def _trailing_mean(levels: Float64Array) -> Float64Array:
    """[W, 2] mean over a frame and the five before; the first five as they are."""
    out = levels.copy()
    for k in range(AVERAGED_FRAMES - 1, len(levels)):
        out[k] = levels[k - AVERAGED_FRAMES + 1 : k + 1].mean(axis=0)
    return out
