"""Near-field correction of back-projected evidence: spherical instead of plane waves near the array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S
from echoseg_ros.types import Float32Array, Float64Array

# Waves from farther places count as plane: at a cube of 10 cm the difference is at most 10 microseconds.
NEAR_M = 1.0
# Most windows whose correlations are evaluated for one ray.
MAX_WINDOWS = 32
# Places nearer to the array's origin than this have no direction.
MIN_DISTANCE_M = 1e-3


@dataclass(frozen=True)
class NearFieldWindows:
    """Correlations and poses of windows, to be evaluated at places within NEAR_M of the array.

    By slot of the evidence memory: correlations [S, P, L] as in SoundEvidence, places [S, 3] of the array in the map, turns
    [S, 3, 3] from the array into the map. By window: slots [W], weights [W]. microphones_m: [M, 3] in the array frame.
    """

    correlations: Float32Array
    slots: NDArray[np.int64]
    places: Float32Array
    turns: Float32Array
    weights: Float64Array
    microphones_m: Float64Array
    lag_step_s: float

    def near_ray(self, apex_m: Float64Array, direction: Float64Array) -> NearFieldWindows:
        """At most MAX_WINDOWS of the windows within NEAR_M of a ray from apex_m [3], evenly chosen, with the weight of all."""
        offsets = self.places[self.slots] - apex_m
        ahead_m = offsets @ direction
        across_m = np.linalg.norm(offsets - np.outer(ahead_m, direction), axis=1)
        near = np.flatnonzero((across_m < NEAR_M) & (ahead_m > -NEAR_M))
        chosen = near[np.linspace(0, len(near) - 1, min(len(near), MAX_WINDOWS)).round().astype(np.int64)]
        total, kept = float(self.weights[near].sum()), float(self.weights[chosen].sum())
        return replace(self, slots=self.slots[chosen], weights=self.weights[chosen] * (total / max(kept, 1e-12)))

    def correction(self, points_map: NDArray[np.floating[Any]]) -> Float64Array:
        """[N] change of the weighted sum of the direction maps at points [N, 3] by spherical instead of plane waves."""
        points = np.asarray(points_map, dtype=float)
        steps_per_m = 1 / (SPEED_OF_SOUND_M_PER_S * self.lag_step_s)
        correction: Float64Array = _sphere_minus_plane(
            self.correlations,
            self.slots,
            self.places,
            self.turns,
            self.weights,
            self.microphones_m,
            steps_per_m,
            points,
        )
        return correction


@njit(cache=True, nogil=True, error_model="numpy")
def _sphere_minus_plane(  # type: ignore[no-untyped-def]
    correlations, slots, places, turns, weights, microphones_m, steps_per_m, points
):
    """[N] weighted sum over windows of correlations [S, P, L] at the lags of spheres less those at the lags of planes."""
    out = np.zeros(len(points))
    sphere, plane = np.empty(len(microphones_m)), np.empty(len(microphones_m))
    lags = correlations.shape[2]
    middle, last = 0.5 * (lags - 1), lags - 2.001
    for w in range(len(slots)):
        turn, place, window = turns[slots[w]], places[slots[w]], correlations[slots[w]]
        for n in range(len(points)):
            x, y, z = points[n, 0] - place[0], points[n, 1] - place[1], points[n, 2] - place[2]
            distance = np.sqrt(x * x + y * y + z * z)
            if distance > NEAR_M or distance < MIN_DISTANCE_M:
                continue
            a = turn[0, 0] * x + turn[1, 0] * y + turn[2, 0] * z
            b = turn[0, 1] * x + turn[1, 1] * y + turn[2, 1] * z
            c = turn[0, 2] * x + turn[1, 2] * y + turn[2, 2] * z
            for m in range(len(microphones_m)):
                p, q, r = a - microphones_m[m, 0], b - microphones_m[m, 1], c - microphones_m[m, 2]
                sphere[m] = np.sqrt(p * p + q * q + r * r) * steps_per_m
                ahead = a * microphones_m[m, 0] + b * microphones_m[m, 1] + c * microphones_m[m, 2]
                plane[m] = -ahead / distance * steps_per_m
            total, pair = 0.0, 0
            for i in range(len(microphones_m)):
                for j in range(i + 1, len(microphones_m)):
                    correlation = window[pair]
                    total += _cubic(correlation, min(max(middle + sphere[i] - sphere[j], 1.0), last))
                    total -= _cubic(correlation, min(max(middle + plane[i] - plane[j], 1.0), last))
                    pair += 1
            out[n] += weights[w] * total
    return out


@njit(cache=True, nogil=True, inline="always")
def _cubic(values, place):  # type: ignore[no-untyped-def]
    """Cubic interpolation between four grid values (Catmull & Rom 1974)."""
    n = int(place)
    s = place - n
    v0, v1, v2, v3 = values[n - 1], values[n], values[n + 1], values[n + 2]
    return v1 + 0.5 * s * (v2 - v0 + s * (2 * v0 - 5 * v1 + 4 * v2 - v3 + s * (3 * (v1 - v2) + v3 - v0)))
