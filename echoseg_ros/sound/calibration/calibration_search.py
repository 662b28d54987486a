"""Where the back-projection of moments is sharpest: source place, clock, yaw and size of the head, climbed to together.

The sum of all moments' correlations at the lags of one place is the larger the more right pose, mounting and lags are (a
maximum of contrast, as Levinson & Thrun 2013 calibrate laser scanners). Its uncertainty is the sandwich of the sum's
curvature and of how much blocks of moments contradict each other (Godambe 1960), and the distance to other maxima by the
chance that they are the true one. A parameter that the motion leaves open keeps its wide prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import norm

from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.calibration.moments import Moment
from echoseg_ros.sound.calibration.pose_grid import PoseGrid
from echoseg_ros.types import Float64Array

# The offset is looked for within this; the yaw all around.
MAX_OFFSET_S = 0.3
# Parameters: bearing and elevation of the source, log of its range, offset, yaw, log of the delays' scale.
OFFSET, YAW, SCALE = 3, 4, 5
# What is known of them beforehand (standard deviations).
PRIOR_STD = np.array([3.0, 3.0, 1.0, 0.2, 1.0, 0.25])
# Steps of the finite differences: a fifth of a beam.
_STEP = np.array([0.05, 0.05, 0.15, 0.03, 0.05, 0.05])
# No step of the search is longer than so many of these.
_REACH = 4.0
_BLOCK_S = 1.0
# The coarse search: moments, directions and ranges (in extents of the path) of the source, yaws and scales.
_COARSE_MOMENTS, _STARTS, _ITERATIONS, _DAMPING = 32, 3, 24, 1e-3
_COARSE_DIRECTIONS = fibonacci_sphere(160)
_COARSE_RANGES = np.array([0.7, 2.0, 6.0])
_COARSE_YAWS_RAD = np.radians(np.arange(-180, 180, 20))
_COARSE_LOG_SCALES = np.log([0.78, 0.88, 1.0, 1.13, 1.28])
_BOUNDS = np.array([[-np.inf, np.inf], [-np.inf, np.inf], [np.log(0.2), np.log(30.0)], [-MAX_OFFSET_S, MAX_OFFSET_S],
                    [-np.inf, np.inf], [np.log(0.6), np.log(1.55)]])  # fmt: skip


@dataclass(frozen=True)
class Maximum:
    """parameters and their standard deviations, [5] or with a scale [6]; contrast: mean over moments (1 = a lone wave)."""

    parameters: Float64Array
    sigmas: Float64Array
    contrast: float


class Search:
    """One search. up_array [3]: the map's up axis in the array frame, mean over the motion; yaw turns about it."""

    def __init__(
        self, moments: Sequence[Moment], weights: Float64Array, poses: PoseGrid, array: ArrayGeometry,
        pairs: NDArray[np.int64], lag_step_s: float,
    ) -> None:  # fmt: skip
        self._poses, self._T_camera_array = poses, array.T_camera_array
        self._stamps_ns = np.array([m.stamp_ns for m in moments], dtype=float)
        self._weights = weights
        self._correlations = np.stack([m.correlation for m in moments])
        self._pairs = pairs
        self._places = -array.microphones_m / (SPEED_OF_SOUND_M_PER_S * lag_step_s)
        self._head = np.empty((0, 1, 1)) if array.head is None else _head_delays(array) / lag_step_s
        # A sphere's size is often guessed; microphones are measured.
        self._size = 6 if array.head is not None and array.head.radius_m is not None else 5
        T_map_array = self._T_map_array(np.zeros(1))[0]
        self._centre_m = T_map_array[:, :3, 3].mean(axis=0)
        up_array = T_map_array[:, 2, :3].mean(axis=0)
        self.up_array = up_array / np.linalg.norm(up_array)
        spread_m = float(np.sqrt(T_map_array[:, :3, 3].var(axis=0).sum()))
        # The world may have no metres: ranges are counted in extents of the path.
        self._extent_m = spread_m if spread_m > 1e-3 else 1.0
        self._axes = np.eye(3)

    def maximum(self) -> Maximum:
        """The highest maximum."""
        found = sorted((self._climb(axes, start) for axes, start in self._starts()), key=lambda item: -item[0])
        score, self._axes, best = found[0]
        variances = np.diag(self._covariance(best)).copy()
        here = self._values(best[None])[:, 0]
        for _, axes, other in found[1:]:
            self._axes = axes
            apart = other - best
            apart[YAW] = (apart[YAW] + np.pi) % (2 * np.pi) - np.pi
            rival = self._chance(self._values(other[None])[:, 0] - here) * min(1.0, _prior(other) / _prior(best))
            variances += rival * np.square(apart)
        sigmas = np.minimum(np.sqrt(variances), PRIOR_STD[: self._size])
        return Maximum(best, sigmas, score / float(self._weights.sum()))

    def _chance(self, better: Float64Array) -> float:
        """That a sum of values [W] would be positive, had other blocks been heard."""
        sums = self._by_block(better)
        return float(norm.cdf(sums.sum() / max(float(np.sqrt(np.square(sums).sum())), 1e-12)))

    def _by_block(self, values: Float64Array) -> Float64Array:
        """[B] sums of values [W] over seconds that hold any."""
        block = ((self._stamps_ns - self._stamps_ns[0]) // (_BLOCK_S * 1e9)).astype(int)
        sums: Float64Array = np.bincount(block, values).astype(float)
        return sums[np.bincount(block) > 0]

    def _starts(self) -> list[tuple[Float64Array, Float64Array]]:
        """The best places of a coarse search: axes [3, 3] whose first points at the source, and parameters."""
        few = np.unique(np.linspace(0, len(self._stamps_ns) - 1, _COARSE_MOMENTS).astype(int))
        directions, ranges = len(_COARSE_DIRECTIONS), len(_COARSE_RANGES)
        sources = self._centre_m + self._extent_m * (_COARSE_RANGES[:, None, None] * _COARSE_DIRECTIONS).reshape(-1, 3)
        log_scales = _COARSE_LOG_SCALES if self._size > SCALE else np.zeros(1)
        T_map_array = self._T_map_array(np.zeros(1))[:, few]
        score = np.empty((len(_COARSE_YAWS_RAD), len(log_scales), len(sources)))
        for y, s in np.ndindex(score.shape[:2]):
            yaws_rad, scales = np.full(len(sources), _COARSE_YAWS_RAD[y]), np.full(len(sources), np.exp(log_scales[s]))
            score[y, s] = self._towards(
                few, T_map_array, np.zeros(len(sources), dtype=int), yaws_rad, sources, scales
            ).sum(0)
        # Where the motion does not tell, the yaw and the scale are those that were described.
        score *= 1 - 0.01 * np.abs(_COARSE_YAWS_RAD[:, None, None]) / np.pi
        score *= 1 - 0.02 * np.abs(log_scales[:, None])
        starts = []
        for _ in range(_STARTS):
            y, s, p = np.unravel_index(int(np.argmax(score)), score.shape)
            score[(np.arange(-1, 2) + y) % len(score)] = -np.inf  # the next start has another yaw
            start = np.array(
                [0.0, 0.0, np.log(_COARSE_RANGES[p // directions % ranges]), 0.0, _COARSE_YAWS_RAD[y], log_scales[s]]
            )
            starts.append((_axes_towards(_COARSE_DIRECTIONS[p % directions]), start[: self._size]))
        return starts

    def _climb(self, axes: Float64Array, start: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """(score, axes, parameters) of the maximum near a start: Newton's steps, shortened until they lead upwards."""
        self._axes, here = axes, start
        for _ in range(_ITERATIONS):
            step, score = self._newton_step(here)
            tries = np.clip(here + np.outer([1.0, 0.5, 0.2, 0.05], step), *_BOUNDS[: self._size].T)
            scores = self._values(tries).sum(axis=0)
            k = int(np.argmax(scores))
            if scores[k] <= score + 1e-6 * abs(score):
                break
            here = tries[k]
        return float(self._values(here[None]).sum()), axes, here

    def _newton_step(self, here: Float64Array) -> tuple[Float64Array, float]:
        """The step to the top of the paraboloid, upwards along every axis and bounded; and the sum here."""
        values, gradients, hessian = self._derivatives(here)
        unit = _STEP[: self._size]
        size, vectors = np.linalg.eigh(-hessian * np.outer(unit, unit))
        floor = max(_DAMPING * float(np.abs(size).max()), 1e-9)
        slope = vectors.T @ (gradients.sum(axis=0) * unit)
        along = np.clip(slope / np.maximum(np.abs(size), floor), -_REACH, _REACH)  # an open direction holds up no other
        return unit * (vectors @ along), float(values.sum())

    def _covariance(self, best: Float64Array) -> Float64Array:
        """[n, n] the sandwich of curvature and of the blocks' contradictions, with what is known beforehand."""
        unit = _STEP[: self._size]
        _, gradients, hessian = self._derivatives(best, exactly=True)
        curvature = -hessian * np.outer(unit, unit)
        sums = np.stack([self._by_block(g) for g in (gradients * unit).T], axis=1)
        count = len(sums)
        scatter = sums.T @ sums * count / max(1, count - len(best))
        size, vectors = np.linalg.eigh(curvature)
        curvature = (vectors * np.maximum(size, 0.0)) @ vectors.T  # a saddle knows nothing along its rising direction
        scatter += 1e-6 * max(float(np.trace(scatter)), 1e-12) * np.eye(len(best))
        information = curvature @ np.linalg.solve(scatter, curvature)
        return np.linalg.inv(information / np.outer(unit, unit) + np.diag(PRIOR_STD[: self._size] ** -2.0))

    def _derivatives(
        self, here: Float64Array, exactly: bool = False
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Weighted values [W], their gradients [W, n], and the hessian [n, n] of their sum, by central differences.

        exactly: mixed terms by four points. By two, terms of fourth order make of an open yaw an open offset.
        """
        n, unit = len(here), _STEP[: len(here)]
        pairs = [(i, j) for i in range(n) for j in range(i)]
        moves = [np.zeros(n), *np.eye(n), *-np.eye(n)]
        moves += [sign * (np.eye(n)[i] + np.eye(n)[j]) for sign in (1, -1) for i, j in pairs]
        if exactly:
            moves += [sign * (np.eye(n)[i] - np.eye(n)[j]) for sign in (1, -1) for i, j in pairs]
        values = self._values(here + np.array(moves) * unit)
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

    def _values(self, parameters: Float64Array) -> Float64Array:
        """[W, K] each moment's weighted contrast towards the source, for parameters [K, n]."""
        tilt = np.column_stack([np.ones(len(parameters)), np.tan(np.clip(parameters[:, :2], -1.4, 1.4))])
        direction = tilt @ self._axes / np.linalg.norm(tilt, axis=1, keepdims=True)
        sources = self._centre_m + self._extent_m * np.exp(parameters[:, 2:3]) * direction
        offsets_s, which = np.unique(parameters[:, OFFSET], return_inverse=True)
        scales = np.exp(parameters[:, SCALE]) if self._size > SCALE else np.ones(len(parameters))
        every = np.arange(len(self._stamps_ns))
        return self._towards(
            every, self._T_map_array(offsets_s), which.reshape(-1), parameters[:, YAW], sources, scales
        )

    def _towards(
        self,
        moments: NDArray[np.int64],
        T_map_array: Float64Array,
        which: NDArray[np.int64],
        yaws_rad: Float64Array,
        sources: Float64Array,
        scales: Float64Array,
    ) -> Float64Array:
        """[W, K] weighted values of some moments, whose poses are T_map_array [O, W, 4, 4][which [K]]."""
        turns = Rotation.from_rotvec(yaws_rad[:, None] * self.up_array).as_matrix()
        return _correlated(self._correlations, self._weights, moments, self._pairs, self._places, self._head,
                           np.ascontiguousarray(T_map_array), which, turns, sources, scales)  # fmt: skip

    def _T_map_array(self, offsets_s: Float64Array) -> Float64Array:
        """[K, W, 4, 4] where the array was in each moment, for offsets [K]."""
        return self._poses.at(self._stamps_ns + 1e9 * offsets_s[:, None]) @ self._T_camera_array


def _prior(parameters: Float64Array) -> float:
    """How likely yaw and scale are before anything is heard: a pair of ears back to front hears the mirrored room."""
    return float(np.exp(-0.5 * np.square(parameters[YAW:] / PRIOR_STD[YAW : len(parameters)]).sum()))


def _axes_towards(direction: Float64Array) -> Float64Array:
    """[3, 3] a direction and two across it, as rows."""
    across = np.linalg.svd(direction[None])[2][1:]
    return np.concatenate([direction[None], across])


def _head_delays(array: ArrayGeometry) -> Float64Array:
    """[M, E, A] seconds by elevation (-90 to 90 degrees) and azimuth (-180 to 180) about the array frame's z, every 3."""
    elevation, azimuth = np.meshgrid(
        np.linspace(-np.pi / 2, np.pi / 2, 61), np.linspace(-np.pi, np.pi, 121), indexing="ij"
    )
    unit = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )
    return np.ascontiguousarray(array.delays_for(unit.reshape(-1, 3)).T.reshape(-1, *elevation.shape))


@njit(cache=True, nogil=True, error_model="numpy")
def _correlated(correlations, weights, moments, pairs, mics, head, T_map_array, which, turns, sources, scales):  # type: ignore[no-untyped-def]
    """[W, K] weighted mean over pairs of correlations [., P, L] at the lags of sources [K, 3], cubic between lags.

    mics: [M, 3], delays of plane waves along the axes of the array frame, in steps of the lag grid; head: empty, or delays
    [M, E, A] as of `_head_delays`; turns: [K, 3, 3] from the array as mounted to
    the array as described.
    """
    values = np.empty((len(moments), len(sources)))
    late = np.empty(len(mics), dtype=np.float32)
    lags = correlations.shape[2]
    middle, last = np.float32(0.5 * (lags - 1)), np.float32(lags - 2.001)
    for w in range(len(moments)):
        correlation = correlations[moments[w]]
        for k in range(len(sources)):
            T, turn = T_map_array[which[k], w], turns[k]
            x, y, z = sources[k, 0] - T[0, 3], sources[k, 1] - T[1, 3], sources[k, 2] - T[2, 3]
            a = T[0, 0] * x + T[1, 0] * y + T[2, 0] * z
            b = T[0, 1] * x + T[1, 1] * y + T[2, 1] * z
            c = T[0, 2] * x + T[1, 2] * y + T[2, 2] * z
            u = turn[0, 0] * a + turn[1, 0] * b + turn[2, 0] * c
            v = turn[0, 1] * a + turn[1, 1] * b + turn[2, 1] * c
            t = turn[0, 2] * a + turn[1, 2] * b + turn[2, 2] * c
            if len(head):
                row = (0.5 + np.arctan2(t, np.sqrt(u * u + v * v)) / np.pi) * (head.shape[1] - 1)
                column = (0.5 + np.arctan2(v, u) / (2 * np.pi)) * (head.shape[2] - 1)
                i, j = min(int(row), head.shape[1] - 2), min(int(column), head.shape[2] - 2)
                e, f = row - i, column - j
                for m in range(len(mics)):
                    below = head[m, i, j] * (1 - f) + head[m, i, j + 1] * f
                    above = head[m, i + 1, j] * (1 - f) + head[m, i + 1, j + 1] * f
                    late[m] = (below * (1 - e) + above * e) * scales[k]
            else:
                scale = scales[k] / max(np.sqrt(u * u + v * v + t * t), 1e-9)
                for m in range(len(mics)):
                    late[m] = (u * mics[m, 0] + v * mics[m, 1] + t * mics[m, 2]) * scale
            total = np.float32(0)
            for p in range(len(pairs)):
                place = min(max(middle + late[pairs[p, 0]] - late[pairs[p, 1]], np.float32(1)), last)
                n = int(place)
                s = place - np.float32(n)
                c0, c1, c2, c3 = correlation[p, n - 1], correlation[p, n], correlation[p, n + 1], correlation[p, n + 2]
                curve = np.float32(3) * (c1 - c2) + c3 - c0
                slope = np.float32(2) * c0 - np.float32(5) * c1 + np.float32(4) * c2 - c3
                total += c1 + np.float32(0.5) * s * (c2 - c0 + s * (slope + s * curve))
            values[w, k] = weights[moments[w]] * total / np.float32(len(pairs))
    return values
