"""Impulse responses from image sources to an array: microphones in the free field, or two ears of a head."""

from __future__ import annotations

from typing import Protocol

import numba
import numpy as np
from scipy.signal import butter, sosfilt

from echoseg_ros.geometry import apply
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import Float32Array, Float64Array
from echoseg_sim.acoustics.head_responses import LEAD_TAPS, STEP_RAD, head_table
from echoseg_sim.acoustics.reverberation import TAIL_LENGTH_RT60, ImageSources, Shoebox

# Samples of a response before the moment of emission: a band-limited pulse begins before it arrives.
LEAD_SAMPLES = 32
# Samples of a band-limited pulse.
_PULSE_TAPS = 2 * LEAD_SAMPLES
# Fractions of a sample at which a pulse can arrive.
_PULSE_PHASES = 1024
# Trailing taps of a head's filters are cut off where all of them are below this share of the largest tap.
_SILENT_TAP = 1e-4
# Least distance between a source and a microphone, m: bounds the gain 1 / distance.
MIN_DISTANCE_M = 0.05
# Responses are this much longer than the diffuse tail and the room's diagonal, s.
_RESPONSE_MARGIN_S = 0.01
# Gain of the direct path behind an obstacle, such as a closed door (-10 dB).
BLOCKED_GAIN = 10 ** (-10 / 20)
# Cutoff of the low-pass of the direct path behind an obstacle, Hz.
BLOCKED_LOWPASS_HZ = 700.0


class Receiver(Protocol):
    """An array that has impulse responses to image sources."""

    def responses(self, image_sources: ImageSources, poses_map_array: Float64Array, length: int) -> Float32Array:
        """Impulse responses [P, M, length] at poses T_map_array [P, 4, 4]; sample LEAD_SAMPLES is the moment of emission."""
        ...


def make_receiver(array: ArrayGeometry) -> Receiver:
    """The receiver of an array, with a head if the array has one. Raises ArrayError for an unusable SOFA file."""
    return HeadReceiver(array) if array.head is not None else FreeFieldReceiver(array)


def with_blocked_direct_path(receiver: Receiver, rate_hz: float) -> Receiver:
    """The receiver with an obstacle on the direct path: attenuated and low-passed."""
    return _BlockedReceiver(receiver, rate_hz)


def response_length(shoebox: Shoebox, rt60_s: float, rate_hz: float) -> int:
    """Samples of a response in a room: the diffuse tail and the travel time along the room's diagonal."""
    reach_s = TAIL_LENGTH_RT60 * rt60_s + float(np.linalg.norm(shoebox.size_m)) / SPEED_OF_SOUND_M_PER_S
    return 2 * LEAD_SAMPLES + int(np.ceil((reach_s + _RESPONSE_MARGIN_S) * rate_hz))


class FreeFieldReceiver:
    """Omnidirectional microphones that do not disturb the field."""

    def __init__(self, array: ArrayGeometry) -> None:
        self._microphones_m = array.microphones_m
        self._delays_samples = array.delays_s * array.sample_rate_hz
        self._rate_hz = float(array.sample_rate_hz)
        self._pulses = _pulse_table()

    def responses(self, image_sources: ImageSources, poses_map_array: Float64Array, length: int) -> Float32Array:
        """See Receiver."""
        microphones = np.stack([apply(T_map_array, self._microphones_m) for T_map_array in poses_map_array])
        out = np.zeros((*microphones.shape[:2], length), dtype=np.float32)
        samples_per_m = self._rate_hz / SPEED_OF_SOUND_M_PER_S
        _add_pulses(
            image_sources.positions_map,
            image_sources.gains,
            microphones,
            self._delays_samples,
            samples_per_m,
            self._pulses,
            out,
        )
        return out


class HeadReceiver:
    """Two ears on a head at the array's origin."""

    def __init__(self, array: ArrayGeometry) -> None:
        self._rate_hz = float(array.sample_rate_hz)
        table = head_table(array)
        self._delays_samples = (table.delays_s + array.delays_s) * self._rate_hz
        loudest = np.abs(table.filters).max(axis=(0, 1, 2))
        filters = table.filters[..., : 1 + int(np.flatnonzero(loudest > _SILENT_TAP * loudest.max()).max())]
        # Three zeros on both sides: the cubic interpolation then needs no special case at the ends.
        self._filters = np.pad(filters, [(0, 0)] * 3 + [(3, 3)])

    def responses(self, image_sources: ImageSources, poses_map_array: Float64Array, length: int) -> Float32Array:
        """See Receiver."""
        out = np.zeros((len(poses_map_array), 2, length), dtype=np.float32)
        samples_per_m = self._rate_hz / SPEED_OF_SOUND_M_PER_S
        poses = np.ascontiguousarray(poses_map_array)
        _add_head(
            image_sources.positions_map,
            image_sources.gains,
            poses,
            samples_per_m,
            self._delays_samples,
            self._filters,
            out,
        )
        return out


class _BlockedReceiver:
    """A receiver with an obstacle on the direct path, which is the first of the image sources."""

    def __init__(self, receiver: Receiver, rate_hz: float) -> None:
        self._receiver = receiver
        self._sos = butter(1, BLOCKED_LOWPASS_HZ, fs=rate_hz, output="sos")

    def responses(self, image_sources: ImageSources, poses_map_array: Float64Array, length: int) -> Float32Array:
        """See Receiver."""
        direct = ImageSources(image_sources.positions_map[:1], image_sources.gains[:1] * BLOCKED_GAIN)
        reflections = ImageSources(image_sources.positions_map[1:], image_sources.gains[1:])
        filtered = sosfilt(self._sos, self._receiver.responses(direct, poses_map_array, length), axis=-1)
        responses: Float32Array = self._receiver.responses(reflections, poses_map_array, length) + filtered.astype(
            np.float32
        )
        return responses


def _pulse_table() -> Float32Array:
    """Windowed sinc pulses [phases + 1, taps] that arrive `LEAD_SAMPLES - 1 + phase` samples after their first tap."""
    fraction = np.arange(_PULSE_PHASES + 1)[:, None] / _PULSE_PHASES
    t = np.arange(_PULSE_TAPS)[None, :] - (LEAD_SAMPLES - 1) - fraction
    window = np.where(np.abs(t) < LEAD_SAMPLES, np.cos(np.pi * t / (2 * LEAD_SAMPLES)) ** 2, 0.0)
    return (np.sinc(t) * window).astype(np.float32)


@numba.njit(parallel=True, cache=True, nogil=True)
def _add_pulses(
    positions: Float64Array, gains: Float64Array, microphones: Float64Array, delays_samples: Float64Array, samples_per_m: float,
    pulses: Float32Array, out: Float32Array,
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
            arrival = distance * samples_per_m + delays_samples[m] + LEAD_SAMPLES
            whole = int(np.floor(arrival))
            row = int((arrival - whole) * phases + 0.5)
            gain = np.float32(gains[k] / distance)
            first = whole - (LEAD_SAMPLES - 1)
            for t in range(max(0, -first), min(taps, length - first)):
                out[p, m, first + t] += gain * pulses[row, t]


@numba.njit(cache=True, nogil=True)
def _cubic_weights(fraction: float, gain: float) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Lagrange weights of four taps for a delay of 1 + fraction samples, times a gain."""
    d = 1.0 + fraction
    return (
        np.float32(-gain * (d - 1) * (d - 2) * (d - 3) / 6),
        np.float32(gain * d * (d - 2) * (d - 3) / 2),
        np.float32(-gain * d * (d - 1) * (d - 3) / 2),
        np.float32(gain * d * (d - 1) * (d - 2) / 6),
    )


@numba.njit(parallel=True, cache=True, nogil=True)
def _add_head(
    positions: Float64Array, gains: Float64Array, poses_map_array: Float64Array, samples_per_m: float, delays_samples: Float64Array,
    padded_filters: Float32Array, out: Float32Array,
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
                (1 - fr) * ((1 - fc) * delays_samples[r0, c0, m] + fc * delays_samples[r0, c0 + 1, m])
                + fr * ((1 - fc) * delays_samples[r0 + 1, c0, m] + fc * delays_samples[r0 + 1, c0 + 1, m])
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
