"""Moments of sound: what an eighth of a second says about the lags between microphones, for calibration from motion.

A window of half a second smears what a turning array hears, and its middle is not the middle of its sound. A moment is
made of a few short frames, its time is the mean of theirs by weight. The frames are short (8 ms), and count by what of
their power is new, because the straight sound comes some milliseconds before the first reflections. Kept are the pairs'
correlations (GCC-PHAT, Knapp & Carter 1976): they say for any mounting, and for any size of a head, what a beam would
hear. What noise from everywhere would show is taken out: to a flat array it looks like sound from above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.evidence.bin_weights import mean_power, onsets
from echoseg_ros.sound.evidence.gcc_phat import cross_spectra, frame_spectra, phases
from echoseg_ros.types import AudioWindow, Float64Array

# 14 walks each of cube8 and square4 (eval/sound_calibration.py), median offset error of the square: frames of 32, 16 and
# 8 ms 12.3, 7.0 and 6.9 ms, its yaw's 90th percentile 2.8, 2.4 and 1.7 degrees.
FRAME_S = 0.008
MOMENT_S = 0.064
LOW_HZ, HIGH_HZ = 200.0, 6000.0
# Reverberation is taken to fall by 60 dB in this time.
ECHO_S = 2.0
# Of the lag grid, at the highest frequency: cubic interpolation between them errs by less than 1 %.
STEPS_PER_PERIOD = 6
# Lags beyond what the described array allows, for a head that is larger than described.
LAG_ROOM = 1.6
# Share of a moment that is taken to be noise from everywhere. Of the square's median offset error (0, 0.4, 0.8, 1.2):
# 21.6, 13.2, 12.3, 10.7 ms, its 90th percentile 37, 30, 25, 33 ms; the cube does not care.
DIFFUSE_SHARE = 0.8


@dataclass(frozen=True)
class Moment:
    """stamp_ns: middle of its sound; length_s; weight in [0, 1]: share of it that is new; correlation: [P, L]."""

    stamp_ns: int
    length_s: float
    weight: float
    correlation: NDArray[np.float32]


class MomentExtractor:
    """Moments of an array's windows, each frame once however the windows overlap.

    pairs: [P, 2] microphones; lags lie lag_step_s apart, about zero. A lone plane wave has a mean correlation of 1.
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
        delays_s = array.delays_for(fibonacci_sphere(1000))
        self.lag_step_s = 1.0 / (STEPS_PER_PERIOD * float(frequencies_hz[used[-1]]))
        half = int(np.ceil(LAG_ROOM * float(np.ptp(delays_s, axis=1).max()) / self.lag_step_s)) + 2
        lags_s = np.arange(-half, half + 1) * self.lag_step_s
        self._steering = np.exp(2j * np.pi * frequencies_hz[used][:, None] * lags_s).astype(np.complex64)
        lags_of_waves_s = delays_s[:, self.pairs[:, 0]] - delays_s[:, self.pairs[:, 1]]
        coherence = [
            np.exp(-2j * np.pi * frequencies_hz[used] * lag_s[:, None]).mean(axis=0) for lag_s in lags_of_waves_s.T
        ]
        diffuse = (np.stack(coherence) / len(used)).astype(np.complex64) @ self._steering
        self._diffuse = np.float32(DIFFUSE_SHARE) * diffuse.real
        self._done_ns: int | None = None
        self._echo: NDArray[np.float32] | None = None  # [F] what the decay of the frames done leaves in the next one

    def __call__(self, window: AudioWindow) -> list[Moment]:
        """The moments that a window adds. The frames before them tell what of them is reverberation."""
        length_s = window.samples.shape[1] / self._rate_hz
        frames = max(1, (window.samples.shape[1] - self._frame) // (self._frame // 2) + 1)
        stamps_ns = window.stamp_ns + 1e9 * ((np.arange(frames) + 1) * self._hop_s - length_s / 2)
        if self._done_ns is None or abs(self._done_ns - window.stamp_ns) > 1e9 * length_s:
            self._done_ns, self._echo = int(stamps_ns[0]), None
        new = np.flatnonzero(stamps_ns > self._done_ns + 0.25e9 * self._hop_s)
        if len(new) == 0:
            return []
        self._done_ns = int(stamps_ns[-1])
        spectra = frame_spectra(window.samples[:, new[0] * (self._frame // 2) :], self._taper, self._used)
        weights = self._direct(spectra)
        whitened = phases(spectra)
        count = max(1, round(len(new) * self._hop_s / MOMENT_S))
        parts = np.array_split(np.arange(len(new)), count)
        return [
            self._moment(np.ascontiguousarray(whitened[:, part]), weights[part], stamps_ns[new[part]]) for part in parts
        ]

    def _direct(self, spectra: NDArray[np.complex64]) -> NDArray[np.float32]:
        """[T, F] share of each bin's power that the decay of earlier frames, of earlier windows too, does not explain."""
        power = mean_power(spectra, np.float32(1e-10 * self._frame))
        decay = np.float32(10 ** (-6 * self._hop_s / ECHO_S))
        before = power[0] if self._echo is None else self._echo
        share = onsets(np.concatenate([before[None], power]), decay)[1:]
        left = decay ** np.arange(len(power), -1, -1, dtype=np.float32)
        self._echo = np.max(np.concatenate([before[None], power]) * left[:, None], axis=0)
        return share

    def _moment(self, whitened: NDArray[np.complex64], weights: NDArray[np.float32], stamps_ns: Float64Array) -> Moment:
        cross = cross_spectra(whitened, weights / weights.sum(), self.pairs)
        correlation = (cross @ self._steering).real - self._diffuse
        by_frame = weights.sum(axis=1, dtype=float)
        late_ns = float(by_frame @ (stamps_ns - stamps_ns[0]) / by_frame.sum())
        stamp_ns = round(stamps_ns[0] + late_ns)
        return Moment(stamp_ns, len(stamps_ns) * self._hop_s, float(weights.mean()), correlation.astype(np.float32))
