"""Evidence of many windows, asked at points of the map: linear back-projection by look-up.

Each window's direction map is resampled once onto the faces of a cube whose axes are the map's, where finding a
direction's cell takes one division. Windows heard from the same place add up to one cube. A point's score is the
weighted mean over windows of the map's value in the point's direction. Kernels are serial numba without the
interpreter lock: the sound's one thread runs beside the map's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from echoseg_ros.sound.array.directions import cube_nodes
from echoseg_ros.sound.evidence.near_field import NearFieldWindows
from echoseg_ros.sound.localisation.lobe_matching import Heard
from echoseg_ros.types import Float32Array, Float64Array, Lobes, SoundEvidence

# Cells along a cube face's edge: 3.6 degrees at its middle, about the spacing of 2500 directions.
FACE_CELLS = 32
# Windows within a cell of place and turn are compared with sounds' lobes as one, those of so many cells.
HEARD_CELL_M, HEARD_TURN_RAD, MAX_HEARD = 0.15, 0.15, 40
# Windows of arrays this close together hear the same reflections: one block. Those closer than PLACE_M see the same
# directions: one place (the mean of where they were).
BLOCK_M, PLACE_M = 0.2, 0.05
# A beam's half width: what one of several sources does is asked with the beams of the others taken out of the maps.
BEAM_RAD = 0.35
# A hard bound on memory (about 45 kB a window of 8 microphones), whatever the hop.
MAX_WINDOWS = 600
# Directions that share a node of the cube, and how soft their inverse-distance weights are (rad).
_NEIGHBOURS, _SOFT_RAD = 4, 0.02


@dataclass(frozen=True)
class Windows:
    """Windows gathered by where the array stood, ready to be asked.

    cubes: [G, 6 n n] mean contrast of each place's windows; places: [G, 3] metres in the map; weights: [G], sum 1.
    """

    cubes: Float32Array
    places: Float32Array
    weights: Float32Array

    def score(self, points_map: NDArray[np.floating[Any]]) -> Float32Array:
        """[P] weighted mean contrast towards map points [P, 3]."""
        points = np.ascontiguousarray(points_map, dtype=np.float32)
        return _back_project(self.cubes, self.places, self.weights, points)

    def values(self, points_map: NDArray[np.floating[Any]]) -> Float32Array:
        """[G, P] each place's contrast towards map points [P, 3]."""
        points = np.ascontiguousarray(points_map, dtype=np.float32)
        return _per_place(self.cubes, self.places, points)

    def without(self, point_map: Float64Array) -> Windows:
        """The same with the beam towards a map point [3] taken out: nothing is left there, all is left far from it."""
        cosines = _sight(self.places, point_map) @ cube_nodes(FACE_CELLS).astype(np.float32).T
        return replace(self, cubes=(self.cubes * _outside_beam(cosines)).astype(np.float32))


def beam_kept(places: NDArray[np.floating[Any]], point_map: Float64Array, taken_out: Float64Array) -> Float64Array:
    """[W] what is left towards a map point [3], from places [W, 3], when the beam towards another one is taken out."""
    cosines = np.sum(_sight(places, point_map) * _sight(places, taken_out), axis=1)
    return _outside_beam(cosines).astype(float)


def _sight(places: NDArray[np.floating[Any]], point_map: Float64Array) -> Float32Array:
    sight = np.asarray(point_map, dtype=np.float32) - places.astype(np.float32)
    return np.asarray(sight / np.maximum(np.linalg.norm(sight, axis=1, keepdims=True), np.float32(1e-6)))


def _outside_beam(cosines: Float32Array) -> Float32Array:
    return np.asarray(1 - np.exp(-(1 - np.clip(cosines, -1, 1)) / np.float32(BEAM_RAD**2)))


class EvidenceMemory:
    """The windows of the last `memory_s`: cubes of contrast (energy over its mean), places and activity."""

    def __init__(self, memory_s: float) -> None:
        self._memory_ns = int(memory_s * 1e9)
        self._resample: CubeResampler | None = None
        self.dimensions = 3  # that the newest window's microphones span
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._lobes: Lobes | None = None
        self._microphones_m: Float64Array | None = None
        self._correlations: Float32Array = np.empty((0, 0, 0), dtype=np.float32)
        self._maps: Float32Array = np.empty((0, 0, 0), dtype=np.float32)
        self._turns: Float32Array = np.empty((0, 3, 3), dtype=np.float32)
        self._spectra: Float32Array = np.empty((0, 0, 0), dtype=np.float32)
        self._cubes: Float32Array = np.empty((0, 6 * (FACE_CELLS + 1) ** 2), dtype=np.float32)
        self._places: Float32Array = np.empty((0, 3), dtype=np.float32)
        self._activity: Float64Array = np.empty(0)
        self._stamps_ns: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._durations_s: Float64Array = np.empty(0)
        self._count = 0  # slots in use; the arrays above are longer
        self.newest_ns = 0  # the stamp of the newest window

    def add(self, evidence: SoundEvidence) -> None:
        """Remember a window, forget those that are too old; time that goes far back forgets all."""
        if self._count and evidence.stamp_ns < self.newest_ns - self._memory_ns:
            self.clear()
        self.dimensions = evidence.dimensions
        self.newest_ns = max(self.newest_ns, evidence.stamp_ns) if self._count else evidence.stamp_ns
        slot = self._free_slot()
        self._cubes[slot] = self._contrast(evidence)
        self._add_maps(slot, evidence)
        self._add_correlations(slot, evidence)
        self._turns[slot] = evidence.T_map_array[:3, :3]
        self._places[slot] = evidence.T_map_array[:3, 3]
        self._activity[slot] = evidence.activity
        self._stamps_ns[slot] = evidence.stamp_ns
        self._durations_s[slot] = evidence.duration_s

    def rescale(self, factor: float) -> None:
        """The world, and with it the array's path, is `factor` times as large as was thought."""
        self._places *= np.float32(factor)

    def slots(self) -> NDArray[np.int64]:
        """[W] where the windows that are young enough lie, oldest first."""
        stamps_ns = self._stamps_ns[: self._count]
        order = np.argsort(stamps_ns, kind="stable")
        return order[stamps_ns[order] >= self.newest_ns - self._memory_ns]

    def times(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.int64], Float64Array]:
        """[W] stamps (ns) and [W] durations (s)."""
        return self._stamps_ns[slots], self._durations_s[slots]

    def activity(self, slots: NDArray[np.int64]) -> Float64Array:
        """[W] activity of the windows."""
        return self._activity[slots]

    def spacing_s(self, slots: NDArray[np.int64]) -> Float64Array:
        """[W] time that each of the windows [W], oldest first, stands for: since the one before, at most its length."""
        stamps_ns, durations_s = self.times(slots)
        return np.minimum(np.diff(stamps_ns / 1e9, prepend=stamps_ns[0] / 1e9 - 1.0), durations_s)

    def places(self, slots: NDArray[np.int64]) -> Float64Array:
        """[W, 3] where the array of each window was."""
        return self._places[slots].astype(float)

    def grouped_windows(self, slots: NDArray[np.int64], weights: Float64Array, cell_m: float) -> Windows:
        """The windows [W] with their weights, those within a cell of space put together."""
        group = self.cells(slots, cell_m)
        total = np.bincount(group, weights=weights)
        share = (weights / np.maximum(total[group], 1e-12)).astype(np.float32)
        cubes = _group_sum(self._cubes, slots, share, group, len(total))
        places = np.stack([np.bincount(group, share * self._places[slots, axis]) for axis in range(3)], axis=1)
        return Windows(cubes, places.astype(np.float32), (total / total.sum()).astype(np.float32))

    def heard(self, slots: NDArray[np.int64], weights: Float64Array) -> Heard | None:
        """The maps of the windows [W] with their weights, gathered where the array stood alike; None if they are unknown."""
        if self._lobes is None or not len(slots):
            return None
        turns = Rotation.from_matrix(self._turns[slots]).as_rotvec()
        key = np.floor(np.column_stack([self._places[slots] / HEARD_CELL_M, turns / HEARD_TURN_RAD]))
        _, first, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
        group = group.reshape(-1)
        if len(first) > MAX_HEARD:  # evenly over the way; larger cells would blur what each place heard
            kept = np.argsort(first)[np.linspace(0, len(first) - 1, MAX_HEARD).round().astype(np.int64)]
            number = np.full(len(first), -1)
            number[kept] = np.arange(MAX_HEARD)
            used = number[group] >= 0
            slots, weights, group, first = slots[used], weights[used], number[group][used], first[kept]
        total = np.maximum(np.bincount(group, weights=weights), 1e-12)
        mean = np.zeros((len(first), len(slots)), dtype=np.float32)
        mean[group, np.arange(len(slots))] = weights / total[group]
        maps = np.tensordot(mean, self._maps[slots], axes=1)
        left, _, right = np.linalg.svd(np.tensordot(mean, self._turns[slots], axes=1))
        rotations = Rotation.from_matrix(left @ right)
        places = (mean @ self._places[slots]).astype(float)
        spectrum = np.tensordot(weights / weights.sum(), self._spectra[slots], axes=1)
        lobes = np.einsum("bk,bkun->bun", spectrum.astype(np.float32), self._lobes.values, optimize=True)
        return Heard(lobes, maps, places, rotations.as_matrix(), total / total.sum(), spectrum)

    def near(self, slots: NDArray[np.int64], weights: Float64Array) -> NearFieldWindows | None:
        """The windows [W] with their weights, to be asked at places near the array; None if its microphones are unknown."""
        if self._microphones_m is None:
            return None
        return NearFieldWindows(
            self._correlations, slots, self._places, self._turns, weights / weights.sum(), self._microphones_m,
            self._lag_step_s,
        )  # fmt: skip

    def cells(self, slots: NDArray[np.int64], cell_m: float) -> NDArray[np.int64]:
        """[W] number of the cell of space that each window's array was in."""
        cells = np.floor(self._places[slots] / cell_m).astype(np.int64)
        return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)

    def towards(self, slots: NDArray[np.int64], point_map: Float64Array) -> Float32Array:
        """[W] each window's contrast towards a map point [3]."""
        point = np.asarray(point_map, dtype=np.float32)[None]
        return _per_place(self._cubes[slots], self._places[slots], point)[:, 0]

    def _contrast(self, evidence: SoundEvidence) -> Float32Array:
        if self._resample is None or not np.array_equal(self._resample.directions, evidence.directions_array):
            self._resample = CubeResampler(evidence.directions_array)
        total = evidence.energy.sum(axis=0)
        return self._resample((total - total.mean()).astype(np.float32), evidence.T_map_array[:3, :3])

    def _add_maps(self, slot: int, evidence: SoundEvidence) -> None:
        """The maps in the bands and at the directions in which sounds' lobes are known, with the evidence's own array."""
        lobes, spectrum = evidence.lobes, evidence.spectrum
        if lobes is None or spectrum is None or (self._lobes is not None and lobes is not self._lobes):
            if lobes is not self._lobes:  # of another array: what was heard with both cannot be put together
                self._lobes = None
            return
        if self._lobes is None:
            if self._count > 1:
                return
            self._lobes = lobes
            distance, self._near = cKDTree(evidence.directions_array).query(lobes.samples, k=_NEIGHBOURS)
            near = 1.0 / (distance**2 + _SOFT_RAD**2)
            self._near_weights = (near / near.sum(axis=1, keepdims=True)).astype(np.float32)
            self._maps = np.zeros((len(self._cubes), len(lobes.bands), len(lobes.samples)), dtype=np.float32)
            self._spectra = np.zeros((len(self._cubes), *lobes.means.shape), dtype=np.float32)
        energy = evidence.energy[lobes.bands]
        mean = energy.mean(axis=1)
        share = np.maximum(mean / (lobes.means * spectrum).sum(axis=1), 1e-9).astype(np.float32)
        at_samples = np.einsum("bnk,nk->bn", energy[:, self._near], self._near_weights)
        self._maps[slot] = (at_samples - mean[:, None]) / share[:, None]
        self._spectra[slot] = spectrum

    def _add_correlations(self, slot: int, evidence: SoundEvidence) -> None:
        """What the pairs heard, for places so near that waves from there are spheres; of one array."""
        microphones_m, correlation = evidence.microphones_m, evidence.correlation
        if self._count == 1 and microphones_m is not None and correlation is not None:
            self._microphones_m, self._lag_step_s = microphones_m, evidence.lag_step_s
            self._correlations = np.zeros((len(self._cubes), *correlation.shape), dtype=np.float32)
        if self._microphones_m is None:
            return
        if correlation is None or microphones_m is not self._microphones_m:
            self._microphones_m = None
            return
        self._correlations[slot] = correlation

    def _free_slot(self) -> int:
        if self._count:
            oldest = int(np.argmin(self._stamps_ns[: self._count]))
            if self._stamps_ns[oldest] < self.newest_ns - self._memory_ns or self._count == MAX_WINDOWS:
                return oldest
        if self._count == len(self._cubes):
            self._grow(min(MAX_WINDOWS, max(32, 2 * self._count)))
        self._count += 1
        return self._count - 1

    def _grow(self, capacity: int) -> None:
        for name in ("_cubes", "_places", "_activity", "_stamps_ns", "_durations_s", "_maps", "_turns", "_spectra",
                     "_correlations"):  # fmt: skip
            old = getattr(self, name)
            new = np.zeros((capacity, *old.shape[1:]), dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)


class CubeResampler:
    """From values on scattered directions of the array to the nodes of a cube that is aligned with the map."""

    def __init__(self, directions: NDArray[np.floating[Any]]) -> None:
        self.directions = np.asarray(directions)
        self._nodes = cube_nodes(FACE_CELLS)
        distance, self._index = cKDTree(self.directions).query(self._nodes, k=min(_NEIGHBOURS, len(directions)))
        weights = 1.0 / (distance**2 + _SOFT_RAD**2)
        self._weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

    def __call__(self, values: Float32Array, R_map_array: Float64Array) -> Float32Array:
        """[6 n n] of values [D]."""
        in_array: Float32Array = np.einsum("nk,nk->n", values[self._index], self._weights)
        nodes_array = (self._nodes @ R_map_array).astype(np.float32)  # R^T applied to each
        return _per_place(in_array[None], np.zeros((1, 3), dtype=np.float32), nodes_array)[0]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _look_up(cube, place, px, py, pz):  # type: ignore[no-untyped-def]
    """Value towards a map point from a place [3], bilinear between the nodes [6 n n] of a cube.

    All in float32 with unsigned indices: this is the one inner loop of the sound.
    """
    x, y, z = px - place[0], py - place[1], pz - place[2]
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
def _back_project(cubes, places, weights, points):  # type: ignore[no-untyped-def]
    """[P] sum over places of `weights` [G] times the cube's value towards each point [P, 3]."""
    score = np.zeros(len(points), dtype=np.float32)
    for g in range(len(cubes)):
        weight, cube, place = weights[g], cubes[g], places[g]
        for i in range(len(points)):
            score[i] += weight * _look_up(cube, place, points[i, 0], points[i, 1], points[i, 2])
    return score


@njit(cache=True, nogil=True, error_model="numpy")
def _per_place(cubes, places, points):  # type: ignore[no-untyped-def]
    """[G, P] value of each cube towards each point [P, 3]."""
    values = np.empty((len(cubes), len(points)), dtype=np.float32)
    for g in range(len(cubes)):
        cube, place = cubes[g], places[g]
        for i in range(len(points)):
            values[g, i] = _look_up(cube, place, points[i, 0], points[i, 1], points[i, 2])
    return values


@njit(cache=True, nogil=True, error_model="numpy")
def _group_sum(cubes, slots, share, group, groups):  # type: ignore[no-untyped-def]
    """[G, 6 n n] sum of share [W] times the cubes at slots [W], by group [W]."""
    total = np.zeros((groups, cubes.shape[1]), dtype=np.float32)
    for k in range(len(slots)):
        cube, out, factor = cubes[slots[k]], total[group[k]], share[k]
        for n in range(len(cube)):
            out[n] += factor * cube[n]
    return total
