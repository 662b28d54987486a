"""Source estimator: sources in the map from the evidence of many array positions.

The score of a position is the weighted mean over windows of their contrast towards it (linear back-projection). It is a
composite log-likelihood: its windows are not independent, because a reflection biases all windows of a standing array
alike. Windows are therefore grouped into blocks by array position, and the score is scaled to give a curvature that
agrees with the scatter of the blocks (the magnitude adjustment of Pauli, Racugno & Ventura 2011, over the sandwich
covariance). The range thus stays open until the array has moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import SourceConfig
from echoseg_ros.sound.localisation.back_projection import WindowGroups
from echoseg_ros.sound.localisation.ceiling import find_ceiling
from echoseg_ros.sound.localisation.contradiction import MIN_WEIGHT, Contradictions
from echoseg_ros.sound.localisation.evidence_memory import BLOCK_M, POSITION_CELL_M, EvidenceMemory
from echoseg_ros.sound.localisation.hypotheses import LocatedSound, find_sounds, has_direct_path
from echoseg_ros.sound.localisation.lobe_matching import DirectionMaps
from echoseg_ros.sound.localisation.mapped_room import SURFACE_M, MappedRoom
from echoseg_ros.sound.localisation.position_estimate import SurfaceOdds, position_peaks, position_within
from echoseg_ros.sound.localisation.posterior import (
    PositionPosterior,
    SearchGrid,
    highest_peak,
    locate_source,
    search_grid,
)
from echoseg_ros.sound.localisation.reflectors import Reflector
from echoseg_ros.types import Float32Array, Float64Array, SoundEvidence

# Active time before the first estimate, s.
MIN_ACTIVE_S = 0.75
# Peak contrast of diffuse noise after 1 s; it falls with the square root of time.
DIFFUSE_CONTRAST = 0.11
# Array positions from which on the back-projection alone may name an instance. Before, a sound without a direct path is
# in none.
MIN_POSITIONS_TO_NAME = 12
# Outside probability of all sources above which they are in no instance.
SURE_OUTSIDE = 0.95
# Array positions from which on a hypothesis may have several sounds.
MIN_POSITIONS_FOR_SEVERAL = 4
# Period of the search for the ceiling, s.
CEILING_EVERY_S = 5.0


@dataclass(frozen=True)
class SourceEstimate:
    """A source as the windows in memory show it.

    position_m, covariance_m2: mean [3] and covariance [3, 3] in the map; contrast: score at the peak, 0 = diffuse,
    1 = a lone plane wave; position_posterior: without the surface of the map; stamps_ns, durations_s: [W] of the
    windows; window_contrasts: [W] contrast of each window towards the source, times its activity; alternatives:
    (probability, mean [3]) of every peak, the most probable first; array_position_m: [3] of the newest window;
    outside_probability: that the source is behind the outer walls of the map; instance_probabilities: [I + 1] of each given
    instance and, last, of elsewhere, None for evidence without lobes; array_position_count: number of array positions.
    """

    position_m: Float64Array
    covariance_m2: Float64Array
    contrast: float
    position_posterior: PositionPosterior
    stamps_ns: NDArray[np.int64]
    durations_s: Float64Array
    window_contrasts: Float64Array
    alternatives: tuple[tuple[float, Float64Array], ...]
    array_position_m: Float64Array
    outside_probability: float = 0.0
    instance_probabilities: Float64Array | None = None
    array_position_count: int = 0


class SourceEstimator:
    """Estimates sources from the evidence of the last `sources.memory_s`. One thread uses it."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self.memory = EvidenceMemory(config.memory_s)
        self._room: MappedRoom | None = None
        self._ceiling: Reflector | None = None
        self._ceiling_ns: int | None = None
        self._contradictions = Contradictions(self.memory)
        self._estimates_m: list[Float64Array] = []

    @property
    def position_error_m(self) -> float:
        """Standard deviation of a position that no evidence removes."""
        return self._config.position_error_m

    def add(self, evidence: SoundEvidence) -> None:
        """Add a window to the evidence memory."""
        self.memory.add(evidence)

    def rescale(self, factor: float) -> None:
        """Multiply all positions by a factor, when the scale of the map changes."""
        self.memory.rescale(factor)
        self._contradictions.rescale(factor)
        self._estimates_m = [position_m * factor for position_m in self._estimates_m]
        self._ceiling, self._ceiling_ns = None, None

    def clear(self) -> None:
        """Remove all evidence."""
        self.memory.clear()
        self._contradictions.clear()
        self._estimates_m = []

    def score(self, points_map: NDArray[np.floating[Any]]) -> Float32Array:
        """[P] back-projected contrast at map points [P, 3], clipped to [0, 1]; 0 without evidence."""
        slots, weights = self._weighted_windows()
        if len(slots) == 0 or len(points_map) == 0:
            return np.zeros(len(points_map), dtype=np.float32)
        return np.clip(self.memory.grouped_windows(slots, weights, POSITION_CELL_M).score(points_map), 0.0, 1.0)

    def window_preferences(
        self, position_m: Float64Array, rival_m: Float64Array | None
    ) -> tuple[NDArray[np.int64], Float64Array]:
        """([W] stamps, [W] preference of each window for a position [3] over a rival, or over the mean direction).

        The preference is the weighted contrast, a summand of the score.
        """
        slots, weights = self._weighted_windows()
        contrasts = self.memory.contrasts_towards(slots, position_m)
        if rival_m is not None:
            contrasts = contrasts - self.memory.contrasts_towards(slots, rival_m)
        return self.memory.stamps_and_durations(slots)[0], weights * contrasts

    def update_estimates(
        self, surface_points: NDArray[np.floating[Any]], instance_points: Sequence[Float64Array] = ()
    ) -> tuple[SourceEstimate, ...]:
        """Estimate the sources, strongest first; () while nothing exceeds silence or diffuse noise.

        Windows for an earlier estimate lose weight where the newest windows contradict them.

        surface_points: [S, 3] sample of the map's surface (may be empty), near which sources are more likely;
        instance_points: [n, 3] points at which each instance may sound. Several sources need evidence with lobes.
        """
        slots = self.memory.slots()
        if self.memory.activity(slots).sum() > 0:
            self._contradictions.update(
                slots, self._estimates_m, lambda few: self._clearest_place(few, instance_points, surface_points)
            )
        estimates = self._estimates(surface_points, instance_points)
        self._estimates_m = [estimate.position_m for estimate in estimates]
        return estimates

    def _estimates(
        self, surface_points: NDArray[np.floating[Any]], instance_points: Sequence[Float64Array]
    ) -> tuple[SourceEstimate, ...]:
        slots, weights = self._weighted_windows()
        if len(slots) == 0 or float(self.memory.activity(slots) @ self.memory.spacing_s(slots)) < MIN_ACTIVE_S:
            return ()
        windows = self.memory.grouped_windows(slots, weights, POSITION_CELL_M)
        blocks = self.memory.grouped_windows(slots, weights, BLOCK_M)
        grid = search_grid(surface_points, windows.positions_m)
        room = self._update_room(surface_points, windows.positions_m.mean(axis=0))
        near = self.memory.near_field_windows(slots, weights)
        strongest = locate_source(windows, blocks, grid, room.reflectors, self.memory.dimensions, near=near)
        if strongest.score < self._min_contrast(slots, weights):
            return ()
        odds = SurfaceOdds(room, instance_points)
        observed = self.memory.direction_maps(slots, weights)
        if observed is None:
            return (self._source_estimate(strongest, odds, room, (), None),)
        sounds = self._located_sounds(observed, instance_points, room, grid)
        if not has_direct_path(sounds, self.memory.dimensions):
            estimate = self._source_estimate(strongest, odds, room, (), None)
            few = sounds[0].array_position_count < MIN_POSITIONS_TO_NAME
            return (_elsewhere(estimate, len(instance_points)) if few else estimate,)
        posteriors = [strongest] if len(sounds) == 1 else self._separated(sounds, windows, blocks, grid, room)
        outside = all(
            self._outside_probability(posterior, room) > SURE_OUTSIDE and not sound.is_blocked
            for posterior, sound in zip(posteriors, sounds, strict=True)
        )
        pairs = zip(posteriors, sounds, strict=True)
        if outside and len(instance_points):  # in none of the instances in the room, however well these explain them
            found = [self._source_estimate(posterior, odds, room, (), sound) for posterior, sound in pairs]
            return tuple(_elsewhere(estimate, len(instance_points)) for estimate in found)
        return tuple(self._source_estimate(posterior, odds, room, instance_points, sound) for posterior, sound in pairs)

    def _located_sounds(
        self,
        observed: DirectionMaps,
        instance_points: Sequence[Float64Array],
        room: MappedRoom,
        grid: SearchGrid,
    ) -> tuple[LocatedSound, ...]:
        """The sounds of the best hypothesis, without ignored places if others are left.

        Only one sound without a known reflector or from few array positions, where a reflection looks like a sound.
        """
        space, dimensions = (grid.low_m, grid.high_m), self.memory.dimensions
        newest_ns = self.memory.newest_ns
        if self._ceiling_ns is None or not 0 <= newest_ns - self._ceiling_ns < CEILING_EVERY_S * 1e9:
            (strongest,) = find_sounds(observed, instance_points, room.reflectors, *space, 1, dimensions)
            self._ceiling = find_ceiling(observed, strongest.position_m, room.reflectors)
            self._ceiling_ns = newest_ns
        reflectors = self._with_ceiling(room.reflectors)
        may_be_several = len(reflectors) > 0 and len(observed.weights) >= MIN_POSITIONS_FOR_SEVERAL
        max_sounds = self._config.max_sources if may_be_several else 1
        sounds = find_sounds(observed, instance_points, reflectors, *space, max_sounds, dimensions)
        return tuple(s for s in sounds if not self._contradictions.is_ignored(s.position_m)) or sounds

    def _separated(
        self,
        sounds: Sequence[LocatedSound],
        windows: WindowGroups,
        blocks: WindowGroups,
        grid: SearchGrid,
        room: MappedRoom,
    ) -> list[PositionPosterior]:
        """Position posterior of each of several sounds, with the beams of the others removed from the maps."""
        posteriors = []
        for k, sound in enumerate(sounds):
            own, own_blocks = windows, blocks
            for other in (*sounds[:k], *sounds[k + 1 :]):
                own, own_blocks = own.without_beam(other.position_m), own_blocks.without_beam(other.position_m)
            posteriors.append(
                locate_source(own, own_blocks, grid, room.reflectors, self.memory.dimensions, sound.position_m)
            )
        return posteriors

    def _clearest_place(
        self,
        slots: NDArray[np.int64],
        instance_points: Sequence[Float64Array],
        surface_points: NDArray[np.floating[Any]],
    ) -> tuple[Float64Array, float] | None:
        """(place [3], contrast) of the sound of some windows alone; None if no place in the room explains them well."""
        positions_m = self.memory.array_positions_m(self.memory.slots())
        grid = search_grid(surface_points, positions_m)
        room = self._update_room(surface_points, positions_m.mean(axis=0))
        reflectors = self._with_ceiling(room.reflectors)
        weights = self.memory.activity(slots)
        windows, blocks = (self.memory.grouped_windows(slots, weights, cell_m) for cell_m in (POSITION_CELL_M, BLOCK_M))
        observed = self.memory.direction_maps(slots, weights)
        if observed is None:
            place_m, contrast = highest_peak(windows, blocks, grid)
        else:
            sounds = find_sounds(
                observed, instance_points, reflectors, grid.low_m, grid.high_m, 1, self.memory.dimensions
            )
            if not has_direct_path(sounds, self.memory.dimensions):
                return None
            place_m = sounds[0].position_m
            contrast = float(windows.score(place_m[None])[0])
        if any(reflector.is_behind(place_m[None], SURFACE_M)[0] for reflector in reflectors):
            return None  # the mirror image of a source behind an obstacle
        return place_m, contrast

    def _update_room(self, surface_points: NDArray[np.floating[Any]], array_position_m: Float64Array) -> MappedRoom:
        """The room of a surface; computed once for each surface."""
        if self._room is None or self._room.surface_points is not surface_points:
            self._room = MappedRoom.from_surface(surface_points, array_position_m)
        return self._room

    def _with_ceiling(self, reflectors: tuple[Reflector, ...]) -> tuple[Reflector, ...]:
        return reflectors if self._ceiling is None else (*reflectors, self._ceiling)

    def _outside_probability(self, posterior: PositionPosterior, room: MappedRoom) -> float:
        """Probability that the source is outside; 0 for a flat array, whose posterior reaches through walls."""
        return 0.0 if self.memory.dimensions == 2 else room.outside_probability(posterior)

    def _min_contrast(self, slots: NDArray[np.int64], weights: Float64Array) -> float:
        """Least contrast of a source, by the time over which the score averages: less time for uneven weights."""
        averaged_s = float(weights.sum() ** 2 / np.sum(weights**2) * np.mean(self.memory.spacing_s(slots)))
        return float(np.hypot(self._config.min_contrast, DIFFUSE_CONTRAST / np.sqrt(averaged_s)))

    def _weighted_windows(self) -> tuple[NDArray[np.int64], Float64Array]:
        """Slots [W] of the windows in memory and their weights [W].

        The weight is the activity, times the factor of contradictions, divided by the root of the sum in its block.
        """
        slots = self.memory.slots()
        factors = self._contradictions.window_factors(slots)
        slots, factors = slots[factors > MIN_WEIGHT], factors[factors > MIN_WEIGHT]
        activity = self.memory.activity(slots) * factors
        if activity.sum() <= 0:
            return slots[:0], activity[:0]
        block = self.memory.position_cells(slots, BLOCK_M)
        in_block = np.bincount(block, weights=activity)[block]
        return slots, activity / np.sqrt(np.maximum(in_block, 1.0))

    def _source_estimate(
        self,
        posterior: PositionPosterior,
        odds: SurfaceOdds,
        room: MappedRoom,
        instance_points: Sequence[Float64Array],
        sound: LocatedSound | None,
    ) -> SourceEstimate:
        """The estimate of one source. The position is that of its instance, or of the most probable peak.

        The mean of several peaks would be wrong: between a place and its mirror image there is neither.
        """
        peaks = position_peaks(posterior, odds.weighted_mass(posterior), self._config.position_error_m)
        outside = self._outside_probability(posterior, room)
        probabilities = None if sound is None else sound.probabilities(outside)
        position_m, covariance_m2 = peaks[0].mean_m, peaks[0].covariance_m2
        if probabilities is not None and len(instance_points):
            best = int(np.argmax(probabilities))
            if best < len(instance_points):
                position_m, covariance_m2 = position_within(
                    posterior, instance_points[best], self._config.position_error_m
                )
        slots = self.memory.slots()  # all of them: contradicted windows belong to the heard intervals
        contrasts = self.memory.contrasts_towards(slots, position_m) * self.memory.activity(slots)
        return SourceEstimate(
            position_m, covariance_m2, posterior.score, posterior, *self.memory.stamps_and_durations(slots), contrasts,
            tuple((peak.probability, peak.mean_m) for peak in peaks), self.memory.array_positions_m(slots[-1:])[0],
            outside, probabilities, 0 if sound is None else sound.array_position_count,
        )  # fmt: skip


def _elsewhere(estimate: SourceEstimate, instances: int) -> SourceEstimate:
    """The estimate with probability 1 of elsewhere."""
    return replace(estimate, instance_probabilities=np.append(np.zeros(instances), 1.0))
