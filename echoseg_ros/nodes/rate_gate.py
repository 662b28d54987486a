"""Limits how often something is published, in sensor time."""

from __future__ import annotations


class RateGate:
    """Opens at most `rate_hz` times a second; 0 keeps it closed. A backward time jump opens it."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = 1e9 / rate_hz if rate_hz > 0 else None
        self._last_ns: int | None = None

    def passes(self, stamp_ns: int) -> bool:
        """Whether it is time; the next period starts then."""
        if self._period_ns is None:
            return False
        if self._last_ns is not None and 0 <= stamp_ns - self._last_ns < self._period_ns:
            return False
        self._last_ns = stamp_ns
        return True
