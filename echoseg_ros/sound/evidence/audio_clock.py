"""Clock of an audio stream: the time of a sample by its number, fitted to the stamps of the messages."""

from __future__ import annotations

from collections import deque

import numpy as np

from echoseg_ros.types import Float64Array

# Newest stamps that the line is fitted to: minutes at 10 to 100 messages per second.
KEPT_STAMPS = 400
# Least time that the stamps span before a drift is fitted.
MIN_SPAN_S = 5.0
# Largest drift that is fitted: a quartz deviates by 100 ppm at most, a resampled clock by 1 %.
MAX_DRIFT = 0.01
# Least pairs of stamps for a drift.
MIN_PAIRS = 4


class AudioClock:
    """Time of a sample by its number: a robust line through the newest stamps, with a slope near the nominal rate."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._numbers: deque[int] = deque(maxlen=KEPT_STAMPS)
        self._stamps_ns: deque[int] = deque(maxlen=KEPT_STAMPS)
        self._offset_s = 0.0
        self._drift = 0.0
        self._origin_number = 0
        self._origin_ns = 0

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def drift(self) -> float:
        """Relative error of the nominal rate's seconds: +0.001 means that a nominal second lasts 1.001 s."""
        return self._drift

    def add(self, number: int, stamp_ns: int) -> None:
        """Adds the stamp of the sample of that number and fits the line again."""
        self._numbers.append(number)
        self._stamps_ns.append(stamp_ns)
        self._fit()

    def time_ns(self, number: float) -> int:
        """Sensor time of a sample by its number."""
        nominal_s = (number - self._origin_number) / self._rate_hz
        return self._origin_ns + round((nominal_s * (1 + self._drift) + self._offset_s) * 1e9)

    def _fit(self) -> None:
        self._origin_number, self._origin_ns = self._numbers[0], self._stamps_ns[0]
        nominal_s = (np.array(self._numbers) - self._origin_number) / self._rate_hz
        late_s = (np.array(self._stamps_ns) - self._origin_ns) / 1e9 - nominal_s
        self._drift = _slope(nominal_s, late_s)
        self._offset_s = float(np.median(late_s - self._drift * nominal_s))


def _slope(nominal_s: Float64Array, late_s: Float64Array) -> float:
    """Theil-Sen slope over pairs that are half the span apart: a third of the stamps may be outliers."""
    half = len(nominal_s) // 2
    if half < MIN_PAIRS or nominal_s[-1] < MIN_SPAN_S:
        return 0.0
    steps_s = nominal_s[half:] - nominal_s[:-half]
    slopes = (late_s[half:] - late_s[:-half]) / np.maximum(steps_s, 1e-9)
    return float(np.clip(np.median(slopes), -MAX_DRIFT, MAX_DRIFT))
