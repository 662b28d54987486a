"""From audio messages to analysis windows with a pose: ring buffer, fitted clock, gaps and overlaps.

Messages are stamped with jitter and the sound card's clock drifts, so the time of a sample is a robust line through
(sample number, stamp). A stamp far off that line is a gap (samples were lost) or an overlap (they came twice).
"""

from __future__ import annotations

import logging
from collections import deque

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import InputConfig, SoundConfig
from echoseg_ros.errors import ArrayError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import BACKWARD_JUMP_NS, AudioChunk, AudioFormat, AudioWindow, Float64Array

log = logging.getLogger(__name__)

# A stamp this far off the fitted clock is a gap or an overlap. Arrival stamps ride on scheduling and transport.
JITTER_S = {"first_sample": 0.004, "arrival": 0.08}
# Silence is put in for lost samples up to this; beyond it the buffer starts anew.
FILL_MAX_S = 1.0
# A window with a larger share of lost or broken samples than this is dropped.
MAX_BROKEN_SHARE = 0.25
# Without anyone asking for windows, the buffer holds no more than this.
MAX_BUFFER_S = 30.0


class ClockFit:
    """Time of a sample by its number: a robust line through the last stamps, near the nominal rate."""

    # Minutes of 10 to 100 messages a second are plenty; a quartz is off by 100 ppm at most, a resampled clock by 1 %.
    _KEEP = 400
    _MIN_SPAN_S = 5.0
    _MAX_DRIFT = 0.01

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._numbers: deque[int] = deque(maxlen=self._KEEP)
        self._stamps_ns: deque[int] = deque(maxlen=self._KEEP)
        self._offset_s = 0.0
        self._drift = 0.0
        self._origin_number = 0
        self._origin_ns = 0

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def drift(self) -> float:
        """Relative error of the nominal rate's seconds: +0.001 means a nominal second lasts 1.001 s."""
        return self._drift

    def add(self, number: int, stamp_ns: int) -> None:
        """The sample of that number was stamped so."""
        self._numbers.append(number)
        self._stamps_ns.append(stamp_ns)
        self._fit()

    def time_ns(self, number: float) -> int:
        """Sensor time of a sample."""
        nominal_s = (number - self._origin_number) / self._rate_hz
        return self._origin_ns + round((nominal_s * (1 + self._drift) + self._offset_s) * 1e9)

    def _fit(self) -> None:
        self._origin_number, self._origin_ns = self._numbers[0], self._stamps_ns[0]
        nominal_s = (np.array(self._numbers) - self._origin_number) / self._rate_hz
        late_s = (np.array(self._stamps_ns) - self._origin_ns) / 1e9 - nominal_s
        self._drift = self._slope(nominal_s, late_s)
        self._offset_s = float(np.median(late_s - self._drift * nominal_s))

    def _slope(self, nominal_s: Float64Array, late_s: Float64Array) -> float:
        """Theil-Sen over pairs half the span apart: unmoved by a third of wild stamps."""
        half = len(nominal_s) // 2
        if half < 4 or nominal_s[-1] < self._MIN_SPAN_S:
            return 0.0
        steps_s = nominal_s[half:] - nominal_s[:-half]
        slopes = (late_s[half:] - late_s[:-half]) / np.maximum(steps_s, 1e-9)
        return float(np.clip(np.median(slopes), -self._MAX_DRIFT, self._MAX_DRIFT))


class AudioStream:
    """Samples in, posed windows out. Raises ArrayError at once if array and audio do not fit."""

    def __init__(self, array: ArrayGeometry, audio: AudioFormat, sound: SoundConfig, inputs: InputConfig) -> None:
        array.check_channels(audio.channels)
        if abs(audio.sample_rate_hz - array.sample_rate_hz) > 0.01 * array.sample_rate_hz:
            raise ArrayError(
                f"array {array.name!r} is described at {array.sample_rate_hz:g} Hz, the audio runs at "
                f"{audio.sample_rate_hz:g} Hz: set sample_rate_hz or the sound card"
            )
        self._array, self._audio, self._inputs = array, audio, inputs
        self._rate_hz = float(audio.sample_rate_hz)
        self._window = max(2, round(sound.window_s * self._rate_hz))
        self._hop = max(1, round(sound.hop_s * self._rate_hz))
        self._amplitude = (10.0 ** (-array.gains_db / 20.0)).astype(np.float32)
        self.received_s = 0.0
        self.dropped_s = 0.0
        self._start()

    def _start(self) -> None:
        """Empty buffer, clock without stamps; sample numbers start from 0."""
        self._clock = ClockFit(self._rate_hz)
        self._samples = np.empty((0, self._array.microphones), dtype=np.float32)
        self._broken = np.empty(0, dtype=bool)
        self._first = 0  # number of the first sample in the buffer
        self._next_window = 0  # number of the first sample of the next window
        self._drift_told = False

    @property
    def clock(self) -> ClockFit:
        """The fitted audio clock."""
        return self._clock

    @property
    def newest_ns(self) -> int | None:
        """Time up to which audio is here, None before the first message."""
        return self._clock.time_ns(self._first + len(self._samples)) if len(self._clock) else None

    def add(self, chunk: AudioChunk) -> list[str]:
        """Take a message. Returns what was wrong with it, one line each. Raises ArrayError on a wrong channel count."""
        if chunk.samples.ndim != 2 or len(chunk.samples) == 0:
            return [f"audio at {chunk.stamp_ns / 1e9:.3f} s is empty"]
        self._array.check_channels(chunk.samples.shape[1])
        samples, broken, problems = self._conditioned(chunk)
        stamp_ns = self._first_sample_ns(chunk)
        skip, timing = self._align(stamp_ns, len(samples))
        self.received_s += len(samples) / self._rate_hz
        self._append(samples[skip:], broken[skip:])
        problems += timing + self._rate_problem()
        for problem in problems:
            log.debug(problem)
        return problems

    def windows(self, poses: PoseTrack) -> list[AudioWindow]:
        """All windows that are complete and whose pose is known, in order; `poses` is the camera's track in the map.

        A window waits for its pose up to `input.wait_s`, then it is dropped and counted.
        """
        ready: list[AudioWindow] = []
        while self._next_window + self._window <= self._first + len(self._samples):
            centre_ns = self._clock.time_ns(self._next_window + self._window / 2)
            T_map_camera = poses.at(centre_ns)
            if T_map_camera is None and self._may_come(centre_ns, poses):
                break
            if T_map_camera is None or self._is_broken():
                self.dropped_s += self._hop / self._rate_hz
            else:
                ready.append(self._cut(centre_ns, T_map_camera @ self._array.T_camera_array))
            self._next_window += self._hop
        self._trim()
        return ready

    def _conditioned(self, chunk: AudioChunk) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[str]]:
        """Samples per microphone with gains evened out, which of them are broken, and a line if any is."""
        samples = np.asarray(chunk.samples, dtype=np.float32)[:, self._array.channel_order] * self._amplitude
        finite = np.isfinite(samples)
        if finite.all():
            return samples, np.zeros(len(samples), dtype=bool), []
        broken = ~finite.all(axis=1)
        text = f"audio at {chunk.stamp_ns / 1e9:.3f} s: {int(broken.sum())} of {len(samples)} samples are not finite"
        return np.where(finite, samples, np.float32(0)), broken, [text]

    def _first_sample_ns(self, chunk: AudioChunk) -> int:
        lead_s = len(chunk.samples) / self._rate_hz if self._inputs.audio_stamp == "arrival" else 0.0
        return chunk.stamp_ns + round((self._inputs.audio_delay_s - lead_s) * 1e9)

    def _align(self, stamp_ns: int, count: int) -> tuple[int, list[str]]:
        """Put the message on the clock. Returns how many of its samples are here already, and what was wrong."""
        end = self._first + len(self._samples)
        late_s = (stamp_ns - self._clock.time_ns(end)) / 1e9 if len(self._clock) else 0.0
        at = f"audio at {stamp_ns / 1e9:.3f} s"
        if late_s * 1e9 < -BACKWARD_JUMP_NS or late_s > FILL_MAX_S:
            self.dropped_s += max(0, end - self._next_window) / self._rate_hz
            self._start()
            self._clock.add(0, stamp_ns)
            return 0, [f"{at}: {'gap' if late_s > 0 else 'time goes back by'} {abs(late_s):.2f} s, starting anew"]
        off = round(late_s * self._rate_hz)
        if abs(late_s) <= JITTER_S[self._inputs.audio_stamp]:
            off = 0
        if off > 0:
            self._append(np.zeros((off, self._array.microphones), np.float32), np.ones(off, dtype=bool))
            self._clock.add(end + off, stamp_ns)
            return 0, [f"{at}: gap, {off} samples ({late_s * 1e3:.0f} ms) are missing"]
        self._clock.add(end + off, stamp_ns)
        return (min(-off, count), [f"{at}: overlaps the last message by {-late_s * 1e3:.0f} ms"]) if off else (0, [])

    def _rate_problem(self) -> list[str]:
        """Once, if the stamps say that the sample rate is not what it is said to be."""
        if self._drift_told or abs(self._clock.drift) < 0.9 * ClockFit._MAX_DRIFT:
            return []
        self._drift_told = True
        return [
            f"audio stamps run {self._clock.drift:+.1%} or more off {self._rate_hz:g} Hz: "
            "wrong sample rate, or stamps that mean something else (input.audio_stamp)"
        ]

    def _append(self, samples: NDArray[np.float32], broken: NDArray[np.bool_]) -> None:
        self._samples = np.concatenate([self._samples, samples])
        self._broken = np.concatenate([self._broken, broken])
        over = len(self._samples) - round(MAX_BUFFER_S * self._rate_hz)
        if over > 0:
            hops = -(-max(0, self._first + over - self._next_window) // self._hop)
            self._next_window += hops * self._hop
            self.dropped_s += hops * self._hop / self._rate_hz
            self._trim()

    def _trim(self) -> None:
        """Forget samples that no window will want."""
        done = min(self._next_window - self._first, len(self._samples))
        if done > 0:
            self._samples, self._broken = self._samples[done:], self._broken[done:]
            self._first += done

    def _may_come(self, centre_ns: int, poses: PoseTrack) -> bool:
        if poses.newest_ns is not None and poses.newest_ns >= centre_ns:
            return False
        newest_ns = self.newest_ns
        return newest_ns is not None and newest_ns - centre_ns <= self._inputs.wait_s * 1e9

    def _is_broken(self) -> bool:
        start = self._next_window - self._first
        return float(self._broken[start : start + self._window].mean()) > MAX_BROKEN_SHARE

    def _cut(self, centre_ns: int, T_map_array: Float64Array) -> AudioWindow:
        start = self._next_window - self._first
        samples = np.ascontiguousarray(self._samples[start : start + self._window].T)
        return AudioWindow(centre_ns, self._without_delays(samples), self._rate_hz, T_map_array)

    def _without_delays(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Advance late channels by a phase ramp; the few samples that wrap around lie at the window's edge."""
        delays_s = self._array.delays_s
        if not delays_s.any():
            return samples
        spectrum = np.fft.rfft(samples, axis=1)
        frequencies_hz = np.fft.rfftfreq(samples.shape[1], 1.0 / self._rate_hz)
        ramp = np.exp(2j * np.pi * frequencies_hz * delays_s[:, None])
        return np.fft.irfft(spectrum * ramp, n=samples.shape[1], axis=1).astype(np.float32)
