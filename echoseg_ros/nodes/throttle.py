"""A log that reports each cause at most once per period, with the number of occurrences since the last report."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

# Shortest time between two reports of one cause.
PERIOD_S = 5.0


class ThrottledLog:
    """Counts causes and reports them through a node's logger; usable from several threads."""

    def __init__(self, logger: Any, period_s: float = PERIOD_S) -> None:
        self._logger = logger
        self._period_s = period_s
        self._lock = threading.Lock()
        self._reported_s: dict[str, float] = {}
        self._since: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def warn(self, cause: str, text: str) -> None:
        """Count `cause`; log `text` unless the cause was logged within the period."""
        now = time.monotonic()
        with self._lock:
            self.counts[cause] += 1
            self._since[cause] += 1
            if now - self._reported_s.get(cause, -self._period_s) < self._period_s:
                return
            self._reported_s[cause] = now
            times = self._since.pop(cause)
        self._logger.warning(text if times == 1 else f"{text} ({times} times since the last report)")
