"""Linear back-projection: contrast of the direction maps of many windows at points of the map, by look-up.

The direction map of each window is resampled once onto the faces of a cube whose axes are those of the map. The cell of
a direction is then found with one division. Windows with the same array position are summed into one cube. The score of
a point is the weighted mean over windows of the contrast in the direction of the point. The kernels are serial and
release the interpreter lock, because the thread of the sound runs beside the thread of the map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from echoseg_ros.sound.array.directions import cube_nodes
from echoseg_ros.types import Float32Array, Float64Array

# Cells along an edge of a cube face: 3.6 degrees at the middle, about the spacing of 2500 directions.
FACE_CELLS = 32
# Half width of the beam that is removed from the maps around another source, rad.
BEAM_RAD = 0.35
# Number of directions that are interpolated at one point of a direction map.
NEIGHBOURS = 4
# Softening of the inverse-distance weights of that interpolation, rad.
SOFT_RAD = 0.02


@dataclass(frozen=True)
class WindowGroups:
    """Windows grouped by the position of the array.

    cubes: [G, 6 n n] mean contrast of the windows of each group; positions_m: [G, 3] mean array position in the map;
    weights: [G], sum 1.
    """

    cubes: Float32Array
    positions_m: Float32Array
    weights: Float32Array

    def score(self, points_map: NDArray[np.floating[Any]]) -> Float32Array:
        """[P] weighted mean contrast towards map points [P, 3]."""
        points = np.ascontiguousarray(points_map, dtype=np.float32)
        score: Float32Array = _back_project(self.cubes, self.positions_m, self.weights, points)
        return score

    def contrasts(self, points_map: NDArray[np.floating[Any]]) -> Float32Array:
        """[G, P] contrast of each group towards map points [P, 3]."""
        points = np.ascontiguousarray(points_map, dtype=np.float32)
        contrasts: Float32Array = cube_values(self.cubes, self.positions_m, points)
        return contrasts

    def without_beam(self, point_map: Float64Array) -> WindowGroups:
        """The groups with the beam towards a map point [3] removed: zero contrast there, unchanged far from it."""
        cosines = _directions_to(self.positions_m, point_map) @ cube_nodes(FACE_CELLS).astype(np.float32).T
        return replace(self, cubes=(self.cubes * _share_outside_beam(cosines)).astype(np.float32))


def share_outside_beam(
    positions_m: NDArray[np.floating[Any]], point_map: Float64Array, beam_point_map: Float64Array
) -> Float64Array:
    """[W] share of the contrast towards a map point [3] that remains without the beam towards beam_point_map [3].

    positions_m: [W, 3] array positions in the map.
    """
    cosines = np.sum(_directions_to(positions_m, point_map) * _directions_to(positions_m, beam_point_map), axis=1)
    return _share_outside_beam(cosines).astype(float)


def _directions_to(positions_m: NDArray[np.floating[Any]], point_map: Float64Array) -> Float32Array:
    sight = np.asarray(point_map, dtype=np.float32) - positions_m.astype(np.float32)
    return np.asarray(sight / np.maximum(np.linalg.norm(sight, axis=1, keepdims=True), np.float32(1e-6)))


def _share_outside_beam(cosines: Float32Array) -> Float32Array:
    return np.asarray(1 - np.exp(-(1 - np.clip(cosines, -1, 1)) / np.float32(BEAM_RAD**2)))


class CubeResampler:
    """Resamples values at scattered directions of the array frame to the nodes of a cube aligned with the map."""

    def __init__(self, directions_array: NDArray[np.floating[Any]]) -> None:
        self.directions_array = np.asarray(directions_array)
        self._nodes = cube_nodes(FACE_CELLS)
        tree, count = cKDTree(self.directions_array), min(NEIGHBOURS, len(directions_array))
        self._index, self._weights = neighbour_weights(tree, self._nodes, count)

    def __call__(self, values: Float32Array, R_map_array: Float64Array) -> Float32Array:
        """[6 n n] values at the nodes; values: [D] at the directions."""
        in_array: Float32Array = np.einsum("nk,nk->n", values[self._index], self._weights)
        nodes_array = (self._nodes @ R_map_array).astype(np.float32)  # R^T applied to each node
        resampled: Float32Array = cube_values(in_array[None], np.zeros((1, 3), dtype=np.float32), nodes_array)[0]
        return resampled


def neighbour_weights(
    tree: cKDTree, points: NDArray[np.floating[Any]], count: int
) -> tuple[NDArray[np.int64], Float32Array]:
    """Inverse-distance interpolation: [P, count] indices of the nearest points of the tree and their weights, sum 1."""
    distance, index = tree.query(points, k=count)
    weights = 1.0 / (distance**2 + SOFT_RAD**2)
    return index, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _look_up(cube, position, px, py, pz):  # type: ignore[no-untyped-def]
    """Value of a cube [6 n n] at a position [3] towards the point (px, py, pz), bilinear between the nodes.

    Uses float32 and unsigned indices for speed: this is the innermost loop of the decision.
    """
    x, y, z = px - position[0], py - position[1], pz - position[2]
    ax, ay, az = abs(x), abs(y), abs(z)
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5 * FACE_CELLS)
    if ax >= ay and ax >= az:
        face, major, u, v = np.uint32(0 if x >= zero else 1), ax, y, z
    elif ay >= az:
        face, major, u, v = np.uint32(2 if y >= zero else 3), ay, z, x
    else:
        face, major, u, v = np.uint32(4 if z >= zero else 5), az, x, y
    scale = half / max(major, np.float32(1e-6))
    row, column = u * scale + half, v * scale + half
    i = min(np.uint32(row), np.uint32(FACE_CELLS - 1))
    j = min(np.uint32(column), np.uint32(FACE_CELLS - 1))
    s, t = row - np.float32(i), column - np.float32(j)
    k = (face * np.uint32(FACE_CELLS + 1) + i) * np.uint32(FACE_CELLS + 1) + j
    below = k + np.uint32(FACE_CELLS + 1)
    upper = cube[k] * (one - t) + cube[k + np.uint32(1)] * t
    lower = cube[below] * (one - t) + cube[below + np.uint32(1)] * t
    return upper * (one - s) + lower * s


@njit(cache=True, nogil=True, error_model="numpy")
def _back_project(cubes, positions, weights, points):  # type: ignore[no-untyped-def]
    """[P] sum over groups of weights [G] times the cube's value towards each point [P, 3]."""
    score = np.zeros(len(points), dtype=np.float32)
    for g in range(len(cubes)):
        weight, cube, position = weights[g], cubes[g], positions[g]
        for i in range(len(points)):
            score[i] += weight * _look_up(cube, position, points[i, 0], points[i, 1], points[i, 2])
    return score


@njit(cache=True, nogil=True, error_model="numpy")
def cube_values(cubes, positions, points):  # type: ignore[no-untyped-def]
    """[G, P] value of each cube [G, 6 n n] at its position [G, 3] towards each point [P, 3]; all float32."""
    values = np.empty((len(cubes), len(points)), dtype=np.float32)
    for g in range(len(cubes)):
        cube, position = cubes[g], positions[g]
        for i in range(len(points)):
            values[g, i] = _look_up(cube, position, points[i, 0], points[i, 1], points[i, 2])
    return values
