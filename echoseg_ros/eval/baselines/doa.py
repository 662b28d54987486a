"""Baselines of sound localisation on the same audio windows: directions of arrival, triangulation, louder side.

Directions: SRP-PHAT, MUSIC and NormMUSIC of pyroomacoustics (Scheibler, Bezzam & Dokmanic 2018). Positions:
triangulation by RANSAC and least squares, as in multi-robot and drone audition. Louder side: the half-plane vote of
EchoSegnet (Sokolov, Bhosale & Zhu 2024) for two ears.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.baselines.echosegnet.aisrm import CENTRE_INTENSITY, trailing_mean
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import AudioWindow, Float64Array, MapSnapshot

# Names of the methods in pyroomacoustics.
DOA_METHODS = ("SRP", "NormMUSIC", "MUSIC")
# Lowest and highest frequency that the methods use, Hz.
LOW_HZ = 200.0
HIGH_HZ = 6000.0
# Number of directions of the search grid.
DIRECTIONS = 2500
# Length of the Fourier transforms, seconds; rounded to a power of two samples.
FFT_S = 0.032
# Largest angle between a line and the sight line to a point for which the line is an inlier of the point.
INLIER_RAD = np.radians(8.0)
# Pairs of lines that RANSAC tries at most.
RANSAC_PAIRS = 400
# Shortest and longest median range of a triangulated point, metres.
RANGE_M = (0.2, 8.0)
# Largest condition number of the normal equations; beyond it the lines are parallel.
MAX_CONDITION = 1e5


class DirectionFinder:
    """A method of pyroomacoustics, for open microphones: its model has no head shadow."""

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
        # A window with few peaks lowers num_src permanently, so it is passed each time.
        self._doa.locate_sources(spectra, num_src=1, freq_bins=self._bins)
        if len(self._doa.azimuth_recon) == 0:
            return np.array([1.0, 0.0, 0.0])
        azimuth, colatitude = float(self._doa.azimuth_recon[0]), float(self._doa.colatitude_recon[0])
        level = np.sin(colatitude)
        return np.array([level * np.cos(azimuth), level * np.sin(azimuth), np.cos(colatitude)])


def triangulate(positions: Float64Array, directions: Float64Array, seed: int = 0) -> Float64Array | None:
    """[3] the point that most half lines from positions [W, 3] along unit directions [W, 3] pass; None if no two meet.

    RANSAC: pairs of lines propose points; the point with most inliers is refined by least squares over its inliers.
    """
    pairs = np.array(list(itertools.combinations(range(len(positions)), 2)))
    if not len(pairs):
        return None
    rng = np.random.default_rng(seed)
    best_m, most_inliers = None, 0
    for i, j in pairs[rng.permutation(len(pairs))[:RANSAC_PAIRS]]:
        point_m = _nearest_to_lines(positions[[i, j]], directions[[i, j]])
        inliers = int(_inliers(point_m, positions, directions).sum()) if point_m is not None else 0
        if point_m is not None and inliers > most_inliers and _inliers(point_m, positions, directions)[[i, j]].all():
            best_m, most_inliers = point_m, inliers
    for _ in range(3):
        if best_m is None:
            return None
        near = _inliers(best_m, positions, directions)
        refined_m = _nearest_to_lines(positions[near], directions[near])
        best_m = refined_m if refined_m is not None else best_m
    return best_m


def _nearest_to_lines(positions: Float64Array, directions: Float64Array) -> Float64Array | None:
    """[3] least squares of the distances to lines; None where they are parallel or the point is out of range."""
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    total = across.sum(axis=0)
    if np.linalg.cond(total) > MAX_CONDITION:
        return None
    point_m = np.linalg.solve(total, np.einsum("wij,wj->i", across, positions))
    range_m = float(np.median(np.linalg.norm(point_m - positions, axis=1)))
    return point_m if RANGE_M[0] < range_m < RANGE_M[1] else None


def _inliers(point_m: Float64Array, positions: Float64Array, directions: Float64Array) -> NDArray[np.bool_]:
    sight = point_m - positions
    sight /= np.maximum(np.linalg.norm(sight, axis=1, keepdims=True), 1e-9)
    inliers: NDArray[np.bool_] = np.einsum("wi,wi->w", sight, directions) > np.cos(INLIER_RAD)
    return inliers


def nearest_instance(position_m: Float64Array, snapshot: MapSnapshot, axes: int = 3) -> int:
    """Id of the instance whose box is nearest in the first `axes` axes."""
    distances_m = [
        float(np.linalg.norm(np.maximum(np.abs(position_m - box.center_m) - box.size_m / 2, 0)[:axes]))
        + 1e-3 * float(np.linalg.norm((position_m - box.center_m)[:axes]))  # inside several boxes: the nearest centre
        for box in (instance.box for instance in snapshot.instances)
    ]
    return snapshot.instances[int(np.argmin(distances_m))].id


@dataclass(frozen=True)
class LouderSide:
    """Result of the vote. position_m: [3] intensity-weighted centre of the points of highest intensity; object_id: nearest."""

    position_m: Float64Array
    object_id: int


def louder_side(windows: Sequence[AudioWindow], snapshot: MapSnapshot, averaged: bool) -> LouderSide:
    """EchoSegnet's vote: each window adds intensity to the half plane on the side of the louder ear.

    For two ears on an array whose x axis points ahead, in a level map. averaged: levels are averaged over
    AVERAGED_FRAMES frames as published, else each frame counts alone. The heading is the horizontal direction the head
    looks in; the published atan2(R13, R11), read as (x, z) = (cos, sin), is 90 degrees off and makes the vote nearly
    random. The map's instances replace the clusters of the method, so that only the sound is compared.
    """
    levels = np.array([np.sqrt(np.mean(np.square(window.samples, dtype=np.float64), axis=1)) for window in windows])
    if averaged:
        levels = trailing_mean(levels)
    points = snapshot.surface_points[:, :2].astype(float)
    intensity = np.zeros(len(points))
    for (left, right), window in zip(levels, windows, strict=True):
        ahead, position = window.T_map_array[:2, 0], window.T_map_array[:2, 3]
        offset = points - position
        is_left = ahead[0] * offset[:, 1] - ahead[1] * offset[:, 0] > 0
        side = is_left if left > right else ~is_left
        intensity[side] += abs(left - right) / (max(left, right) + 1e-6)
    intensity /= max(float(intensity.max()), 1e-12)
    high = intensity > CENTRE_INTENSITY
    weights = intensity[high] if high.any() else np.ones(len(points))
    weighted_points = snapshot.surface_points[high if high.any() else slice(None)].astype(float)
    position_m: Float64Array = weights @ weighted_points / weights.sum()
    centres = np.array([instance.position_m[:2] for instance in snapshot.instances])
    nearest = int(np.argmin(np.linalg.norm(centres - position_m[:2], axis=1)))
    return LouderSide(position_m, snapshot.instances[nearest].id)
