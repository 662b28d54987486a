"""Position posterior of one source: from the back-projected score to a probability over cells of space."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.evidence.near_field import NearFieldWindows
from echoseg_ros.sound.localisation.back_projection import WindowGroups
from echoseg_ros.sound.localisation.reflectors import PULLS, Reflector, undo_pull
from echoseg_ros.types import Float64Array

# Spacing of the search grid, at least, m.
GRID_STEP_M = 0.2
# Points of the search grid; a larger space gets a wider spacing.
GRID_MAX_POINTS = 9000
# Margin of the search grid around the map, m.
GRID_MARGIN_M = 0.5
# Margin around the path of the array, m: the map may lack the source. Doubled while there is no map.
GRID_AROUND_PATH_M = 2.0
# Farthest search point from the path, m: a small array does not resolve the range beyond.
GRID_REACH_M = 6.0
# Step at which the ascent to a peak ends, m.
CLIMB_TO_M = 0.005
# Improvement of the score that counts as a step of the ascent.
MIN_CLIMB_SCORE = 1e-6
# Points whose log-likelihood is lower than the best by more have negligible probability.
LOG_MARGIN = 9.0
# Half extent of the cells around a peak, in standard deviations.
REACH_SIGMA = 3.0
# Cells across the line of sight, in each of the two directions.
CELLS_ACROSS = 7
# Bounds of the number of cells along the line of sight, and their length within these bounds, m.
CELLS_ALONG = (25, 97)
CELL_M = 0.06
# Nearest and farthest range of a source, m.
RANGE_M = (0.15, 8.0)
# Bounds of the standard deviation across the line of sight, m.
ACROSS_SIGMA_M = (0.005, 1.5)
# Cells with less than this share of the largest mass are dropped; together they hold less than a hundredth.
MIN_MASS_SHARE = 1e-3
# Number of peaks: a flat array hears a mirror image, a pair a cone.
PEAKS = 3
# Angle between the directions of two peaks, at least, rad.
PEAK_SEPARATION_RAD = 0.45
# Distance below which two ascents ended on the same peak, m.
SAME_PEAK_M = 0.15
# Expected error of one block by reflections, as a share of the lobe width; about 4 degrees for a 10 cm cube.
BLOCK_ERROR_SCORE = 0.08
# Number of blocks of observed scatter that the expected error is worth.
BLOCK_ERROR_WORTH = 4.0
# Error common to all blocks, as a share of the lobe width, by the dimensions that the array spans. A flat array hears
# reflections from floor and ceiling in one lobe with the source.
COMMON_ERROR_SCORE = {1: 0.15, 2: 0.15, 3: 0.04}


@dataclass(frozen=True)
class PositionPosterior:
    """Probability of a source's position from the sound alone, without the surface of the map.

    cells: [C, 3] centres in the map, metres; mass: [C], sum 1; part: [C] number of the peak that a cell belongs to;
    spacing_m: spacing of the cells around the highest peak; peak_m: [3] maximum of the score; score: its value.
    """

    cells: Float64Array
    mass: Float64Array
    part: NDArray[np.int64]
    spacing_m: float
    peak_m: Float64Array
    score: float


@dataclass(frozen=True)
class SearchGrid:
    """Regular points in space. points: [N, 3], metres in the map; low_m, high_m: [3] corners of the space."""

    points: Float64Array
    step_m: float
    low_m: Float64Array
    high_m: Float64Array


def search_grid(surface_points: NDArray[np.floating[Any]], array_positions_m: NDArray[np.floating[Any]]) -> SearchGrid:
    """A grid over the map's surface [S, 3] without its outliers and the path of the array [W, 3], with a margin."""
    around_m = GRID_AROUND_PATH_M * (1 if len(surface_points) else 2) * np.array([1.0, 1.0, 0.5])
    low, high = array_positions_m.min(axis=0) - around_m, array_positions_m.max(axis=0) + around_m
    if len(surface_points):
        surface_low, surface_high = np.quantile(surface_points, [0.005, 0.995], axis=0)
        low, high = np.minimum(low, surface_low), np.maximum(high, surface_high)
    low = np.maximum(low - GRID_MARGIN_M, array_positions_m.min(axis=0) - GRID_REACH_M).astype(float)
    high = np.minimum(high + GRID_MARGIN_M, array_positions_m.max(axis=0) + GRID_REACH_M).astype(float)
    step_m = max(GRID_STEP_M, float(np.prod(high - low) / GRID_MAX_POINTS) ** (1 / 3))
    axes = [np.arange(a + step_m / 2, b, step_m) for a, b in zip(low, high, strict=True)]
    return SearchGrid(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3), step_m, low, high)


def locate_source(
    windows: WindowGroups, blocks: WindowGroups, grid: SearchGrid, reflectors: tuple[Reflector, ...] = (),
    dimensions: int = 3, start_m: Float64Array | None = None, near: NearFieldWindows | None = None,
) -> PositionPosterior:  # fmt: skip
    """Position posterior of the strongest source: highest peaks of the score, its scale, and cells around the peaks.

    windows: groups of POSITION_CELL_M; blocks: groups of BLOCK_M, enough for the search on the grid; dimensions: that
    the microphones span; start_m: [3] ascend from here instead of a search; near: the same windows for the near field.
    """
    peaks = _peaks(windows, blocks, grid) if start_m is None else [_climb(windows, start_m, grid.step_m / 2)]
    best_m, best = peaks[0]
    apex_m: Float64Array = blocks.weights.astype(float) @ blocks.positions_m.astype(float)
    scale = min(
        _scale(blocks, best_m, _sight_axes(apex_m, best_m)),
        1.0 / (COMMON_ERROR_SCORE[dimensions] ** 2 * max(best, 1e-6)),
    )
    high = [peak_m for peak_m, score in peaks if scale * (score - best) > -LOG_MARGIN]
    parts = [_cells_around(windows, blocks, apex_m, peak_m, scale, best, reflectors, near) for peak_m in high]
    cells = np.concatenate([found[0] for found in parts])
    log_mass = np.concatenate([found[1] for found in parts])
    part = np.repeat(np.arange(len(parts)), [len(found[0]) for found in parts])
    inside = np.all((cells >= grid.low_m) & (cells <= grid.high_m), axis=1)
    inside |= not inside.any()
    mass = np.where(inside, np.exp(log_mass - log_mass[inside].max()), 0.0)
    kept = mass > MIN_MASS_SHARE  # the largest is 1
    mass = mass[kept] / mass[kept].sum()
    return PositionPosterior(cells[kept], mass, part[kept], parts[0][2], best_m, best)


def highest_peak(windows: WindowGroups, blocks: WindowGroups, grid: SearchGrid) -> tuple[Float64Array, float]:
    """Position [3] of the maximum of the score and its value; windows, blocks: as in `locate_source`."""
    return _peaks(windows, blocks, grid)[0]


def _peaks(windows: WindowGroups, blocks: WindowGroups, grid: SearchGrid) -> list[tuple[Float64Array, float]]:
    """Highest peaks [3] of the score in different directions and their values, best first."""
    scores = blocks.score(grid.points)
    sight = grid.points - blocks.weights @ blocks.positions_m
    sight /= np.maximum(np.linalg.norm(sight, axis=1, keepdims=True), 1e-6)
    found: list[tuple[Float64Array, float]] = []
    free = np.ones(len(scores), dtype=bool)
    for _ in range(PEAKS):
        if not free.any():
            break
        start = int(np.argmax(np.where(free, scores, -np.inf)))
        peak_m, score = _climb(windows, grid.points[start], grid.step_m)
        if all(float(np.linalg.norm(peak_m - other_m)) > SAME_PEAK_M for other_m, _ in found):
            found.append((peak_m, score))
        free &= sight @ sight[start] < np.cos(PEAK_SEPARATION_RAD)
    return sorted(found, key=lambda peak: -peak[1])


def _cube(reach: int) -> Float64Array:
    """[(2 reach + 1)^3, 3] integer offsets."""
    return np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)), dtype=float)


def _climb(windows: WindowGroups, start_m: Float64Array, step_m: float) -> tuple[Float64Array, float]:
    """Nearest maximum of the score to CLIMB_TO_M, and its value. The ascent also follows narrow ridges."""
    best_m, best = np.asarray(start_m, dtype=float), float(windows.score(start_m[None])[0])
    step_m /= 2
    while step_m > CLIMB_TO_M:
        points = best_m + step_m * _cube(1)
        scores = windows.score(points)
        top = int(np.argmax(scores))
        if scores[top] > best + MIN_CLIMB_SCORE:
            best_m, best = points[top], float(scores[top])
        else:
            step_m /= 2
    return best_m, best


def _sight_axes(apex_m: Float64Array, peak_m: Float64Array) -> Float64Array:
    """[3, 3] unit vectors (rows): along the line of sight, and two across it."""
    along = (peak_m - apex_m) / np.linalg.norm(peak_m - apex_m)
    return np.concatenate([along[None], np.linalg.svd(along[None])[2][1:]])


def _scale(blocks: WindowGroups, peak_m: Float64Array, axes: Float64Array) -> float:
    """Factor from score to log-likelihood, from curvature and scatter of the blocks (Pauli, Racugno & Ventura 2011).

    Only the two directions across the line of sight count: along it the score may have no curvature.
    """
    gradient, hessian = _derivatives(blocks, peak_m, axes)
    curvature, principal = np.linalg.eigh(-hessian.sum(axis=0))
    curvature, principal = np.maximum(curvature[1:], 1e-3), principal[:, 1:]
    # Effective number of blocks: blocks of equal weight that would scatter alike.
    count = 1.0 / float(np.sum(blocks.weights.astype(float) ** 2))
    observed = gradient.T @ gradient * count / max(count - 1.0, 1.0)
    expected = BLOCK_ERROR_SCORE**2 * np.einsum("g,gij->ij", blocks.weights, -hessian)
    worth = count - 1.0
    scatter = (worth * observed + BLOCK_ERROR_WORTH * expected) / (worth + BLOCK_ERROR_WORTH)
    across = np.maximum(np.einsum("ik,ij,jk->k", principal, scatter, principal), 1e-9)
    return float(2.0 / np.sum(across / curvature))


def _derivatives(windows: WindowGroups, point_m: Float64Array, axes: Float64Array) -> tuple[Float64Array, Float64Array]:
    """[G, 3] gradients and [G, 3, 3] Hessians of the weighted scores of the groups, by differences of part of a lobe.

    axes: [3, 3] along and across the line of sight. From one array position the score is constant along it, which
    differences along other axes would not show.
    """
    distance_m = float(np.linalg.norm(windows.positions_m - point_m, axis=1) @ windows.weights)
    step_m = float(np.clip(0.06 * distance_m, 0.04, 0.3))
    offsets = _cube(1)
    values = windows.contrasts(point_m + step_m * offsets @ axes).astype(float) * windows.weights[:, None]
    row = {tuple(o): k for k, o in enumerate(offsets.astype(int).tolist())}
    gradient, hessian = np.empty((len(values), 3)), np.empty((len(values), 3, 3))
    unit = np.eye(3, dtype=int)
    for i in range(3):
        plus, minus = values[:, row[tuple(unit[i])]], values[:, row[tuple(-unit[i])]]
        gradient[:, i] = (plus - minus) / (2 * step_m)
        hessian[:, i, i] = (plus + minus - 2 * values[:, row[(0, 0, 0)]]) / step_m**2
        for j in range(i):
            corner = [values[:, row[tuple(a * unit[i] + b * unit[j])]] * a * b for a in (-1, 1) for b in (-1, 1)]
            hessian[:, i, j] = hessian[:, j, i] = sum(corner) / (4 * step_m**2)
    return gradient @ axes, axes.T @ hessian @ axes


def _cells_around(
    windows: WindowGroups,
    blocks: WindowGroups,
    apex_m: Float64Array,
    peak_m: Float64Array,
    scale: float,
    best: float,
    reflectors: tuple[Reflector, ...],
    near: NearFieldWindows | None,
) -> tuple[Float64Array, Float64Array, float]:
    """Cells [C, 3] of a frustum along the line of sight through a peak, their log-masses [C] and spacing in m.

    The cells widen with the range, as the uncertainty does. The prior is even over the range: with a prior even over
    volume, a source of unknown range would always be far away.
    """
    axes = _sight_axes(apex_m, peak_m)
    _, hessian = _derivatives(blocks, peak_m, axes)
    range_m = float(np.linalg.norm(peak_m - apex_m))
    along, across = axes[0], axes[1:]
    sigma_m, sigma_along_m = _deviations(-scale * hessian.sum(axis=0), along, across, 0.5 * range_m)
    near_ray = near.near_ray(apex_m, along) if near is not None else None

    def log_likelihood(points: Float64Array) -> Float64Array:
        score = windows.score(points).astype(float)
        return scale * (score - best if near_ray is None else score + near_ray.correction(points) - best)

    ranges_m = _cell_ranges(log_likelihood, apex_m, along, range_m, sigma_along_m)
    offsets = np.linspace(-REACH_SIGMA, REACH_SIGMA, CELLS_ACROSS)
    r, a, b = (x.ravel() for x in np.meshgrid(ranges_m, offsets, offsets, indexing="ij"))
    sideways = (a * sigma_m[0])[:, None] * across[0] + (b * sigma_m[1])[:, None] * across[1]
    cells = apex_m + r[:, None] * along + (r / range_m)[:, None] * sideways
    spacing_m = float(max(ranges_m[1] - ranges_m[0], sigma_m.max() * (offsets[1] - offsets[0])))
    prior = sigma_m[0] * sigma_m[1] * (ranges_m[1] - ranges_m[0]) / range_m**2  # volume over distance squared
    log_mass = log_likelihood(cells) + np.log(prior)
    curvature = -float(np.trace(across @ hessian.sum(axis=0) @ across.T)) / 2
    beam_m = float(np.sqrt(max(best, 1e-6) / max(curvature, 1e-6)))
    true = [undo_pull(cells, reflectors, beam_m, pull) for pull in (PULLS if reflectors else PULLS[:1])]
    log_masses = [log_mass + np.log(stretch / len(true)) for _, stretch in true]
    return np.concatenate([points for points, _ in true]), np.concatenate(log_masses), spacing_m


def _deviations(
    precision: Float64Array, along: Float64Array, across: Float64Array, max_m: float
) -> tuple[Float64Array, float]:
    """Standard deviations [2] across and along the line of sight by the curvature of the peak, at most `max_m`.

    Without the bound, the deviation of an unknown range would leak into the others by the smallest tilt of the axes.
    """
    values, axes = np.linalg.eigh(precision)
    covariance = (axes / np.maximum(values, 1.0 / max_m**2)) @ axes.T
    across_m = np.sqrt(np.einsum("ki,ij,kj->k", across, covariance, across))
    return np.clip(across_m, *ACROSS_SIGMA_M), float(np.sqrt(along @ covariance @ along))


def _cell_ranges(
    log_likelihood: Callable[[Float64Array], Float64Array],
    apex_m: Float64Array,
    along: Float64Array,
    range_m: float,
    sigma_m: float,
) -> Float64Array:
    """[R] distances from the apex: around the peak, or as far as the log-likelihood along the ray stays high."""
    if sigma_m < 0.1 * range_m:
        low, high = range_m - REACH_SIGMA * sigma_m, range_m + REACH_SIGMA * sigma_m
    else:
        profile_m = np.geomspace(*RANGE_M, 80)
        log_mass = log_likelihood(apex_m + profile_m[:, None] * along)
        high_enough = profile_m[log_mass > max(log_mass.max(), -LOG_MARGIN) - LOG_MARGIN / 2]
        low, high = min(high_enough.min(initial=range_m), range_m), max(high_enough.max(initial=range_m), range_m)
        low, high = low / 1.05, high * 1.05
    low, high = max(low, RANGE_M[0]), max(high, RANGE_M[0] + 0.1)
    return np.linspace(low, high, int(np.clip((high - low) / CELL_M, *CELLS_ALONG)))
