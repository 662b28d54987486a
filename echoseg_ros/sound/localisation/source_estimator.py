"""Where the sound comes from: sources in the map from the evidence of many poses.

The score of a place is the weighted mean over windows of the direction map towards it (linear back-projection). It is
a composite log-likelihood: its windows are not independent, because a reflection biases all windows of a standing
array alike. So windows are gathered into blocks by where the array stood, and the score is scaled such that its
curvature agrees with how much the blocks contradict each other (the magnitude adjustment of Pauli, Racugno & Ventura
2011, over the sandwich covariance). Range thus stays open until the array has moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from echoseg_ros.config import SourceConfig
from echoseg_ros.sound.localisation.back_projection import BLOCK_M, PLACE_M, EvidenceMemory, Windows
from echoseg_ros.sound.localisation.contradiction import LEAST_FADED, Contradictions
from echoseg_ros.sound.localisation.hypotheses import Sounding, ceiling_over, comes_straight, sounds_in
from echoseg_ros.sound.localisation.posterior import Grid, Posterior, grid_around, highest, locate
from echoseg_ros.sound.localisation.reflectors import Reflector, find_reflectors
from echoseg_ros.types import Float32Array, Float64Array, SoundEvidence

# Time of active windows before anything is said.
MIN_ACTIVE_S = 0.75
# The highest place of noise from everywhere has this contrast after one second, and less with the root of the time:
# 0.08 to 0.11 in 6 runs each of a cube of 8, a square of 4 and two ears.
DIFFUSE_CONTRAST = 0.11
# Sources sit on things: a place on a floor or wall, on other mapped surface, and in a thing that stands on it, is this much
# likelier than one in free air, this far around it: heard from one place, the line of sight ends at what it meets.
WALL_ODDS, SURFACE_ODDS, THING_ODDS, SURFACE_M = 2.0, 60.0, 250.0, 0.06

# A sound that no place explains well enough (hypotheses.comes_straight) is where the back-projection is highest, however
# wide; it is in none of the things until it was heard from so many places: from there on the back-projection is good enough to
# name one.
MIN_POSITIONS_TO_NAME = 12
# Straight sounds that are all this likely outside by the back-projection are in no thing in here (20 runs each at 0.4 and
# 0.7 s: things in view reach 0.81, what the next room's noise was taken for 1.0).
SURE_OUTSIDE = 0.95
# More than one source is looked for when the array has been at so many places.
LEAST_PLACES = 4
# The ceiling is listened for so often.
CEILING_EVERY_S = 5.0
# How well a posterior tells places within a thing apart, and the even density that it is never trusted beyond.
WITHIN_M, EVEN_PER_M3 = 0.05, 1.0
# What is seen of a thing is its surface; it sounds from within: variance of that, as a share of that of its places.
INNER_SHARE = 0.065

# A wall that less than this share of the map lies behind bounds the room; the front of a shelf does not.
OUTER_SHARE = 0.01

NOTHING = np.empty((0, 3), dtype=np.float32)


@dataclass(frozen=True)
class SourceEstimate:
    """What the windows in memory say about one source.

    position_m, covariance_m2: mean and spread of where it is; contrast: its score, 0 = diffuse, 1 = a lone plane wave;
    posterior: where it may be before the map's surface is taken into account; stamps_ns, durations_s: [W] the windows;
    towards: [W] each window's activity-weighted contrast towards it; alternatives: (probability, mean position [3]) of
    every place that fits, the likeliest (position_m) first; heard_from_m: [3] where the array was last; outside: how
    likely it is behind the map's walls; things: [T + 1] how likely it is in each of the things that were asked for, and
    last elsewhere; None where the evidence came without lobes; heard_at: at how many places of the array.
    """

    position_m: Float64Array
    covariance_m2: Float64Array
    contrast: float
    posterior: Posterior
    stamps_ns: NDArray[np.int64]
    durations_s: Float64Array
    window_contrasts: Float64Array
    alternatives: tuple[tuple[float, Float64Array], ...]
    array_position_m: Float64Array
    outside_probability: float = 0.0
    instance_probabilities: Float64Array | None = None
    array_position_count: int = 0


class SourceEstimator:
    """Evidence in, sources out. Holds the evidence of the last `sources.memory_s`; one thread uses it."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self.memory = EvidenceMemory(config.memory_s)
        self._surface: NDArray[np.floating[Any]] | None = None
        self._reflectors: tuple[Reflector, ...] = ()
        self._outer_walls: tuple[Reflector, ...] = ()
        self._ceiling: Reflector | None = None
        self._ceiling_ns: int | None = None
        self._beside_walls: NDArray[np.floating[Any]] = NOTHING
        self._contradictions = Contradictions(self.memory)
        self._believed_m: list[Float64Array] = []

    @property
    def position_error_m(self) -> float:
        """Error of a position that no evidence removes."""
        return self._config.position_error_m

    def add(self, evidence: SoundEvidence) -> None:
        """Remember a window."""
        self.memory.add(evidence)

    def rescale(self, factor: float) -> None:
        """The world is `factor` times as large as was thought."""
        self.memory.rescale(factor)
        self._contradictions.rescale(factor)
        self._believed_m = [place_m * factor for place_m in self._believed_m]
        self._ceiling, self._ceiling_ns = None, None

    def clear(self) -> None:
        """Forget all evidence."""
        self.memory.clear()
        self._contradictions.clear()
        self._believed_m = []

    def score(self, points_map: NDArray[np.floating[Any]]) -> Float32Array:
        """[P] in [0, 1]: how much of what was heard comes from the direction of each point [P, 3]; 0 if nothing was."""
        slots, weights = self._weighted()
        if len(slots) == 0 or len(points_map) == 0:
            return np.zeros(len(points_map), dtype=np.float32)
        return np.clip(self.memory.grouped_windows(slots, weights, PLACE_M).score(points_map), 0.0, 1.0)

    def window_preferences(self, place_m: Float64Array, rival_m: Float64Array | None) -> tuple[NDArray[np.int64], Float64Array]:
        """([W] stamps, [W] how far each window prefers a place [3] over its rival, or over the mean of all directions).

        Weighted as in the score, of which these are the summands.
        """
        slots, weights = self._weighted()
        gain = self.memory.towards(slots, place_m)
        if rival_m is not None:
            gain = gain - self.memory.towards(slots, rival_m)
        return self.memory.times(slots)[0], weights * gain

    def update_estimates(
        self, surface_points: NDArray[np.floating[Any]], things: Sequence[Float64Array] = ()
    ) -> tuple[SourceEstimate, ...]:
        """The sources, strongest first; () while nothing stands out of silence or diffuse noise.

        surface_points: [S, 3] a sample of the map's surface (may be empty), which sources tend to sit on; things: [n, 3]
        places each in the things that stand on it. More than one source needs evidence with lobes. What was believed
        before fades where the newest evidence contradicts it.
        """
        slots = self.memory.slots()
        if self.memory.activity(slots).sum() > 0:
            self._contradictions.update(
                slots, self._believed_m, lambda few: self._clearest(few, things, surface_points)
            )
        beliefs = self._estimate(surface_points, things)
        self._believed_m = [belief.position_m for belief in beliefs]
        return beliefs

    def _estimate(
        self, surface_points: NDArray[np.floating[Any]], things: Sequence[Float64Array]
    ) -> tuple[SourceEstimate, ...]:
        slots, weights = self._weighted()
        if len(slots) == 0 or float(self.memory.activity(slots) @ self.memory.spacing_s(slots)) < MIN_ACTIVE_S:
            return ()
        windows = self.memory.grouped_windows(slots, weights, PLACE_M)
        blocks = self.memory.grouped_windows(slots, weights, BLOCK_M)
        grid = grid_around(surface_points, windows.places)
        reflectors = self._reflectors_of(surface_points, windows.places.mean(axis=0))
        least = float(np.hypot(self._config.min_contrast, DIFFUSE_CONTRAST / np.sqrt(self._averaged_s(slots, weights))))
        near = self.memory.near(slots, weights)
        first = locate(windows, blocks, grid, reflectors, self.memory.dimensions, near=near)
        if first.score < least:
            return ()
        thing_points = np.concatenate([NOTHING, *things])
        likelier = [
            (cKDTree(points, balanced_tree=False, compact_nodes=False), odds)
            for points, odds in (
                (surface_points, WALL_ODDS),
                (self._beside_walls, SURFACE_ODDS),
                (thing_points, THING_ODDS),
            )  # fmt: skip
            if len(points)
        ]
        heard = self.memory.heard(slots, weights)
        if heard is None:
            return (self._belief(first, likelier, (), None),)
        space = (grid.low_m, grid.high_m)
        newest_ns = self.memory.newest_ns
        if self._ceiling_ns is None or not 0 <= newest_ns - self._ceiling_ns < CEILING_EVERY_S * 1e9:
            (strongest,) = sounds_in(heard, things, reflectors, *space, 1, self.memory.dimensions)
            self._ceiling, self._ceiling_ns = ceiling_over(heard, strongest.place_m, reflectors), newest_ns
        if self._ceiling is not None:
            reflectors = (*reflectors, self._ceiling)
        # Where no wall is known, or from hardly more than one place, a reflection cannot be told from a second sound.
        is_told = len(reflectors) > 0 and len(heard.weights) >= LEAST_PLACES
        most = self._config.max_sources if is_told else 1
        sounds = sounds_in(heard, things, reflectors, *space, most, self.memory.dimensions)
        sounds = tuple(s for s in sounds if not self._contradictions.is_over(s.place_m)) or sounds
        if not comes_straight(sounds, self.memory.dimensions):
            belief = self._belief(first, likelier, (), None)
            if sounds[0].places < MIN_POSITIONS_TO_NAME:
                belief = replace(belief, instance_probabilities=np.append(np.zeros(len(things)), 1.0))
            return (belief,)
        posteriors = [first] if len(sounds) == 1 else self._apart(sounds, windows, blocks, grid)
        # All through a wall, by where they are back-projected to: in none of the things in here, whatever they explain.
        within = things
        if all(self._outside(p) > SURE_OUTSIDE and not s.blocked for p, s in zip(posteriors, sounds, strict=True)):
            within = ()
        beliefs = [self._belief(p, likelier, within, s) for p, s in zip(posteriors, sounds, strict=True)]
        if len(within) < len(things):
            nowhere = np.append(np.zeros(len(things)), 1.0)
            beliefs = [replace(belief, instance_probabilities=nowhere) for belief in beliefs]
        return tuple(beliefs)

    def _apart(self, sounds: Sequence[Sounding], windows: Windows, blocks: Windows, grid: Grid) -> list[Posterior]:
        """Where each of several sounds may be, with the beams of the others taken out of the maps."""
        posteriors = []
        for k, sound in enumerate(sounds):
            own, own_blocks = windows, blocks
            for other in (*sounds[:k], *sounds[k + 1 :]):
                own, own_blocks = own.without(other.place_m), own_blocks.without(other.place_m)
            posteriors.append(locate(own, own_blocks, grid, self._reflectors, self.memory.dimensions, sound.place_m))
        return posteriors

    def _clearest(
        self, slots: NDArray[np.int64], things: Sequence[Float64Array], surface_points: NDArray[np.floating[Any]]
    ) -> tuple[Float64Array, float] | None:
        """(place [3], contrast) that some windows are for, by themselves; None if no place explains them well."""
        everywhere_m = self.memory.places(self.memory.slots())
        grid = grid_around(surface_points, everywhere_m)
        reflectors = self._reflectors_of(surface_points, everywhere_m.mean(axis=0))
        if self._ceiling is not None:
            reflectors = (*reflectors, self._ceiling)
        weights = self.memory.activity(slots)
        windows, blocks = (self.memory.grouped_windows(slots, weights, cell_m) for cell_m in (PLACE_M, BLOCK_M))
        heard = self.memory.heard(slots, weights)
        if heard is None:
            place_m, contrast = highest(windows, blocks, grid)
        else:
            sounds = sounds_in(heard, things, reflectors, grid.low_m, grid.high_m, 1, self.memory.dimensions)
            if not comes_straight(sounds, self.memory.dimensions):
                return None
            place_m = sounds[0].place_m
            contrast = float(windows.score(place_m[None])[0])
        if any(reflector.is_behind(place_m[None], SURFACE_M)[0] for reflector in reflectors):
            return None  # the image in a wall of what an obstacle hides
        return place_m, contrast

    def _reflectors_of(
        self, surface_points: NDArray[np.floating[Any]], seen_from_m: Float64Array
    ) -> tuple[Reflector, ...]:
        """The walls of the newest surface; looked for once a surface."""
        if self._surface is not surface_points:
            self._surface, self._reflectors = surface_points, find_reflectors(surface_points, seen_from_m)
            on_wall = np.zeros(len(surface_points), dtype=bool)
            for reflector in self._reflectors:
                on_wall |= reflector.is_near(surface_points, SURFACE_M)
            self._beside_walls = surface_points[~on_wall]
            self._outer_walls = tuple(
                reflector for reflector in self._reflectors
                if reflector.normal[2] < 0.5 and reflector.is_behind(surface_points, SURFACE_M).mean() < OUTER_SHARE
            )  # fmt: skip
        return self._reflectors

    def _outside(self, posterior: Posterior) -> float:
        """Probability, before anything is known of things, that the place lies beyond a wall."""
        if self.memory.dimensions == 2:  # its places reach through walls whenever the height is open
            return 0.0
        behind = np.zeros(len(posterior.cells), dtype=bool)
        for wall in self._outer_walls:
            behind |= wall.is_behind(posterior.cells, SURFACE_M)
        return float(posterior.mass[behind].sum())

    def _averaged_s(self, slots: NDArray[np.int64], weights: Float64Array) -> float:
        """Time over which the score averages: of equal windows their sum, less the more their weights differ."""
        return float(weights.sum() ** 2 / np.sum(weights**2) * np.mean(self.memory.spacing_s(slots)))

    def _weighted(self) -> tuple[NDArray[np.int64], Float64Array]:
        """Windows in memory [W] and their weights: their activity, less than in proportion in large blocks.

        Windows whose place newer ones contradict count less.
        """
        slots = self.memory.slots()
        faded = self._contradictions.fade(slots)
        slots, faded = slots[faded > LEAST_FADED], faded[faded > LEAST_FADED]
        activity = self.memory.activity(slots) * faded
        if activity.sum() <= 0:
            return slots[:0], activity[:0]
        block = self.memory.cells(slots, BLOCK_M)
        in_block = np.bincount(block, weights=activity)[block]
        return slots, activity / np.sqrt(np.maximum(in_block, 1.0))

    def _belief(
        self,
        posterior: Posterior,
        likelier: list[tuple[cKDTree, float]],
        things: Sequence[Float64Array],
        sound: Sounding | None,
    ) -> SourceEstimate:
        odds = np.ones(len(posterior.cells))
        for places, more in likelier:
            off_m, _ = places.query(posterior.cells, distance_upper_bound=4 * SURFACE_M)
            odds += more * np.exp(-0.5 * (off_m / SURFACE_M) ** 2)
        mass = posterior.mass * odds
        peaks = _places(posterior, mass / mass.sum(), self._config.position_error_m)
        outside = self._outside(posterior)
        probabilities = None if sound is None else sound.probabilities(outside)
        # Of several peaks the heaviest: the mean of a place and its mirror image is neither.
        _, position_m, covariance_m2 = peaks[0]
        if probabilities is not None and len(things) and (best := int(np.argmax(probabilities))) < len(things):
            position_m, covariance_m2 = _within(posterior, things[best], self._config.position_error_m)
        slots = self.memory.slots()  # what is contradicted was heard all the same
        towards = self.memory.towards(slots, position_m) * self.memory.activity(slots)
        return SourceEstimate(
            position_m, covariance_m2, posterior.score, posterior, *self.memory.times(slots), towards,
            tuple((probability, mean_m) for probability, mean_m, _ in peaks), self.memory.places(slots[-1:])[0],
            outside, probabilities, 0 if sound is None else sound.places,
        )  # fmt: skip


def _within(posterior: Posterior, places: Float64Array, error_m: float) -> tuple[Float64Array, Float64Array]:
    """(mean [3], covariance [3, 3]) of a source in a thing: its places, by what the posterior says of each."""
    blur_m = max(WITHIN_M, posterior.spacing_m)
    apart2 = np.sum((places[:, None] - posterior.cells[None]) ** 2, axis=2)
    density = np.exp(-0.5 * apart2 / blur_m**2) @ posterior.mass / ((2 * np.pi) ** 1.5 * blur_m**3)
    around = places - places.mean(axis=0)
    extent = around.T @ around / len(places) + error_m**2 * np.eye(3)
    inner = np.exp(-0.5 * np.einsum("pi,pi->p", around, np.linalg.solve(extent, around.T).T) / INNER_SHARE)
    weights = (density + EVEN_PER_M3) * inner
    weights = weights / weights.sum()
    mean_m = weights @ places
    return mean_m, (places - mean_m).T @ ((places - mean_m) * weights[:, None]) + error_m**2 * np.eye(3)


def _places(posterior: Posterior, mass: Float64Array, error_m: float) -> list[tuple[float, Float64Array, Float64Array]]:
    """(probability, mean [3], covariance [3, 3] with what nothing removes) of each peak, the likeliest first."""
    found = []
    for part in np.unique(posterior.part):
        own = posterior.part == part
        probability = float(mass[own].sum())
        if probability <= 0:
            continue
        cells, weights = posterior.cells[own], mass[own] / probability
        mean_m = weights @ cells
        spread = (cells - mean_m).T @ ((cells - mean_m) * weights[:, None])
        found.append((probability, mean_m, spread + error_m**2 * np.eye(3)))
    return sorted(found, key=lambda place: -place[0])
