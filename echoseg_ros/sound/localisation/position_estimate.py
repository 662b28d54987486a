"""Position estimate: mean and covariance of a source from its position posterior, the map's surface and an instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from echoseg_ros.sound.localisation.mapped_room import SURFACE_M, MappedRoom
from echoseg_ros.sound.localisation.posterior import PositionPosterior
from echoseg_ros.types import Float64Array

# Odds of a position on a floor or wall against free space. From one array position only, the surface determines the
# range.
WALL_ODDS = 2.0
# Odds of a position on other mapped surface.
SURFACE_ODDS = 60.0
# Odds of a position in an instance.
INSTANCE_ODDS = 250.0
# Distance within an instance that a posterior resolves, at best, m.
WITHIN_M = 0.05
# Even density that is added to the posterior within an instance, 1/m^3.
EVEN_PER_M3 = 1.0
# Variance of the position of a source behind the observed surface of its instance, as a share of that of the surface.
INNER_SHARE = 0.065


@dataclass(frozen=True)
class Peak:
    """One peak of a position posterior. covariance_m2: [3, 3] includes the error that no evidence removes."""

    probability: float
    mean_m: Float64Array
    covariance_m2: Float64Array


class SurfaceOdds:
    """Odds of positions by their distance from walls, other surface and instances (points [n, 3] of each)."""

    def __init__(self, room: MappedRoom, instance_points: Sequence[Float64Array]) -> None:
        all_instances = np.concatenate([np.empty((0, 3), dtype=np.float32), *instance_points])
        self._trees = [
            (cKDTree(points, balanced_tree=False, compact_nodes=False), odds)
            for points, odds in (
                (room.surface_points, WALL_ODDS),
                (room.off_wall_points, SURFACE_ODDS),
                (all_instances, INSTANCE_ODDS),
            )  # fmt: skip
            if len(points)
        ]

    def weighted_mass(self, posterior: PositionPosterior) -> Float64Array:
        """[C] probability of the cells of a posterior with these odds, sum 1."""
        odds = np.ones(len(posterior.cells))
        for tree, factor in self._trees:
            off_m, _ = tree.query(posterior.cells, distance_upper_bound=4 * SURFACE_M)
            odds += factor * np.exp(-0.5 * (off_m / SURFACE_M) ** 2)
        mass = posterior.mass * odds
        weighted: Float64Array = mass / mass.sum()
        return weighted


def position_peaks(posterior: PositionPosterior, mass: Float64Array, error_m: float) -> list[Peak]:
    """The peaks of a posterior whose cells have the probabilities `mass` [C], the most probable first."""
    found = []
    for part in np.unique(posterior.part):
        own = posterior.part == part
        probability = float(mass[own].sum())
        if probability <= 0:
            continue
        cells, weights = posterior.cells[own], mass[own] / probability
        mean_m = weights @ cells
        spread = (cells - mean_m).T @ ((cells - mean_m) * weights[:, None])
        found.append(Peak(probability, mean_m, spread + error_m**2 * np.eye(3)))
    return sorted(found, key=lambda peak: -peak.probability)


def position_within(
    posterior: PositionPosterior, points: Float64Array, error_m: float
) -> tuple[Float64Array, Float64Array]:
    """(mean [3], covariance [3, 3]) of a source in an instance: its points [n, 3], weighted by the posterior."""
    blur_m = max(WITHIN_M, posterior.spacing_m)
    apart2 = np.sum((points[:, None] - posterior.cells[None]) ** 2, axis=2)
    density = np.exp(-0.5 * apart2 / blur_m**2) @ posterior.mass / ((2 * np.pi) ** 1.5 * blur_m**3)
    around = points - points.mean(axis=0)
    extent = around.T @ around / len(points) + error_m**2 * np.eye(3)
    inner = np.exp(-0.5 * np.einsum("pi,pi->p", around, np.linalg.solve(extent, around.T).T) / INNER_SHARE)
    weights = (density + EVEN_PER_M3) * inner
    weights = weights / weights.sum()
    mean_m = weights @ points
    return mean_m, (points - mean_m).T @ ((points - mean_m) * weights[:, None]) + error_m**2 * np.eye(3)
