"""The timeline of a run: its verdicts in order of time, in a small form."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from echoseg_ros.types import Verdict

# Most entries: more than an hour at four windows a second; the oldest are forgotten.
MAX_ENTRIES = 20_000


@dataclass(frozen=True)
class TimelineSource:
    """One source in one verdict. position_m: [3] in the map; object_id None = elsewhere."""

    source_id: int
    position_m: tuple[float, float, float]
    object_id: int | None
    probability: float
    activity: float


@dataclass(frozen=True)
class TimelineEntry:
    """The sources of one verdict. stamp_ns: end of its audio window."""

    stamp_ns: int
    sources: tuple[TimelineSource, ...]


class Timeline:
    """The entries of a run in order, bounded."""

    def __init__(self) -> None:
        self.entries: deque[TimelineEntry] = deque(maxlen=MAX_ENTRIES)

    def add(self, verdict: Verdict) -> None:
        """Add a verdict."""
        sources = []
        for source in verdict.sources:
            x, y, z = np.asarray(source.position_m, dtype=float).tolist()
            probability = dict(source.candidates).get(source.object_id, 0.0)
            sources.append(
                TimelineSource(source.id, (x, y, z), source.object_id, float(probability), float(source.activity))
            )
        self.entries.append(TimelineEntry(verdict.window_end_ns, tuple(sources)))

    def as_json(self, start_ns: int) -> list[dict[str, object]]:
        """Rows with t_s since `start_ns`, as written to timeline.json."""
        return [
            {
                "t_s": round((entry.stamp_ns - start_ns) / 1e9, 4),
                "sources": [
                    {
                        "id": s.source_id,
                        "position_m": [round(value, 4) for value in s.position_m],
                        "object_id": s.object_id,
                        "probability": round(s.probability, 4),
                        "activity": round(s.activity, 4),
                    }
                    for s in entry.sources
                ],
            }
            for entry in self.entries
        ]
