"""Where a robot can drive: the floor's distance to obstacles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label, map_coordinates

from echoseg_ros.types import Float64Array
from echoseg_sim.rooms.layout import Footprint

CLEARANCE_M = 0.25  # a small robot's radius
CELL_M = 0.05
_PLANNED_CLEARANCE_M = 0.32


class FloorClearance:
    """How far each place of the floor is from the nearest obstacle."""

    def __init__(self, size_m: Float64Array, obstacles: Sequence[Footprint]) -> None:
        self._low = -np.asarray(size_m[:2], dtype=float) / 2
        counts = np.ceil(np.asarray(size_m[:2]) / CELL_M).astype(int)
        x, y = (self._low[i] + (np.arange(counts[i]) + 0.5) * CELL_M for i in range(2))
        centers = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
        blocked = np.zeros(tuple(counts), dtype=bool)
        for obstacle in obstacles:
            blocked |= _inside(centers, obstacle)
        to_obstacle = distance_transform_edt(~blocked) * CELL_M if blocked.any() else np.full(blocked.shape, np.inf)
        to_wall = (np.asarray(size_m[:2]) / 2 - np.abs(centers)).min(axis=-1)
        self.clearance_m = np.minimum(to_obstacle, to_wall)
        self.centers = centers

    def at(self, points: Float64Array) -> Float64Array:
        """[N] clearance in metres at points [N, 2]."""
        index = ((points - self._low) / CELL_M - 0.5).T
        return map_coordinates(self.clearance_m, index, order=1, mode="nearest")

    def drivable_mask(self) -> NDArray[np.bool_]:
        """Mask of the largest connected region a robot can drive in."""
        areas, count = label(self.clearance_m >= _PLANNED_CLEARANCE_M)
        if count == 0:
            return np.zeros(areas.shape, dtype=bool)
        return areas == 1 + np.argmax(np.bincount(areas.ravel())[1:])

    def drivable_area_m2(self) -> float:
        """How large that region is."""
        return float(self.drivable_mask().sum()) * CELL_M**2


def _inside(points: Float64Array, obstacle: Footprint) -> NDArray[np.bool_]:
    c, s = np.cos(obstacle.yaw_rad), np.sin(obstacle.yaw_rad)
    local = (points - obstacle.center_m) @ np.array([[c, -s], [s, c]])
    return (np.abs(local) <= np.asarray(obstacle.size_m) / 2).all(axis=-1)
