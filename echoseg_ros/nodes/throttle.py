"""A log that says each cause at most once every few seconds, and how often it happened meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

PERIOD_S = 5.0


class ThrottledLog:
    """Counts causes and says them through a node's logger; usable from several threads."""

    def __init__(self, logger: Any, period_s: float = PERIOD_S) -> None:
        self._logger = logger
        self._period_s = period_s
        self._lock = threading.Lock()
        self._said_at: dict[str, float] = {}
        self._since: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def warn(self, cause: str, text: str) -> None:
        """Count `cause`; log `text` unless the cause was logged within the period."""
        now = time.monotonic()
        with self._lock:
            self.counts[cause] += 1
            self._since[cause] += 1
            if now - self._said_at.get(cause, -self._period_s) < self._period_s:
                return
            self._said_at[cause] = now
            times = self._since.pop(cause)
        self._logger.warning(text if times == 1 else f"{text} ({times} times since it was last said)")
