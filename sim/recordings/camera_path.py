"""A robot's way through a room: free of obstacles, smooth, looking at the objects, the wanted ones from several sides.

Many random tours are drawn and the one that shows the wanted objects best is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra

from echoseg_ros.geometry import look_at
from echoseg_ros.types import Float64Array
from echoseg_sim.recordings.gaze import path_visibility, score_path, viewing_directions
from echoseg_sim.rooms.floor_clearance import CELL_M, CLEARANCE_M, FloorClearance
from echoseg_sim.rooms.room import Room

RATE_HZ = 50.0  # of the poses
_TOURS = 24
_WAYPOINTS = 9


@dataclass(frozen=True)
class CameraPath:
    """times_s: [P] from 0; poses: [P, 4, 4] T_map_camera; seen_s: how long each wanted object is in good view."""

    times_s: Float64Array
    poses: Float64Array
    seen_s: dict[str, float]


def plan_path(room: Room, wanted: Sequence[str], seconds: float = 20.0, seed: int = 0) -> CameraPath | None:
    """The best of some random tours for objects named in `wanted`; None if the room leaves no way to drive."""
    rng = np.random.default_rng([seed, 31])
    space = FloorClearance(room.size_m, room.obstacles())
    area = space.drivable_mask()
    if area.sum() < 2:
        return None
    cells, graph = route_graph(space, area)
    times_s = np.arange(int(round(seconds * RATE_HZ)) + 1) / RATE_HZ
    best: tuple[float, Float64Array, dict[str, float]] | None = None
    for _ in range(_TOURS):
        line = draw_route(rng, space, cells, graph, rng.uniform(0.32, 0.45) * seconds)
        if line is None:
            continue
        positions = positions_along_route(rng, line, times_s)
        sighting = path_visibility(room, positions, times_s)
        directions = viewing_directions(sighting, room, positions, times_s, wanted)
        score = score_path(sighting, room, positions, directions, times_s, wanted)
        if best is None or score.total > best[0]:
            poses = np.stack([look_at(eye, eye + ahead) for eye, ahead in zip(positions, directions, strict=True)])
            best = score.total, poses, score.seen_s
    return None if best is None else CameraPath(times_s, best[1], best[2])


def route_graph(space: FloorClearance, area: NDArray[np.bool_]) -> tuple[Float64Array, csr_matrix]:
    """Cells [N, 2] a robot may be at and the costs of going to their neighbours, dearer near obstacles."""
    number = np.full(area.shape, -1)
    number[area] = np.arange(area.sum())
    cells, clearance = space.centers[area], space.clearance_m[area]
    rows, columns, costs = [], [], []
    for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
        here = number[: area.shape[0] - dx, max(0, -dy) : area.shape[1] - max(0, dy)]
        there = number[dx:, max(0, dy) : area.shape[1] + min(0, dy)]
        both = (here >= 0) & (there >= 0)
        a, b = here[both], there[both]
        rows.append(a)
        columns.append(b)
        costs.append(np.hypot(dx, dy) * CELL_M * (1 + 0.1 / np.minimum(clearance[a], clearance[b]) ** 2))
    graph = coo_matrix(
        (np.concatenate(costs), (np.concatenate(rows), np.concatenate(columns))), (len(cells), len(cells))
    )
    return cells, graph.tocsr()


def draw_route(
    rng: np.random.Generator,
    space: FloorClearance,
    cells: Float64Array,
    graph: csr_matrix,
    length_m: float,
    legs: int = 4 * _WAYPOINTS,
    favoured: NDArray[np.bool_] | None = None,
) -> Float64Array | None:
    """A smooth line [n, 2] of a length with points 1 cm apart, None if it could not be kept clear.

    legs: how many to make at most; favoured: [N] cells that every second leg on average ends in.
    """
    stops = [int(rng.integers(len(cells)))]
    line = cells[stops]
    for _ in range(legs):
        cost, previous = dijkstra(graph, directed=False, indices=stops[-1], return_predecessors=True)
        # far enough to travel, and by chance rather than the farthest, so that tours differ
        choices = np.flatnonzero(
            np.linalg.norm(cells - cells[stops[-1]], axis=1) > 0.5 * np.ptp(cells, axis=0).max() * rng.random()
        )
        if favoured is not None and favoured.any() and rng.random() < 0.5:
            choices = np.flatnonzero(favoured)
        if len(choices) == 0:
            return None
        stops.append(int(choices[rng.integers(len(choices))]))
        leg = [stops[-1]]
        while leg[-1] != stops[-2] and previous[leg[-1]] >= 0:
            leg.append(int(previous[leg[-1]]))
        line = np.concatenate([line, cells[leg[::-1]][1:]])
        if _length(line) > 1.3 * length_m + 0.5:
            return _smoothed(line, space, length_m)
    return None


def _length(line: Float64Array) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def _resampled(line: Float64Array, step_m: float) -> Float64Array:
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    keep = np.append(True, np.diff(along) > 1e-9)
    at = np.arange(0, along[-1], step_m)
    return np.stack([np.interp(at, along[keep], line[keep, i]) for i in range(2)], axis=1)


def _smoothed(line: Float64Array, space: FloorClearance, length_m: float) -> Float64Array | None:
    """The line rounded off as much as the obstacles allow."""
    fine = _resampled(line, 0.01)
    for radius_m in (0.45, 0.35, 0.25, 0.15, 0.08):
        smooth = _resampled(gaussian_filter1d(fine, radius_m / 0.01, axis=0, mode="nearest"), 0.01)
        if (
            len(smooth) * 0.01 > length_m
            and space.clearance_at(smooth[: int(length_m / 0.01) + 1]).min() > CLEARANCE_M + 0.03
        ):
            return smooth[: int(length_m / 0.01) + 1]
    return None


def positions_along_route(rng: np.random.Generator, line: Float64Array, times_s: Float64Array) -> Float64Array:
    """Positions [P, 3] along a line at a steady speed that eases in and out, the height swaying slowly."""
    ease_s = min(1.0, times_s[-1] / 4)
    speed = np.clip(np.minimum(times_s + 0.1, times_s[-1] - times_s + 0.1) / ease_s, 0, 1)
    along = np.append(0, np.cumsum((speed[1:] + speed[:-1]) / 2))
    along = along / along[-1] * (len(line) - 1)
    xy = np.stack([np.interp(along, np.arange(len(line)), line[:, i]) for i in range(2)], axis=1)
    sway = 0.1 * np.sin(2 * np.pi * times_s / rng.uniform(7, 12) + rng.uniform(0, 2 * np.pi))
    return np.column_stack([xy, rng.uniform(1.15, 1.28) + sway])
