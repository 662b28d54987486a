"""Where one source may be: from the back-projected score to a probability over cells of space."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.backproject import Windows
from echoseg_ros.types import Array

GRID_STEP_M = 0.2
GRID_MAX_POINTS = 9000
# Space looked at beyond the map and the path, and at most from the path (a small array hears no range beyond).
GRID_MARGIN_M, GRID_REACH_M = 0.5, 6.0
FINEST_STEP_M = 0.02
# Cells whose log-likelihood is below the peak's by more hold no mass worth counting.
LOG_MARGIN = 9.0
MAX_KEPT_CELLS = 600
# Error of one block's direction as reflections bend it (reference: 2.4 to 5 degrees at 0.4 s), and how many blocks of
# observed scatter it is worth while there are few.
BLOCK_ERROR_RAD = np.deg2rad(3.0)
BLOCK_ERROR_WORTH = 4.0


@dataclass(frozen=True)
class Posterior:
    """Probability of a source's place before anything is known of the map.

    cells: [C, 3] centres in the map, metres; mass: [C], sum 1; peak_m: [3] the score's maximum; score: its value.
    """

    cells: Array
    mass: Array
    peak_m: Array
    score: float


@dataclass(frozen=True)
class Grid:
    """Regular points of free space. points: [G, 3], metres in the map."""

    points: Array
    step_m: float


def grid_around(surface_points: NDArray[np.floating], places: NDArray[np.floating]) -> Grid:
    """A grid over the map [S, 3] (its outliers left out) and the array's path [W, 3], with a margin."""
    low, high = places.min(axis=0) - 1.0, places.max(axis=0) + 1.0
    if len(surface_points):
        surface_low, surface_high = np.quantile(surface_points, [0.005, 0.995], axis=0)
        low, high = np.minimum(low, surface_low), np.maximum(high, surface_high)
    low = np.maximum(low - GRID_MARGIN_M, places.min(axis=0) - GRID_REACH_M).astype(float)
    high = np.minimum(high + GRID_MARGIN_M, places.max(axis=0) + GRID_REACH_M).astype(float)
    step_m = max(GRID_STEP_M, float(np.prod(high - low) / GRID_MAX_POINTS) ** (1 / 3))
    axes = [np.arange(a + step_m / 2, b, step_m) for a, b in zip(low, high, strict=True)]
    return Grid(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3), step_m)


def locate(windows: Windows, blocks: Windows, grid: Grid) -> Posterior:
    """The strongest source's posterior: coarse grid, climb to the peak, scale, then refine where mass may be.

    windows: gathered finely; blocks: the same gathered by where reflections are alike, which is enough for the grid.
    """
    scores = blocks.score(grid.points)
    peak_m, peak_score = _climb(windows, grid.points[int(np.argmax(scores))], grid.step_m)
    scale, sharpest = _scale(blocks, peak_m)
    cells, log_mass = _refine(windows, grid, scores, peak_score, scale, sharpest)
    mass = np.exp(log_mass - log_mass.max())
    return Posterior(cells, mass / mass.sum(), peak_m, peak_score)


def _cube(reach: int) -> Array:
    """[(2 reach + 1)^3, 3] integer offsets."""
    return np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)), dtype=float)


def _climb(windows: Windows, start_m: Array, step_m: float) -> tuple[Array, float]:
    """Nearest maximum of the score to a centimetre, and its value."""
    best_m, best = np.asarray(start_m, dtype=float), -np.inf
    while step_m > FINEST_STEP_M / 2:
        step_m /= 2
        points = best_m + step_m * _cube(2)
        scores = windows.score(points)
        best_m, best = points[int(np.argmax(scores))], float(scores.max())
    return best_m, best


def _scale(blocks: Windows, peak_m: Array) -> tuple[float, float]:
    """Factor from score to log-likelihood, and the largest curvature of the score, 1/m^2.

    The two directions across the line of sight decide; along it the score may have no curvature at all.
    """
    gradient, hessian = _derivatives(blocks, peak_m)
    curvature, axes = np.linalg.eigh(-hessian.sum(axis=0))
    curvature, axes = np.maximum(curvature[1:], 1e-3), axes[:, 1:]
    # Not every block is worth the same: as many equal ones would scatter alike.
    count = 1.0 / float(np.sum(blocks.weights.astype(float) ** 2))
    observed = gradient.T @ gradient * count / max(count - 1.0, 1.0)
    worth = count - 1.0
    expected = _expected_scatter(blocks, hessian, peak_m)
    scatter = (worth * observed + BLOCK_ERROR_WORTH * expected) / (worth + BLOCK_ERROR_WORTH)
    across = np.einsum("ik,ij,jk->k", axes, scatter, axes)
    return float(2.0 / np.sum(across / curvature)), float(curvature.max())


def _expected_scatter(blocks: Windows, hessian: Array, peak_m: Array) -> Array:
    """[3, 3] covariance of the summed gradient if each block's direction is off by BLOCK_ERROR_RAD on its own."""
    sight = peak_m - blocks.places
    distance_m = np.maximum(np.linalg.norm(sight, axis=1), 0.1)[:, None, None]
    across = np.eye(3) - sight[:, :, None] * sight[:, None, :] / distance_m**2
    return np.sum((BLOCK_ERROR_RAD * distance_m) ** 2 * hessian @ across @ hessian, axis=0)


def _derivatives(windows: Windows, point_m: Array) -> tuple[Array, Array]:
    """[G, 3] gradients and [G, 3, 3] Hessians of the places' weighted scores, by differences a lobe's part apart."""
    distance_m = float(np.linalg.norm(windows.places - point_m, axis=1) @ windows.weights)
    step_m = float(np.clip(0.06 * distance_m, 0.04, 0.3))
    offsets = _cube(1)
    values = windows.values(point_m + step_m * offsets).astype(float) * windows.weights[:, None]
    place = {tuple(o): k for k, o in enumerate(offsets.astype(int).tolist())}
    gradient, hessian = np.empty((len(values), 3)), np.empty((len(values), 3, 3))
    unit = np.eye(3, dtype=int)
    for i in range(3):
        plus, minus = values[:, place[tuple(unit[i])]], values[:, place[tuple(-unit[i])]]
        gradient[:, i] = (plus - minus) / (2 * step_m)
        hessian[:, i, i] = (plus + minus - 2 * values[:, place[(0, 0, 0)]]) / step_m**2
        for j in range(i):
            corner = [values[:, place[tuple(a * unit[i] + b * unit[j])]] * a * b for a in (-1, 1) for b in (-1, 1)]
            hessian[:, i, j] = hessian[:, j, i] = sum(corner) / (4 * step_m**2)
    return gradient, hessian


def _refine(windows: Windows, grid: Grid, scores: NDArray[np.floating], peak_score: float, scale: float,
            sharpest: float) -> tuple[Array, Array]:  # fmt: skip
    """Cells [C, 3] of one size that hold the mass, and their log-likelihoods [C] below the peak's."""
    cells, step_m = grid.points, grid.step_m
    log_mass = scale * (scores.astype(float) - peak_score)
    narrowest_m = 1.0 / np.sqrt(scale * sharpest)
    while True:
        # A cell's corner may lie this much nearer to the peak than its centre.
        slack = 0.87 * step_m / narrowest_m if step_m > narrowest_m else 0.0
        kept = np.flatnonzero(log_mass > log_mass.max() - 0.5 * (np.sqrt(2 * LOG_MARGIN) + slack) ** 2)
        kept = kept[np.argsort(-log_mass[kept], kind="stable")]
        fine = step_m <= max(FINEST_STEP_M, 0.7 * narrowest_m)
        if fine or (len(kept) > MAX_KEPT_CELLS and step_m <= narrowest_m):
            return cells[kept[: 4 * MAX_KEPT_CELLS]], log_mass[kept[: 4 * MAX_KEPT_CELLS]]
        step_m /= 2
        children = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * step_m
        cells = (cells[kept[:MAX_KEPT_CELLS], None] + children).reshape(-1, 3)
        log_mass = scale * (windows.score(cells).astype(float) - peak_score)
