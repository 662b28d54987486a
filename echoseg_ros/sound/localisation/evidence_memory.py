"""Evidence memory: the windows of the last seconds that a decision uses.

Each window has a slot, an index into arrays that hold its direction map, its array pose, its time and its activity.
Direction maps are stored twice: as contrast (energy minus its mean over directions) on cubes aligned with the map for
back-projection, and at the sample directions of the lobe table for lobe matching.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from echoseg_ros.sound.evidence.near_field import NearFieldWindows
from echoseg_ros.sound.localisation.back_projection import (
    FACE_CELLS,
    NEIGHBOURS,
    CubeResampler,
    WindowGroups,
    cube_values,
    neighbour_weights,
)
from echoseg_ros.sound.localisation.lobe_matching import DirectionMaps
from echoseg_ros.types import Float32Array, Float64Array, Lobes, SoundEvidence

# Upper bound of the number of windows whatever the hop; a window of 8 microphones takes about 45 kB.
MAX_WINDOWS = 600
# Windows whose array positions share a cell of this size hear the same reflections: a block, m.
BLOCK_M = 0.2
# Windows whose array positions share a cell of this size are summed into one group, m.
POSITION_CELL_M = 0.05
# Windows whose array poses share a cell of this size are averaged for lobe matching, m and rad.
POSE_CELL_M = 0.15
POSE_CELL_RAD = 0.15
# Upper bound of the number of these pose cells.
MAX_POSE_CELLS = 40
# Lower bound of a window's energy relative to the lobe table, by which its map is divided.
MIN_SCALE = 1e-9


class EvidenceMemory:
    """The windows of the last `memory_s` of sensor time. One thread uses it."""

    def __init__(self, memory_s: float) -> None:
        self._memory_ns = int(memory_s * 1e9)
        self._resample: CubeResampler | None = None
        self.dimensions = 3  # that the microphones of the newest window span
        self.clear()

    def clear(self) -> None:
        """Remove all windows."""
        self._lobes: Lobes | None = None
        self._microphones_m: Float64Array | None = None
        self._correlations: Float32Array = np.empty((0, 0, 0), dtype=np.float32)
        self._maps: Float32Array = np.empty((0, 0, 0), dtype=np.float32)
        self._rotations: Float32Array = np.empty((0, 3, 3), dtype=np.float32)
        self._spectra: Float32Array = np.empty((0, 0, 0), dtype=np.float32)
        self._cubes: Float32Array = np.empty((0, 6 * (FACE_CELLS + 1) ** 2), dtype=np.float32)
        self._positions_m: Float32Array = np.empty((0, 3), dtype=np.float32)
        self._activity: Float64Array = np.empty(0)
        self._stamps_ns: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._durations_s: Float64Array = np.empty(0)
        self._count = 0  # slots in use; the arrays above are longer
        self.newest_ns = 0  # stamp of the newest window

    def add(self, evidence: SoundEvidence) -> None:
        """Add a window and reuse the slots of windows that are too old. A far backward time jump clears the memory."""
        if self._count and evidence.stamp_ns < self.newest_ns - self._memory_ns:
            self.clear()
        self.dimensions = evidence.dimensions
        self.newest_ns = max(self.newest_ns, evidence.stamp_ns) if self._count else evidence.stamp_ns
        slot = self._free_slot()
        self._cubes[slot] = self._contrast(evidence)
        self._add_maps(slot, evidence)
        self._add_correlations(slot, evidence)
        self._rotations[slot] = evidence.T_map_array[:3, :3]
        self._positions_m[slot] = evidence.T_map_array[:3, 3]
        self._activity[slot] = evidence.activity
        self._stamps_ns[slot] = evidence.stamp_ns
        self._durations_s[slot] = evidence.duration_s

    def rescale(self, factor: float) -> None:
        """Multiply all array positions by a factor, when the scale of the map changes."""
        self._positions_m *= np.float32(factor)

    def slots(self) -> NDArray[np.int64]:
        """[W] slots of the windows that are not too old, oldest first."""
        stamps_ns = self._stamps_ns[: self._count]
        order = np.argsort(stamps_ns, kind="stable")
        return order[stamps_ns[order] >= self.newest_ns - self._memory_ns]

    def stamps_and_durations(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.int64], Float64Array]:
        """[W] stamps in ns and [W] durations in s."""
        return self._stamps_ns[slots], self._durations_s[slots]

    def activity(self, slots: NDArray[np.int64]) -> Float64Array:
        """[W] activity of the windows."""
        return self._activity[slots]

    def spacing_s(self, slots: NDArray[np.int64]) -> Float64Array:
        """[W] time since the previous window, at most the duration of the window; slots: [W], oldest first."""
        stamps_ns, durations_s = self.stamps_and_durations(slots)
        return np.minimum(np.diff(stamps_ns / 1e9, prepend=stamps_ns[0] / 1e9 - 1.0), durations_s)

    def array_positions_m(self, slots: NDArray[np.int64]) -> Float64Array:
        """[W, 3] position of the array in the map."""
        return self._positions_m[slots].astype(float)

    def position_cells(self, slots: NDArray[np.int64], cell_m: float) -> NDArray[np.int64]:
        """[W] number of the cell of space that holds the array position of each window."""
        cells = np.floor(self._positions_m[slots] / cell_m).astype(np.int64)
        return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)

    def contrasts_towards(self, slots: NDArray[np.int64], point_map: Float64Array) -> Float32Array:
        """[W] contrast of each window towards a map point [3]."""
        point = np.asarray(point_map, dtype=np.float32)[None]
        contrasts: Float32Array = cube_values(self._cubes[slots], self._positions_m[slots], point)[:, 0]
        return contrasts

    def grouped_windows(self, slots: NDArray[np.int64], weights: Float64Array, cell_m: float) -> WindowGroups:
        """The windows with weights [W], those with array positions in one cell of space summed."""
        group = self.position_cells(slots, cell_m)
        total = np.bincount(group, weights=weights)
        share = (weights / np.maximum(total[group], 1e-12)).astype(np.float32)
        cubes = _group_sum(self._cubes, slots, share, group, len(total))
        positions_m = np.stack(
            [np.bincount(group, share * self._positions_m[slots, axis]) for axis in range(3)], axis=1
        )
        return WindowGroups(cubes, positions_m.astype(np.float32), (total / total.sum()).astype(np.float32))

    def direction_maps(self, slots: NDArray[np.int64], weights: Float64Array) -> DirectionMaps | None:
        """The maps of the windows with weights [W], averaged over similar array poses; None without a lobe table."""
        if self._lobes is None or not len(slots):
            return None
        slots, weights, group, count = self._pose_groups(slots, weights)
        total = np.maximum(np.bincount(group, weights=weights), 1e-12)
        mean = np.zeros((count, len(slots)), dtype=np.float32)
        mean[group, np.arange(len(slots))] = weights / total[group]
        maps = np.tensordot(mean, self._maps[slots], axes=1)
        left, _, right = np.linalg.svd(np.tensordot(mean, self._rotations[slots], axes=1))
        rotations = Rotation.from_matrix(left @ right)
        positions_m = (mean @ self._positions_m[slots]).astype(float)
        spectrum = np.tensordot(weights / weights.sum(), self._spectra[slots], axes=1)
        lobes = np.einsum("bk,bkun->bun", spectrum.astype(np.float32), self._lobes.values, optimize=True)
        return DirectionMaps(lobes, maps, positions_m, rotations.as_matrix(), total / total.sum(), spectrum)

    def near_field_windows(self, slots: NDArray[np.int64], weights: Float64Array) -> NearFieldWindows | None:
        """The windows with weights [W] for scores in the near field; None without known microphone positions."""
        if self._microphones_m is None:
            return None
        return NearFieldWindows(
            self._correlations, slots, self._positions_m, self._rotations, weights / weights.sum(),
            self._microphones_m, self._lag_step_s,
        )  # fmt: skip

    def _pose_groups(
        self, slots: NDArray[np.int64], weights: Float64Array
    ) -> tuple[NDArray[np.int64], Float64Array, NDArray[np.int64], int]:
        """Windows grouped by array pose: their slots [W], weights [W] and group numbers [W], and the number of groups.

        Of more than MAX_POSE_CELLS groups, these are taken evenly along the path. Larger cells would blur the maps.
        """
        rotation_vectors = Rotation.from_matrix(self._rotations[slots]).as_rotvec()
        key = np.floor(np.column_stack([self._positions_m[slots] / POSE_CELL_M, rotation_vectors / POSE_CELL_RAD]))
        _, first, group = np.unique(key, axis=0, return_index=True, return_inverse=True)
        group = group.reshape(-1)
        if len(first) <= MAX_POSE_CELLS:
            return slots, weights, group, len(first)
        kept = np.argsort(first)[np.linspace(0, len(first) - 1, MAX_POSE_CELLS).round().astype(np.int64)]
        number = np.full(len(first), -1)
        number[kept] = np.arange(MAX_POSE_CELLS)
        used = number[group] >= 0
        return slots[used], weights[used], number[group][used], MAX_POSE_CELLS

    def _contrast(self, evidence: SoundEvidence) -> Float32Array:
        if self._resample is None or not np.array_equal(self._resample.directions_array, evidence.directions_array):
            self._resample = CubeResampler(evidence.directions_array)
        total = evidence.energy.sum(axis=0)
        return self._resample((total - total.mean()).astype(np.float32), evidence.T_map_array[:3, :3])

    def _add_maps(self, slot: int, evidence: SoundEvidence) -> None:
        """Store the direction map in the bands and at the sample directions of the lobe table.

        Maps of different arrays cannot be combined: with a second lobe table, lobe matching is switched off.
        """
        lobes, spectrum = evidence.lobes, evidence.spectrum
        if lobes is None or spectrum is None or (self._lobes is not None and lobes is not self._lobes):
            if lobes is not self._lobes:
                self._lobes = None
            return
        if self._lobes is None:
            if self._count > 1:
                return
            self._lobes = lobes
            tree = cKDTree(evidence.directions_array)
            self._sample_index, self._sample_weights = neighbour_weights(tree, lobes.samples, NEIGHBOURS)
            self._maps = np.zeros((len(self._cubes), len(lobes.bands), len(lobes.samples)), dtype=np.float32)
            self._spectra = np.zeros((len(self._cubes), *lobes.means.shape), dtype=np.float32)
        energy = evidence.energy[lobes.bands]
        mean = energy.mean(axis=1)
        scale = np.maximum(mean / (lobes.means * spectrum).sum(axis=1), MIN_SCALE).astype(np.float32)
        at_samples = np.einsum("bnk,nk->bn", energy[:, self._sample_index], self._sample_weights)
        self._maps[slot] = (at_samples - mean[:, None]) / scale[:, None]
        self._spectra[slot] = spectrum

    def _add_correlations(self, slot: int, evidence: SoundEvidence) -> None:
        """Store the correlations of the pairs for the near field. A second array switches the near field off."""
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
        """The slot of the oldest window if that is too old or the memory is full, else a new one."""
        if self._count:
            oldest = int(np.argmin(self._stamps_ns[: self._count]))
            if self._stamps_ns[oldest] < self.newest_ns - self._memory_ns or self._count == MAX_WINDOWS:
                return oldest
        if self._count == len(self._cubes):
            self._grow(min(MAX_WINDOWS, max(32, 2 * self._count)))
        self._count += 1
        return self._count - 1

    def _grow(self, capacity: int) -> None:
        for name in ("_cubes", "_positions_m", "_activity", "_stamps_ns", "_durations_s", "_maps", "_rotations",
                     "_spectra", "_correlations"):  # fmt: skip
            old = getattr(self, name)
            new = np.zeros((capacity, *old.shape[1:]), dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)


@njit(cache=True, nogil=True, error_model="numpy")
def _group_sum(cubes, slots, share, group, groups):  # type: ignore[no-untyped-def]
    """[G, 6 n n] sum of share [W] times the cubes at slots [W], by group [W]."""
    total = np.zeros((groups, cubes.shape[1]), dtype=np.float32)
    for k in range(len(slots)):
        cube, out, factor = cubes[slots[k]], total[group[k]], share[k]
        for n in range(len(cube)):
            out[n] += factor * cube[n]
    return total
