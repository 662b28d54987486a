"""Echoes of a box room as image sources: the early ones exact, the late ones a sample of a diffuse field.

Early images come from pyroomacoustics' image-source model (Allen & Berkley 1979). Their number grows with the cube of
time, so from the mixing time on a bounded number of far images in random directions stands for the rest: their density
is constant, their energy continues the early decay with the reverberation time asked for. As they have places in the
map, a moving array hears them with the right delays between its microphones.
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

# Every image up to this order is exact: about 2000 of them, 90 ms in a room of 2.5 m height.
EARLY_ORDER = 12
# Beyond a few thousand echoes a second the ear and a correlation over a window hear smooth noise.
TAIL_DENSITY_HZ = 6000.0
# T30 needs 35 dB of decay; the response ends where it is 66 dB down.
TAIL_LENGTH_RT60 = 1.1
# The design asks for 15 %; the search stops much earlier.
RT60_SEARCH_TOLERANCE = 0.02
RT60_TOLERANCE = 0.15
_LOG_DECAY = 6.0 * np.log(10.0)  # energy falls by 60 dB in one reverberation time


@dataclass(frozen=True)
class Shoebox:
    """A level box room in the map. origin_map_m: [3] its lowest corner; size_m: [3] along x, y, z."""

    origin_map_m: Float64Array
    size_m: Float64Array

    @property
    def center_map_m(self) -> Float64Array:
        """[3] middle of the room."""
        return np.asarray(self.origin_map_m) + np.asarray(self.size_m) / 2

    def contains(self, points_map: Float64Array) -> bool:
        """Whether all points [..., 3] lie inside."""
        offset = np.asarray(points_map) - self.origin_map_m
        return bool(((offset > 0) & (offset < self.size_m)).all())


@dataclass(frozen=True)
class ImageSources:
    """Image sources of one source; the first is the source itself.

    positions_map: [K, 3] metres; gains: [K] amplitude at 1 m.
    """

    positions_map: Float64Array
    gains: Float64Array


@dataclass(frozen=True)
class ImageSourceModel:
    """The geometry of a source's echoes, before the walls' absorption is known.

    positions_map: [K, 3] early images, the source first; orders: [K] reflections; distances_m: [K] from the room's
    centre; tail_positions_map: [T, 3]; tail_signs: [T]; tail_distances_m: [T].
    """

    positions_map: Float64Array
    orders: NDArray[np.int64]
    distances_m: Float64Array
    tail_positions_map: Float64Array
    tail_signs: Float64Array
    tail_distances_m: Float64Array

    def image_sources(self, reflection: float, rt60_s: float) -> ImageSources:
        """With walls that reflect this share of the amplitude, and a tail that decays by 60 dB in rt60_s."""
        gains = reflection ** self.orders.astype(float)
        tail_gains = self.tail_signs * self.tail_distances_m * np.sqrt(self._tail_energy(gains, rt60_s))
        return ImageSources(
            np.concatenate([self.positions_map, self.tail_positions_map]), np.concatenate([gains, tail_gains])
        )

    def _tail_energy(self, gains: Float64Array, rt60_s: float) -> Float64Array:
        """[T] energy of each echo of the tail: the last third of the early echoes, continued."""
        times_s, tail_times_s = (
            self.distances_m / SPEED_OF_SOUND_M_PER_S,
            self.tail_distances_m / SPEED_OF_SOUND_M_PER_S,
        )
        if not len(tail_times_s):
            return np.zeros(0)
        mixing_s = float(times_s.max())
        last = times_s > 2 / 3 * mixing_s
        energy = float(((gains[last] / self.distances_m[last]) ** 2).sum())
        # Integral of exp(-decay (t - mixing)) over that third.
        decay = _LOG_DECAY / rt60_s
        weight = np.expm1(decay * mixing_s / 3) / decay
        return energy / weight * np.exp(-decay * (tail_times_s - mixing_s)) / TAIL_DENSITY_HZ


def direct_path(position_map: Float64Array) -> ImageSources:
    """A source in the free field."""
    return ImageSources(np.asarray(position_map, dtype=float)[None], np.ones(1))


def image_source_model(
    shoebox: Shoebox, position_map: Float64Array, rt60_s: float, rng: np.random.Generator
) -> ImageSourceModel:
    """Where the echoes of a source at position_map [3] come from."""
    center = shoebox.center_map_m
    positions, orders = _early_images(shoebox, position_map)
    distances = np.linalg.norm(positions - center, axis=1)
    end_m = TAIL_LENGTH_RT60 * rt60_s * SPEED_OF_SOUND_M_PER_S
    # Within this radius no image is of a higher order than those at hand.
    mixing_m = min(EARLY_ORDER * float(np.min(shoebox.size_m)), end_m)
    early = (distances < mixing_m) | (orders == 0)
    tail_m = _tail_distances(mixing_m, end_m, rng)
    directions = rng.standard_normal((len(tail_m), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    signs = rng.choice([-1.0, 1.0], len(tail_m))
    return ImageSourceModel(
        positions[early],
        orders[early],
        np.maximum(distances[early], 0.1),
        center + directions * tail_m[:, None],
        signs,
        tail_m,
    )


def _early_images(shoebox: Shoebox, position_map: Float64Array) -> tuple[Float64Array, NDArray[np.int64]]:
    """Images [K, 3] and their orders [K] in a fixed order of rising reflections."""
    import pyroomacoustics as pra

    # Absorption is applied later, so any material does; the microphone is only asked for by the interface.
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
    """One echo at a random place in each equal step of time."""
    step_m = SPEED_OF_SOUND_M_PER_S / TAIL_DENSITY_HZ
    count = max(0, int((end_m - start_m) / step_m))
    return start_m + (np.arange(count) + rng.random(count)) * step_m


def reverberation_time(responses: NDArray[np.floating], sample_rate_hz: float) -> float:
    """T30 in seconds, mean over impulse responses [..., L]: Schroeder's backward integral from -5 to -35 dB (ISO 3382).

    Below 100 Hz, where a room has few modes and image sources add up in phase, nothing is counted.
    """
    sos = butter(4, 100.0, "highpass", fs=sample_rate_hz, output="sos")
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
    """(amplitude the walls reflect, measured T30 in seconds) such that the measured T30 is rt60_s.

    Eyring's formula misses it in flat rooms, so the absorption is searched by bisection. Raises ConfigError if the room
    cannot have that reverberation time.
    """
    size = np.asarray(shoebox.size_m, dtype=float)
    surface = 2 * (size[0] * size[1] + size[1] * size[2] + size[2] * size[0])
    eyring = 0.161 * float(np.prod(size)) / (surface * rt60_s)  # -log(1 - absorption)
    low, high = eyring / 16, eyring * 16
    exponent, best = eyring, (1.0, np.inf)
    for _ in range(12):
        reflection = float(np.exp(-exponent / 2))
        measured_s = measured_rt60(reflection)
        if abs(measured_s - rt60_s) < abs(best[1] - rt60_s):
            best = reflection, measured_s
        if abs(measured_s / rt60_s - 1) < RT60_SEARCH_TOLERANCE:
            break
        low, high = (exponent, high) if measured_s > rt60_s else (low, exponent)
        exponent = float(np.sqrt(low * high))
    logger.info("walls reflect %.3f of the amplitude, T30 %.3f s", *best)
    if abs(best[1] / rt60_s - 1) > RT60_TOLERANCE:
        room = " x ".join(f"{side:.1f}" for side in size)
        raise ConfigError(f"rt60 {rt60_s} s: a {room} m room gets no nearer than {best[1]:.2f} s")
    return best
