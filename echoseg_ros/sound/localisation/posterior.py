"""Where one source may be: from the back-projected score to a probability over cells of space."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.evidence.near_field import NearFieldWindows
from echoseg_ros.sound.localisation.back_projection import Windows
from echoseg_ros.sound.localisation.reflectors import PULLS, Reflector, unpulled
from echoseg_ros.types import Float64Array

GRID_STEP_M = 0.2
GRID_MAX_POINTS = 9000
# Space looked at beyond the map, around the path (the map may lack what sounds; more where there is none yet), and at
# most from the path: a small array hears no range beyond.
GRID_MARGIN_M, GRID_AROUND_PATH_M, GRID_REACH_M = 0.5, 2.0, 6.0
CLIMB_TO_M = 0.005
# Places whose log-likelihood is below the best one's by more hold no mass worth counting.
LOG_MARGIN = 9.0
# A posterior's cells: so many standard deviations to each side, so many cells across the line of sight, and along it,
# there of about CELL_M where that is within the limits.
REACH_SIGMA, CELLS_ACROSS, CELLS_ALONG, CELL_M = 3.0, 7, (25, 97), 0.06
RANGE_M = (0.15, 8.0)
# Peaks that are looked at: a flat array hears a mirror image, a pair a whole cone. They differ by at least this angle.
PEAKS, PEAKS_APART_RAD = 3, 0.45
# Climbs from two sides of one peak end this close together.
SAME_PEAK_M = 0.15
# One block's error as reflections bend it, as a share of the lobe's width: 4 degrees for a 10 cm cube (reference: 2.4
# to 5 at 0.4 s), more where the array resolves less. And how many blocks of observed scatter it is worth.
BLOCK_ERROR_SCORE = 0.08
BLOCK_ERROR_WORTH = 4.0
# What reflections bend alike in all blocks, as a share of the lobe's width: no number of blocks removes it. Arrays that
# span one, two or three dimensions: what comes from floor and ceiling falls into one lobe with the source for a flat one.
LEAST_ERROR_SCORE = {1: 0.15, 2: 0.15, 3: 0.04}


@dataclass(frozen=True)
class Posterior:
    """Probability of a source's place before anything is known of the map.

    cells: [C, 3] centres in the map, metres; mass: [C], sum 1; part: [C] which peak a cell belongs to; spacing_m: how
    far apart the cells around the highest peak are; peak_m: [3] the score's maximum; score: its value.
    """

    cells: Float64Array
    mass: Float64Array
    part: NDArray[np.int64]
    spacing_m: float
    peak_m: Float64Array
    score: float


@dataclass(frozen=True)
class Grid:
    """Regular points of free space. points: [G, 3], metres in the map; low_m, high_m: [3] its corners."""

    points: Float64Array
    step_m: float
    low_m: Float64Array
    high_m: Float64Array


def grid_around(surface_points: NDArray[np.floating[Any]], places: NDArray[np.floating[Any]]) -> Grid:
    """A grid over the map [S, 3] (its outliers left out) and the array's path [W, 3], with a margin."""
    around_m = GRID_AROUND_PATH_M * (1 if len(surface_points) else 2) * np.array([1.0, 1.0, 0.5])
    low, high = places.min(axis=0) - around_m, places.max(axis=0) + around_m
    if len(surface_points):
        surface_low, surface_high = np.quantile(surface_points, [0.005, 0.995], axis=0)
        low, high = np.minimum(low, surface_low), np.maximum(high, surface_high)
    low = np.maximum(low - GRID_MARGIN_M, places.min(axis=0) - GRID_REACH_M).astype(float)
    high = np.minimum(high + GRID_MARGIN_M, places.max(axis=0) + GRID_REACH_M).astype(float)
    step_m = max(GRID_STEP_M, float(np.prod(high - low) / GRID_MAX_POINTS) ** (1 / 3))
    axes = [np.arange(a + step_m / 2, b, step_m) for a, b in zip(low, high, strict=True)]
    return Grid(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3), step_m, low, high)


def locate(
    windows: Windows, blocks: Windows, grid: Grid, reflectors: tuple[Reflector, ...] = (), dimensions: int = 3,
    start_m: Float64Array | None = None, near: NearFieldWindows | None = None,
) -> Posterior:  # fmt: skip
    """The strongest source's posterior: the grid's highest peaks, a scale for the score, cells where mass may be.

    windows: gathered finely; blocks: the same gathered by where reflections are alike, which is enough for the grid;
    dimensions: that the microphones span; start_m: [3] climb from here instead of looking everywhere; near: the
    same windows, to be asked at places whose waves are spheres.
    """
    peaks = _peaks(windows, blocks, grid) if start_m is None else [_climb(windows, start_m, grid.step_m / 2)]
    best_m, best = peaks[0]
    apex_m: Float64Array = blocks.weights.astype(float) @ blocks.places.astype(float)
    scale = min(
        _scale(blocks, best_m, _sight_axes(apex_m, best_m)),
        1.0 / (LEAST_ERROR_SCORE[dimensions] ** 2 * max(best, 1e-6)),
    )
    high = [peak_m for peak_m, score in peaks if scale * (score - best) > -LOG_MARGIN]
    parts = [_cells_around(windows, blocks, apex_m, peak_m, scale, best, reflectors, near) for peak_m in high]
    cells = np.concatenate([found[0] for found in parts])
    log_mass = np.concatenate([found[1] for found in parts])
    part = np.repeat(np.arange(len(parts)), [len(found[0]) for found in parts])
    inside = np.all((cells >= grid.low_m) & (cells <= grid.high_m), axis=1)
    inside |= not inside.any()
    mass = np.where(inside, np.exp(log_mass - log_mass[inside].max()), 0.0)
    kept = mass > 1e-3  # of the largest cell; what is left out adds up to less than a hundredth
    mass = mass[kept] / mass[kept].sum()
    return Posterior(cells[kept], mass, part[kept], parts[0][2], best_m, best)


def highest(windows: Windows, blocks: Windows, grid: Grid) -> tuple[Float64Array, float]:
    """The place [3] at which the score is highest, and its value there; windows, blocks: as for `locate`."""
    return _peaks(windows, blocks, grid)[0]


def _peaks(windows: Windows, blocks: Windows, grid: Grid) -> list[tuple[Float64Array, float]]:
    """The score's highest peaks [3] in different directions and their values, best first."""
    scores = blocks.score(grid.points)
    sight = grid.points - blocks.weights @ blocks.places
    sight /= np.maximum(np.linalg.norm(sight, axis=1, keepdims=True), 1e-6)
    found: list[tuple[Float64Array, float]] = []
    free = np.ones(len(scores), dtype=bool)
    for _ in range(PEAKS):
        if not free.any():
            break
        start = int(np.argmax(np.where(free, scores, -np.inf)))
        top_m, score = _climb(windows, grid.points[start], grid.step_m)
        if all(float(np.linalg.norm(top_m - other_m)) > SAME_PEAK_M for other_m, _ in found):
            found.append((top_m, score))
        free &= sight @ sight[start] < np.cos(PEAKS_APART_RAD)
    return sorted(found, key=lambda peak: -peak[1])


def _cube(reach: int) -> Float64Array:
    """[(2 reach + 1)^3, 3] integer offsets."""
    return np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)), dtype=float)


def _climb(windows: Windows, start_m: Float64Array, step_m: float) -> tuple[Float64Array, float]:
    """Nearest maximum of the score to half a centimetre, and its value; narrow ridges are followed to their top."""
    best_m, best = np.asarray(start_m, dtype=float), float(windows.score(start_m[None])[0])
    step_m /= 2
    while step_m > CLIMB_TO_M:
        points = best_m + step_m * _cube(1)
        scores = windows.score(points)
        top = int(np.argmax(scores))
        if scores[top] > best + 1e-6:
            best_m, best = points[top], float(scores[top])
        else:
            step_m /= 2
    return best_m, best


def _sight_axes(apex_m: Float64Array, peak_m: Float64Array) -> Float64Array:
    """[3, 3] unit vectors, as rows: along the line of sight, and two across it."""
    along = (peak_m - apex_m) / np.linalg.norm(peak_m - apex_m)
    return np.concatenate([along[None], np.linalg.svd(along[None])[2][1:]])


def _scale(blocks: Windows, peak_m: Float64Array, axes: Float64Array) -> float:
    """Factor from score to log-likelihood.

    The two directions across the line of sight decide; along it the score may have no curvature at all.
    """
    gradient, hessian = _derivatives(blocks, peak_m, axes)
    curvature, principal = np.linalg.eigh(-hessian.sum(axis=0))
    curvature, principal = np.maximum(curvature[1:], 1e-3), principal[:, 1:]
    # Not every block is worth the same: as many equal ones would scatter alike.
    count = 1.0 / float(np.sum(blocks.weights.astype(float) ** 2))
    observed = gradient.T @ gradient * count / max(count - 1.0, 1.0)
    expected = BLOCK_ERROR_SCORE**2 * np.einsum("g,gij->ij", blocks.weights, -hessian)
    worth = count - 1.0
    scatter = (worth * observed + BLOCK_ERROR_WORTH * expected) / (worth + BLOCK_ERROR_WORTH)
    across = np.maximum(np.einsum("ik,ij,jk->k", principal, scatter, principal), 1e-9)
    return float(2.0 / np.sum(across / curvature))


def _derivatives(windows: Windows, point_m: Float64Array, axes: Float64Array) -> tuple[Float64Array, Float64Array]:
    """[G, 3] gradients and [G, 3, 3] Hessians of the places' weighted scores, by differences a lobe's part apart.

    axes: [3, 3] along and across the line of sight: seen from one place the score is the same all along it, which
    differences along other axes would not show.
    """
    distance_m = float(np.linalg.norm(windows.places - point_m, axis=1) @ windows.weights)
    step_m = float(np.clip(0.06 * distance_m, 0.04, 0.3))
    offsets = _cube(1)
    values = windows.values(point_m + step_m * offsets @ axes).astype(float) * windows.weights[:, None]
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
    return gradient @ axes, axes.T @ hessian @ axes


def _cells_around(
    windows: Windows,
    blocks: Windows,
    apex_m: Float64Array,
    peak_m: Float64Array,
    scale: float,
    best: float,
    reflectors: tuple[Reflector, ...],
    near: NearFieldWindows | None,
) -> tuple[Float64Array, Float64Array, float]:
    """Cells [C, 3] of a frustum along the line of sight through a peak, their log-masses [C] and spacing.

    Rays diverge, so the cells widen with the distance as the uncertainty does. Before any evidence a source is as
    likely at any distance: by volume alone one whose range is open would always be far away.
    """
    axes = _sight_axes(apex_m, peak_m)
    _, hessian = _derivatives(blocks, peak_m, axes)
    range_m = float(np.linalg.norm(peak_m - apex_m))
    along, across = axes[0], axes[1:]
    sigma_m, sigma_along_m = _spreads(-scale * hessian.sum(axis=0), along, across, 0.5 * range_m)
    on_sight = near.near_ray(apex_m, along) if near is not None else None

    def log_likelihood(points: Float64Array) -> Float64Array:
        score = windows.score(points).astype(float)
        return scale * (score - best if on_sight is None else score + on_sight.correction(points) - best)

    ranges_m = _range_cells(log_likelihood, apex_m, along, range_m, sigma_along_m)
    offsets = np.linspace(-REACH_SIGMA, REACH_SIGMA, CELLS_ACROSS)
    r, a, b = (x.ravel() for x in np.meshgrid(ranges_m, offsets, offsets, indexing="ij"))
    sideways = (a * sigma_m[0])[:, None] * across[0] + (b * sigma_m[1])[:, None] * across[1]
    cells = apex_m + r[:, None] * along + (r / range_m)[:, None] * sideways
    spacing_m = float(max(ranges_m[1] - ranges_m[0], sigma_m.max() * (offsets[1] - offsets[0])))
    prior = sigma_m[0] * sigma_m[1] * (ranges_m[1] - ranges_m[0]) / range_m**2  # volume over distance squared
    log_mass = log_likelihood(cells) + np.log(prior)
    curvature = -float(np.trace(across @ hessian.sum(axis=0) @ across.T)) / 2
    beam_m = float(np.sqrt(max(best, 1e-6) / max(curvature, 1e-6)))
    undone = [unpulled(cells, reflectors, beam_m, pull) for pull in (PULLS if reflectors else PULLS[:1])]
    log_masses = [log_mass + np.log(stretch / len(undone)) for _, stretch in undone]
    return np.concatenate([places for places, _ in undone]), np.concatenate(log_masses), spacing_m


def _spreads(
    precision: Float64Array, along: Float64Array, across: Float64Array, most_m: float
) -> tuple[Float64Array, float]:
    """Standard deviations [2] across and along the line of sight by the peak's curvature, none beyond `most_m`.

    Where the range is open its spread would leak into the others through the smallest tilt of the axes.
    """
    values, axes = np.linalg.eigh(precision)
    covariance = (axes / np.maximum(values, 1.0 / most_m**2)) @ axes.T
    across_m = np.sqrt(np.einsum("ki,ij,kj->k", across, covariance, across))
    return np.clip(across_m, 0.005, 1.5), float(np.sqrt(along @ covariance @ along))


def _range_cells(
    log_likelihood: Callable[[Float64Array], Float64Array],
    apex: Float64Array,
    along: Float64Array,
    range_m: float,
    sigma_m: float,
) -> Float64Array:
    """[R] distances from the apex: around the peak, or as far as the profile along the ray stays high."""
    if sigma_m < 0.1 * range_m:
        low, high = range_m - REACH_SIGMA * sigma_m, range_m + REACH_SIGMA * sigma_m
    else:
        profile_m = np.geomspace(*RANGE_M, 80)
        log_mass = log_likelihood(apex + profile_m[:, None] * along)
        high_enough = profile_m[log_mass > max(log_mass.max(), -LOG_MARGIN) - LOG_MARGIN / 2]
        low, high = min(high_enough.min(initial=range_m), range_m), max(high_enough.max(initial=range_m), range_m)
        low, high = low / 1.05, high * 1.05
    low, high = max(low, RANGE_M[0]), max(high, RANGE_M[0] + 0.1)
    return np.linspace(low, high, int(np.clip((high - low) / CELL_M, *CELLS_ALONG)))
