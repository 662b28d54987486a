"""Poses read off a track at an even spacing, so that many moments can ask for them at once."""

from __future__ import annotations

import numpy as np

from echoseg_ros.geometry import PoseTrack
from echoseg_ros.types import Float64Array

# A turn of 90 degrees a second is 3.6 degrees a step, whose chord is nowhere a tenth of a per cent shorter than its arc.
_STEP_NS = 40_000_000


class PoseGrid:
    """Poses every 40 ms, NaN where the track has none. reach_s: how far around a moment it may be asked."""

    def __init__(self, reach_s: float) -> None:
        self._reach_ns = int(reach_s * 1e9)
        self._first_ns = 0
        self._poses: Float64Array = np.empty((0, 4, 4))

    def extend(self, track: PoseTrack, oldest_ns: int) -> None:
        """Read what is new; forget what no moment from `oldest_ns` on asks for."""
        first_ns = (oldest_ns - self._reach_ns) // _STEP_NS * _STEP_NS
        if len(self._poses) == 0:
            self._first_ns = first_ns
        gone = max(0, (first_ns - self._first_ns) // _STEP_NS)
        self._poses, self._first_ns = self._poses[gone:], self._first_ns + gone * _STEP_NS
        newest_ns = track.newest_ns or 0
        start_ns = self._first_ns + len(self._poses) * _STEP_NS
        found = [track.at(ns) for ns in range(start_ns, newest_ns + 1, _STEP_NS)]
        if found:
            nowhere = np.full((4, 4), np.nan)
            self._poses = np.concatenate([self._poses, [nowhere if T is None else T for T in found]])

    def around(self, stamp_ns: int) -> bool:
        """Whether there are poses wherever the reach may put this moment."""
        first = (stamp_ns - self._reach_ns - self._first_ns) // _STEP_NS
        last = -((self._first_ns - stamp_ns - self._reach_ns) // _STEP_NS)
        inside = first >= 0 and last < len(self._poses)
        return inside and bool(np.isfinite(self._poses[first : last + 1, 0, 0]).all())

    def at(self, stamps_ns: Float64Array) -> Float64Array:
        """[..., 4, 4] at stamps [...] within the track; rotations between poses so near are linear enough."""
        place = (stamps_ns - self._first_ns) / _STEP_NS
        index = np.clip(np.floor(place).astype(np.int64), 0, len(self._poses) - 2)
        share = (place - index)[..., None, None]
        return (1 - share) * self._poses[index] + share * self._poses[index + 1]
