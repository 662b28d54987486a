"""Resident memory of this process, read from /proc (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from pathlib import Path

_STATUS_FILE = Path("/proc/self/status")
_CLEAR_REFS_FILE = Path("/proc/self/clear_refs")


def rss_mb() -> float:
    """Resident memory now, MiB."""
    return _status_mb("VmRSS")


def peak_rss_mb() -> float:
    """Peak resident memory since the process started or since the last `reset_peak_rss`, MiB."""
    return _status_mb("VmHWM")


def reset_peak_rss() -> None:
    """Return unused memory to the system and restart the peak counter, where the system permits it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        _CLEAR_REFS_FILE.write_text("5")


def _status_mb(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS_FILE.read_text(), re.MULTILINE)
    assert found is not None  # every Linux since 2.6 has it
    return int(found[1]) / 1024
