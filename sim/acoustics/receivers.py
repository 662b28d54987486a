"""Impulse responses from image sources to an array: open microphones in the free field, or the ears of a head."""

from __future__ import annotations

from typing import Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import apply
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import Float64Array
from echoseg_sim.acoustics.head_responses import LEAD_TAPS, STEP_RAD, head_table
from echoseg_sim.acoustics.reverberation import ImageSources

# A response begins this many samples before its time zero, for what a band-limited pulse does before it arrives.
LEAD_SAMPLES = 32
_PULSE_TAPS = 2 * LEAD_SAMPLES
_PULSE_PHASES = 1024  # an arrival is placed to a thousandth of a sample
# Taps after which no filter of a head holds more than this part of the loudest one are left out.
_SILENT_TAP = 1e-4
# A microphone inside a source would hear it infinitely loud.
MIN_DISTANCE_M = 0.05


class Receiver(Protocol):
    """Anything that hears image sources at a pose."""

    def responses(self, image_sources: ImageSources, poses_map_array: Float64Array, length: int) -> NDArray[np.float32]:
        """[P, M, length] impulse responses at poses [P, 4, 4]; sample LEAD is the moment the source sounds."""
        ...


def make_receiver(array: ArrayGeometry) -> Receiver:
    """The receiver of an array: with a head if it has one."""
    return HeadReceiver(array) if array.head is not None else FreeFieldReceiver(array)


class FreeFieldReceiver:
    """Omnidirectional microphones that do not disturb the field."""

    def __init__(self, array: ArrayGeometry) -> None:
        self._microphones_m = array.microphones_m
        self._late = array.delays_s * array.sample_rate_hz
        self._rate_hz = float(array.sample_rate_hz)
        self._pulses = _pulse_table()

    def responses(self, image_sources: ImageSources, poses_map_array: Float64Array, length: int) -> NDArray[np.float32]:
        """See Receiver."""
        microphones = np.stack([apply(T_map_array, self._microphones_m) for T_map_array in poses_map_array])
        out = np.zeros((*microphones.shape[:2], length), dtype=np.float32)
        samples_per_m = self._rate_hz / SPEED_OF_SOUND_M_PER_S
        _add_pulses(
            image_sources.positions_map, image_sources.gains, microphones, self._late, samples_per_m, self._pulses, out
        )
        return out


class HeadReceiver:
    """Two ears on a head at the array's origin."""

    def __init__(self, array: ArrayGeometry) -> None:
        self._rate_hz = float(array.sample_rate_hz)
        table = head_table(array)
        self._delays = (table.delays_s + array.delays_s) * self._rate_hz
        heard = np.abs(table.filters).max(axis=(0, 1, 2))
        filters = table.filters[..., : 1 + int(np.flatnonzero(heard > _SILENT_TAP * heard.max()).max())]
        # Three zeros on both sides, so that the cubic interpolation needs no special case at the ends.
        self._filters = np.pad(filters, [(0, 0)] * 3 + [(3, 3)])

    def responses(self, image_sources: ImageSources, poses_map_array: Float64Array, length: int) -> NDArray[np.float32]:
        """See Receiver."""
        out = np.zeros((len(poses_map_array), 2, length), dtype=np.float32)
        samples_per_m = self._rate_hz / SPEED_OF_SOUND_M_PER_S
        poses = np.ascontiguousarray(poses_map_array)
        _add_head(
            image_sources.positions_map, image_sources.gains, poses, samples_per_m, self._delays, self._filters, out
        )
        return out


def _pulse_table() -> NDArray[np.float32]:
    """[phases + 1, taps] windowed sinc pulses that arrive `LEAD_SAMPLES - 1 + phase` samples after their first tap."""
    fraction = np.arange(_PULSE_PHASES + 1)[:, None] / _PULSE_PHASES
    t = np.arange(_PULSE_TAPS)[None, :] - (LEAD_SAMPLES - 1) - fraction
    window = np.where(np.abs(t) < LEAD_SAMPLES, np.cos(np.pi * t / (2 * LEAD_SAMPLES)) ** 2, 0.0)
    return (np.sinc(t) * window).astype(np.float32)


@numba.njit(parallel=True, cache=True, nogil=True)
def _add_pulses(
    positions: Float64Array, gains: Float64Array, microphones: Float64Array, late: Float64Array, samples_per_m: float,
    pulses: NDArray[np.float32], out: NDArray[np.float32],
) -> None:  # fmt: skip
    poses, count, length = out.shape
    taps, phases = pulses.shape[1], pulses.shape[0] - 1
    for pair in numba.prange(poses * count):
        p, m = pair // count, pair % count
        for k in range(len(gains)):
            dx = positions[k, 0] - microphones[p, m, 0]
            dy = positions[k, 1] - microphones[p, m, 1]
            dz = positions[k, 2] - microphones[p, m, 2]
            distance = max(np.sqrt(dx * dx + dy * dy + dz * dz), MIN_DISTANCE_M)
            arrival = distance * samples_per_m + late[m] + LEAD_SAMPLES
            whole = int(np.floor(arrival))
            row = int((arrival - whole) * phases + 0.5)
            gain = np.float32(gains[k] / distance)
            first = whole - (LEAD_SAMPLES - 1)
            for t in range(max(0, -first), min(taps, length - first)):
                out[p, m, first + t] += gain * pulses[row, t]


@numba.njit(cache=True, nogil=True)
def _cubic_weights(fraction: float, gain: float) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Lagrange's weights for a delay of 1 + fraction samples over four taps, times a gain."""
    d = 1.0 + fraction
    return (
        np.float32(-gain * (d - 1) * (d - 2) * (d - 3) / 6),
        np.float32(gain * d * (d - 2) * (d - 3) / 2),
        np.float32(-gain * d * (d - 1) * (d - 3) / 2),
        np.float32(gain * d * (d - 1) * (d - 2) / 6),
    )


@numba.njit(parallel=True, cache=True, nogil=True)
def _add_head(
    positions: Float64Array, gains: Float64Array, poses_map_array: Float64Array, samples_per_m: float, delays: Float64Array,
    padded_filters: NDArray[np.float32], out: NDArray[np.float32],
) -> None:  # fmt: skip
    poses, ears, length = out.shape
    rows, columns, padded = padded_filters.shape[0], padded_filters.shape[1], padded_filters.shape[3]
    for pair in numba.prange(poses * ears):
        p, m = pair // ears, pair % ears
        T = poses_map_array[p]
        for k in range(len(gains)):
            dx, dy, dz = positions[k, 0] - T[0, 3], positions[k, 1] - T[1, 3], positions[k, 2] - T[2, 3]
            distance = max(np.sqrt(dx * dx + dy * dy + dz * dz), MIN_DISTANCE_M)
            x = (T[0, 0] * dx + T[1, 0] * dy + T[2, 0] * dz) / distance
            y = (T[0, 1] * dx + T[1, 1] * dy + T[2, 1] * dz) / distance
            z = (T[0, 2] * dx + T[1, 2] * dy + T[2, 2] * dz) / distance
            row = np.arcsin(min(1.0, max(-1.0, z))) / STEP_RAD + (rows - 1) / 2
            column = (np.arctan2(y, x) % (2 * np.pi)) / STEP_RAD
            r0, c0 = min(int(row), rows - 2), min(int(column), columns - 2)
            fr, fc = row - r0, column - c0
            delay = (
                (1 - fr) * ((1 - fc) * delays[r0, c0, m] + fc * delays[r0, c0 + 1, m])
                + fr * ((1 - fc) * delays[r0 + 1, c0, m] + fc * delays[r0 + 1, c0 + 1, m])
            )  # fmt: skip
            arrival = distance * samples_per_m + delay + LEAD_SAMPLES - LEAD_TAPS
            whole = int(np.floor(arrival))
            w0, w1, w2, w3 = _cubic_weights(arrival - whole, gains[k] / distance)
            filter_taps = padded_filters[r0 + int(fr + 0.5), c0 + int(fc + 0.5), m]
            first = whole - 1
            for t in range(max(0, -first), min(padded - 3, length - first)):
                out[p, m, first + t] += (
                    w0 * filter_taps[t + 3] + w1 * filter_taps[t + 2] + w2 * filter_taps[t + 1] + w3 * filter_taps[t]
                )
