"""Hypotheses: the set of sounds at positions of the map that explains the direction maps.

Sounds are added one after the other (forward selection): the next one is the candidate with the largest gain beside the
chosen ones, until the gain is too small. Afterwards, each choice is replaced if another candidate explains more. A sound
is in one of the instances of the map or elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echoseg_ros.sound.localisation.lobe_matching import DirectionMaps, LobeFit
from echoseg_ros.sound.localisation.reflectors import Reflector
from echoseg_ros.sound.localisation.sound_candidates import SEPARATE_M, Candidate, CandidateSearch
from echoseg_ros.types import Float64Array

# Gain of a further sound, at least, by the dimensions that the array spans: a flat array takes reflections from floor
# and ceiling for sounds.
MIN_GAIN = {1: 1.0, 2: 1.0, 3: 0.28}
# Number n0 of array positions in the factor 1 + n0 / n on MIN_GAIN: from few positions, more gain is needed.
MIN_GAIN_POSITIONS = 6.0
# Factor on MIN_GAIN away from instances, where reflections from edges and corners seem to come from.
ELSEWHERE_GAIN_FACTOR = 2.0
# Gain of a further sound, at least, as a share of the strongest: reflections from what the map lacks explain less.
MIN_GAIN_SHARE = 0.24
# Deficit of an instance: share by which its gain is below that of the best position anywhere. Standard deviation of
# the deficit of the sounding instance, by reflections and weak bands.
DEFICIT_SIGMA = 0.05
# Additional standard deviation with one array position; it falls with the square root of their number.
DEFICIT_SIGMA_ONE_POSITION = 0.15
# Deficit of the best instance at which elsewhere is as likely.
ELSEWHERE_DEFICIT = 0.12
# Factor on the odds of elsewhere, minus one, for a source that is certainly outside of the mapped room.
OUTSIDE_ODDS = 20.0
# Gain of all sounds together, at least, for a direct path to the array, by the dimensions that the array spans. Below,
# a sound comes from another room, or it is a tone whose lobes do not fit.
DIRECT_PATH_GAIN = {1: 0.5, 2: 2.4, 3: 1.3}
# Number n0 of array positions in the factor 1 + n0 / n on DIRECT_PATH_GAIN.
DIRECT_PATH_POSITIONS = 4.0
# Increase of DIRECT_PATH_GAIN for each further sound, as a share of it.
DIRECT_PATH_PER_SOUND = 0.35
# Factor on DIRECT_PATH_GAIN for an instance behind an obstacle: its image in a wall may be a sound behind that wall.
BLOCKED_GAIN_FACTOR = 1.25
# Distance behind a wall from which on a position without instances is outside of the room, m.
OUTSIDE_M = 0.3
# Rounds in which choices are replaced, at most, and the improvement that is worth a replacement.
MAX_ROUNDS = 3
MIN_IMPROVEMENT = 1e-3


@dataclass(frozen=True)
class LocatedSound:
    """One sound of a hypothesis.

    position_m: [3]; instance: index of its instance, None elsewhere; gain: its gain beside the other sounds; total_gain: of
    all sounds together; deficits: [I + 1] deficit of each instance and, last, of the best position elsewhere;
    array_position_count: number of array positions; band_weight_share: see DirectionMaps; is_blocked: behind an obstacle.
    """

    position_m: Float64Array
    instance: int | None
    gain: float
    total_gain: float
    deficits: Float64Array
    array_position_count: int
    band_weight_share: float = 1.0
    is_blocked: bool = False

    def probabilities(self, outside_probability: float) -> Float64Array:
        """[I + 1] probability of each instance and, last, of elsewhere.

        outside_probability: that the position is outside of the mapped room. A deficit is a mean over bands. With tones,
        fewer bands count, and the deficit scatters by the square root of that more.
        """
        scatter = 1 / np.sqrt(self.band_weight_share)
        sigma = scatter * np.hypot(DEFICIT_SIGMA, DEFICIT_SIGMA_ONE_POSITION / np.sqrt(self.array_position_count))
        log_odds = -0.5 * (self.deficits / sigma) ** 2
        elsewhere = ELSEWHERE_DEFICIT / self.band_weight_share
        log_odds[-1] += (
            np.log1p(OUTSIDE_ODDS * outside_probability) - 0.5 * (elsewhere / (scatter * DEFICIT_SIGMA)) ** 2
        )
        odds = np.exp(log_odds - log_odds.max())
        return np.asarray(odds / odds.sum())


def find_sounds(
    observed: DirectionMaps,
    instance_points: Sequence[Float64Array],
    reflectors: tuple[Reflector, ...],
    low_m: Float64Array,
    high_m: Float64Array,
    max_sounds: int,
    dimensions: int,
) -> tuple[LocatedSound, ...]:
    """The best hypothesis: at most `max_sounds` sounds, the one with the largest gain first.

    instance_points: [n, 3] points at which each instance may sound; low_m, high_m: [3] corners of the searched space;
    dimensions: that the array spans.
    """
    direct_gain = _direct_path_gain(dimensions, len(observed.weights))
    min_blocked_gain = BLOCKED_GAIN_FACTOR * direct_gain * observed.band_weight_share
    candidates = CandidateSearch(observed, instance_points, reflectors, low_m, high_m)
    selection = _ForwardSelection(observed, candidates, reflectors, min_blocked_gain)
    min_gain = MIN_GAIN[dimensions] * (1 + MIN_GAIN_POSITIONS / len(observed.weights))
    for number in range(max_sounds):
        if not selection.add_sound(min_gain if number else 0.0) or selection.is_outside():
            break
    return selection.sounds()


def has_direct_path(sounds: Sequence[LocatedSound], dimensions: int) -> bool:
    """Whether the sounds explain enough to be at their positions; dimensions: that the array spans."""
    min_gain = _direct_path_gain(dimensions, sounds[0].array_position_count) * sounds[0].band_weight_share
    return sounds[0].total_gain >= min_gain * (1 + DIRECT_PATH_PER_SOUND * (len(sounds) - 1))


def _direct_path_gain(dimensions: int, array_position_count: int) -> float:
    return DIRECT_PATH_GAIN[dimensions] * (1 + DIRECT_PATH_POSITIONS / array_position_count)


class _ForwardSelection:
    """Sounds chosen one after the other from a growing list of candidates; `_chosen` holds their indices."""

    def __init__(
        self,
        observed: DirectionMaps,
        search: CandidateSearch,
        reflectors: tuple[Reflector, ...],
        min_blocked_gain: float,
    ) -> None:
        self._observed, self._search, self._reflectors = observed, search, reflectors
        self._min_blocked_gain = min_blocked_gain
        self._candidates: list[Candidate] = []
        self._fit = LobeFit(observed, [])
        self._chosen: tuple[int, ...] = ()

    def add_sound(self, min_gain: float) -> bool:
        """Choose one more sound if its gain is large enough; returns whether it is."""
        residual = self._fit.residual(self._chosen)
        if self._chosen and self._search.max_gain(residual) < 0.5 * min_gain:
            return False
        known = {candidate.instance for candidate in self._candidates}
        self._candidates += self._search.candidates(residual, known, is_first=not self._chosen)
        self._fit = LobeFit(self._observed, [candidate.predicted for candidate in self._candidates])
        best = self._best_candidate(min_gain)
        if best is None:
            return False
        chosen = self._improved((*self._chosen, best))
        gains = self._gain_of_each(chosen)
        if gains.min() < MIN_GAIN_SHARE * gains.max():
            return False
        self._chosen = chosen
        return True

    def is_outside(self) -> bool:
        """Whether the first sound comes through a wall. Its reflections in the room then pass for further sounds."""
        first = self._candidates[self._chosen[0]]
        if first.instance is not None:
            return False
        points = np.vstack([first.position_m, self._search.points])
        behind_m = [r.offset_m - points @ r.normal for r in self._reflectors]
        return any(off_m[0] > OUTSIDE_M and (off_m[1:] < OUTSIDE_M).all() for off_m in behind_m)

    def sounds(self) -> tuple[LocatedSound, ...]:
        """The chosen sounds, the one with the largest gain first."""
        found = [self._located_sound(k) for k in self._chosen]
        return tuple(sorted(found, key=lambda sound: -sound.gain))

    def _best_candidate(self, min_gain: float) -> int | None:
        """The new candidate with the largest gain, None below min_gain. An instance may have a small deficit."""
        gains = self._gains(self._chosen)
        new = [k for k, candidate in enumerate(self._candidates) if self._is_new(candidate)]
        best_instance = max(
            (k for k in new if self._candidates[k].instance is not None), key=lambda k: gains[k], default=None
        )
        best = max((k for k in new if self._candidates[k].instance is None), key=lambda k: gains[k], default=None)
        if best is not None and self._chosen and gains[best] < ELSEWHERE_GAIN_FACTOR * min_gain:
            best = None
        elsewhere = ELSEWHERE_DEFICIT / self._observed.band_weight_share
        if best_instance is not None and (best is None or gains[best_instance] >= (1 - elsewhere) * gains[best]):
            best = best_instance
        return None if best is None or gains[best] < min_gain else best

    def _is_new(self, candidate: Candidate) -> bool:
        """Whether the candidate is in another instance, or elsewhere at another position, than the chosen ones."""
        chosen = [self._candidates[k] for k in self._chosen]
        if candidate.instance is not None:
            return all(c.instance != candidate.instance for c in chosen)
        return all(float(np.linalg.norm(c.position_m - candidate.position_m)) > SEPARATE_M for c in chosen)

    def _gains(self, chosen: tuple[int, ...]) -> Float64Array:
        """[C] gain of each candidate beside the chosen ones; 0 for a blocked one below the threshold."""
        before = self._fit.log_residual(chosen)
        gains = np.array([before - self._fit.log_residual((*chosen, k)) for k in range(len(self._candidates))])
        blocked = np.array([candidate.is_blocked for candidate in self._candidates])
        return np.where(blocked & (gains < self._min_blocked_gain), 0.0, gains)

    def _gain_of_each(self, chosen: tuple[int, ...]) -> Float64Array:
        """[C] gain of each of the chosen candidates beside the others."""
        left = self._fit.log_residual(chosen)
        return np.array([self._fit.log_residual(tuple(c for c in chosen if c != k)) - left for k in chosen])

    def _improved(self, chosen: tuple[int, ...]) -> tuple[int, ...]:
        """The choice with each sound replaced by a candidate of another instance as long as that explains more."""
        best = self._fit.log_residual(chosen)
        for _ in range(MAX_ROUNDS):
            before = best
            for at in range(len(chosen) if len(chosen) > 1 else 0):
                for k, candidate in enumerate(self._candidates):
                    others = [self._candidates[c].instance for c in (*chosen[:at], *chosen[at + 1 :])]
                    is_taken = candidate.instance is None or candidate.instance in others
                    if is_taken or candidate.is_blocked or k in chosen:
                        continue
                    other = (*chosen[:at], k, *chosen[at + 1 :])
                    left = self._fit.log_residual(other)
                    if left < best - MIN_IMPROVEMENT:
                        chosen, best = other, left
            if best >= before:
                break
        return chosen

    def _located_sound(self, k: int) -> LocatedSound:
        others = tuple(c for c in self._chosen if c != k)
        gains = self._gains(others)
        total_gain = self._fit.log_residual(()) - self._fit.log_residual(self._chosen)
        chosen = self._candidates[k]
        return LocatedSound(
            chosen.position_m, chosen.instance, float(gains[k]), total_gain, self._deficits(others, gains),
            len(self._observed.weights), self._observed.band_weight_share, chosen.is_blocked,
        )  # fmt: skip

    def _deficits(self, others: tuple[int, ...], gains: Float64Array) -> Float64Array:
        """[I + 1] deficit of each instance and, last, of elsewhere, beside the other chosen sounds.

        gains: [C] of the candidates. Instances without candidates have the gain of their best point without reflections.
        """
        max_gain = np.zeros(len(self._search.instance_points) + 1)
        has_candidate = np.zeros(len(max_gain), dtype=bool)
        if len(self._search.points):
            residual = self._fit.residual(others)
            np.maximum.at(max_gain[:-1], self._search.owner, residual.gain(self._search.points))
        for c, candidate in enumerate(self._candidates):
            instance = -1 if candidate.instance is None else candidate.instance
            max_gain[instance] = max(gains[c], max_gain[instance] if has_candidate[instance] else 0.0)
            has_candidate[instance] = True
        for c in others:
            other = self._candidates[c].instance
            if other is not None:
                max_gain[other] = 0.0
        best = max(float(max_gain[has_candidate].max()), 1e-9)
        return np.clip((best - max_gain) / best, 0.0, 1.0)
