"""Pair correlations of sub-windows of 64 ms, the measurements of the calibration from motion.

Over an audio window of 0.5 s a turning array smears its sound, and the centre of the window is not the centre of the
sound in it. A sub-window consists of a few frames of 8 ms, and its time is their weighted mean. Frames and bins are
weighted by the share of their power that is new, because the direct sound arrives some milliseconds before the first
reflections. A sub-window keeps the correlations of the microphone pairs (GCC-PHAT, Knapp & Carter 1976), from which the
steered response power follows for any mounting of the array and any head size. The correlations of a diffuse field are
subtracted: a flat array mistakes it for sound from above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.signal

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.evidence.bin_weights import direct_shares, mean_power
from echoseg_ros.sound.evidence.gcc_phat import cross_spectra, diffuse_coherence, frame_spectra, phase_transform
from echoseg_ros.types import AudioWindow, Complex64Array, Float32Array, Float64Array

# Length of a frame, rounded to a power of two of samples; frames overlap by half.
FRAME_S = 0.008
# Aimed length of a sub-window.
SUB_WINDOW_S = 0.064
# Frequency range that is used.
LOW_HZ = 200.0
HIGH_HZ = 6000.0
# Assumed time in which reverberation falls by 60 dB.
REVERBERATION_S = 2.0
# Lags per period of the highest frequency; cubic interpolation between them errs by less than 1 %.
LAGS_PER_PERIOD = 6
# Largest lag on the grid over the largest of the array as described: a head may be larger than described.
LAG_MARGIN = 1.6
# Share of a sub-window that is taken to be diffuse sound.
DIFFUSE_SHARE = 0.8


@dataclass(frozen=True)
class SubWindow:
    """Correlations of one sub-window.

    stamp_ns: weighted mean time of its frames; length_s; weight in [0, 1]: share of its power that is new; correlation:
    [P, L] float32 for each microphone pair and lag.
    """

    stamp_ns: int
    length_s: float
    weight: float
    correlation: Float32Array


class SubWindowExtractor:
    """Sub-windows of an array's audio windows; each frame is used once even where the windows overlap.

    pairs: [P, 2] microphones; lag_step_s: spacing of the lags, which lie around zero. The mean correlation of a lone
    plane wave at its own lags is 1.
    """

    def __init__(self, array: ArrayGeometry, sample_rate_hz: float) -> None:
        self._rate_hz = float(sample_rate_hz)
        self._frame = 2 ** round(np.log2(FRAME_S * self._rate_hz))
        self._hop_s = self._frame / 2 / self._rate_hz
        self._taper = scipy.signal.windows.hann(self._frame, sym=False).astype(np.float32)
        frequencies_hz = np.fft.rfftfreq(self._frame, 1.0 / self._rate_hz)
        used = np.flatnonzero((frequencies_hz >= LOW_HZ) & (frequencies_hz <= min(HIGH_HZ, 0.475 * self._rate_hz)))
        self._used = slice(int(used[0]), int(used[-1]) + 1)
        self.pairs = np.stack(np.triu_indices(array.microphones, 1), axis=1).astype(np.int32)
        delays_s = array.far_field_delays_s(fibonacci_sphere(1000))
        self.lag_step_s = 1.0 / (LAGS_PER_PERIOD * float(frequencies_hz[used[-1]]))
        half = int(np.ceil(LAG_MARGIN * float(np.ptp(delays_s, axis=1).max()) / self.lag_step_s)) + 2
        lags_s = np.arange(-half, half + 1) * self.lag_step_s
        self._steering = np.exp(2j * np.pi * frequencies_hz[used][:, None] * lags_s).astype(np.complex64)
        coherence = diffuse_coherence(delays_s, self.pairs, frequencies_hz[used])
        diffuse = (coherence / len(used)).astype(np.complex64) @ self._steering
        self._diffuse = np.float32(DIFFUSE_SHARE) * diffuse.real
        self._last_frame_ns: int | None = None
        self._echo: Float32Array | None = None  # [F] power that the decay of the frames so far leaves in the next one

    def __call__(self, window: AudioWindow) -> list[SubWindow]:
        """The sub-windows of the frames of a window that no earlier window held."""
        length_s = window.samples.shape[1] / self._rate_hz
        frames = max(1, (window.samples.shape[1] - self._frame) // (self._frame // 2) + 1)
        stamps_ns = window.stamp_ns + 1e9 * ((np.arange(frames) + 1) * self._hop_s - length_s / 2)
        if self._last_frame_ns is None or abs(self._last_frame_ns - window.stamp_ns) > 1e9 * length_s:
            self._last_frame_ns, self._echo = int(stamps_ns[0]), None
        new = np.flatnonzero(stamps_ns > self._last_frame_ns + 0.25e9 * self._hop_s)
        if len(new) == 0:
            return []
        self._last_frame_ns = int(stamps_ns[-1])
        spectra = frame_spectra(window.samples[:, new[0] * (self._frame // 2) :], self._taper, self._used)
        weights = self._follow_decay(spectra)
        whitened: Complex64Array = phase_transform(spectra)
        count = max(1, round(len(new) * self._hop_s / SUB_WINDOW_S))
        parts = np.array_split(np.arange(len(new)), count)
        return [
            self._sub_window(np.ascontiguousarray(whitened[:, part]), weights[part], stamps_ns[new[part]])
            for part in parts
        ]

    def _follow_decay(self, spectra: Complex64Array) -> Float32Array:
        """[T, F] share of each bin's power that the decay of earlier frames does not explain; updates that decay."""
        power: Float32Array = mean_power(spectra, np.float32(1e-10 * self._frame))
        decay = np.float32(10 ** (-6 * self._hop_s / REVERBERATION_S))
        before = power[0] if self._echo is None else self._echo
        share: Float32Array = direct_shares(np.concatenate([before[None], power]), decay)[1:]
        left = decay ** np.arange(len(power), -1, -1, dtype=np.float32)
        self._echo = np.max(np.concatenate([before[None], power]) * left[:, None], axis=0)
        return share

    def _sub_window(self, whitened: Complex64Array, weights: Float32Array, stamps_ns: Float64Array) -> SubWindow:
        cross: Complex64Array = cross_spectra(whitened, weights / weights.sum(), self.pairs)
        correlation = (cross @ self._steering).real - self._diffuse
        frame_weights = weights.sum(axis=1, dtype=float)
        offset_ns = float(frame_weights @ (stamps_ns - stamps_ns[0]) / frame_weights.sum())
        stamp_ns = round(stamps_ns[0] + offset_ns)
        length_s = len(stamps_ns) * self._hop_s
        return SubWindow(stamp_ns, length_s, float(weights.mean()), correlation.astype(np.float32))
