"""The mapped room: its reflectors, its outer walls, and the surface that is neither floor nor wall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.localisation.posterior import PositionPosterior
from echoseg_ros.sound.localisation.reflectors import Reflector, find_reflectors
from echoseg_ros.types import Float64Array

# Distance up to which a point counts as on a surface, m.
SURFACE_M = 0.06
# A wall is an outer wall if less than this share of the map lies behind it. The front of a shelf is none.
OUTER_SHARE = 0.01


@dataclass(frozen=True)
class MappedRoom:
    """Planes of a sample of the map's surface [S, 3]. off_wall_points: [N, 3] points of it on no reflector."""

    surface_points: NDArray[np.floating[Any]]
    reflectors: tuple[Reflector, ...]
    outer_walls: tuple[Reflector, ...]
    off_wall_points: NDArray[np.floating[Any]]

    @classmethod
    def from_surface(cls, surface_points: NDArray[np.floating[Any]], array_position_m: Float64Array) -> MappedRoom:
        """Find the planes; array_position_m: [3] a point in the room."""
        reflectors = find_reflectors(surface_points, array_position_m)
        on_wall = np.zeros(len(surface_points), dtype=bool)
        for reflector in reflectors:
            on_wall |= reflector.is_near(surface_points, SURFACE_M)
        outer_walls = tuple(
            reflector for reflector in reflectors
            if reflector.normal[2] < 0.5 and reflector.is_behind(surface_points, SURFACE_M).mean() < OUTER_SHARE
        )  # fmt: skip
        return cls(surface_points, reflectors, outer_walls, surface_points[~on_wall])

    def outside_probability(self, posterior: PositionPosterior) -> float:
        """Probability of the cells behind an outer wall."""
        behind = np.zeros(len(posterior.cells), dtype=bool)
        for wall in self.outer_walls:
            behind |= wall.is_behind(posterior.cells, SURFACE_M)
        return float(posterior.mass[behind].sum())
