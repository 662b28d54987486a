"""A beam towards a place in the map: what a moving array hears from there, as one signal.

Each window is filtered as a whole: its spectrum times one weight a microphone and frequency, for where the array was
at its centre. Windows overlap, their tapers add up to one, and so the look direction follows the array smoothly.
Delay-and-sum only aligns the microphones. MVDR (Capon 1969; with the covariance of a diffuse field the superdirective
beam of Cox, Zeskind & Owen 1987) passes the look direction unchanged and everything else as little as it can; its
diagonal loading bounds what unequal microphones and a wrong direction can spoil.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

from echoseg_ros.errors import ArrayError
from echoseg_ros.geometry import apply, inverse
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.types import AudioWindow, Float64Array

Spectrum = NDArray[np.complex64]
Matrices = NDArray[np.complex128]

# Weights are found at frequencies this far apart and interpolated. They turn with the delays: a large array needs a
# finer grid, on which no phase moves by more than a fortieth of a turn (an error of 0.3 %).
STEP_HZ, STEPS_PER_TURN = 31.25, 40.0
# Noise of the microphones against the field, -20 dB: at most as much white noise as one microphone has.
LOADING = 0.01
# How strong another source is taken to be, against the diffuse field: a null of about this depth.
OTHER_SOURCE = 10.0
# A source is never taken to be nearer than this: distances below are errors of its position.
NEAREST_M = 0.1


@dataclass(frozen=True)
class BufferedWindow:
    """The middle of a window as a spectrum. first: number of its first sample; spectrum: [M, F]; T_map_array: [4, 4]."""

    stamp_ns: int
    first: int
    spectrum: Spectrum
    T_map_array: Float64Array


@dataclass(frozen=True)
class BeamSignal:
    """What came from one place. stamp_ns: time of the first sample; samples: [S] float32 in [-1, 1]."""

    stamp_ns: int
    samples: NDArray[np.float32]
    sample_rate_hz: float


class AudioBuffer:
    """The last seconds of an array's windows, in bounded memory.

    Only the middle of each window is kept, twice the hop at most: from there on tapers of neighbours add up to one.
    """

    def __init__(self, sample_rate_hz: float, hop_s: float, memory_s: float) -> None:
        self.sample_rate_hz = float(sample_rate_hz)
        self.hop = max(1, round(hop_s * self.sample_rate_hz))
        self._windows: deque[BufferedWindow] = deque(maxlen=max(1, int(np.ceil(memory_s / hop_s))))
        self.length = 0

    def add(self, window: AudioWindow) -> None:
        """Remember a window. One that does not follow in time (a restart) makes all before it forgotten."""
        length = min(window.samples.shape[1], 2 * self.hop)
        if length != self.length:
            self.clear()
            self.length = length
        hops = self._hops_since(window.stamp_ns)
        if hops is None:
            self.clear()
        first = self._windows[-1].first + hops * self.hop if self._windows and hops else 0
        start = (window.samples.shape[1] - length) // 2
        spectrum = scipy.fft.rfft(window.samples[:, start : start + length], axis=1, workers=1)
        heard = BufferedWindow(window.stamp_ns, first, spectrum.astype(np.complex64), window.T_map_array)
        self._windows.append(heard)

    def _hops_since(self, stamp_ns: int) -> int | None:
        """How many hops after the newest window this one comes; None if its time does not fit or nothing is left."""
        if not self._windows:
            return None
        hops = (stamp_ns - self._windows[-1].stamp_ns) / 1e9 * self.sample_rate_hz / self.hop
        whole = round(hops)
        return whole if 1 <= whole < (self._windows.maxlen or 1) and abs(hops - whole) < 0.25 else None

    def windows(self, last_s: float | None = None) -> tuple[BufferedWindow, ...]:
        """The windows of the last seconds, oldest first; all of them without a time."""
        windows = tuple(self._windows)
        if last_s is None or not windows:
            return windows
        since = windows[-1].first - round(last_s * self.sample_rate_hz)
        return tuple(window for window in windows if window.first > since)

    def clear(self) -> None:
        """Forget all of it."""
        self._windows.clear()


class Beamformer:
    """Beams of an array. near_field: distances are metres, so that waves from near are curved.

    A pair or a head gets delay-and-sum whatever `method` says: between two ears there is no noise to take out that
    would not take the sound with it. Raises ArrayError for windows of other microphones.
    """

    def __init__(
        self,
        array: ArrayGeometry,
        sample_rate_hz: float,
        hop: int,
        length: int,
        method: str = "mvdr",
        near_field: bool = True,
    ) -> None:
        self._array, self._rate_hz, self._length = array, float(sample_rate_hz), length
        self._near_field = near_field and array.head is None
        self.method = "delay_and_sum" if array.microphones < 3 or array.head is not None else method
        self._taper = overlap_taper(length, hop)
        self._fine_hz = np.fft.rfftfreq(length, 1.0 / self._rate_hz)
        largest_s = max(float(np.abs(array.far_field_delays_s(fibonacci_sphere(100))).max()), 1e-6)
        self._step_hz = min(STEP_HZ, 1 / (STEPS_PER_TURN * largest_s))
        self.frequencies_hz = np.arange(0.0, self._rate_hz / 2 + self._step_hz, self._step_hz)
        self.covariance = diffuse_covariance(array, self.frequencies_hz)
        self._inverse = self._inverted(self.covariance)
        # Where each fine frequency lies between those at which weights are found.
        place = self._fine_hz / self._step_hz
        cell = np.minimum(place.astype(np.int64), len(self.frequencies_hz) - 2)
        self._share = (place - cell).astype(np.float32)
        self._starts = np.searchsorted(cell, np.arange(len(self.frequencies_hz)))
        silence = np.zeros((array.microphones, len(self._fine_hz)), dtype=np.complex64)
        ahead, aside = np.eye(3)[:2]
        self.spectrum(BufferedWindow(0, 0, silence, np.eye(4)), ahead, [aside])  # compiles before anybody waits for it

    def steer_to(
        self,
        windows: Sequence[BufferedWindow],
        position_map: Float64Array,
        others_map: Iterable[Float64Array] = (),
        covariance: Matrices | None = None,
    ) -> BeamSignal | None:
        """The sound from position_map [3] through all windows, None without any; missing windows are silence.

        others_map: places [3] of other sources, to be heard as little as possible; covariance: [F, M, M] of the noise
        at `frequencies_hz` instead of a diffuse field.
        """
        if not windows:
            return None
        inverted = self._inverse if covariance is None else self._inverted(covariance)
        others = [np.asarray(place, dtype=float) for place in others_map]
        first = windows[0].first
        out = np.zeros(windows[-1].first - first + self._length, dtype=np.float32)
        for window in windows:
            spectrum = self._spectrum(window, position_map, others, inverted)
            start = window.first - first
            out[start : start + self._length] += scipy.fft.irfft(spectrum, n=self._length, workers=1) * self._taper
        stamp_ns = windows[0].stamp_ns - round(0.5e9 * self._length / self._rate_hz)
        return BeamSignal(stamp_ns, out, self._rate_hz)

    def spectrum(
        self,
        window: BufferedWindow,
        position_map: Float64Array,
        others_map: Iterable[Float64Array] = (),
        covariance: Matrices | None = None,
    ) -> Spectrum:
        """[F] of one window's beam."""
        inverted = self._inverse if covariance is None else self._inverted(covariance)
        return self._spectrum(window, position_map, [np.asarray(place, dtype=float) for place in others_map], inverted)

    def _spectrum(
        self, window: BufferedWindow, position_map: Float64Array, others_map: Sequence[Float64Array], inverted: Matrices
    ) -> Spectrum:
        if window.spectrum.shape != (self._array.microphones, len(self._fine_hz)):
            raise ArrayError(
                f"window of {list(window.spectrum.shape)}: want {self._array.microphones} microphones x {len(self._fine_hz)}"
            )
        T_array_map = inverse(window.T_map_array)
        looks = (
            [position_map] if self.method == "delay_and_sum" else [*others_map, np.asarray(position_map, dtype=float)]
        )
        delays_s = np.stack([self.delays(apply(T_array_map, np.asarray(place, dtype=float))) for place in looks])
        waves = _waves(delays_s, self._step_hz, len(self.frequencies_hz))
        if self.method == "delay_and_sum":
            weights = (waves[-1].conj() / self._array.microphones).astype(np.complex64)
        else:
            weights = _mvdr(waves, inverted)
        return np.asarray(_filtered(weights, self._starts, self._share, window.spectrum))

    def delays(self, position_array: Float64Array) -> Float64Array:
        """[M] seconds by which each microphone hears a place [3] of the array frame later than the array's origin."""
        distance = float(np.linalg.norm(position_array))
        if self._near_field and distance > 0:
            place = position_array * max(1.0, NEAREST_M / distance)
            ways_m = np.linalg.norm(place - self._array.microphones_m, axis=1)
            return np.asarray((ways_m - np.linalg.norm(place)) / SPEED_OF_SOUND_M_PER_S)
        unit = position_array / distance if distance > 0 else np.array([1.0, 0.0, 0.0])
        return self._array.far_field_delays_s(unit[None])[0]

    def measured_covariance(self, windows: Sequence[BufferedWindow]) -> Matrices:
        """[F, M, M] at `frequencies_hz` of what windows without the source hold, 1 on the diagonal: noise to take out.

        Bins near each of them are taken together. Raises ArrayError without windows.
        """
        if not windows:
            raise ArrayError("no windows to measure the noise in: want at least one without the source")
        cell = np.minimum(np.round(self._fine_hz / self._step_hz).astype(np.int64), len(self.frequencies_hz) - 1)
        total = np.zeros_like(self.covariance)
        for window in windows:
            np.add.at(total, cell, np.einsum("mf,nf->fmn", window.spectrum, window.spectrum.conj()))
        level = np.einsum("fmm->f", total).real / self._array.microphones
        return total / np.maximum(level, 1e-20)[:, None, None]

    def _inverted(self, covariance: Matrices) -> Matrices:
        loaded = covariance + LOADING * np.eye(self._array.microphones)
        return np.asarray(np.linalg.inv(loaded), dtype=np.complex128)


@njit(cache=True, nogil=True, error_model="numpy")
def _waves(delays_s, step_hz, count):  # type: ignore[no-untyped-def]
    """[K, F, M] what waves with delays [K, M] are in the microphones, at `count` frequencies from 0 on."""
    waves = np.empty((delays_s.shape[0], count, delays_s.shape[1]), dtype=np.complex128)
    for k in range(delays_s.shape[0]):
        for m in range(delays_s.shape[1]):
            turn = np.exp(-2j * np.pi * step_hz * delays_s[k, m])
            wave = 1.0 + 0.0j
            for f in range(count):
                waves[k, f, m] = wave
                wave *= turn
    return waves


@njit(cache=True, nogil=True, error_model="numpy")
def _mvdr(waves, inverted):  # type: ignore[no-untyped-def]
    """[F, M] conjugate MVDR weights for the last of waves [K, F, M], with gain 1 towards it; inverted: [F, M, M].

    The other waves are added to the noise one after the other (Sherman & Morrison 1950).
    """
    looks, count, channels = waves.shape
    weights = np.empty((count, channels), dtype=np.complex64)
    seen = np.empty((looks, channels), dtype=np.complex128)
    share = np.empty(looks)
    for f in range(count):
        for k in range(looks):
            for i in range(channels):
                total = 0j
                for j in range(channels):
                    total += inverted[f, i, j] * waves[k, f, j]
                seen[k, i] = total
            for other in range(k):
                along = 0j
                for i in range(channels):
                    along += np.conj(seen[other, i]) * waves[k, f, i]
                for i in range(channels):
                    seen[k, i] -= share[other] * along * seen[other, i]
            gain = 0.0
            for i in range(channels):
                gain += (np.conj(waves[k, f, i]) * seen[k, i]).real
            share[k] = OTHER_SOURCE / (1.0 + OTHER_SOURCE * gain)
        for i in range(channels):
            weights[f, i] = np.conj(seen[looks - 1, i]) * (1.0 / gain)
    return weights


@njit(cache=True, nogil=True, error_model="numpy")
def _filtered(weights, starts, share, spectrum):  # type: ignore[no-untyped-def]
    """[F'] sum over microphones of spectra [M, F'] times weights [F, M], linear between those.

    starts: [F] the first fine frequency from each coarse one on; share: [F'] how far it is on the way to the next one.
    """
    channels, count = spectrum.shape
    real, imag = np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.float32)
    for m in range(channels):
        for c in range(len(starts) - 1):
            low = weights[c, m]
            step = weights[c + 1, m] - low
            fine = slice(starts[c], starts[c + 1])
            part, along, to_real, to_imag = spectrum[m, fine], share[fine], real[fine], imag[fine]
            for f in range(len(part)):
                u, v = low.real + along[f] * step.real, low.imag + along[f] * step.imag
                to_real[f] += u * part[f].real - v * part[f].imag
                to_imag[f] += u * part[f].imag + v * part[f].real
    out = np.empty(count, dtype=np.complex64)
    for f in range(count):
        out[f] = complex(real[f], imag[f])
    return out


def diffuse_covariance(array: ArrayGeometry, frequencies_hz: Float64Array) -> Matrices:
    """[F, M, M] of a field that comes evenly from everywhere: sinc of the distance (Cook et al. 1955), 1 on the diagonal."""
    offsets_m = array.microphones_m[:, None] - array.microphones_m[None]
    distances_m = np.linalg.norm(offsets_m, axis=2)
    return np.sinc(2 * frequencies_hz[:, None, None] * distances_m / SPEED_OF_SOUND_M_PER_S).astype(np.complex128)


def overlap_taper(length: int, hop: int) -> NDArray[np.float32]:
    """[length] that adds up to one when repeated every hop: flat with raised cosines where neighbours overlap.

    length: at most twice the hop.
    """
    fade = max(0, min(length - hop, length // 2))
    taper = np.ones(length, dtype=np.float32)
    if fade:
        rise = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade) ** 2
        taper[:fade], taper[length - fade :] = rise, rise[::-1]
    return taper
