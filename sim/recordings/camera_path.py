"""Paths of a robot's camera through a room: free of obstacles, smooth, with the wanted objects in view.

Several random routes are drawn; the one that shows the wanted objects best is taken.
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

# Rate of the poses, Hz.
RATE_HZ = 50.0
# Random routes that are drawn.
_ROUTES = 24
# Legs of a route at most.
_MAX_LEGS = 36
# Slowest and fastest mean speed of the robot, m/s.
_SPEED_M_PER_S = (0.32, 0.45)
# Distance between points of a route, m.
_STEP_M = 0.01
# Standard deviations of the smoothing of a route, m; the first that keeps the route clear of obstacles is taken.
_SMOOTHING_M = (0.45, 0.35, 0.25, 0.15, 0.08)
# Clearance of a smoothed route beyond the robot's radius, m.
_EXTRA_CLEARANCE_M = 0.03
# Lowest and highest mean height of the camera, and the amplitude of its slow change, m.
_CAMERA_HEIGHT_M = (1.15, 1.28)
_HEIGHT_CHANGE_M = 0.1
# Shortest and longest period of the height's change, s.
_HEIGHT_PERIOD_S = (7, 12)


@dataclass(frozen=True)
class CameraPath:
    """Path of a camera.

    times_s: [P] from 0; poses: [P, 4, 4] T_map_camera; seen_s: time of each wanted object in good view.
    """

    times_s: Float64Array
    poses: Float64Array
    seen_s: dict[str, float]


def plan_path(room: Room, wanted: Sequence[str], seconds: float = 20.0, seed: int = 0) -> CameraPath | None:
    """The best of several random paths for the objects named in `wanted`; None if a robot cannot drive in the room."""
    rng = np.random.default_rng([seed, 31])
    floor = FloorClearance(room.size_m, room.obstacles())
    area = floor.drivable_mask()
    if area.sum() < 2:
        return None
    cells, graph = route_graph(floor, area)
    times_s = np.arange(int(round(seconds * RATE_HZ)) + 1) / RATE_HZ
    best: tuple[float, Float64Array, dict[str, float]] | None = None
    for _ in range(_ROUTES):
        line = draw_route(rng, floor, cells, graph, rng.uniform(*_SPEED_M_PER_S) * seconds)
        if line is None:
            continue
        positions = positions_along_route(rng, line, times_s)
        visibility = path_visibility(room, positions, times_s)
        directions = viewing_directions(visibility, room, positions, times_s, wanted)
        score = score_path(visibility, room, positions, directions, times_s, wanted)
        if best is None or score.total > best[0]:
            poses = np.stack([look_at(eye, eye + ahead) for eye, ahead in zip(positions, directions, strict=True)])
            best = score.total, poses, score.seen_s
    return None if best is None else CameraPath(times_s, best[1], best[2])


def route_graph(floor: FloorClearance, area: NDArray[np.bool_]) -> tuple[Float64Array, csr_matrix]:
    """Centres [N, 2] of the cells in `area`, and costs [N, N] of the way to neighbouring cells.

    The cost is the distance in metres, increased near obstacles.
    """
    number = np.full(area.shape, -1)
    number[area] = np.arange(area.sum())
    cells, clearance = floor.centers[area], floor.clearance_m[area]
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
    floor: FloorClearance,
    cells: Float64Array,
    graph: csr_matrix,
    length_m: float,
    max_legs: int = _MAX_LEGS,
    favoured: NDArray[np.bool_] | None = None,
) -> Float64Array | None:
    """A random smooth route [n, 2] of a length with points 1 cm apart; None if it cannot be kept clear of obstacles.

    max_legs: legs between random cells at most; favoured: [N] cells in which half of the legs end.
    """
    stops = [int(rng.integers(len(cells)))]
    line = cells[stops]
    for _ in range(max_legs):
        cost, previous = dijkstra(graph, directed=False, indices=stops[-1], return_predecessors=True)
        # The random least distance makes the routes differ; without it, the farthest cell would always be the end.
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
            return _smoothed(line, floor, length_m)
    return None


def _length(line: Float64Array) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def _resampled(line: Float64Array, step_m: float) -> Float64Array:
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    keep = np.append(True, np.diff(along) > 1e-9)
    at = np.arange(0, along[-1], step_m)
    return np.stack([np.interp(at, along[keep], line[keep, i]) for i in range(2)], axis=1)


def _smoothed(line: Float64Array, floor: FloorClearance, length_m: float) -> Float64Array | None:
    """The line, smoothed as much as the obstacles allow and cut to a length; None if no smoothing keeps it clear."""
    fine = _resampled(line, _STEP_M)
    points = int(length_m / _STEP_M) + 1
    for deviation_m in _SMOOTHING_M:
        smooth = _resampled(gaussian_filter1d(fine, deviation_m / _STEP_M, axis=0, mode="nearest"), _STEP_M)
        if len(smooth) * _STEP_M <= length_m:
            continue
        if floor.clearance_at(smooth[:points]).min() > CLEARANCE_M + _EXTRA_CLEARANCE_M:
            return smooth[:points]
    return None


def positions_along_route(rng: np.random.Generator, line: Float64Array, times_s: Float64Array) -> Float64Array:
    """Positions [P, 3] of a camera along a route [n, 2] at times [P]: constant speed, slower at both ends, changing height."""
    ease_s = min(1.0, times_s[-1] / 4)
    speed = np.clip(np.minimum(times_s + 0.1, times_s[-1] - times_s + 0.1) / ease_s, 0, 1)
    along = np.append(0, np.cumsum((speed[1:] + speed[:-1]) / 2))
    along = along / along[-1] * (len(line) - 1)
    xy = np.stack([np.interp(along, np.arange(len(line)), line[:, i]) for i in range(2)], axis=1)
    period_s = rng.uniform(*_HEIGHT_PERIOD_S)
    change = _HEIGHT_CHANGE_M * np.sin(2 * np.pi * times_s / period_s + rng.uniform(0, 2 * np.pi))
    return np.column_stack([xy, rng.uniform(*_CAMERA_HEIGHT_M) + change])
