"""How much memory this process holds, as Linux counts it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def rss_mb() -> float:
    """Resident memory now, MiB."""
    return _status_mb("VmRSS")


def peak_rss_mb() -> float:
    """The most resident memory since the start, or since the last `forget_peak`, MiB."""
    return _status_mb("VmHWM")


def forget_peak() -> None:
    """Give unused memory back to the system and count the peak anew, where the system lets a process do so."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")


def _status_mb(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert found is not None  # part of every Linux since 2.6
    return int(found[1]) / 1024
