"""Search for source position, time offset, yaw and head size at which the sub-windows agree best on one place.

The sum of the correlations of all sub-windows at the lags of one place grows with the accuracy of poses, mounting and
delays: a maximum of contrast, as Levinson & Thrun 2013 calibrate laser scanners. The covariance of the maximum is the
sandwich of the sum's curvature and of the scatter of blocks of sub-windows (Godambe 1960). Distances to other maxima
enlarge it by the probability that the other one is the true one. A parameter that the motion leaves open keeps its wide
prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import norm

from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.calibration.resampled_poses import ResampledPoses
from echoseg_ros.sound.calibration.source_contrast import head_delay_table, source_contrast
from echoseg_ros.sound.calibration.sub_windows import SubWindow
from echoseg_ros.types import Float64Array

# The offset is searched within plus or minus this; the yaw over the full turn.
MAX_OFFSET_S = 0.3
# Parameters of the search, in this order: tangents of bearing and elevation of the source against a start, logarithm of
# its range in extents of the path, offset in s, yaw in rad, and for a sphere the logarithm of the scale of the delays.
OFFSET = 3
YAW = 4
SCALE = 5
# Standard deviations of the parameters' prior.
PRIOR_SIGMAS = np.array([3.0, 3.0, 1.0, 0.2, 1.0, 0.25])
# Limits of the parameters, [6, 2].
_BOUNDS = np.array([[-np.inf, np.inf], [-np.inf, np.inf], [np.log(0.2), np.log(30.0)], [-MAX_OFFSET_S, MAX_OFFSET_S],
                    [-np.inf, np.inf], [np.log(0.6), np.log(1.55)]])  # fmt: skip
# Steps of the finite differences: a fifth of a beam.
_STEP = np.array([0.05, 0.05, 0.15, 0.03, 0.05, 0.05])
# Longest step of the search along an axis, in steps of the finite differences.
_MAX_STEPS = 4.0
# Most iterations from one start.
_ITERATIONS = 24
# Least curvature of a Newton step as a share of the largest.
_DAMPING = 1e-3
# Length of the blocks whose scatter gives the covariance.
_BLOCK_S = 1.0
# Extents of a path below this (m) count as no motion.
_MIN_EXTENT_M = 1e-3

# Coarse search: starts that it returns, sub-windows that it uses, and its grid over the parameters.
_STARTS = 3
_COARSE_SUB_WINDOWS = 32
_COARSE_DIRECTIONS = fibonacci_sphere(160)
_COARSE_RANGES = np.array([0.7, 2.0, 6.0])  # in extents of the path
_COARSE_YAWS_RAD = np.radians(np.arange(-180, 180, 20))
_COARSE_LOG_SCALES = np.log([0.78, 0.88, 1.0, 1.13, 1.28])
# Loss of score at half a turn of yaw, and for each unit of the logarithm of the scale: the described values win where the
# motion leaves them open.
_YAW_PENALTY = 0.01
_SCALE_PENALTY = 0.02


@dataclass(frozen=True)
class CalibrationFit:
    """The highest maximum.

    parameters and their standard deviations sigmas: [5], with a spherical head [6]; contrast: mean over the sub-windows
    (1 = a lone plane wave).
    """

    parameters: Float64Array
    sigmas: Float64Array
    contrast: float


class CalibrationSearch:
    """One search over a set of sub-windows.

    weights: [W] of the sub-windows; pairs: [P, 2] microphones; lag_step_s: spacing of the correlations' lags; up_array:
    [3] direction of the map's up axis in the array frame, mean over the motion, about which the yaw turns.
    """

    def __init__(
        self, sub_windows: Sequence[SubWindow], weights: Float64Array, poses: ResampledPoses, array: ArrayGeometry,
        pairs: NDArray[np.int64], lag_step_s: float,
    ) -> None:  # fmt: skip
        self._poses, self._T_camera_array = poses, array.T_camera_array
        self._stamps_ns = np.array([s.stamp_ns for s in sub_windows], dtype=float)
        self._weights = weights
        self._correlations = np.stack([s.correlation for s in sub_windows])
        self._pairs = pairs
        self._plane_delays = -array.microphones_m / (SPEED_OF_SOUND_M_PER_S * lag_step_s)
        self._head_delays = np.empty((0, 1, 1)) if array.head is None else head_delay_table(array) / lag_step_s
        # The size of a spherical head is often a guess, whereas positions of microphones are measured.
        self._parameter_count = 6 if array.head is not None and array.head.radius_m is not None else 5
        T_map_array = self._T_map_array(np.zeros(1))[0]
        self._centre_m = T_map_array[:, :3, 3].mean(axis=0)
        up_array = T_map_array[:, 2, :3].mean(axis=0)
        self.up_array = up_array / np.linalg.norm(up_array)
        spread_m = float(np.sqrt(T_map_array[:, :3, 3].var(axis=0).sum()))
        # The poses may have no metric scale: ranges are in extents of the path.
        self._extent_m = spread_m if spread_m > _MIN_EXTENT_M else 1.0

    def best_fit(self) -> CalibrationFit:
        """The highest maximum over all starts."""
        found = sorted((self._climb(axes, start) for axes, start in self._starts()), key=lambda item: -item[0])
        score, best_axes, best = found[0]
        variances = np.diag(self._covariance(best_axes, best)).copy()
        best_values = self._values(best_axes, best[None])[:, 0]
        for _, axes, other in found[1:]:
            difference = other - best
            difference[YAW] = (difference[YAW] + np.pi) % (2 * np.pi) - np.pi
            gain = self._values(axes, other[None])[:, 0] - best_values
            probability = self._probability_of_gain(gain) * min(1.0, _prior(other) / _prior(best))
            variances += probability * np.square(difference)
        sigmas = np.minimum(np.sqrt(variances), PRIOR_SIGMAS[: self._parameter_count])
        return CalibrationFit(best, sigmas, score / float(self._weights.sum()))

    def _probability_of_gain(self, gain: Float64Array) -> float:
        """Probability that the sum of values [W] would be positive for another sample of blocks."""
        sums = self._block_sums(gain)
        return float(norm.cdf(sums.sum() / max(float(np.sqrt(np.square(sums).sum())), 1e-12)))

    def _block_sums(self, values: Float64Array) -> Float64Array:
        """[B] sums of values [W] over the blocks that hold any."""
        block = ((self._stamps_ns - self._stamps_ns[0]) // (_BLOCK_S * 1e9)).astype(int)
        sums: Float64Array = np.bincount(block, values).astype(float)
        return sums[np.bincount(block) > 0]

    def _starts(self) -> list[tuple[Float64Array, Float64Array]]:
        """Starts of the search from a coarse grid: axes [3, 3], whose first points at the source, and parameters."""
        chosen = np.unique(np.linspace(0, len(self._stamps_ns) - 1, _COARSE_SUB_WINDOWS).astype(int))
        directions, ranges = len(_COARSE_DIRECTIONS), len(_COARSE_RANGES)
        sources = self._centre_m + self._extent_m * (_COARSE_RANGES[:, None, None] * _COARSE_DIRECTIONS).reshape(-1, 3)
        log_scales = _COARSE_LOG_SCALES if self._parameter_count > SCALE else np.zeros(1)
        score = self._coarse_scores(chosen, sources, log_scales)
        score *= 1 - _YAW_PENALTY * np.abs(_COARSE_YAWS_RAD[:, None, None]) / np.pi
        score *= 1 - _SCALE_PENALTY * np.abs(log_scales[:, None])
        starts = []
        for _ in range(_STARTS):
            y, s, p = np.unravel_index(int(np.argmax(score)), score.shape)
            score[(np.arange(-1, 2) + y) % len(score)] = -np.inf  # the next start has another yaw
            start = np.array(
                [0.0, 0.0, np.log(_COARSE_RANGES[p // directions % ranges]), 0.0, _COARSE_YAWS_RAD[y], log_scales[s]]
            )
            starts.append((_axes_towards(_COARSE_DIRECTIONS[p % directions]), start[: self._parameter_count]))
        return starts

    def _coarse_scores(
        self, chosen: NDArray[np.int64], sources: Float64Array, log_scales: Float64Array
    ) -> Float64Array:
        """[Y, S, K] sum of the chosen sub-windows' values for each yaw, scale and source [K, 3] of the coarse grid."""
        T_map_array = self._T_map_array(np.zeros(1))[:, chosen]
        count = len(sources)
        score = np.empty((len(_COARSE_YAWS_RAD), len(log_scales), count))
        for y, s in np.ndindex(score.shape[:2]):
            yaws_rad, scales = np.full(count, _COARSE_YAWS_RAD[y]), np.full(count, np.exp(log_scales[s]))
            values = self._values_at(chosen, T_map_array, np.zeros(count, dtype=int), yaws_rad, sources, scales)
            score[y, s] = values.sum(0)
        return score

    def _climb(self, axes: Float64Array, start: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """(score, axes, parameters) of the maximum near a start: Newton steps, shortened until the score rises."""
        here = start
        for _ in range(_ITERATIONS):
            step, score = self._newton_step(axes, here)
            tries = np.clip(here + np.outer([1.0, 0.5, 0.2, 0.05], step), *_BOUNDS[: self._parameter_count].T)
            scores = self._values(axes, tries).sum(axis=0)
            k = int(np.argmax(scores))
            if scores[k] <= score + 1e-6 * abs(score):
                break
            here = tries[k]
        return float(self._values(axes, here[None]).sum()), axes, here

    def _newton_step(self, axes: Float64Array, here: Float64Array) -> tuple[Float64Array, float]:
        """(step, score): the bounded step to the top of the local paraboloid, and the score at `here`."""
        values, gradients, hessian = self._derivatives(axes, here)
        unit = _STEP[: self._parameter_count]
        size, vectors = np.linalg.eigh(-hessian * np.outer(unit, unit))
        floor = max(_DAMPING * float(np.abs(size).max()), 1e-9)
        slope = vectors.T @ (gradients.sum(axis=0) * unit)
        # Bounded along each eigenvector by itself: a direction that the data leave open does not shorten the others.
        along = np.clip(slope / np.maximum(np.abs(size), floor), -_MAX_STEPS, _MAX_STEPS)
        return unit * (vectors @ along), float(values.sum())

    def _covariance(self, axes: Float64Array, best: Float64Array) -> Float64Array:
        """[n, n] covariance of a maximum: the sandwich of curvature and scatter of the blocks, with the prior."""
        unit = _STEP[: self._parameter_count]
        _, gradients, hessian = self._derivatives(axes, best, exactly=True)
        curvature = -hessian * np.outer(unit, unit)
        sums = np.stack([self._block_sums(g) for g in (gradients * unit).T], axis=1)
        count = len(sums)
        scatter = sums.T @ sums * count / max(1, count - len(best))
        size, vectors = np.linalg.eigh(curvature)
        curvature = (vectors * np.maximum(size, 0.0)) @ vectors.T  # a saddle has no information along its rising axis
        scatter += 1e-6 * max(float(np.trace(scatter)), 1e-12) * np.eye(len(best))
        information = curvature @ np.linalg.solve(scatter, curvature)
        prior = np.diag(PRIOR_SIGMAS[: self._parameter_count] ** -2.0)
        return np.linalg.inv(information / np.outer(unit, unit) + prior)

    def _derivatives(
        self, axes: Float64Array, here: Float64Array, exactly: bool = False
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Weighted values [W], their gradients [W, n], and the hessian [n, n] of their sum, by central differences.

        exactly: mixed terms from four points. From two points, terms of fourth order couple an open yaw with the offset.
        """
        n, unit = len(here), _STEP[: len(here)]
        pairs = [(i, j) for i in range(n) for j in range(i)]
        moves = [np.zeros(n), *np.eye(n), *-np.eye(n)]
        moves += [sign * (np.eye(n)[i] + np.eye(n)[j]) for sign in (1, -1) for i, j in pairs]
        if exactly:
            moves += [sign * (np.eye(n)[i] - np.eye(n)[j]) for sign in (1, -1) for i, j in pairs]
        values = self._values(axes, here + np.array(moves) * unit)
        plus, minus = values[:, 1 : n + 1], values[:, n + 1 : 2 * n + 1]
        total = values.sum(axis=0)
        hessian = np.diag(total[1 : n + 1] + total[n + 1 : 2 * n + 1] - 2 * total[0])
        along, *across = np.split(total[2 * n + 1 :].reshape(-1, len(pairs)), [2])
        for k, (i, j) in enumerate(pairs):
            both = along[:, k].sum() - 2 * total[0]
            mixed = (both - hessian[i, i] - hessian[j, j]) / 2
            if exactly:
                mixed = (along[:, k].sum() - across[0][:, k].sum()) / 4
            hessian[i, j] = hessian[j, i] = mixed
        return values[:, 0], (plus - minus) / (2 * unit), hessian / np.outer(unit, unit)

    def _values(self, axes: Float64Array, parameters: Float64Array) -> Float64Array:
        """[W, K] weighted contrast of each sub-window towards the source, for parameters [K, n] against axes [3, 3]."""
        tilt = np.column_stack([np.ones(len(parameters)), np.tan(np.clip(parameters[:, :2], -1.4, 1.4))])
        direction = tilt @ axes / np.linalg.norm(tilt, axis=1, keepdims=True)
        sources = self._centre_m + self._extent_m * np.exp(parameters[:, 2:3]) * direction
        offsets_s, pose_set = np.unique(parameters[:, OFFSET], return_inverse=True)
        scales = np.exp(parameters[:, SCALE]) if self._parameter_count > SCALE else np.ones(len(parameters))
        every = np.arange(len(self._stamps_ns))
        T_map_array = self._T_map_array(offsets_s)
        return self._values_at(every, T_map_array, pose_set.reshape(-1), parameters[:, YAW], sources, scales)

    def _values_at(
        self, chosen: NDArray[np.int64], T_map_array: Float64Array, pose_set: NDArray[np.int64], yaws_rad: Float64Array,
        sources: Float64Array, scales: Float64Array,
    ) -> Float64Array:  # fmt: skip
        """[W, K] weighted contrast of the chosen sub-windows [W] at poses T_map_array[pose_set[k], w]; [O, W, 4, 4]."""
        turns = Rotation.from_rotvec(yaws_rad[:, None] * self.up_array).as_matrix()
        values: Float64Array = source_contrast(
            self._correlations, self._weights, chosen, self._pairs, self._plane_delays, self._head_delays,
            np.ascontiguousarray(T_map_array), pose_set, turns, sources, scales,
        )  # fmt: skip
        return values

    def _T_map_array(self, offsets_s: Float64Array) -> Float64Array:
        """[O, W, 4, 4] poses of the array in each sub-window, for audio offsets [O]."""
        return self._poses.at(self._stamps_ns + 1e9 * offsets_s[:, None]) @ self._T_camera_array


def _prior(parameters: Float64Array) -> float:
    """Prior density of yaw and scale: two ears mounted back to front fit the mirrored room as well."""
    return float(np.exp(-0.5 * np.square(parameters[YAW:] / PRIOR_SIGMAS[YAW : len(parameters)]).sum()))


def _axes_towards(direction: Float64Array) -> Float64Array:
    """[3, 3] rows: a direction and two axes across it."""
    across = np.linalg.svd(direction[None])[2][1:]
    return np.concatenate([direction[None], across])
