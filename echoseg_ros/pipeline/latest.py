"""Cells in which results cross threads: the newest value that one worker sets and others get."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Latest(Generic[Value]):
    """Holds the newest value. Values are immutable; one thread sets, any thread gets."""

    def __init__(self, value: Value) -> None:
        self._lock = threading.Lock()
        self._value = value

    def set(self, value: Value) -> None:
        """Replace the value."""
        with self._lock:
            self._value = value

    def get(self) -> Value:
        """The newest value."""
        with self._lock:
            return self._value
