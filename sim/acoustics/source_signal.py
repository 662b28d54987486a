"""Sources of a simulated recording and the signals that they emit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from echoseg_ros.types import Float64Array

# Length of the fades at the onset and at the end of a source's interval, s.
FADE_S = 0.005
# Cutoff of the high-pass of all source signals, Hz: below it, image sources add up in phase, which no real room does.
_HIGHPASS_HZ = 60.0


@dataclass(frozen=True)
class SimulatedSource:
    """A point source.

    position_map: [3]; signal: [n] at the array's sample rate, repeated while the source is on; on_s: intervals in seconds
    from the start of the recording; blocked: an obstacle stands on the direct path; gain: factor of the amplitude.
    """

    name: str
    position_map: Float64Array
    signal: NDArray[np.floating[Any]]
    on_s: tuple[tuple[float, float], ...]
    blocked: bool = False
    gain: float = 1.0


def dry_signal(source: SimulatedSource, count: int, rate_hz: float) -> Float64Array:
    """Signal that the source emits, [count]: starts anew at each onset, repeats while on, fades at both ends."""
    dry = np.zeros(count)
    fade = int(FADE_S * rate_hz)
    for start_s, end_s in source.on_s:
        start, end = int(round(start_s * rate_hz)), min(count, int(round(end_s * rate_hz)))
        if end <= start:
            continue
        dry[start:end] = np.resize(source.signal, end - start)
        rise = np.arange(1, min(fade, end - start) + 1) / (fade + 1)
        if end - start >= 2 * fade:
            dry[start : start + len(rise)] *= rise
            dry[end - len(rise) : end] *= rise[::-1]
        else:  # the two fades overlap
            steps = np.arange(end - start)
            dry[start:end] *= np.clip(np.minimum(steps + 1, end - start - steps) / (fade + 1), 0.0, 1.0)
    emitted: Float64Array = sosfilt(butter(2, _HIGHPASS_HZ, "highpass", fs=rate_hz, output="sos"), dry)
    return emitted


def active_mask(sources: Sequence[SimulatedSource], count: int, rate_hz: float) -> NDArray[np.bool_]:
    """Whether any of the sources is on, [count]."""
    mask = np.zeros(count, dtype=bool)
    for source in sources:
        for start_s, end_s in source.on_s:
            mask[int(round(start_s * rate_hz)) : int(round(end_s * rate_hz))] = True
    return mask
