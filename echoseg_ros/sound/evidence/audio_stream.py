"""From audio messages to analysis windows with a pose: buffer, clock, gaps and overlaps.

Stamps of messages have jitter, and the clock of the sound card drifts. The time of a sample is therefore read from a robust
line through (sample number, stamp). A stamp far off that line is a gap (samples were lost) or an overlap (samples came
twice).
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import InputConfig, SoundConfig
from echoseg_ros.errors import ArrayError
from echoseg_ros.geometry import PoseTrack
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.evidence.audio_clock import MAX_DRIFT, AudioClock
from echoseg_ros.types import BACKWARD_JUMP_NS, AudioChunk, AudioFormat, AudioWindow, Float32Array, Float64Array

logger = logging.getLogger(__name__)

# Largest deviation of a stamp from the clock that counts as jitter, by `input.audio_stamp`; beyond it lies a gap or an
# overlap. Stamps of arrival include delays of scheduling and transport.
MAX_JITTER_S = {"first_sample": 0.004, "arrival": 0.08}
# Longest gap that is filled with silence; after a longer one the buffer is emptied.
MAX_FILL_S = 1.0
# A window with a larger share of lost or invalid samples is dropped.
MAX_BROKEN_SHARE = 0.25
# Longest audio in the buffer while no window is taken.
MAX_BUFFER_S = 30.0
# Largest difference between the rates of the array file and of the audio, as a share.
MAX_RATE_DIFFERENCE = 0.01
# Share of the largest drift that the clock fits from which the rate is reported as wrong.
WRONG_RATE_SHARE = 0.9


class AudioStream:
    """Audio messages in, windows with pose out. Raises ArrayError if array and audio do not fit.

    received_s, dropped_s: audio that arrived, and audio that no window could use, in seconds.
    """

    def __init__(self, array: ArrayGeometry, audio: AudioFormat, sound: SoundConfig, inputs: InputConfig) -> None:
        array.check_channel_count(audio.channels)
        if abs(audio.sample_rate_hz - array.sample_rate_hz) > MAX_RATE_DIFFERENCE * array.sample_rate_hz:
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
        self._clear()

    def _clear(self) -> None:
        """Empties buffer and clock; sample numbers start from 0."""
        self._clock = AudioClock(self._rate_hz)
        self._samples = np.empty((0, self._array.microphones), dtype=np.float32)
        self._broken = np.empty(0, dtype=bool)
        self._first = 0  # number of the first sample in the buffer
        self._next_window = 0  # number of the first sample of the next window
        self._wrong_rate_reported = False

    @property
    def clock(self) -> AudioClock:
        """The fitted audio clock."""
        return self._clock

    @property
    def newest_ns(self) -> int | None:
        """Time of the end of the audio so far, None before the first message."""
        return self._clock.time_ns(self._first + len(self._samples)) if len(self._clock) else None

    def add(self, chunk: AudioChunk) -> list[str]:
        """Adds a message; returns its problems, one line each. Raises ArrayError on a wrong channel count."""
        if chunk.samples.ndim != 2 or len(chunk.samples) == 0:
            return [f"audio at {chunk.stamp_ns / 1e9:.3f} s is empty"]
        self._array.check_channel_count(chunk.samples.shape[1])
        samples, broken, problems = self._by_microphone(chunk)
        stamp_ns = self._first_sample_ns(chunk)
        repeated, timing_problems = self._add_stamp(stamp_ns, len(samples))
        self.received_s += len(samples) / self._rate_hz
        self._append(samples[repeated:], broken[repeated:])
        problems += timing_problems + self._report_wrong_rate()
        for problem in problems:
            logger.debug(problem)
        return problems

    def take_windows(self, poses: PoseTrack) -> list[AudioWindow]:
        """Takes all complete windows whose pose is known, in order; `poses` is the camera's track in the map.

        A window waits for its pose up to `input.wait_s`; then it is dropped and counted.
        """
        ready: list[AudioWindow] = []
        while self._next_window + self._window <= self._first + len(self._samples):
            centre_ns = self._clock.time_ns(self._next_window + self._window / 2)
            T_map_camera = poses.at(centre_ns)
            if T_map_camera is None and self._pose_may_arrive(centre_ns, poses):
                break
            if T_map_camera is None or self._is_broken():
                self.dropped_s += self._hop / self._rate_hz
            else:
                ready.append(self._next_audio_window(centre_ns, T_map_camera @ self._array.T_camera_array))
            self._next_window += self._hop
        self._drop_used_samples()
        return ready

    def _by_microphone(self, chunk: AudioChunk) -> tuple[Float32Array, NDArray[np.bool_], list[str]]:
        """(samples [S, M] with gains compensated, broken [S], problems); samples that are not finite are broken."""
        samples = np.asarray(chunk.samples, dtype=np.float32)[:, self._array.channel_order] * self._amplitude
        finite = np.isfinite(samples)
        if finite.all():
            return samples, np.zeros(len(samples), dtype=bool), []
        broken = ~finite.all(axis=1)
        text = f"audio at {chunk.stamp_ns / 1e9:.3f} s: {int(broken.sum())} of {len(samples)} samples are not finite"
        return np.where(finite, samples, np.float32(0)), broken, [text]

    def _first_sample_ns(self, chunk: AudioChunk) -> int:
        length_s = len(chunk.samples) / self._rate_hz if self._inputs.audio_stamp == "arrival" else 0.0
        return chunk.stamp_ns + round((self._inputs.audio_delay_s - length_s) * 1e9)

    def _add_stamp(self, stamp_ns: int, count: int) -> tuple[int, list[str]]:
        """Adds a message's stamp to the clock and fills a gap before it.

        Returns the number of its `count` samples that the buffer already holds, and its problems.
        """
        end = self._first + len(self._samples)
        late_s = (stamp_ns - self._clock.time_ns(end)) / 1e9 if len(self._clock) else 0.0
        where = f"audio at {stamp_ns / 1e9:.3f} s"
        if late_s * 1e9 < -BACKWARD_JUMP_NS or late_s > MAX_FILL_S:
            self.dropped_s += max(0, end - self._next_window) / self._rate_hz
            self._clear()
            self._clock.add(0, stamp_ns)
            jump = "gap of" if late_s > 0 else "time goes back by"
            return 0, [f"{where}: {jump} {abs(late_s):.2f} s, the audio buffer was emptied"]
        missing = round(late_s * self._rate_hz)
        if abs(late_s) <= MAX_JITTER_S[self._inputs.audio_stamp]:
            missing = 0
        if missing > 0:
            self._append(np.zeros((missing, self._array.microphones), np.float32), np.ones(missing, dtype=bool))
            self._clock.add(end + missing, stamp_ns)
            return 0, [f"{where}: gap, {missing} samples ({late_s * 1e3:.0f} ms) are missing"]
        self._clock.add(end + missing, stamp_ns)
        if missing == 0:
            return 0, []
        return min(-missing, count), [f"{where}: overlaps the last message by {-late_s * 1e3:.0f} ms"]

    def _report_wrong_rate(self) -> list[str]:
        """One line, once, if the stamps contradict the sample rate."""
        if self._wrong_rate_reported or abs(self._clock.drift) < WRONG_RATE_SHARE * MAX_DRIFT:
            return []
        self._wrong_rate_reported = True
        return [
            f"audio stamps run {self._clock.drift:+.1%} or more off {self._rate_hz:g} Hz: the sample rate is wrong, or "
            "input.audio_stamp does not say what the stamps mean"
        ]

    def _append(self, samples: Float32Array, broken: NDArray[np.bool_]) -> None:
        self._samples = np.concatenate([self._samples, samples])
        self._broken = np.concatenate([self._broken, broken])
        excess = len(self._samples) - round(MAX_BUFFER_S * self._rate_hz)
        if excess > 0:
            hops = -(-max(0, self._first + excess - self._next_window) // self._hop)
            self._next_window += hops * self._hop
            self.dropped_s += hops * self._hop / self._rate_hz
            self._drop_used_samples()

    def _drop_used_samples(self) -> None:
        """Removes the samples before the next window from the buffer."""
        used = min(self._next_window - self._first, len(self._samples))
        if used > 0:
            self._samples, self._broken = self._samples[used:], self._broken[used:]
            self._first += used

    def _pose_may_arrive(self, centre_ns: int, poses: PoseTrack) -> bool:
        if poses.newest_ns is not None and poses.newest_ns >= centre_ns:
            return False
        newest_ns = self.newest_ns
        return newest_ns is not None and newest_ns - centre_ns <= self._inputs.wait_s * 1e9

    def _is_broken(self) -> bool:
        """Whether too many samples of the next window are lost or invalid."""
        start = self._next_window - self._first
        return float(self._broken[start : start + self._window].mean()) > MAX_BROKEN_SHARE

    def _next_audio_window(self, centre_ns: int, T_map_array: Float64Array) -> AudioWindow:
        start = self._next_window - self._first
        samples = np.ascontiguousarray(self._samples[start : start + self._window].T)
        return AudioWindow(centre_ns, self._without_delays(samples), self._rate_hz, T_map_array)

    def _without_delays(self, samples: Float32Array) -> Float32Array:
        """Samples [M, S] with late channels advanced by a phase ramp; a few samples wrap around at the window's edge."""
        delays_s = self._array.delays_s
        if not delays_s.any():
            return samples
        spectrum = np.fft.rfft(samples, axis=1)
        frequencies_hz = np.fft.rfftfreq(samples.shape[1], 1.0 / self._rate_hz)
        ramp = np.exp(2j * np.pi * frequencies_hz * delays_s[:, None])
        return np.fft.irfft(spectrum * ramp, n=samples.shape[1], axis=1).astype(np.float32)
