"""Self-calibration from motion: the audio's time offset and the array's yaw, found where the back-projection is sharpest.

A source that stands still is heard from one place only if every direction map is turned by the pose of its own moment
and by the array's true mounting: while the robot turns and moves, a wrong clock or a wrong yaw smears the back-projection.
Source place, offset and yaw are the maximum of one sum of direction maps (a maximum of contrast, as Levinson & Thrun
2013 calibrate laser scanners). Its uncertainty is the sandwich of the sum's curvature and of how much blocks of windows
contradict each other (Godambe 1960). A parameter that the motion leaves open keeps its wide prior.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from echoseg_ros.geometry import PoseTrack, inverse, transform
from echoseg_ros.sound.array import ArrayGeometry
from echoseg_ros.sound.backproject import Float32, _look_up, cube_nodes
from echoseg_ros.sound.evidence import fibonacci_sphere
from echoseg_ros.types import RESTART_BACK_NS, Array, SoundEvidence

# Windows kept, and how many seconds of sound make a first estimate.
MEMORY_S, MIN_HEARD_S = 30.0, 8.0
# The offset is looked for within this; the yaw all around.
MAX_OFFSET_S = 0.3
# What is known beforehand (standard deviations): bearing and elevation of the source, log of its range, offset, yaw.
_PRIOR_STD = np.array([3.0, 3.0, 1.0, 0.2, 1.0])
# Steps of the finite differences: a fifth of a beam, so that the cells of the look-up average out.
_STEP = np.array([0.05, 0.05, 0.15, 0.03, 0.05])
# No step of the search is longer than so many of these.
_REACH = 4.0
_OFFSET, _YAW = 3, 4
# Nearest directions that share a node of the cube, and the width of their weights in spacings of the directions.
_NEIGHBOURS, _BLUR = 16, 0.8
# Poses are read off the track at this spacing and interpolated between.
_POSE_STEP_NS = 20_000_000
_BLOCK_S = 1.0
# The coarse search: directions and ranges (in extents of the path) of the source, and yaws.
_COARSE_WINDOWS, _STARTS, _ITERATIONS, _DAMPING = 32, 2, 16, 1e-3
_COARSE_DIRECTIONS = fibonacci_sphere(250)
_COARSE_RANGES = np.array([0.7, 1.5, 3.0, 8.0])
_COARSE_YAWS_RAD = np.radians(np.arange(-180, 180, 20))
# Errors that more windows do not remove: the middle of a window is not always that of its sound; reflections.
_LEAST_SIGMA_S, _LEAST_SIGMA_RAD = 0.002, np.radians(0.3)
# Reflections bias neighbouring blocks alike, so they contradict each other too little: by these factors (44 recordings in
# rooms of 0.4 s, eval/sound_calibration.py).
_INFLATION = np.array([1.0, 1.0, 1.0, 1.4, 2.0])
_ORIGIN: Float32 = np.zeros(3, dtype=np.float32)
# Better than this on both, and the motion was enough.
ENOUGH_S, ENOUGH_RAD = 0.03, np.radians(3.0)


# Sensor time between two estimates of a running calibration: each costs about 0.1 s.
PERIOD_S = 5.0


@dataclass(frozen=True)
class CalibrationEstimate:
    """What the motion says about clock and mounting, against how they are set now.

    offset_s: to be added to audio stamps; yaw_rad: by how much the array is turned on the robot, about up_array [3], the
    direction of the map's up axis in the array frame (mean over the motion); sigma_*: standard deviations, as large as
    the prior's (0.2 s, 1 rad) where the motion does not tell; enough_motion: both are small (30 ms, 3 degrees);
    contrast: mean contrast of the sound towards the best place (1 = a lone plane wave).
    """

    offset_s: float
    yaw_rad: float
    sigma_offset_s: float
    sigma_yaw_rad: float
    enough_motion: bool
    up_array: Array
    contrast: float

    def T_array_true(self) -> Array:
        """[4, 4] takes points of the array as it is mounted into the array frame as it is described."""
        return transform(Rotation.from_rotvec(self.yaw_rad * self.up_array).as_matrix(), np.zeros(3))

    def __str__(self) -> str:
        offset = f"audio offset {1e3 * self.offset_s:+.0f} ms (+-{1e3 * self.sigma_offset_s:.0f})"
        yaw = f"array yaw {np.degrees(self.yaw_rad):+.1f} degrees (+-{np.degrees(self.sigma_yaw_rad):.1f})"
        return f"{offset}, {yaw}{'' if self.enough_motion else '; the motion does not tell more'}"


class SelfCalibration:
    """Evidence of a moving array in, its clock and yaw out. Holds the last 30 s; one thread uses it."""

    def __init__(self, array: ArrayGeometry) -> None:
        self._T_camera_array = array.T_camera_array
        self._resample: _Smooth | None = None
        self._windows: deque[_Heard] = deque()
        self._poses = _DensePoses()

    def add(self, evidence: SoundEvidence, poses: PoseTrack) -> None:
        """Remember a window; `poses` is the camera's track as it came, T_map_camera by sensor time."""
        if self._windows and evidence.stamp_ns < self._windows[-1].stamp_ns - RESTART_BACK_NS:
            self.clear()
        if self._resample is None or not np.array_equal(self._resample.directions, evidence.directions_array):
            self._resample = _Smooth(evidence.directions_array)
        total = evidence.energy.sum(axis=0)
        cube = self._resample(total - total.mean())
        self._windows.append(_Heard(evidence.stamp_ns, evidence.duration_s, evidence.activity, cube))
        while self._windows[0].stamp_ns < evidence.stamp_ns - MEMORY_S * 1e9:
            self._windows.popleft()
        self._poses.extend(poses, self._windows[0].stamp_ns - int(MAX_OFFSET_S * 1e9))

    def clear(self) -> None:
        """Forget everything (time went backwards)."""
        self._windows.clear()
        self._poses = _DensePoses()

    def estimate(self) -> CalibrationEstimate | None:
        """The best offset and yaw of the last 30 s, None before some seconds of sound."""
        heard = [w for w in self._windows if w.activity > 0.05 and self._poses.around(w.stamp_ns)]
        if not heard or _heard_s(heard) < MIN_HEARD_S:
            return None
        return _Search(heard, self._poses, self._T_camera_array).estimate()


class _Smooth:
    """From values on scattered directions [D] to a cube's nodes [6 n n], smooth enough to be differentiated."""

    def __init__(self, directions: NDArray[np.floating[Any]]) -> None:
        self.directions = directions
        distance, self._index = cKDTree(directions).query(cube_nodes(), k=_NEIGHBOURS)
        weights = np.exp(-0.5 * (distance / (_BLUR * np.sqrt(4 * np.pi / len(directions)))) ** 2)
        self._weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

    def __call__(self, values: NDArray[np.floating[Any]]) -> Float32:
        return np.einsum("nk,nk->n", values.astype(np.float32)[self._index], self._weights)


@dataclass(frozen=True)
class _Heard:
    """A window: its direction map as a cube [6 n n] in the array frame."""

    stamp_ns: int
    duration_s: float
    activity: float
    cube: Float32


def _heard_s(heard: list[_Heard]) -> float:
    spacing_s = np.diff([w.stamp_ns / 1e9 for w in heard], prepend=heard[0].stamp_ns / 1e9 - heard[0].duration_s)
    return float(np.minimum(spacing_s, [w.duration_s for w in heard]) @ [w.activity for w in heard])


class _DensePoses:
    """Poses read off a track every 20 ms, NaN where it has none."""

    def __init__(self) -> None:
        self._first_ns = 0
        self._poses: Array = np.empty((0, 4, 4))

    def extend(self, track: PoseTrack, from_ns: int) -> None:
        """Read what is new; forget what is older than `from_ns`."""
        first_ns = from_ns // _POSE_STEP_NS * _POSE_STEP_NS
        if len(self._poses) == 0:
            self._first_ns = first_ns
        gone = max(0, (first_ns - self._first_ns) // _POSE_STEP_NS)
        self._poses, self._first_ns = self._poses[gone:], self._first_ns + gone * _POSE_STEP_NS
        newest_ns = track.newest_ns or 0
        start_ns = self._first_ns + len(self._poses) * _POSE_STEP_NS
        found = [track.at(ns) for ns in range(start_ns, newest_ns + 1, _POSE_STEP_NS)]
        if found:
            nowhere = np.full((4, 4), np.nan)
            self._poses = np.concatenate([self._poses, [nowhere if T is None else T for T in found]])

    def around(self, stamp_ns: int) -> bool:
        """Whether there are poses wherever the offset may put this moment."""
        reach_ns = int(MAX_OFFSET_S * 1e9)
        first = (stamp_ns - reach_ns - self._first_ns) // _POSE_STEP_NS
        last = -((self._first_ns - stamp_ns - reach_ns) // _POSE_STEP_NS)
        inside = first >= 0 and last < len(self._poses)
        return inside and bool(np.isfinite(self._poses[first : last + 1, 0, 0]).all())

    def at(self, stamps_ns: Array) -> Array:
        """[..., 4, 4] at stamps [...] within the track; rotations between poses 20 ms apart are linear enough."""
        place = (stamps_ns - self._first_ns) / _POSE_STEP_NS
        index = np.clip(np.floor(place).astype(np.int64), 0, len(self._poses) - 2)
        share = (place - index)[..., None, None]
        return (1 - share) * self._poses[index] + share * self._poses[index + 1]


class _Search:
    """One estimate: parameters are [bearing, elevation, log range, offset, yaw] about a start, in rad and seconds."""

    def __init__(self, heard: list[_Heard], poses: _DensePoses, T_camera_array: Array) -> None:
        self._poses, self._T_camera_array = poses, T_camera_array
        self._stamps_ns = np.array([w.stamp_ns for w in heard], dtype=float)
        self._weights = np.array([w.activity for w in heard])
        self._cubes = np.stack([w.cube for w in heard])
        T_map_array = self._T_map_array(np.zeros(1))[0]
        self._centre_m = T_map_array[:, :3, 3].mean(axis=0)
        up_array = T_map_array[:, 2, :3].mean(axis=0)
        self._up_array = up_array / np.linalg.norm(up_array)
        spread_m = float(np.sqrt(T_map_array[:, :3, 3].var(axis=0).sum()))
        # The world may have no metres: ranges are counted in extents of the path.
        self._extent_m = spread_m if spread_m > 1e-3 else 1.0
        self._axes = np.eye(3)

    def estimate(self) -> CalibrationEstimate:
        found = [self._climb(axes, start) for axes, start in self._starts()]
        score, axes, best = max(found, key=lambda item: item[0])
        self._axes = axes
        covariance = self._covariance(best)
        sigmas = np.minimum(_INFLATION * np.sqrt(np.diag(covariance)), _PRIOR_STD)
        sigma_s, sigma_rad = max(float(sigmas[_OFFSET]), _LEAST_SIGMA_S), max(float(sigmas[_YAW]), _LEAST_SIGMA_RAD)
        if abs(best[_OFFSET]) > MAX_OFFSET_S - _STEP[_OFFSET]:
            sigma_s = float(_PRIOR_STD[_OFFSET])
        yaw_rad = float((best[_YAW] + np.pi) % (2 * np.pi) - np.pi)
        enough = sigma_s < ENOUGH_S and sigma_rad < ENOUGH_RAD
        return CalibrationEstimate(
            float(best[_OFFSET]), yaw_rad, sigma_s, sigma_rad, enough, self._up_array, score / self._weights.sum()
        )

    def _starts(self) -> list[tuple[Array, Array]]:
        """The best places of a coarse search: axes [3, 3] whose first points at the source, and parameters [5]."""
        few = np.unique(np.linspace(0, len(self._stamps_ns) - 1, _COARSE_WINDOWS).astype(int))
        offsets_m = (_COARSE_RANGES[:, None, None] * _COARSE_DIRECTIONS).reshape(-1, 3)
        sources = self._centre_m + self._extent_m * offsets_m
        T_map_array = self._T_map_array(np.zeros(1))[0, few]
        score = np.zeros((len(_COARSE_YAWS_RAD), len(sources)))
        for y, turn in enumerate(self._turns(_COARSE_YAWS_RAD)):
            rotations = np.ascontiguousarray(T_map_array[:, :3, :3] @ turn)
            places = np.ascontiguousarray(T_map_array[:, :3, 3])
            score[y] = _coarse_score(self._cubes[few], self._weights[few], rotations, places, sources)
        # Where the motion does not tell, the yaw is the one that was described.
        score *= 1 - 0.01 * np.abs(_COARSE_YAWS_RAD[:, None]) / np.pi
        starts = []
        for _ in range(_STARTS):
            y, p = divmod(int(np.argmax(score)), score.shape[1])
            score[(np.arange(-1, 2) + y) % len(score)] = -np.inf  # the next start has another yaw
            direction = _COARSE_DIRECTIONS[p % len(_COARSE_DIRECTIONS)]
            log_range = np.log(_COARSE_RANGES[p // len(_COARSE_DIRECTIONS)])
            starts.append((_axes_towards(direction), np.array([0.0, 0.0, log_range, 0.0, _COARSE_YAWS_RAD[y]])))
        return starts

    def _climb(self, axes: Array, start: Array) -> tuple[float, Array, Array]:
        """(score, axes, parameters) of the maximum near a start: Newton's steps, shortened until they lead upwards."""
        self._axes, here = axes, start
        for _ in range(_ITERATIONS):
            step, score = self._newton_step(here)
            tries = self._bounded(here + np.outer([1.0, 0.5, 0.2, 0.05], step))
            scores = self._values(tries).sum(axis=0)
            k = int(np.argmax(scores))
            if scores[k] <= score + 1e-6 * abs(score):
                break
            here = tries[k]
        return float(self._values(here[None]).sum()), axes, here

    def _newton_step(self, here: Array) -> tuple[Array, float]:
        """The step [5] to the top of the paraboloid, upwards along every axis and bounded; and the sum here."""
        values, gradients, hessian = self._derivatives(here)
        size, vectors = np.linalg.eigh(-hessian * np.outer(_STEP, _STEP))
        floor = max(_DAMPING * float(np.abs(size).max()), 1e-9)
        slope = vectors.T @ (gradients.sum(axis=0) * _STEP)
        along = np.clip(slope / np.maximum(np.abs(size), floor), -_REACH, _REACH)  # an open direction holds up no other
        return _STEP * (vectors @ along), float(values.sum())

    def _bounded(self, parameters: Array) -> Array:
        bounded = parameters.copy()
        bounded[:, _OFFSET] = np.clip(bounded[:, _OFFSET], -MAX_OFFSET_S, MAX_OFFSET_S)
        bounded[:, 2] = np.clip(bounded[:, 2], np.log(0.2), np.log(30.0))
        return bounded

    def _covariance(self, best: Array) -> Array:
        """[5, 5] the sandwich of curvature and of the blocks' contradictions, with what is known beforehand."""
        _, gradients, hessian = self._derivatives(best)
        curvature = -hessian * np.outer(_STEP, _STEP)
        block = ((self._stamps_ns - self._stamps_ns[0]) // (_BLOCK_S * 1e9)).astype(int)
        sums = np.stack([np.bincount(block, g) for g in (gradients * _STEP).T], axis=1)
        sums = sums[np.bincount(block) > 0]
        count = len(sums)
        scatter = sums.T @ sums * count / max(1, count - len(best))
        size, vectors = np.linalg.eigh(curvature)
        curvature = (vectors * np.maximum(size, 0.0)) @ vectors.T  # a saddle knows nothing along its rising direction
        scatter += 1e-6 * max(float(np.trace(scatter)), 1e-12) * np.eye(len(best))
        information = curvature @ np.linalg.solve(scatter, curvature)
        return np.linalg.inv(information / np.outer(_STEP, _STEP) + np.diag(_PRIOR_STD**-2.0))

    def _derivatives(self, here: Array) -> tuple[Array, Array, Array]:
        """Weighted values [W], their gradients [W, 5], and the hessian [5, 5] of their sum, by central differences."""
        n = len(here)
        pairs = [(i, j) for i in range(n) for j in range(i)]
        moves = [np.zeros(n), *np.eye(n), *-np.eye(n)]
        moves += [sign * (np.eye(n)[i] + np.eye(n)[j]) for sign in (1, -1) for i, j in pairs]
        values = self._values(here + np.array(moves) * _STEP)
        plus, minus = values[:, 1 : n + 1], values[:, n + 1 : 2 * n + 1]
        total = values.sum(axis=0)
        hessian = np.diag(total[1 : n + 1] + total[n + 1 : 2 * n + 1] - 2 * total[0])
        for k, (i, j) in enumerate(pairs):
            both = total[2 * n + 1 + k] + total[2 * n + 1 + len(pairs) + k] - 2 * total[0]
            hessian[i, j] = hessian[j, i] = (both - hessian[i, i] - hessian[j, j]) / 2
        return values[:, 0], (plus - minus) / (2 * _STEP), hessian / np.outer(_STEP, _STEP)

    def _values(self, parameters: Array) -> Array:
        """[W, K] each window's weighted contrast towards the source, for parameters [K, 5]."""
        tilt = np.column_stack([np.ones(len(parameters)), np.tan(np.clip(parameters[:, :2], -1.4, 1.4))])
        direction = tilt @ self._axes / np.linalg.norm(tilt, axis=1, keepdims=True)
        sources = self._centre_m + self._extent_m * np.exp(parameters[:, 2:3]) * direction
        offsets_s, which = np.unique(parameters[:, _OFFSET], return_inverse=True)
        T_map_array = self._T_map_array(offsets_s)[which.reshape(-1)]  # [K, W, 4, 4]
        rotations = T_map_array[..., :3, :3] @ self._turns(parameters[:, _YAW])[:, None]
        places = np.ascontiguousarray(T_map_array[..., :3, 3])
        return _towards(self._cubes, self._weights, rotations, places, sources)

    def _turns(self, yaws_rad: Array) -> Array:
        """[K, 3, 3] from the array as it is mounted to the array as it is described."""
        return Rotation.from_rotvec(yaws_rad[:, None] * self._up_array).as_matrix()

    def _T_map_array(self, offsets_s: Array) -> Array:
        """[K, W, 4, 4] where the array was in each window, for offsets [K]."""
        return self._poses.at(self._stamps_ns + 1e9 * offsets_s[:, None]) @ self._T_camera_array


def _axes_towards(direction: Array) -> Array:
    """[3, 3] a direction and two across it, as rows."""
    across = np.linalg.svd(direction[None])[2][1:]
    return np.concatenate([direction[None], across])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _value(cube, rotation, place, source):  # type: ignore[no-untyped-def]
    """Value of a cube [6 n n] in the array frame towards a map point [3], the array being at rotation and place."""
    x, y, z = source[0] - place[0], source[1] - place[1], source[2] - place[2]
    a = rotation[0, 0] * x + rotation[1, 0] * y + rotation[2, 0] * z
    b = rotation[0, 1] * x + rotation[1, 1] * y + rotation[2, 1] * z
    c = rotation[0, 2] * x + rotation[1, 2] * y + rotation[2, 2] * z
    return _look_up(cube, _ORIGIN, np.float32(a), np.float32(b), np.float32(c))


@njit(cache=True, nogil=True, error_model="numpy")
def _coarse_score(cubes, weights, rotations, places, sources):  # type: ignore[no-untyped-def]
    """[P] weighted sum over windows of their values towards points [P, 3]; rotations: [W, 3, 3], places: [W, 3]."""
    score = np.zeros(len(sources))
    for w in range(len(cubes)):
        for p in range(len(sources)):
            score[p] += weights[w] * _value(cubes[w], rotations[w], places[w], sources[p])
    return score


@njit(cache=True, nogil=True, error_model="numpy")
def _towards(cubes, weights, rotations, places, sources):  # type: ignore[no-untyped-def]
    """[W, K] weighted values, each set of parameters with its own rotations [K, W, 3, 3], places and source [K, 3]."""
    values = np.empty((len(cubes), len(sources)))
    for w in range(len(cubes)):
        for k in range(len(sources)):
            values[w, k] = weights[w] * _value(cubes[w], rotations[k, w], places[k, w], sources[k])
    return values


class CorrectedPoses(PoseTrack):
    """A camera's track as it has to be read for audio and array whose calibration was found to be off."""

    def __init__(self, track: PoseTrack, array: ArrayGeometry, estimate: CalibrationEstimate) -> None:
        self._track = track
        self._offset_ns = round(estimate.offset_s * 1e9)
        self._T_camera_true = array.T_camera_array @ estimate.T_array_true() @ inverse(array.T_camera_array)

    def __len__(self) -> int:
        return len(self._track)

    @property
    def newest_ns(self) -> int | None:
        """See PoseTrack; in the audio's time."""
        newest_ns = self._track.newest_ns
        return None if newest_ns is None else newest_ns - self._offset_ns

    def at(self, stamp_ns: int) -> Array | None:
        """T_map_camera [4, 4] such that the array as it is described is where the array is."""
        T_map_camera = self._track.at(stamp_ns + self._offset_ns)
        return None if T_map_camera is None else T_map_camera @ self._T_camera_true


class CalibrationWatch:
    """Calibration beside a running sound side: an estimate every 5 s, applied to the poses if asked to.

    mode: off, report or apply, as `sound.self_calibration`. `newest` is the last estimate, `applied` the one in use.
    """

    def __init__(self, array: ArrayGeometry, mode: str) -> None:
        self._array, self._mode = array, mode
        self._calibration = SelfCalibration(array)
        self._due_ns: int | None = None
        self.newest: CalibrationEstimate | None = None
        self.applied: CalibrationEstimate | None = None

    def add(self, evidence: SoundEvidence, poses: PoseTrack) -> None:
        """Take a window and the camera's track as it came."""
        if self._mode == "off":
            return
        self._calibration.add(evidence, poses)
        if self._due_ns is None or evidence.stamp_ns < self._due_ns - 2 * PERIOD_S * 1e9:
            self._due_ns = evidence.stamp_ns + int(PERIOD_S * 1e9)
        if evidence.stamp_ns < self._due_ns:
            return
        self._due_ns = evidence.stamp_ns + int(PERIOD_S * 1e9)
        self.newest = self._calibration.estimate() or self.newest
        if self._mode == "apply" and self.newest is not None and self.newest.enough_motion:
            self.applied = self.newest

    def poses(self, track: PoseTrack) -> PoseTrack:
        """The track as the sound has to read it."""
        return track if self.applied is None else CorrectedPoses(track, self._array, self.applied)

    def clear(self) -> None:
        """Forget the windows (time went backwards); what was found stays."""
        self._calibration.clear()
        self._due_ns = None
