"""Which sounds, at which places of the map, explain what was heard: chosen one after the other, judged together.

A sound is in one of the map's things or anywhere else. The next one is the place that explains most of what the ones
before leave (forward selection), until it explains too little; a choice that a later one makes worse is changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echoseg_ros.geometry import is_in_convex_hull
from echoseg_ros.sound.localisation.lobe_matching import Explanation, Heard, Residual
from echoseg_ros.sound.localisation.reflectors import Reflector
from echoseg_ros.types import Float32Array, Float64Array

# A further sound must explain this much (matching.BAND_WORTH). In 24 scenes of one to three sounds (cube of 8, 0.4 s) the
# true ones reach 0.3 to 1.7, and what is chosen after the last true one 0.05 to 0.4, seldom more. By the dimensions that the
# array spans: what a flat one hears of floor and ceiling passes for more (8 scenes: 0.9 to 2.4, and 0.3 to 1.1). Away from
# things, where reflections from edges and corners seem to come from, it must be twice as much; from few places more, too.
LEAST_GAIN, FREE_TIMES, FEW_PLACES = {1: 1.0, 2: 1.0, 3: 0.28}, 2.0, 6.0
# Beside a loud sound its reflections from what the map does not show pass for a second one: a further sound explains this
# share of what the strongest does (8 rooms, two of 5 sounds: 0.29 on; what is not there 0.17 to 0.21).
LEAST_SHARE = 0.24
# A thing explains less than the best place anywhere by this share of it, standard deviation: what a place within the
# thing, reflections and a weak band cost (20 places each: cube of 8 and square of 4, at most 0.06; other things 0.08 on).
DEFICIT, DEFICIT_ONE_PLACE = 0.05, 0.15
# At this deficit of the best thing, elsewhere is as likely; so much likelier it is when the place may lie outside.
ELSEWHERE_DEFICIT, OUTSIDE_ODDS = 0.12, 20.0
# What a ceiling must explain to be taken for one, and the heights above the floor at which it is looked for.
CEILING_GAIN, CEILINGS_M = 0.1, np.arange(2.2, 4.1, 0.1)
# A sound that no place explains by so much has no straight way to the array, as one from the next room (cube of 8, 10
# rooms: at most 1.24 after 30 s; square of 4: 2.37), or it is a tone, whose lobes are others (two ears: 0.28 to 0.4, and
# the right thing in 4 of 6 runs, in 3 rooms, by the back-projection, in 2 by the lobes). At 0.7 s and 0 dB speech still
# reaches 1.26 and 2.04. From few places it must be more (4 to 15 places: 0.9 to 1.8 from the next room, in 2 of 9 rooms), and
# with several places that share it, too.
STRAIGHT_GAIN, FEW_STRAIGHT, MORE_SOUNDS = {1: 0.5, 2: 2.4, 3: 1.3}, 4.0, 0.35
# A thing behind an obstacle is heard by its reflections: what is left of the power of the straight sound (0 to 0.1 do the
# same in 56 cases with two ears), and how much more it must explain than a thing in plain view, since its image in a wall
# may be a sound behind that (cube of 8: true ones reach 1.6 to 2.8, those from the next room 0.7 to 1.5, one of 9 1.8).
BLOCKED_SHARE, BLOCKED_TIMES = 0.1, 1.25
# A place so far beyond the plane of a wall, with no thing there, is outside of the room (from the next room, 14 rooms: a
# second sound beside it named a thing).
OUTSIDE_M = 0.3
# How many things, and places in free space, are looked at closely; where free space is looked at, and climbed to.
THINGS, FREE = 5, 2
GRID_M, APART_M, CLIMB_TO_M = 0.4, 0.6, 0.02
_CUBE = np.array([c for c in itertools.product((-1.0, 0.0, 1.0), repeat=3) if any(c)])


@dataclass(frozen=True)
class Sounding:
    """One of the sounds that explain what was heard.

    place_m: [3]; thing: number of the thing it is in, None elsewhere; gain: what it explains beside the others;
    together: what they explain all together;
    deficits: [T + 1] by which share of the most that one place explains each thing, and last the best place elsewhere,
    explains less; places: at how many places of the array it was heard; blocked: with something in between.
    """

    place_m: Float64Array
    thing: int | None
    gain: float
    together: float
    deficits: Float64Array
    places: int
    worth_share: float = 1.0
    blocked: bool = False

    def probabilities(self, outside: float) -> Float64Array:
        """[T + 1] that it is in each thing, and last elsewhere; outside: how likely its place lies outside of the map.

        A deficit is a mean over bands: of tones fewer count (worth_share), and it scatters with the root of that more.
        """
        scatter = 1 / np.sqrt(self.worth_share)
        sigma = scatter * np.hypot(DEFICIT, DEFICIT_ONE_PLACE / np.sqrt(self.places))
        log_odds = -0.5 * (self.deficits / sigma) ** 2
        elsewhere = ELSEWHERE_DEFICIT / self.worth_share
        log_odds[-1] += np.log1p(OUTSIDE_ODDS * outside) - 0.5 * (elsewhere / (scatter * DEFICIT)) ** 2
        odds = np.exp(log_odds - log_odds.max())
        return np.asarray(odds / odds.sum())


@dataclass(frozen=True)
class _Candidate:
    """blocked: with something between it and the array."""

    place_m: Float64Array
    thing: int | None
    column: Float32Array
    blocked: bool = False


def sounds_in(
    heard: Heard,
    things: Sequence[Float64Array],
    reflectors: tuple[Reflector, ...],
    low_m: Float64Array,
    high_m: Float64Array,
    most: int,
    dimensions: int,
) -> tuple[Sounding, ...]:
    """At most `most` sounds, the one that explains most first.

    things: [n, 3] places each; low_m, high_m: [3] corners of the space that is looked at; dimensions: that the array spans.
    """
    least_blocked = BLOCKED_TIMES * _least(dimensions, len(heard.weights)) * heard.worth_share
    search = _Search(heard, things, reflectors, low_m, high_m, least_blocked)
    least = LEAST_GAIN[dimensions] * (1 + FEW_PLACES / len(heard.weights))
    for step in range(most):
        if not search.add(least if step else 0.0) or search.is_outside():
            break
    return search.result()


def comes_straight(sounds: Sequence[Sounding], dimensions: int) -> bool:
    """Whether the sounds explain enough to be where they are said to be. dimensions: that the array spans."""
    least = _least(dimensions, sounds[0].places) * sounds[0].worth_share
    return sounds[0].together >= least * (1 + MORE_SOUNDS * (len(sounds) - 1))


def _least(dimensions: int, places: int) -> float:
    return STRAIGHT_GAIN[dimensions] * (1 + FEW_STRAIGHT / places)


def ceiling_over(heard: Heard, place_m: Float64Array, reflectors: tuple[Reflector, ...]) -> Reflector | None:
    """The ceiling whose mirror image of a sound at a place [3] explains most; None if none explains CEILING_GAIN.

    Cameras on robots seldom see it, but what it reflects would pass for a second sound. Needs the floor.
    """
    floor_m = next((r.offset_m for r in reflectors if r.normal[2] > 0.9), None)
    if floor_m is None:
        return None
    highest_m = max(float(place_m[2]), float(heard.places[:, 2].max()))
    ceilings = [_level_above(floor_m + h) for h in CEILINGS_M if floor_m + h > highest_m]
    columns = [heard.column(place_m, (*reflectors, *extra)) for extra in [(), *((ceiling,) for ceiling in ceilings)]]
    left = np.array([Explanation(heard, [column]).left((0,)) for column in columns])
    best = int(np.argmin(left))
    return ceilings[best - 1] if left[0] - left[best] > CEILING_GAIN else None


class _Search:
    def __init__(
        self,
        heard: Heard,
        things: Sequence[Float64Array],
        reflectors: tuple[Reflector, ...],
        low_m: Float64Array,
        high_m: Float64Array,
        least_blocked: float,
    ) -> None:
        self._heard, self._reflectors, self._least_blocked = heard, reflectors, least_blocked
        self._low_m, self._high_m = low_m, high_m
        self._things = things
        self._places = np.concatenate([np.empty((0, 3)), *things])
        self._owner = np.repeat(np.arange(len(things)), [len(places) for places in things])
        axes = [np.arange(a + GRID_M / 2, b, GRID_M) for a, b in zip(low_m, high_m, strict=True)]
        self._grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        self._inside = np.ones(len(self._grid), dtype=bool)
        for reflector in reflectors:
            self._inside &= ~reflector.is_behind(self._grid, 0.0)
        self._candidates: list[_Candidate] = []
        self._explanation = Explanation(heard, [])
        self._chosen: tuple[int, ...] = ()

    def add(self, least: float) -> bool:
        """Choose one more sound, if it explains at least so much."""
        residual = self._explanation.residual(self._chosen)
        if self._chosen and self._promise(residual) < 0.5 * least:
            return False
        self._look_closely(residual)
        gains = self._gains(self._chosen)
        things = [k for k, c in enumerate(self._candidates) if c.thing is not None and self._is_new(c)]
        free = [k for k, c in enumerate(self._candidates) if c.thing is None and self._is_new(c)]
        best_thing = max(things, key=lambda k: gains[k], default=None)
        best = max(free, key=lambda k: gains[k], default=None)
        if best is not None and self._chosen and gains[best] < FREE_TIMES * least:
            best = None
        elsewhere = ELSEWHERE_DEFICIT / self._heard.worth_share
        if best_thing is not None and (best is None or gains[best_thing] >= (1 - elsewhere) * gains[best]):
            best = best_thing
        if best is None or gains[best] < least:
            return False
        chosen = self._improved((*self._chosen, best))
        explained = self._explained_by_each(chosen)
        if explained.min() < LEAST_SHARE * explained.max():
            return False
        self._chosen = chosen
        return True

    def is_outside(self) -> bool:
        """Whether the first sound comes through a wall: then what others would explain is what it does in here."""
        first = self._candidates[self._chosen[0]]
        if first.thing is not None:
            return False
        behind_m = [r.offset_m - np.vstack([first.place_m, self._places]) @ r.normal for r in self._reflectors]
        return any(off_m[0] > OUTSIDE_M and (off_m[1:] < OUTSIDE_M).all() for off_m in behind_m)

    def result(self) -> tuple[Sounding, ...]:
        """The chosen sounds, the strongest first."""
        found = [self._judged(k) for k in self._chosen]
        return tuple(sorted(found, key=lambda sounding: -sounding.gain))

    def _is_new(self, candidate: _Candidate) -> bool:
        """Whether it is another thing than the chosen ones, or another place."""
        chosen = [self._candidates[k] for k in self._chosen]
        if candidate.thing is not None:
            return all(c.thing != candidate.thing for c in chosen)
        return all(float(np.linalg.norm(c.place_m - candidate.place_m)) > APART_M for c in chosen)

    def _promise(self, residual: Residual) -> float:
        points = self._places if len(self._places) else self._grid
        return float(residual.gain(points).max())

    def _look_closely(self, residual: Residual) -> None:
        """Make candidates of the things and the free places that promise most, and fit them all anew."""
        taken = {c.thing for c in self._candidates}
        for thing, place_m in self._best_of_things(residual):
            if thing not in taken:  # reflections bend which of its places seems best: its middle too
                self._candidates += self._candidates_at(place_m, thing)
                self._candidates += self._candidates_at(self._things[thing].mean(axis=0), thing)
        for place_m in self._free_peaks(residual):
            self._candidates += self._candidates_at(place_m, self._thing_around(place_m))
        self._explanation = Explanation(self._heard, [c.column for c in self._candidates])

    def _candidates_at(self, place_m: Float64Array, thing: int | None) -> list[_Candidate]:
        """A sound in plain view of the array and, of the first one's things, one with something in between."""
        found = [_Candidate(place_m, thing, self._heard.column(place_m, self._reflectors))]
        if self._reflectors and thing is not None and not self._chosen:
            column = self._heard.column(place_m, self._reflectors, BLOCKED_SHARE)
            found.append(_Candidate(place_m, thing, column, blocked=True))
        return found

    def _thing_around(self, place_m: Float64Array) -> int | None:
        """The thing whose places enclose a place: they are a sample, and of large things a coarse one."""
        for thing, places in enumerate(self._things):
            low_m, high_m = places.min(axis=0), places.max(axis=0)
            if np.all((place_m > low_m) & (place_m < high_m)) and is_in_convex_hull(place_m, places):
                return thing
        return None

    def _best_of_things(self, residual: Residual) -> list[tuple[int, Float64Array]]:
        """(thing, its best place) of the THINGS most promising ones."""
        if not len(self._places):
            return []
        gain = residual.gain(self._places)
        order = np.argsort(-gain, kind="stable")
        _, first = np.unique(self._owner[order], return_index=True)
        best = order[np.sort(first)][:THINGS]
        return [(int(self._owner[k]), self._places[k]) for k in best]

    def _free_peaks(self, residual: Residual) -> list[Float64Array]:
        gain = residual.gain(self._grid)
        # What comes through a wall beside other sounds is their reflection: only one alone may be outside.
        free = self._inside if self._chosen else np.ones(len(gain), dtype=bool)
        peaks = []
        for _ in range(FREE):
            if not free.any():
                break
            start = self._grid[int(np.argmax(np.where(free, gain, -np.inf)))]
            peak_m = _climbed(residual, start, self._low_m, self._high_m)
            if not self._chosen or not any(r.is_behind(peak_m[None], 0.0)[0] for r in self._reflectors):
                peaks.append(peak_m)
            free = free & (np.linalg.norm(self._grid - start, axis=1) > APART_M)
        return peaks

    def _gains(self, chosen: tuple[int, ...]) -> Float64Array:
        """[C] what each candidate explains beside the chosen ones; nothing, if it is blocked and that is too little."""
        before = self._explanation.left(chosen)
        gains = np.array([before - self._explanation.left((*chosen, k)) for k in range(len(self._candidates))])
        blocked = np.array([candidate.blocked for candidate in self._candidates])
        return np.where(blocked & (gains < self._least_blocked), 0.0, gains)

    def _explained_by_each(self, chosen: tuple[int, ...]) -> Float64Array:
        """[C] what each of the chosen ones explains beside the others."""
        left = self._explanation.left(chosen)
        return np.array([self._explanation.left(tuple(c for c in chosen if c != k)) - left for k in chosen])

    def _improved(self, chosen: tuple[int, ...]) -> tuple[int, ...]:
        """With each choice changed for another thing's candidate as long as that explains more."""
        best = self._explanation.left(chosen)
        for _ in range(3):
            before = best
            for at in range(len(chosen) if len(chosen) > 1 else 0):
                for k, candidate in enumerate(self._candidates):
                    others = [self._candidates[c].thing for c in (*chosen[:at], *chosen[at + 1 :])]
                    if candidate.thing is None or candidate.blocked or k in chosen or candidate.thing in others:
                        continue
                    other = (*chosen[:at], k, *chosen[at + 1 :])
                    left = self._explanation.left(other)
                    if left < best - 1e-3:
                        chosen, best = other, left
            if best >= before:
                break
        return chosen

    def _judged(self, k: int) -> Sounding:
        others = tuple(c for c in self._chosen if c != k)
        gains = self._gains(others)
        most = np.zeros(len(self._things) + 1)
        closely = np.zeros(len(most), dtype=bool)
        if len(self._places):
            np.maximum.at(most[:-1], self._owner, self._explanation.residual(others).gain(self._places))
        for c, candidate in enumerate(self._candidates):
            thing = -1 if candidate.thing is None else candidate.thing
            most[thing] = max(gains[c], most[thing] if closely[thing] else 0.0)
            closely[thing] = True
        for c in others:
            other = self._candidates[c].thing
            if other is not None:
                most[other] = 0.0
        chosen = self._candidates[k]
        best = max(float(most[closely].max()), 1e-9)
        deficits = np.clip((best - most) / best, 0.0, 1.0)
        together = self._explanation.left(()) - self._explanation.left(self._chosen)
        places, worth = len(self._heard.weights), self._heard.worth_share
        return Sounding(
            chosen.place_m, chosen.thing, float(gains[k]), together, deficits, places, worth, chosen.blocked
        )


def _climbed(residual: Residual, start_m: Float64Array, low_m: Float64Array, high_m: Float64Array) -> Float64Array:
    best_m, step_m = np.asarray(start_m, dtype=float), GRID_M / 2
    best = float(residual.gain(best_m[None])[0])
    while step_m > CLIMB_TO_M:
        points = np.clip(best_m + step_m * _CUBE, low_m, high_m)
        gain = residual.gain(points)
        top = int(np.argmax(gain))
        if gain[top] > best + 1e-6:
            best_m, best = points[top], float(gain[top])
        else:
            step_m /= 2
    return best_m


def _level_above(height_m: float) -> Reflector:
    """A ceiling without end."""
    far_m = np.full(3, np.inf)
    return Reflector(np.array([0.0, 0.0, -1.0]), -height_m, np.eye(3), -far_m, far_m)
