"""Ego noise: covariance of the robot's own noise, learned from noise-only windows or while the array turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.evidence.noise_filter import (
    INDEPENDENT_SPREAD,
    NoiseFilter,
    loaded,
    noise_filter,
    spectral_covariance,
)
from echoseg_ros.types import Complex64Array, Float64Array

# Time constant of the average over noise-only windows, in windows: slow changes are followed.
NOISE_ONLY_WINDOWS = 40
# Turn or move of the array since the last window that was used, from which the next one is used.
MIN_TURN_RAD = 0.17
MIN_MOVE_M = 0.2
# Windows whose orientations differ by less than this belong to one heading.
HEADING_RAD = 0.44
# Headings from which noise is learned at the earliest, and the number of newest ones that are kept.
MIN_HEADINGS = 5
MAX_HEADINGS = 12
# Time constant of the average over the windows of a heading, in windows.
HEADING_WINDOWS = 6
# A place in the room is static if the mean of the unit vectors towards it, in the array frame, is at least this long.
MIN_STATIC_LENGTH = 0.85
# With a larger share of static places than this, nothing is learned: the array has hardly turned.
MAX_STATIC_SHARE = 0.25
# Learned noise is rejected if a static direction explains more than this share of its power ...
MAX_ROOM_SHARE = 0.42
# ... or more than this share of the power that its loudest direction explains.
MAX_ROOM_OF_PEAK = 0.75
# Places of the room where a source may be: distances from the array, and least height of their direction (z of the unit
# vector; lower lies the robot itself).
_RANGES_M = (0.5, 1.0, 2.0, 4.0)
_MIN_HEIGHT = -0.7
# Step in bins at which the direction of the learned noise is tested.
_BIN_STEP = 8


@dataclass
class _Heading:
    """Windows of about one orientation. T_map_array: of the first; covariance: [F, M, M], their mean; and its inverse."""

    T_map_array: Float64Array
    covariance: Complex64Array
    inverse: Complex64Array
    windows: int = 1

    def add(self, covariance: Complex64Array) -> None:
        self.windows = min(self.windows + 1, HEADING_WINDOWS)
        self.covariance = self.covariance + (covariance - self.covariance) / np.float32(self.windows)
        self.inverse = np.linalg.inv(loaded(self.covariance))


class EgoNoise:
    """Learns the noise that moves with the array. filter: whitens it, None while nothing is known.

    `learn_noise_only` takes windows that hold nothing but ego noise. `learn_by_turning` takes any window and learns the
    noise that keeps its direction in the array frame while the array turns: the harmonic mean of the covariances of several
    headings, in which only noise from the same direction in all of them remains. The result is rejected if it comes from a
    static direction, in which a place of the room would have stayed during the motion: any direction for an array that
    stands, the vertical for one that turns on the spot. A standing robot therefore never learns a standing source.
    Noise learned from noise-only windows has precedence.
    """

    def __init__(self, array: ArrayGeometry, frequencies_hz: NDArray[np.floating[Any]]) -> None:
        self._array, self._frequencies_hz = array, frequencies_hz
        self._noise_only_covariance: Complex64Array | None = None
        self._noise_only_windows = 0
        self._headings: list[_Heading] = []
        self._static: Float64Array | None = None
        self._last_T_map_array: Float64Array | None = None
        self.filter: NoiseFilter | None = None

    def learn_noise_only(self, spectra: Complex64Array) -> None:
        """Learns from the spectra [M, T, F] of a window that holds nothing but ego noise."""
        covariance = spectral_covariance(spectra)
        self._noise_only_windows = min(self._noise_only_windows + 1, NOISE_ONLY_WINDOWS)
        if self._noise_only_covariance is None:
            self._noise_only_covariance = covariance
        change = (covariance - self._noise_only_covariance) / np.float32(self._noise_only_windows)
        self._noise_only_covariance = self._noise_only_covariance + change
        self.filter = noise_filter(self._noise_only_covariance)

    def learn_by_turning(self, spectra: Complex64Array, T_map_array: Float64Array) -> None:
        """Learns from the spectra [M, T, F] of any window and the array's pose [4, 4]."""
        if self._noise_only_covariance is not None or not self._has_moved(T_map_array):
            return
        self._last_T_map_array = T_map_array
        covariance = spectral_covariance(spectra)
        near = [h for h in self._headings if _turn_rad(h.T_map_array, T_map_array) < HEADING_RAD]
        for heading in near:
            heading.add(covariance)
        if not near:
            heading = _Heading(T_map_array, covariance, np.linalg.inv(loaded(covariance)))
            self._headings = [*self._headings, heading][-MAX_HEADINGS:]
            self._static = static_directions(np.stack([h.T_map_array for h in self._headings]))
        self.filter = self._learned_filter()

    def _has_moved(self, T_map_array: Float64Array) -> bool:
        if self._last_T_map_array is None:
            return True
        moved_m = float(np.linalg.norm(T_map_array[:3, 3] - self._last_T_map_array[:3, 3]))
        return moved_m > MIN_MOVE_M or _turn_rad(self._last_T_map_array, T_map_array) > MIN_TURN_RAD

    def _learned_filter(self) -> NoiseFilter | None:
        if len(self._headings) < MIN_HEADINGS or self._static is None:
            return None
        inverse: Complex64Array = np.mean([h.inverse for h in self._headings], axis=0, dtype=np.complex64)
        covariance = np.linalg.inv(inverse)
        return None if self._may_come_from_room(covariance, self._static) else noise_filter(covariance)

    def _may_come_from_room(self, covariance: Complex64Array, static: Float64Array) -> bool:
        """Whether noise of covariance [F, M, M] comes from one of the static directions [D, 3]."""
        coherent, frequencies_hz = covariance[::_BIN_STEP], self._frequencies_hz[::_BIN_STEP]
        power = np.linalg.eigvalsh(coherent)
        floor = power[:, : power.shape[1] // 2].mean(axis=1)
        loud = power[:, -1] > 2 * INDEPENDENT_SPREAD * floor
        if not loud.any() or not len(static):
            return False
        coherent = coherent[loud] - floor[loud, None, None] * np.eye(power.shape[1])
        static_share, peak_share = (
            self._plane_wave_share(coherent, frequencies_hz[loud], directions).max()
            for directions in (static, fibonacci_sphere(400))
        )
        return bool(static_share > min(MAX_ROOM_SHARE, MAX_ROOM_OF_PEAK * peak_share))

    def _plane_wave_share(
        self, covariance: NDArray[Any], frequencies_hz: NDArray[np.floating[Any]], directions: Float64Array
    ) -> Float64Array:
        """[D] share of the power of covariance [F, M, M] that a plane wave from each direction [D, 3] explains."""
        phase = np.exp(-2j * np.pi * frequencies_hz[:, None, None] * self._array.far_field_delays_s(directions).T)
        power = np.sum(phase.conj() * (covariance @ phase), axis=1).real
        total = np.trace(covariance, axis1=1, axis2=2).real * covariance.shape[1]
        share: Float64Array = np.mean(power / total[:, None], axis=0)
        return share


def static_directions(T_map_array: Float64Array) -> Float64Array | None:
    """[D, 3] mean directions, array frame, of the places of the room that kept their direction over poses [K, 4, 4].

    None if there are too many of them: the array has hardly turned.
    """
    ring = fibonacci_sphere(100)
    ring = ring[ring[:, 2] > _MIN_HEIGHT]  # directions of possible sources; the map's z points up
    places = T_map_array[:, :3, 3].mean(axis=0) + np.concatenate([r * ring for r in _RANGES_M])
    sight = places[None] - T_map_array[:, None, :3, 3]
    sight = np.einsum("kpi,kij->kpj", sight / np.linalg.norm(sight, axis=2, keepdims=True), T_map_array[:, :3, :3])
    mean = sight.mean(axis=0)
    length = np.linalg.norm(mean, axis=1)
    static = length > MIN_STATIC_LENGTH
    directions: Float64Array = mean[static] / length[static, None]
    return None if static.mean() > MAX_STATIC_SHARE else directions


def _turn_rad(T_map_a: Float64Array, T_map_b: Float64Array) -> float:
    cosine = (np.trace(T_map_a[:3, :3].T @ T_map_b[:3, :3]) - 1) / 2
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)))
