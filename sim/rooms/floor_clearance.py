"""Distance of the floor's points to obstacles, and the area that a robot can drive in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label, map_coordinates

from echoseg_ros.types import Float64Array
from echoseg_sim.rooms.layout import Footprint

# Least distance of a robot's centre from obstacles, m: the radius of a small robot.
CLEARANCE_M = 0.25
# Cell size of the floor's grid, m.
CELL_M = 0.05
# Least clearance of the cells that routes are planned through, m.
_PLANNED_CLEARANCE_M = 0.32


class FloorClearance:
    """Grid of the floor with the distance of each cell to the nearest obstacle or wall.

    clearance_m: [X, Y]; centers: [X, Y, 2] centres of the cells in the map, metres.
    """

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

    def clearance_at(self, points: Float64Array) -> Float64Array:
        """Clearance [N] in metres at points [N, 2] of the map, interpolated."""
        index = ((points - self._low) / CELL_M - 0.5).T
        clearance_m: Float64Array = map_coordinates(self.clearance_m, index, order=1, mode="nearest")
        return clearance_m

    def drivable_mask(self) -> NDArray[np.bool_]:
        """Cells [X, Y] of the largest connected region that a robot can drive in."""
        areas, count = label(self.clearance_m >= _PLANNED_CLEARANCE_M)
        if count == 0:
            return np.zeros(areas.shape, dtype=bool)
        mask: NDArray[np.bool_] = areas == 1 + np.argmax(np.bincount(areas.ravel())[1:])
        return mask

    def drivable_area_m2(self) -> float:
        """Area of the largest connected region that a robot can drive in, m^2."""
        return float(self.drivable_mask().sum()) * CELL_M**2


def _inside(points: Float64Array, obstacle: Footprint) -> NDArray[np.bool_]:
    c, s = np.cos(obstacle.yaw_rad), np.sin(obstacle.yaw_rad)
    local = (points - obstacle.center_m) @ np.array([[c, -s], [s, c]])
    inside: NDArray[np.bool_] = (np.abs(local) <= np.asarray(obstacle.size_m) / 2).all(axis=-1)
    return inside
