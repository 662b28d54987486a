"""Old evidence that newer evidence contradicts: a source moved, or fell silent while another one began.

Sums over the whole memory hold on to a place as long as it was heard there. So it is asked of each place that is
believed: is another place now heard about as clearly as this one was, was it not before, and is this one not heard beside
it any more? What was heard from there then counts less and less, and in full again as soon as it is heard there again. A
pause alone contradicts nothing; nor do reflections past an obstacle, which come less clearly or from behind a wall.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.backproject import EvidenceMemory, beam_kept
from echoseg_ros.types import Array

FindRival = Callable[[NDArray[np.int64]], tuple[Array, float] | None]

# So many active seconds are the newest evidence; what they contradict counts half after so many seconds.
RECENT_S, HALF_LIFE_S = 4.0, 1.0
# What counts less than this no longer counts at all.
LEAST_FADED = 0.05
# A place is heard no more below this share of what it showed before, and again above that one.
SILENT, HEARD = 0.3, 0.6
# And by this much of the means' standard error.
SIGMAS = 3.0
# The other place is heard as clearly as this share of what this one showed, and lies so far away.
CLEAR, APART_M = 0.5, 0.5
# The newest windows differ enough from the others to be looked at closely below this share.
CHANGED = 0.75
# The other place was heard no more clearly than this share of it before: of two that sound all the time, one hides the
# other whenever the array comes near it.
NEW = 0.3
# Of a beam towards the other place, this must be left at this one: otherwise they cannot be told apart.
LEAST_KEPT = 0.2


@dataclass(frozen=True)
class Contradiction:
    """place_m: [3] that is heard no more since the newest evidence is for rival_m [3]; since_ns: when that was first so."""

    place_m: Array
    rival_m: Array
    since_ns: int


class Contradictions:
    """Which places are contradicted now. Owned by the tracker."""

    def __init__(self, memory: EvidenceMemory) -> None:
        self._memory = memory
        self.clear()

    def clear(self) -> None:
        """Forget them."""
        self._found: list[Contradiction] = []

    def fade(self, slots: NDArray[np.int64]) -> Array:
        """[W] by how much the windows still count: those that are for a contradicted place less than 1."""
        factors = np.ones(len(slots))
        for found in self._found:
            is_for = self._memory.towards(slots, found.place_m) > self._memory.towards(slots, found.rival_m)
            factors = np.where(is_for, factors * self._factor(found), factors)
        return factors

    def is_over(self, place_m: Array) -> bool:
        """Whether what was heard at a place [3] no longer counts at all."""
        return any(
            float(np.linalg.norm(found.place_m - place_m)) < APART_M and self._factor(found) < LEAST_FADED
            for found in self._found
        )

    def _factor(self, found: Contradiction) -> float:
        return float(0.5 ** (max(0, self._memory.newest_ns - found.since_ns) / 1e9 / HALF_LIFE_S))

    def update(self, slots: NDArray[np.int64], believed_m: Sequence[Array], find_rival: FindRival) -> None:
        """Look at the places that were believed last, and at those that were contradicted, after new evidence.

        find_rival: where the sound of some windows comes from [3] and how clearly it is heard there; None if that cannot be
        told well.
        """
        recent = self._recent(slots)
        places = [*(found.place_m for found in self._found), *believed_m]
        if len(places) == 0 or recent.all():
            self._found = []
            return
        if len(self._found) == 0 and not any(self._has_changed(slots, recent, place_m) for place_m in places):
            return
        rival = find_rival(slots[recent])
        before, self._found = self._found, []
        for known in before:
            rival_m = known.rival_m if rival is None else rival[0]
            heard = self._heard(slots, recent, known.place_m, rival_m)
            if heard is None or heard < HEARD:
                self._found.append(known if heard is None else replace(known, rival_m=rival_m))
        if rival is None:
            return
        for place_m in believed_m:
            if any(float(np.linalg.norm(known.place_m - place_m)) < APART_M for known in before):
                continue
            heard = self._heard(slots, recent, place_m, rival[0])
            if heard is not None and heard < SILENT and self._is_sure(slots, recent, place_m, *rival):
                self._found.append(Contradiction(place_m, rival[0], self._memory.newest_ns))

    def _recent(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[W] the last windows, RECENT_S of activity together."""
        active_s = self._memory.activity(slots) * self._memory.spacing_s(slots)
        return np.asarray(np.cumsum(active_s[::-1])[::-1] <= RECENT_S)

    def _has_changed(self, slots: NDArray[np.int64], recent: NDArray[np.bool_], place_m: Array) -> bool:
        towards = self._memory.towards(slots, place_m).astype(float)
        return self._mean(slots, towards, recent) < CHANGED * self._mean(slots, towards, ~recent)

    def _heard(
        self, slots: NDArray[np.int64], recent: NDArray[np.bool_], place_m: Array, rival_m: Array
    ) -> float | None:
        """How clearly a place is heard now against before, beside its rival; None if that cannot be told."""
        if float(np.linalg.norm(place_m - rival_m)) < APART_M:
            return 1.0
        kept = beam_kept(self._memory.places(slots), place_m, rival_m)
        beside = self._memory.towards(slots, place_m) * kept
        before = self._mean(slots, beside, ~recent)
        if kept[recent].mean() < LEAST_KEPT or before <= 0:
            return None
        return self._mean(slots, beside, recent) / before

    def _is_sure(
        self, slots: NDArray[np.int64], recent: NDArray[np.bool_], place_m: Array, rival_m: Array, clear: float
    ) -> bool:
        """Whether the rival is heard as clearly as the place was, is new, and the change is no chance."""
        kept = beam_kept(self._memory.places(slots), place_m, rival_m)
        towards = self._memory.towards(slots, place_m).astype(float)
        rival = self._memory.towards(slots, rival_m) * kept
        less = self._mean(slots, towards * kept, ~recent) - self._mean(slots, towards * kept, recent)
        return (
            clear >= CLEAR * self._mean(slots, towards, ~recent)
            and self._mean(slots, rival, ~recent) <= NEW * self._mean(slots, rival, recent)
            and less >= SIGMAS * self._error(slots, towards * kept, recent)
        )

    def _mean(self, slots: NDArray[np.int64], values: Array, chosen: NDArray[np.bool_]) -> float:
        activity = self._memory.activity(slots)[chosen]
        return float(values[chosen] @ activity / max(float(activity.sum()), 1e-9))

    def _error(self, slots: NDArray[np.int64], values: Array, recent: NDArray[np.bool_]) -> float:
        """Standard error of the difference of two means, as if every second said something new."""
        active_s = self._memory.activity(slots) * self._memory.spacing_s(slots)
        variance = 0.5 * (float(np.var(values[recent])) + float(np.var(values[~recent])))
        return float(np.sqrt(variance * (1 / active_s[recent].sum() + 1 / active_s[~recent].sum())))
