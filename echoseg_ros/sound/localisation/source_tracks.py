"""Source tracks: ids of sources over time, and the intervals in which each was heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.localisation.source_estimator import SourceEstimate
from echoseg_ros.types import Float64Array, Interval

# Distance, metres, below which an estimate continues a track (or within three of its standard deviations).
SAME_SOURCE_M = 0.5
SAME_SOURCE_SIGMAS = 3.0
# A heard interval begins with a window whose contrast reaches this share of the source's typical contrast ...
HEARD_ON = 0.5
# ... and ends with one below this share.
HEARD_OFF = 0.25
# Pauses up to this length do not end a heard interval: a clock that ticks is one sound.
HEARD_PAUSE_S = 1.0


@dataclass
class SourceTrack:
    """One source over time.

    position_m: [3] of the newest estimate; object_id: the instance it is assigned to; heard_before: intervals that have
    left the evidence memory; windows: those still in it, and whether the source was heard in them.
    """

    id: int
    position_m: Float64Array
    object_id: int | None = None
    heard_before: list[Interval] = field(default_factory=list)
    windows: list[tuple[Interval, bool]] = field(default_factory=list)

    def update_heard_intervals(self, estimate: SourceEstimate) -> tuple[Interval, ...]:
        """The heard intervals after a new estimate, which judges the windows in memory again."""
        on = _with_hysteresis(estimate.window_contrasts, _typical_contrast(estimate.window_contrasts))
        halves_ns = (estimate.durations_s * 0.25e9).astype(np.int64)
        spans = [Interval(int(s - h), int(s + h)) for s, h in zip(estimate.stamps_ns, halves_ns, strict=True)]
        oldest_ns = int(estimate.stamps_ns[0] - halves_ns[0])
        gone = [span for span, was_on in self.windows if was_on and span.start_ns < oldest_ns]
        self.heard_before = _merged(self.heard_before + gone)
        self.windows = list(zip(spans, on, strict=True))
        return tuple(_merged(self.heard_before + [span for span, is_on in self.windows if is_on]))


class SourceTracks:
    """Associates the estimates of each decision with the tracks of the last one."""

    def __init__(self) -> None:
        self._tracks: list[SourceTrack] = []
        self._next_id = 0

    def rescale(self, factor: float) -> None:
        """Multiply all positions: the world is `factor` times as large as was thought."""
        for track in self._tracks:
            track.position_m = track.position_m * factor

    def associate(self, estimates: Sequence[SourceEstimate]) -> list[SourceTrack]:
        """The track of each estimate: the nearest free one if it is near enough, else a new one; the rest is forgotten."""
        free = list(self._tracks)
        matched = []
        for estimate in estimates:
            nearest = _nearest(free, estimate.position_m)
            if nearest is not None and _is_same(nearest, estimate):
                free.remove(nearest)
            else:
                nearest = SourceTrack(self._next_id, estimate.position_m)
                self._next_id += 1
            nearest.position_m = estimate.position_m
            matched.append(nearest)
        self._tracks = matched
        return matched


def _nearest(tracks: list[SourceTrack], position_m: Float64Array) -> SourceTrack | None:
    return min(tracks, key=lambda track: float(np.linalg.norm(track.position_m - position_m)), default=None)


def _is_same(track: SourceTrack, estimate: SourceEstimate) -> bool:
    offset = estimate.position_m - track.position_m
    mahalanobis2 = float(offset @ np.linalg.solve(estimate.covariance_m2, offset))
    return float(np.linalg.norm(offset)) < SAME_SOURCE_M or mahalanobis2 < SAME_SOURCE_SIGMAS**2


def _typical_contrast(contrasts: NDArray[np.floating]) -> float:
    """Contrast of windows that hear the source: the mean, weighted by itself."""
    positive = np.maximum(contrasts.astype(float), 0)
    return float(np.sum(positive**2) / max(np.sum(positive), 1e-12))


def _with_hysteresis(contrasts: NDArray[np.floating], typical: float) -> list[bool]:
    on, result = False, []
    for value in contrasts:
        on = value > (HEARD_OFF if on else HEARD_ON) * typical
        result.append(bool(on))
    return result


def _merged(spans: list[Interval]) -> list[Interval]:
    """Spans in order of time, with pauses up to HEARD_PAUSE_S closed."""
    merged: list[Interval] = []
    for span in sorted(spans, key=lambda s: s.start_ns):
        if merged and span.start_ns - merged[-1].end_ns <= HEARD_PAUSE_S * 1e9:
            merged[-1] = Interval(merged[-1].start_ns, max(merged[-1].end_ns, span.end_ns))
        else:
            merged.append(span)
    return merged
