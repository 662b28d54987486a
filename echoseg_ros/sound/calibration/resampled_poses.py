"""Poses of a track at an even spacing, for look-up at many times at once."""

from __future__ import annotations

import numpy as np

from echoseg_ros.geometry import PoseTrack
from echoseg_ros.types import Float64Array

# Spacing of the poses. At 90 degrees per second this is a turn of 3.6 degrees, over which linear interpolation of a
# rotation matrix shortens its columns by less than 0.1 %.
_STEP_NS = 40_000_000


class ResampledPoses:
    """Poses every 40 ms, NaN where the track has none. reach_s: largest distance in time of a look-up from a stamp."""

    def __init__(self, reach_s: float) -> None:
        self._reach_ns = int(reach_s * 1e9)
        self._first_ns = 0
        self._poses: Float64Array = np.empty((0, 4, 4))

    def extend(self, track: PoseTrack, oldest_ns: int) -> None:
        """Adds the new poses of the track; drops those that no look-up around `oldest_ns` or later needs."""
        first_ns = (oldest_ns - self._reach_ns) // _STEP_NS * _STEP_NS
        if len(self._poses) == 0:
            self._first_ns = first_ns
        dropped = max(0, (first_ns - self._first_ns) // _STEP_NS)
        self._poses, self._first_ns = self._poses[dropped:], self._first_ns + dropped * _STEP_NS
        newest_ns = track.newest_ns or 0
        start_ns = self._first_ns + len(self._poses) * _STEP_NS
        new_poses = [track.at(ns) for ns in range(start_ns, newest_ns + 1, _STEP_NS)]
        if new_poses:
            unknown = np.full((4, 4), np.nan)
            self._poses = np.concatenate([self._poses, [unknown if T is None else T for T in new_poses]])

    def cover(self, stamp_ns: int) -> bool:
        """Whether poses are known over the whole reach around a stamp."""
        first = (stamp_ns - self._reach_ns - self._first_ns) // _STEP_NS
        last = -((self._first_ns - stamp_ns - self._reach_ns) // _STEP_NS)
        inside = first >= 0 and last < len(self._poses)
        return inside and bool(np.isfinite(self._poses[first : last + 1, 0, 0]).all())

    def at(self, stamps_ns: Float64Array) -> Float64Array:
        """[..., 4, 4] T_map_camera at stamps [...] within the track, interpolated linearly element by element."""
        place = (stamps_ns - self._first_ns) / _STEP_NS
        index = np.clip(np.floor(place).astype(np.int64), 0, len(self._poses) - 2)
        share = (place - index)[..., None, None]
        return (1 - share) * self._poses[index] + share * self._poses[index + 1]
