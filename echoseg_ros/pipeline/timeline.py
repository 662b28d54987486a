"""What was believed when: the timeline of a run, small enough to keep."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from echoseg_ros.types import Verdict

# Four moments a second: an hour and more; a node that runs for days forgets the oldest.
MAX_MOMENTS = 20_000


@dataclass(frozen=True)
class Belief:
    """One source at one moment. position_m: [3] in the map; object_id None = elsewhere."""

    source_id: int
    position_m: tuple[float, float, float]
    object_id: int | None
    probability: float
    activity: float


@dataclass(frozen=True)
class Moment:
    """All sources believed in at one moment. stamp_ns: end of the audio window that led to it."""

    stamp_ns: int
    beliefs: tuple[Belief, ...]


class Timeline:
    """The moments of a run in order, bounded."""

    def __init__(self) -> None:
        self.moments: deque[Moment] = deque(maxlen=MAX_MOMENTS)

    def add(self, verdict: Verdict) -> None:
        """Remember a verdict."""
        beliefs = []
        for source in verdict.sources:
            x, y, z = np.asarray(source.position_m, dtype=float).tolist()
            probability = dict(source.candidates).get(source.object_id, 0.0)
            beliefs.append(Belief(source.id, (x, y, z), source.object_id, float(probability), float(source.activity)))
        self.moments.append(Moment(verdict.window_end_ns, tuple(beliefs)))

    def as_json(self, start_ns: int) -> list[dict[str, object]]:
        """Rows with t_s since `start_ns`, as written to timeline.json."""
        return [
            {
                "t_s": round((moment.stamp_ns - start_ns) / 1e9, 4),
                "sources": [
                    {
                        "id": b.source_id,
                        "position_m": [round(value, 4) for value in b.position_m],
                        "object_id": b.object_id,
                        "probability": round(b.probability, 4),
                        "activity": round(b.activity, 4),
                    }
                    for b in moment.beliefs
                ],
            }
            for moment in self.moments
        ]
