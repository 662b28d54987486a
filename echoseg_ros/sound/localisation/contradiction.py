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

from echoseg_ros.sound.localisation.back_projection import EvidenceMemory, beam_kept
from echoseg_ros.types import Float64Array

FindRival = Callable[[NDArray[np.int64]], tuple[Float64Array, float] | None]

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
    """place_m: [3] that is heard no more since the newest evidence is for rival_m [3]; since_ns: when that was first so.

    shown: contrast there before; the place is believed again once it shows this again, or when what was heard up to
    until_ns is forgotten.
    """

    place_m: Float64Array
    rival_m: Float64Array
    since_ns: int
    until_ns: int
    shown: float


class Contradictions:
    """Which places are contradicted now. Owned by the tracker."""

    def __init__(self, memory: EvidenceMemory) -> None:
        self._memory = memory
        self.clear()

    def clear(self) -> None:
        """Forget them."""
        self._found: list[Contradiction] = []

    def rescale(self, factor: float) -> None:
        """The world is `factor` times as large as was thought."""
        self._found = [replace(c, place_m=factor * c.place_m, rival_m=factor * c.rival_m) for c in self._found]

    def fade(self, slots: NDArray[np.int64]) -> Float64Array:
        """[W] by how much the windows still count: those that are for a contradicted place less than 1."""
        factors = np.ones(len(slots))
        for found in self._found:
            towards = self._memory.towards(slots, found.place_m)
            is_for = (towards > self._memory.towards(slots, found.rival_m)) & (towards > SILENT * found.shown)
            factors = np.where(is_for, factors * self._factor(found), factors)
        return factors

    def is_over(self, place_m: Float64Array) -> bool:
        """Whether what was heard at a place [3] no longer counts at all."""
        return any(
            float(np.linalg.norm(found.place_m - place_m)) < APART_M and self._factor(found) < LEAST_FADED
            for found in self._found
        )

    def _factor(self, found: Contradiction) -> float:
        return float(0.5 ** (max(0, self._memory.newest_ns - found.since_ns) / 1e9 / HALF_LIFE_S))

    def update(self, slots: NDArray[np.int64], believed_m: Sequence[Float64Array], find_rival: FindRival) -> None:
        """Look at the places that were believed last, and at those that were contradicted, after new evidence.

        find_rival: where the sound of some windows comes from [3] and how clearly it is heard there; None if that cannot be
        told well.
        """
        oldest_ns = int(self._memory.times(slots[:1])[0][0])
        before = [known for known in self._found if oldest_ns <= known.until_ns]
        recent, self._found = self._recent(slots), []
        if recent.all() or (
            not before and not any(self._has_changed(slots, recent, place_m) for place_m in believed_m)
        ):
            return
        rival, until_ns = find_rival(slots[recent]), int(self._memory.times(slots[~recent][-1:])[0][0])
        for known in before:
            rival_m = known.rival_m if rival is None else rival[0]
            if self._now(slots, recent, known.place_m, rival_m) < HEARD * known.shown:
                self._found.append(replace(known, rival_m=rival_m))
        if rival is None:
            return
        for place_m in believed_m:
            if all(float(np.linalg.norm(known.place_m - place_m)) > APART_M for known in before):
                shown = self._given_up(slots, recent, place_m, *rival)
                if shown is not None:
                    self._found.append(Contradiction(place_m, rival[0], self._memory.newest_ns, until_ns, shown))

    def _recent(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[W] the last windows, RECENT_S of activity together, at least one."""
        active_s = self._memory.activity(slots) * self._memory.spacing_s(slots)
        recent = np.cumsum(active_s[::-1])[::-1] <= RECENT_S
        recent[-1] = True
        return np.asarray(recent)

    def _has_changed(self, slots: NDArray[np.int64], recent: NDArray[np.bool_], place_m: Float64Array) -> bool:
        towards = self._memory.towards(slots, place_m).astype(float)
        return self._mean(slots, towards, recent) < CHANGED * self._mean(slots, towards, ~recent)

    def _now(
        self, slots: NDArray[np.int64], recent: NDArray[np.bool_], place_m: Float64Array, rival_m: Float64Array
    ) -> float:
        """Contrast that the newest windows show at a place beside its rival; all of it where they cannot be told apart."""
        kept = beam_kept(self._memory.places(slots), place_m, rival_m)
        apart = float(np.linalg.norm(place_m - rival_m)) > APART_M and kept[recent].mean() > LEAST_KEPT
        towards = self._memory.towards(slots, place_m).astype(float)
        return self._mean(slots, towards * kept if apart else towards, recent)

    def _given_up(
        self,
        slots: NDArray[np.int64],
        recent: NDArray[np.bool_],
        place_m: Float64Array,
        rival_m: Float64Array,
        clear: float,
    ) -> float | None:
        """What a place showed before it fell silent, beside its rival; None if it did not, or not surely.

        The rival has to be heard as clearly as the place was, and not before, and the change must be no chance.
        """
        kept = beam_kept(self._memory.places(slots), place_m, rival_m)
        if float(np.linalg.norm(place_m - rival_m)) < APART_M or kept[recent].mean() < LEAST_KEPT:
            return None
        towards = self._memory.towards(slots, place_m).astype(float)
        beside, rival = towards * kept, self._memory.towards(slots, rival_m) * kept
        now, shown = self._mean(slots, beside, recent), self._mean(slots, beside, ~recent)
        is_sure = (
            now < SILENT * shown
            and shown - now >= SIGMAS * self._error(slots, beside, recent)
            and clear >= CLEAR * self._mean(slots, towards, ~recent)
            and self._mean(slots, rival, ~recent) <= NEW * self._mean(slots, rival, recent)
        )
        return shown if is_sure else None

    def _mean(self, slots: NDArray[np.int64], values: Float64Array, chosen: NDArray[np.bool_]) -> float:
        activity = self._memory.activity(slots)[chosen]
        return float(values[chosen] @ activity / max(float(activity.sum()), 1e-9))

    def _error(self, slots: NDArray[np.int64], values: Float64Array, recent: NDArray[np.bool_]) -> float:
        """Standard error of the difference of two means, as if every second said something new."""
        active_s = self._memory.activity(slots) * self._memory.spacing_s(slots)
        variance = 0.5 * (float(np.var(values[recent])) + float(np.var(values[~recent])))
        return float(np.sqrt(variance * (1 / active_s[recent].sum() + 1 / active_s[~recent].sum())))
