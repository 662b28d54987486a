"""Beamformer: the signal from a place in the map, as a moving array receives it.

Each window is filtered at once: its spectrum times one weight for each microphone and frequency, for the array pose at
its centre. Windows overlap and their tapers add up to one, so the look direction follows the array smoothly.
Delay-and-sum only aligns the microphones. MVDR (Capon 1969; with the covariance of a diffuse field the superdirective
beam of Cox, Zeskind & Owen 1987) passes the look direction unchanged and suppresses everything else. Its diagonal loading
bounds the effect of unequal microphones and of a wrong direction.
"""

from __future__ import annotations

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
from echoseg_ros.sound.labels.audio_buffer import BufferedWindow
from echoseg_ros.types import Complex64Array, Float32Array, Float64Array

# [F, M, M] covariances of the microphones or their inverses.
Matrices = NDArray[np.complex128]

# Spacing of the frequencies at which weights are computed, at most, Hz. They are interpolated in between.
STEP_HZ = 31.25
# Steps in which the phase of a delay may turn once, at least: large arrays get a finer spacing (error 0.3 %).
STEPS_PER_TURN = 40.0
# Noise of the microphones relative to the field (-20 dB): at most as much white noise as one microphone has.
LOADING = 0.01
# Power of another source relative to the diffuse field, about the depth of its null.
OTHER_SOURCE = 10.0
# Smallest distance of a source from the array, m: smaller ones are errors of its position.
MIN_DISTANCE_M = 0.1


@dataclass(frozen=True)
class BeamSignal:
    """The signal from one place. stamp_ns: time of the first sample; samples: [S] float32 in [-1, 1]."""

    stamp_ns: int
    samples: Float32Array
    sample_rate_hz: float


class Beamformer:
    """Beams of an array.

    hop, length: of the buffered windows, samples; method: "mvdr" or "delay_and_sum"; near_field: positions are metres, so
    waves of near sources are curved. A pair or a head always gets delay-and-sum: with two ears, MVDR would suppress the
    sound as well. Raises ArrayError for windows of other microphones.
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
        # Position of each fine frequency between those at which weights are computed.
        steps = self._fine_hz / self._step_hz
        cell = np.minimum(steps.astype(np.int64), len(self.frequencies_hz) - 2)
        self._share = (steps - cell).astype(np.float32)
        self._starts = np.searchsorted(cell, np.arange(len(self.frequencies_hz)))
        silence = np.zeros((array.microphones, len(self._fine_hz)), dtype=np.complex64)
        ahead, aside = np.eye(3)[:2]
        self.beam_spectrum(BufferedWindow(0, 0, silence, np.eye(4)), ahead, [aside])  # compiles the kernels

    def steer_to(
        self,
        windows: Sequence[BufferedWindow],
        position_map: Float64Array,
        others_map: Iterable[Float64Array] = (),
        covariance: Matrices | None = None,
    ) -> BeamSignal | None:
        """The signal from position_map [3] over all windows, None without windows; missing windows are silence.

        others_map: positions [3] of other sources to be suppressed; covariance: [F, M, M] of the noise at `frequencies_hz`,
        by default that of a diffuse field.
        """
        if not windows:
            return None
        inverted = self._inverse if covariance is None else self._inverted(covariance)
        others = [np.asarray(place, dtype=float) for place in others_map]
        first = windows[0].first_sample
        out = np.zeros(windows[-1].first_sample - first + self._length, dtype=np.float32)
        for window in windows:
            spectrum = self._spectrum(window, position_map, others, inverted)
            start = window.first_sample - first
            out[start : start + self._length] += scipy.fft.irfft(spectrum, n=self._length, workers=1) * self._taper
        stamp_ns = windows[0].stamp_ns - round(0.5e9 * self._length / self._rate_hz)
        return BeamSignal(stamp_ns, out, self._rate_hz)

    def beam_spectrum(
        self,
        window: BufferedWindow,
        position_map: Float64Array,
        others_map: Iterable[Float64Array] = (),
        covariance: Matrices | None = None,
    ) -> Complex64Array:
        """[F] spectrum of the beam in one window; arguments as in `steer_to`."""
        inverted = self._inverse if covariance is None else self._inverted(covariance)
        return self._spectrum(window, position_map, [np.asarray(place, dtype=float) for place in others_map], inverted)

    def _spectrum(
        self, window: BufferedWindow, position_map: Float64Array, others_map: Sequence[Float64Array], inverted: Matrices
    ) -> Complex64Array:
        if window.spectrum.shape != (self._array.microphones, len(self._fine_hz)):
            raise ArrayError(
                f"window of {list(window.spectrum.shape)}: want {self._array.microphones} microphones x"
                f" {len(self._fine_hz)} frequencies"
            )
        T_array_map = inverse(window.T_map_array)
        looks = (
            [position_map] if self.method == "delay_and_sum" else [*others_map, np.asarray(position_map, dtype=float)]
        )
        delays_s = np.stack([self.delays_s(apply(T_array_map, np.asarray(place, dtype=float))) for place in looks])
        waves = _steering_vectors(delays_s, self._step_hz, len(self.frequencies_hz))
        if self.method == "delay_and_sum":
            weights = (waves[-1].conj() / self._array.microphones).astype(np.complex64)
        else:
            weights = _mvdr(waves, inverted)
        return np.asarray(_filtered(weights, self._starts, self._share, window.spectrum))

    def delays_s(self, position_array: Float64Array) -> Float64Array:
        """[M] delay of each microphone relative to the origin of the array, for a source at [3] in the array frame."""
        distance = float(np.linalg.norm(position_array))
        if self._near_field and distance > 0:
            position = position_array * max(1.0, MIN_DISTANCE_M / distance)
            paths_m = np.linalg.norm(position - self._array.microphones_m, axis=1)
            return np.asarray((paths_m - np.linalg.norm(position)) / SPEED_OF_SOUND_M_PER_S)
        unit = position_array / distance if distance > 0 else np.array([1.0, 0.0, 0.0])
        return np.asarray(self._array.far_field_delays_s(unit[None])[0])

    def measured_covariance(self, windows: Sequence[BufferedWindow]) -> Matrices:
        """[F, M, M] covariance at `frequencies_hz` of the noise in windows without the source, 1 on the diagonal.

        Each is the mean over the bins nearest to its frequency. Raises ArrayError without windows.
        """
        if not windows:
            raise ArrayError("no windows to measure the noise in: want at least one without the source")
        cell = np.minimum(np.round(self._fine_hz / self._step_hz).astype(np.int64), len(self.frequencies_hz) - 1)
        total = np.zeros_like(self.covariance)
        for window in windows:
            np.add.at(total, cell, np.einsum("mf,nf->fmn", window.spectrum, window.spectrum.conj()))
        level = np.einsum("fmm->f", total).real / self._array.microphones
        return np.asarray(total / np.maximum(level, 1e-20)[:, None, None])

    def _inverted(self, covariance: Matrices) -> Matrices:
        loaded = covariance + LOADING * np.eye(self._array.microphones)
        return np.asarray(np.linalg.inv(loaded), dtype=np.complex128)


@njit(cache=True, nogil=True, error_model="numpy")
def _steering_vectors(delays_s, step_hz, count):  # type: ignore[no-untyped-def]
    """[K, F, M] steering vectors for delays [K, M] at `count` frequencies from 0 in steps of step_hz."""
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
    """[F, M] conjugate MVDR weights for the last of waves [K, F, M], with gain 1 towards it.

    inverted: [F, M, M] inverse covariance of the noise. The other waves are added to the noise one after the other
    (Sherman & Morrison 1950).
    """
    looks, count, channels = waves.shape
    weights = np.empty((count, channels), dtype=np.complex64)
    projected = np.empty((looks, channels), dtype=np.complex128)
    share = np.empty(looks)
    for f in range(count):
        for k in range(looks):
            for i in range(channels):
                total = 0j
                for j in range(channels):
                    total += inverted[f, i, j] * waves[k, f, j]
                projected[k, i] = total
            for other in range(k):
                along = 0j
                for i in range(channels):
                    along += np.conj(projected[other, i]) * waves[k, f, i]
                for i in range(channels):
                    projected[k, i] -= share[other] * along * projected[other, i]
            gain = 0.0
            for i in range(channels):
                gain += (np.conj(waves[k, f, i]) * projected[k, i]).real
            share[k] = OTHER_SOURCE / (1.0 + OTHER_SOURCE * gain)
        for i in range(channels):
            weights[f, i] = np.conj(projected[looks - 1, i]) * (1.0 / gain)
    return weights


@njit(cache=True, nogil=True, error_model="numpy")
def _filtered(weights, starts, share, spectrum):  # type: ignore[no-untyped-def]
    """[F'] sum over microphones of spectra [M, F'] times weights [F, M], interpolated linearly.

    starts: [F] first fine frequency at or above each coarse one; share: [F'] position between two coarse ones, in [0, 1].
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
    """[F, M, M] covariance of a diffuse field: sinc of the distance (Cook et al. 1955), 1 on the diagonal."""
    offsets_m = array.microphones_m[:, None] - array.microphones_m[None]
    distances_m = np.linalg.norm(offsets_m, axis=2)
    coherence = np.sinc(2 * frequencies_hz[:, None, None] * distances_m / SPEED_OF_SOUND_M_PER_S)
    return np.asarray(coherence.astype(np.complex128))


def overlap_taper(length: int, hop: int) -> Float32Array:
    """[length] taper that adds up to one when repeated every hop: raised cosines where neighbours overlap.

    length: at most twice the hop.
    """
    fade = max(0, min(length - hop, length // 2))
    taper = np.ones(length, dtype=np.float32)
    if fade:
        rise = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade) ** 2
        taper[:fade], taper[length - fade :] = rise, rise[::-1]
    return taper
