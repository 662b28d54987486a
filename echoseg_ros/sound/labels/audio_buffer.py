"""Audio buffer: spectra of the last seconds of audio windows, in bounded memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import scipy.fft

from echoseg_ros.types import AudioWindow, Complex64Array, Float64Array

# Deviation of the time of a window from a whole number of hops, at most, in hops.
MAX_JITTER_HOPS = 0.25


@dataclass(frozen=True)
class BufferedWindow:
    """Spectrum [M, F] of the middle of a window.

    stamp_ns: its centre; first_sample: number of its first sample in the buffer; T_map_array: [4, 4] at its centre.
    """

    stamp_ns: int
    first_sample: int
    spectrum: Complex64Array
    T_map_array: Float64Array


class AudioBuffer:
    """The windows of the last `memory_s` of audio.

    Only the middle of each window is kept, at most twice the hop: the tapers of two neighbours then add up to one.
    """

    def __init__(self, sample_rate_hz: float, hop_s: float, memory_s: float) -> None:
        self.sample_rate_hz = float(sample_rate_hz)
        self.hop = max(1, round(hop_s * self.sample_rate_hz))
        self._windows: deque[BufferedWindow] = deque(maxlen=max(1, int(np.ceil(memory_s / hop_s))))
        self.length = 0  # of the buffered windows, samples

    def add(self, window: AudioWindow) -> None:
        """Add a window. A window that does not follow in time (a restart) clears the buffer first."""
        length = min(window.samples.shape[1], 2 * self.hop)
        if length != self.length:
            self.clear()
            self.length = length
        hops = self._hops_since_newest(window.stamp_ns)
        if hops is None:
            self.clear()
        first_sample = self._windows[-1].first_sample + hops * self.hop if self._windows and hops else 0
        start = (window.samples.shape[1] - length) // 2
        spectrum = scipy.fft.rfft(window.samples[:, start : start + length], axis=1, workers=1)
        self._windows.append(
            BufferedWindow(window.stamp_ns, first_sample, spectrum.astype(np.complex64), window.T_map_array)
        )

    def windows(self, last_s: float | None = None) -> tuple[BufferedWindow, ...]:
        """The windows of the last seconds, oldest first; all windows for None."""
        windows = tuple(self._windows)
        if last_s is None or not windows:
            return windows
        since = windows[-1].first_sample - round(last_s * self.sample_rate_hz)
        return tuple(window for window in windows if window.first_sample > since)

    def clear(self) -> None:
        """Remove all windows."""
        self._windows.clear()

    def _hops_since_newest(self, stamp_ns: int) -> int | None:
        """Number of hops from the newest window to a stamp; None if it does not fit or all windows would drop out."""
        if not self._windows:
            return None
        exact = (stamp_ns - self._windows[-1].stamp_ns) / 1e9 * self.sample_rate_hz / self.hop
        hops = round(exact)
        fits = 1 <= hops < (self._windows.maxlen or 1) and abs(exact - hops) < MAX_JITTER_HOPS
        return hops if fits else None
