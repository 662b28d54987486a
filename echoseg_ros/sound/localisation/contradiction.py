"""Contradictions: old evidence that newer evidence contradicts, because a source moved or was replaced by another.

Sums over the whole memory favour a place for as long as they hold evidence for it. A place of an earlier estimate is
therefore contradicted if the newest windows show another place about as clearly as the old windows showed this one, the
old windows did not show that other place, and the newest windows do not show this place beside it. Windows for a
contradicted place lose weight over time. They regain full weight once new windows show the place again. A pause alone
contradicts nothing. Neither do reflections past an obstacle, which are less clear or come from behind a wall.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.localisation.back_projection import share_outside_beam
from echoseg_ros.sound.localisation.evidence_memory import EvidenceMemory
from echoseg_ros.types import Float64Array

# From slots of windows to the place [3] of their sound and its contrast, or None if they have no clear place.
FindRival = Callable[[NDArray[np.int64]], tuple[Float64Array, float] | None]

# Active time that counts as the newest evidence, s.
RECENT_S = 4.0
# Time in which contradicted windows lose half of their weight, s.
HALF_LIFE_S = 1.0
# Weight below which contradicted windows are ignored.
MIN_WEIGHT = 0.05
# A place is silent below this share of its earlier contrast.
SILENT_SHARE = 0.3
# A silent place is heard again above this share.
HEARD_SHARE = 0.6
# Least decrease of the contrast, in standard errors of the difference.
SIGMAS = 3.0
# Least contrast of the rival place, as a share of the earlier contrast of the silent place.
MIN_RIVAL_SHARE = 0.5
# Distance from which on two places differ, m.
SEPARATE_M = 0.5
# Recent contrast at an estimate, as a share of the earlier one, below which the windows are tested for a rival.
CHANGED_SHARE = 0.75
# Largest earlier contrast of the rival, as a share of its recent one. Of two steady sources, one hides the other
# whenever the array comes close to it.
NEW_SHARE = 0.3
# Share of the contrast at the silent place that remains without the rival's beam, at least. Below it, the two places
# cannot be told apart.
MIN_OUTSIDE_BEAM = 0.2


@dataclass(frozen=True)
class Contradiction:
    """A place [3] that is silent since since_ns, when the newest evidence was first for the rival place [3].

    earlier_contrast: contrast at the place before. The contradiction ends once the contrast returns, or when the windows
    up to until_ns have left the memory.
    """

    place_m: Float64Array
    rival_m: Float64Array
    since_ns: int
    until_ns: int
    earlier_contrast: float


class Contradictions:
    """The places that are contradicted now. Owned by the source estimator."""

    def __init__(self, memory: EvidenceMemory) -> None:
        self._memory = memory
        self.clear()

    def clear(self) -> None:
        """Remove all contradictions."""
        self._found: list[Contradiction] = []

    def rescale(self, factor: float) -> None:
        """Multiply all places by a factor, when the scale of the map changes."""
        self._found = [replace(c, place_m=factor * c.place_m, rival_m=factor * c.rival_m) for c in self._found]

    def window_factors(self, slots: NDArray[np.int64]) -> Float64Array:
        """[W] factor on the weight of each window: below 1 for windows that are for a contradicted place."""
        factors = np.ones(len(slots))
        for found in self._found:
            contrasts = self._memory.contrasts_towards(slots, found.place_m)
            is_for = contrasts > self._memory.contrasts_towards(slots, found.rival_m)
            is_for &= contrasts > SILENT_SHARE * found.earlier_contrast
            factors = np.where(is_for, factors * self._factor(found), factors)
        return factors

    def is_ignored(self, place_m: Float64Array) -> bool:
        """Whether the windows for a place [3] are ignored."""
        return any(
            float(np.linalg.norm(found.place_m - place_m)) < SEPARATE_M and self._factor(found) < MIN_WEIGHT
            for found in self._found
        )

    def _factor(self, found: Contradiction) -> float:
        """Weight of the windows for a contradicted place, halved every HALF_LIFE_S."""
        return float(0.5 ** (max(0, self._memory.newest_ns - found.since_ns) / 1e9 / HALF_LIFE_S))

    def update(self, slots: NDArray[np.int64], estimates_m: Sequence[Float64Array], find_rival: FindRival) -> None:
        """Test the places of the last estimates and of the known contradictions against the newest windows.

        slots: [W] of all windows in memory.
        """
        oldest_ns = int(self._memory.stamps_and_durations(slots[:1])[0][0])
        before = [known for known in self._found if oldest_ns <= known.until_ns]
        recent, self._found = self._recent(slots), []
        if recent.all() or (
            not before and not any(self._has_changed(slots, recent, place_m) for place_m in estimates_m)
        ):
            return
        rival = find_rival(slots[recent])
        until_ns = int(self._memory.stamps_and_durations(slots[~recent][-1:])[0][0])
        for known in before:
            rival_m = known.rival_m if rival is None else rival[0]
            if self._recent_contrast(slots, recent, known.place_m, rival_m) < HEARD_SHARE * known.earlier_contrast:
                self._found.append(replace(known, rival_m=rival_m))
        if rival is None:
            return
        for place_m in estimates_m:
            if all(float(np.linalg.norm(known.place_m - place_m)) > SEPARATE_M for known in before):
                earlier = self._contradicted_contrast(slots, recent, place_m, *rival)
                if earlier is not None:
                    self._found.append(Contradiction(place_m, rival[0], self._memory.newest_ns, until_ns, earlier))

    def _recent(self, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[W] whether a window is one of the newest, RECENT_S of active time together, at least one."""
        active_s = self._memory.activity(slots) * self._memory.spacing_s(slots)
        recent = np.cumsum(active_s[::-1])[::-1] <= RECENT_S
        recent[-1] = True
        return np.asarray(recent)

    def _has_changed(self, slots: NDArray[np.int64], recent: NDArray[np.bool_], place_m: Float64Array) -> bool:
        """Whether the recent contrast at an estimate is clearly below the earlier one."""
        contrasts = self._memory.contrasts_towards(slots, place_m).astype(float)
        return self._mean(slots, contrasts, recent) < CHANGED_SHARE * self._mean(slots, contrasts, ~recent)

    def _recent_contrast(
        self, slots: NDArray[np.int64], recent: NDArray[np.bool_], place_m: Float64Array, rival_m: Float64Array
    ) -> float:
        """Mean contrast of the newest windows at a place, without the beam of its rival where the two differ enough."""
        outside = share_outside_beam(self._memory.array_positions_m(slots), place_m, rival_m)
        is_separate = (
            float(np.linalg.norm(place_m - rival_m)) > SEPARATE_M and outside[recent].mean() > MIN_OUTSIDE_BEAM
        )
        contrasts = self._memory.contrasts_towards(slots, place_m).astype(float)
        return self._mean(slots, contrasts * outside if is_separate else contrasts, recent)

    def _contradicted_contrast(
        self,
        slots: NDArray[np.int64],
        recent: NDArray[np.bool_],
        place_m: Float64Array,
        rival_m: Float64Array,
        rival_contrast: float,
    ) -> float | None:
        """Earlier contrast of a place that the newest windows contradict, without the beam of its rival; else None.

        The rival must be as clear as the place was, must be new, and the decrease must be significant.
        """
        outside = share_outside_beam(self._memory.array_positions_m(slots), place_m, rival_m)
        if float(np.linalg.norm(place_m - rival_m)) < SEPARATE_M or outside[recent].mean() < MIN_OUTSIDE_BEAM:
            return None
        contrasts = self._memory.contrasts_towards(slots, place_m).astype(float)
        beside, rival = contrasts * outside, self._memory.contrasts_towards(slots, rival_m) * outside
        now, earlier = self._mean(slots, beside, recent), self._mean(slots, beside, ~recent)
        is_contradicted = (
            now < SILENT_SHARE * earlier
            and earlier - now >= SIGMAS * self._standard_error(slots, beside, recent)
            and rival_contrast >= MIN_RIVAL_SHARE * self._mean(slots, contrasts, ~recent)
            and self._mean(slots, rival, ~recent) <= NEW_SHARE * self._mean(slots, rival, recent)
        )
        return earlier if is_contradicted else None

    def _mean(self, slots: NDArray[np.int64], values: Float64Array, chosen: NDArray[np.bool_]) -> float:
        """Mean of the values [W] of the chosen windows, weighted by activity."""
        activity = self._memory.activity(slots)[chosen]
        return float(values[chosen] @ activity / max(float(activity.sum()), 1e-9))

    def _standard_error(self, slots: NDArray[np.int64], values: Float64Array, recent: NDArray[np.bool_]) -> float:
        """Standard error of the difference of recent and earlier mean, with one independent value a second."""
        active_s = self._memory.activity(slots) * self._memory.spacing_s(slots)
        variance = 0.5 * (float(np.var(values[recent])) + float(np.var(values[~recent])))
        return float(np.sqrt(variance * (1 / active_s[recent].sum() + 1 / active_s[~recent].sum())))
