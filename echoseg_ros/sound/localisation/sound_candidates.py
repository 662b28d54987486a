"""Candidate sounds: positions in the instances of the map, or elsewhere, at which one more sound explains most."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import is_in_convex_hull
from echoseg_ros.sound.localisation.lobe_matching import DirectionMaps, ResidualMaps
from echoseg_ros.sound.localisation.reflectors import Reflector
from echoseg_ros.types import Float32Array, Float64Array

# Loudness of the direct path of a sound behind an obstacle, relative to one in plain view.
BLOCKED_LOUDNESS = 0.1
# Number of instances that become candidates in each round.
MAX_INSTANCES = 5
# Number of peaks in free space that become candidates in each round.
FREE_PEAKS = 2
# Spacing of the grid in free space, m.
GRID_M = 0.4
# Distance from which on two positions differ, m.
SEPARATE_M = 0.6
# Step at which the ascent to a peak ends, m.
CLIMB_TO_M = 0.02
# Improvement of the gain that counts as a step of the ascent.
MIN_CLIMB_GAIN = 1e-6
_CUBE = np.array([c for c in itertools.product((-1.0, 0.0, 1.0), repeat=3) if any(c)])


@dataclass(frozen=True)
class Candidate:
    """A sound at a position [3] with its predicted maps [G, B, N].

    instance: index of its instance, None elsewhere; is_blocked: an obstacle lies between the sound and the array.
    """

    position_m: Float64Array
    instance: int | None
    predicted: Float32Array
    is_blocked: bool = False


class CandidateSearch:
    """Proposes candidates by the gain in residual maps.

    instance_points: [n, 3] points at which each instance may sound; low_m, high_m: [3] corners of the searched space.
    """

    def __init__(
        self,
        observed: DirectionMaps,
        instance_points: Sequence[Float64Array],
        reflectors: tuple[Reflector, ...],
        low_m: Float64Array,
        high_m: Float64Array,
    ) -> None:
        self._observed, self._reflectors = observed, reflectors
        self._low_m, self._high_m = low_m, high_m
        self.instance_points = instance_points
        self.points = np.concatenate([np.empty((0, 3)), *instance_points])  # [P, 3] of all instances
        self.owner: NDArray[np.int64] = np.repeat(  # [P] index of the instance of each point
            np.arange(len(instance_points)), [len(points) for points in instance_points]
        )
        axes = [np.arange(a + GRID_M / 2, b, GRID_M) for a, b in zip(low_m, high_m, strict=True)]
        self._grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        self._inside = np.ones(len(self._grid), dtype=bool)
        for reflector in reflectors:
            self._inside &= ~reflector.is_behind(self._grid, 0.0)

    def max_gain(self, residual: ResidualMaps) -> float:
        """Largest gain at a point of an instance, or at a point of the grid without instances."""
        points = self.points if len(self.points) else self._grid
        return float(residual.gain(points).max())

    def candidates(self, residual: ResidualMaps, known: Collection[int | None], is_first: bool) -> list[Candidate]:
        """Candidates in the best instances except the known ones, and at the best peaks in free space.

        is_first: for the first sound of a hypothesis, which alone may be blocked or outside of the room.
        """
        found = []
        for instance, position_m in self._best_instances(residual):
            if instance not in known:  # reflections shift the best point within an instance: its middle as well
                found += self._candidates_at(position_m, instance, is_first)
                found += self._candidates_at(self.instance_points[instance].mean(axis=0), instance, is_first)
        for position_m in self._free_peaks(residual, is_first):
            found += self._candidates_at(position_m, self._enclosing_instance(position_m), is_first)
        return found

    def _candidates_at(self, position_m: Float64Array, instance: int | None, is_first: bool) -> list[Candidate]:
        """A sound in plain view of the array and, for the first sound in an instance, one behind an obstacle."""
        found = [Candidate(position_m, instance, self._observed.predicted(position_m, self._reflectors))]
        if self._reflectors and instance is not None and is_first:
            predicted = self._observed.predicted(position_m, self._reflectors, BLOCKED_LOUDNESS)
            found.append(Candidate(position_m, instance, predicted, is_blocked=True))
        return found

    def _enclosing_instance(self, position_m: Float64Array) -> int | None:
        """The instance whose points enclose a position: they are a sample, and a coarse one for large instances."""
        for instance, points in enumerate(self.instance_points):
            low_m, high_m = points.min(axis=0), points.max(axis=0)
            if np.all((position_m > low_m) & (position_m < high_m)) and is_in_convex_hull(position_m, points):
                return instance
        return None

    def _best_instances(self, residual: ResidualMaps) -> list[tuple[int, Float64Array]]:
        """(index, best point [3]) of the MAX_INSTANCES instances with the largest gain."""
        if not len(self.points):
            return []
        gain = residual.gain(self.points)
        order = np.argsort(-gain, kind="stable")
        _, first = np.unique(self.owner[order], return_index=True)
        best = order[np.sort(first)][:MAX_INSTANCES]
        return [(int(self.owner[k]), self.points[k]) for k in best]

    def _free_peaks(self, residual: ResidualMaps, is_first: bool) -> list[Float64Array]:
        """Positions [3] of the highest peaks of the gain, apart from each other.

        A further sound that seems to be behind a reflector is a reflection: only the first may be outside of the room.
        """
        gain = residual.gain(self._grid)
        free = np.ones(len(gain), dtype=bool) if is_first else self._inside
        peaks = []
        for _ in range(FREE_PEAKS):
            if not free.any():
                break
            start_m = self._grid[int(np.argmax(np.where(free, gain, -np.inf)))]
            peak_m = self._climb(residual, start_m)
            if is_first or not any(r.is_behind(peak_m[None], 0.0)[0] for r in self._reflectors):
                peaks.append(peak_m)
            free = free & (np.linalg.norm(self._grid - start_m, axis=1) > SEPARATE_M)
        return peaks

    def _climb(self, residual: ResidualMaps, start_m: Float64Array) -> Float64Array:
        """Nearest maximum [3] of the gain within the searched space, to CLIMB_TO_M."""
        best_m, step_m = np.asarray(start_m, dtype=float), GRID_M / 2
        best = float(residual.gain(best_m[None])[0])
        while step_m > CLIMB_TO_M:
            points = np.clip(best_m + step_m * _CUBE, self._low_m, self._high_m)
            gain = residual.gain(points)
            top = int(np.argmax(gain))
            if gain[top] > best + MIN_CLIMB_GAIN:
                best_m, best = points[top], float(gain[top])
            else:
                step_m /= 2
        return best_m
