"""Image sources of a box room: exact early ones, and a random sample of the diffuse late field.

Early image sources come from pyroomacoustics (J. B. Allen and D. A. Berkley, "Image method for efficiently simulating
small-room acoustics", J. Acoust. Soc. Am. 65, 1979). Their number grows with the cube of time. After the mixing time, far
image sources in random directions replace them: their density in time is constant, and their energy continues the early
decay with the requested reverberation time. Late image sources have positions in the map, so the delays between the
microphones of a moving array are right for them as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from echoseg_ros.errors import ConfigError
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S
from echoseg_ros.types import Float64Array

logger = logging.getLogger(__name__)

# Highest number of reflections of the exact image sources.
EARLY_ORDER = 12
# Least height of a simulated room, m.
MIN_ROOM_HEIGHT_M = 2.5
# Image sources of the diffuse tail per second of the response; enough for the tail to be smooth noise.
TAIL_DENSITY_HZ = 6000.0
# End of the response, in reverberation times: the level is 66 dB down there, and T30 needs 35 dB.
TAIL_LENGTH_RT60 = 1.1
# Relative error of T30 at which the search for the walls' reflection stops.
RT60_SEARCH_TOLERANCE = 0.02
# Largest relative error of T30 that is accepted.
RT60_TOLERANCE = 0.15
# Natural logarithm of the energy's decay in one reverberation time (60 dB).
_LOG_DECAY = 6.0 * np.log(10.0)
# Least distance of an early image source from the room's centre in the energy balance, m.
_MIN_CENTER_DISTANCE_M = 0.1
# Cutoff of the high-pass before T30 is measured, Hz: below it, image sources add up in phase, which no real room does.
_T30_HIGHPASS_HZ = 100.0
# Sabine's and Eyring's constant: 24 ln(10) / c, s/m.
_EYRING_S_PER_M = 0.161
# Bisection steps of the search for the walls' reflection.
_SEARCH_STEPS = 12
# The search covers Eyring's absorption exponent divided and multiplied by this.
_SEARCH_RANGE = 16


@dataclass(frozen=True)
class Shoebox:
    """A level box room in the map. origin_map_m: [3] its lowest corner; size_m: [3] its extent along x, y, z."""

    origin_map_m: Float64Array
    size_m: Float64Array

    @property
    def center_map_m(self) -> Float64Array:
        """Centre of the room in the map, [3]."""
        return np.asarray(self.origin_map_m) + np.asarray(self.size_m) / 2

    def contains(self, points_map: Float64Array) -> bool:
        """Whether all points [..., 3] of the map lie inside the room."""
        offset = np.asarray(points_map) - self.origin_map_m
        return bool(((offset > 0) & (offset < self.size_m)).all())


@dataclass(frozen=True)
class ImageSources:
    """Image sources of one source; the first is the source itself.

    positions_map: [K, 3] metres in the map; gains: [K] amplitude at 1 m.
    """

    positions_map: Float64Array
    gains: Float64Array


@dataclass(frozen=True)
class ImageSourceModel:
    """Geometry of a source's image sources, independent of the walls' absorption.

    positions_map: [K, 3] early image sources, the source first; orders: [K] their numbers of reflections; distances_m: [K]
    from the room's centre; tail_positions_map: [T, 3] late image sources; tail_signs: [T] -1 or 1; tail_distances_m: [T]
    from the room's centre.
    """

    positions_map: Float64Array
    orders: NDArray[np.int64]
    distances_m: Float64Array
    tail_positions_map: Float64Array
    tail_signs: Float64Array
    tail_distances_m: Float64Array

    def image_sources(self, reflection: float, rt60_s: float) -> ImageSources:
        """Image sources for walls that reflect the share `reflection` of the amplitude; the tail falls 60 dB in rt60_s."""
        gains = reflection ** self.orders.astype(float)
        tail_gains = self.tail_signs * self.tail_distances_m * np.sqrt(self._tail_energy(gains, rt60_s))
        return ImageSources(
            np.concatenate([self.positions_map, self.tail_positions_map]), np.concatenate([gains, tail_gains])
        )

    def _tail_energy(self, gains: Float64Array, rt60_s: float) -> Float64Array:
        """Energy of each late image source, [T]: continues the last third of the early response."""
        times_s, tail_times_s = (
            self.distances_m / SPEED_OF_SOUND_M_PER_S,
            self.tail_distances_m / SPEED_OF_SOUND_M_PER_S,
        )
        if not len(tail_times_s):
            return np.zeros(0)
        mixing_s = float(times_s.max())
        last = times_s > 2 / 3 * mixing_s
        energy = float(((gains[last] / self.distances_m[last]) ** 2).sum())
        # weight: integral of exp(-decay (t - mixing)) over the last third of the early response.
        decay = _LOG_DECAY / rt60_s
        weight = np.expm1(decay * mixing_s / 3) / decay
        tail_energy: Float64Array = energy / weight * np.exp(-decay * (tail_times_s - mixing_s)) / TAIL_DENSITY_HZ
        return tail_energy


def direct_path(position_map: Float64Array) -> ImageSources:
    """The source at position_map [3] alone: no walls."""
    return ImageSources(np.asarray(position_map, dtype=float)[None], np.ones(1))


def image_source_model(
    shoebox: Shoebox, position_map: Float64Array, rt60_s: float, rng: np.random.Generator
) -> ImageSourceModel:
    """The image-source model of a source at position_map [3]; `rng` draws the diffuse tail."""
    center = shoebox.center_map_m
    positions, orders = _early_images(shoebox, position_map)
    distances = np.linalg.norm(positions - center, axis=1)
    end_m = TAIL_LENGTH_RT60 * rt60_s * SPEED_OF_SOUND_M_PER_S
    # Within this radius, the early image sources are complete.
    mixing_m = min(EARLY_ORDER * float(np.min(shoebox.size_m)), end_m)
    early = (distances < mixing_m) | (orders == 0)
    tail_m = _tail_distances(mixing_m, end_m, rng)
    directions = rng.standard_normal((len(tail_m), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    signs = rng.choice([-1.0, 1.0], len(tail_m))
    return ImageSourceModel(
        positions[early],
        orders[early],
        np.maximum(distances[early], _MIN_CENTER_DISTANCE_M),
        center + directions * tail_m[:, None],
        signs,
        tail_m,
    )


def _early_images(shoebox: Shoebox, position_map: Float64Array) -> tuple[Float64Array, NDArray[np.int64]]:
    """Early image sources [K, 3] and their numbers of reflections [K], sorted by the latter, then by position."""
    import pyroomacoustics as pra

    # The absorption is applied later, so the material has no effect; pyroomacoustics requires a microphone.
    room = pra.ShoeBox(
        shoebox.size_m, fs=16000, materials=pra.Material(0.5), max_order=EARLY_ORDER, air_absorption=False
    )
    room.add_source(np.asarray(position_map, dtype=float) - shoebox.origin_map_m)
    room.add_microphone(np.asarray(shoebox.size_m) / 2)
    room.image_source_model()
    positions = room.sources[0].images.T.astype(float) + shoebox.origin_map_m
    orders = room.sources[0].orders.astype(np.int64)
    rank = np.lexsort((*np.round(positions, 6).T, orders))
    positions, orders = positions[rank], orders[rank]
    positions[0] = position_map  # pyroomacoustics rounds to single precision
    return positions, orders


def _tail_distances(start_m: float, end_m: float, rng: np.random.Generator) -> Float64Array:
    """Distances [T] from the room's centre: one at random in each equal step between start_m and end_m."""
    step_m = SPEED_OF_SOUND_M_PER_S / TAIL_DENSITY_HZ
    count = max(0, int((end_m - start_m) / step_m))
    return start_m + (np.arange(count) + rng.random(count)) * step_m


def reverberation_time(responses: NDArray[np.floating], sample_rate_hz: float) -> float:
    """T30 in seconds, mean over impulse responses [..., L]: Schroeder's backward integral from -5 to -35 dB (ISO 3382).

    Frequencies below 100 Hz are left out.
    """
    sos = butter(4, _T30_HIGHPASS_HZ, "highpass", fs=sample_rate_hz, output="sos")
    filtered = sosfilt(sos, np.asarray(responses, dtype=float).reshape(-1, responses.shape[-1]), axis=-1)
    return float(np.mean([_t30(response, sample_rate_hz) for response in filtered]))


def _t30(response: Float64Array, sample_rate_hz: float) -> float:
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    level_db = 10 * np.log10(np.maximum(energy / energy[0], 1e-12))
    fit = np.flatnonzero((level_db <= -5.0) & (level_db >= -35.0))
    if len(fit) < 2:
        return 0.0
    slope_db_per_s = np.polyfit(fit / sample_rate_hz, level_db[fit], 1)[0]
    return float(-60.0 / slope_db_per_s)


def find_reflection(measured_rt60: Callable[[float], float], shoebox: Shoebox, rt60_s: float) -> tuple[float, float]:
    """Share of the amplitude that the walls reflect so that the measured T30 is rt60_s, and that T30 in seconds.

    measured_rt60: T30 of the room's responses for a reflection. Bisection starts at Eyring's formula, which is inaccurate in
    flat rooms. Raises ConfigError if the T30 stays more than RT60_TOLERANCE away from rt60_s.
    """
    size = np.asarray(shoebox.size_m, dtype=float)
    surface = 2 * (size[0] * size[1] + size[1] * size[2] + size[2] * size[0])
    eyring = _EYRING_S_PER_M * float(np.prod(size)) / (surface * rt60_s)  # -log(1 - absorption)
    low, high = eyring / _SEARCH_RANGE, eyring * _SEARCH_RANGE
    exponent, best = eyring, (1.0, np.inf)
    for _ in range(_SEARCH_STEPS):
        reflection = float(np.exp(-exponent / 2))
        measured_s = measured_rt60(reflection)
        if abs(measured_s - rt60_s) < abs(best[1] - rt60_s):
            best = reflection, measured_s
        if abs(measured_s / rt60_s - 1) < RT60_SEARCH_TOLERANCE:
            break
        low, high = (exponent, high) if measured_s > rt60_s else (low, exponent)
        exponent = float(np.sqrt(low * high))
    logger.info("the walls reflect %.3f of the amplitude; measured T30: %.3f s", *best)
    if abs(best[1] / rt60_s - 1) > RT60_TOLERANCE:
        room = " x ".join(f"{side:.1f}" for side in size)
        raise ConfigError(f"rt60 {rt60_s} s: a {room} m room gets no nearer than {best[1]:.2f} s")
    return best
