"""What the direction map would be at places so near that their waves are spheres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import Float64Array, SoundEvidence

# Waves of places farther from the array are planes (a cube of 10 cm: at most 10 microseconds of bend), and so many windows tell
# what is nearer.
NEAR_M, MOST_WINDOWS = 1.0, 32


@dataclass(frozen=True)
class NearWindows:
    """Windows with what their pairs heard, to be asked at places within NEAR_M of where they were heard.

    correlations: [S, P, L] as in SoundEvidence, places: [S, 3] and turns: [S, 3, 3] of the array in the map, all of them by
    slot; slots, weights: [W] of the windows that are meant; microphones_m: [M, 3] in the array frame.
    """

    correlations: NDArray[np.float32]
    slots: NDArray[np.int64]
    places: NDArray[np.float32]
    turns: NDArray[np.float32]
    weights: Float64Array
    microphones_m: Float64Array
    lag_step_s: float

    def along(self, apex_m: Float64Array, direction: Float64Array) -> NearWindows:
        """Those within NEAR_M of a ray from apex_m [3], evenly MOST_WINDOWS of them, with the weight of all."""
        offsets = self.places[self.slots] - apex_m
        ahead_m = offsets @ direction
        across_m = np.linalg.norm(offsets - np.outer(ahead_m, direction), axis=1)
        near = np.flatnonzero((across_m < NEAR_M) & (ahead_m > -NEAR_M))
        chosen = near[np.linspace(0, len(near) - 1, min(len(near), MOST_WINDOWS)).round().astype(np.int64)]
        total, kept = float(self.weights[near].sum()), float(self.weights[chosen].sum())
        return replace(self, slots=self.slots[chosen], weights=self.weights[chosen] * (total / max(kept, 1e-12)))

    def correction(self, points_map: NDArray[np.floating[Any]]) -> Float64Array:
        """[N] by how much the weighted sum of the maps at points [N, 3] changes as waves from there are spheres."""
        points = np.asarray(points_map, dtype=float)
        per_step = 1 / (SPEED_OF_SOUND_M_PER_S * self.lag_step_s)
        return np.asarray(
            _bent(
                self.correlations,
                self.slots,
                self.places,
                self.turns,
                self.weights,
                self.microphones_m,
                per_step,
                points,
            )
        )


@njit(cache=True, nogil=True, error_model="numpy")
def _bent(correlations, slots, places, turns, weights, mics, per_step, points):  # type: ignore[no-untyped-def]
    """[N] weighted sum over windows of correlations [S, P, L] at a sphere's lags less those at a plane wave's."""
    out = np.zeros(len(points))
    sphere, plane = np.empty(len(mics)), np.empty(len(mics))
    lags = correlations.shape[2]
    middle, last = 0.5 * (lags - 1), lags - 2.001
    for w in range(len(slots)):
        turn, place, heard = turns[slots[w]], places[slots[w]], correlations[slots[w]]
        for n in range(len(points)):
            x, y, z = points[n, 0] - place[0], points[n, 1] - place[1], points[n, 2] - place[2]
            distance = np.sqrt(x * x + y * y + z * z)
            if distance > NEAR_M or distance < 1e-3:
                continue
            a = turn[0, 0] * x + turn[1, 0] * y + turn[2, 0] * z
            b = turn[0, 1] * x + turn[1, 1] * y + turn[2, 1] * z
            c = turn[0, 2] * x + turn[1, 2] * y + turn[2, 2] * z
            for m in range(len(mics)):
                p, q, r = a - mics[m, 0], b - mics[m, 1], c - mics[m, 2]
                sphere[m] = np.sqrt(p * p + q * q + r * r) * per_step
                plane[m] = -(a * mics[m, 0] + b * mics[m, 1] + c * mics[m, 2]) / distance * per_step
            total, pair = 0.0, 0
            for i in range(len(mics)):
                for j in range(i + 1, len(mics)):
                    correlation = heard[pair]
                    total += _cubic(correlation, min(max(middle + sphere[i] - sphere[j], 1.0), last))
                    total -= _cubic(correlation, min(max(middle + plane[i] - plane[j], 1.0), last))
                    pair += 1
            out[n] += weights[w] * total
    return out


@njit(cache=True, nogil=True, inline="always")
def _cubic(values, place):  # type: ignore[no-untyped-def]
    """The value between four grid values (Catmull & Rom 1974)."""
    n = int(place)
    s = place - n
    v0, v1, v2, v3 = values[n - 1], values[n], values[n + 1], values[n + 2]
    return v1 + 0.5 * s * (v2 - v0 + s * (2 * v0 - 5 * v1 + 4 * v2 - v3 + s * (3 * (v1 - v2) + v3 - v0)))


def near_field_energy(
    evidence: SoundEvidence, array: ArrayGeometry, points_array: NDArray[np.floating[Any]]
) -> Float64Array:
    """[N] the direction map's total, as it would be at points [N, 3] in the array frame whose waves are spheres.

    The map's value in the nearest direction, changed by what the pairs' correlations change from the plane wave's lags
    to the sphere's: the plain reference that `NearWindows` is compared with. A source 0.3 m from a cube of 10 cm bends the
    delays by up to 40 microseconds. For evidence without correlations, and for ears on a head, it is the map's value.
    """
    points = np.asarray(points_array, dtype=float)
    directions = evidence.directions_array
    unit = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
    nearest = np.concatenate(
        [np.argmax(part @ directions.T, axis=1) for part in np.array_split(unit, len(unit) // 500 + 1)]
    )
    energy = evidence.energy.sum(axis=0)[nearest].astype(float)
    if evidence.correlation is None or array.head is not None:
        return energy
    pairs = np.stack(np.triu_indices(array.microphones, 1), axis=1)
    arrival_s = np.linalg.norm(points[:, None] - array.microphones_m, axis=2) / SPEED_OF_SOUND_M_PER_S
    plane_s = array.delays_for(directions[nearest])
    sphere, plane = ((d[:, pairs[:, 0]] - d[:, pairs[:, 1]]) / evidence.lag_step_s for d in (arrival_s, plane_s))
    return energy - _at_lags(evidence.correlation, plane, 1) + _at_lags(evidence.correlation, sphere, 3)


def _at_lags(correlation: NDArray[np.float32], steps: Float64Array, order: int) -> Float64Array:
    """[N] sum over pairs of correlations [P, L] at lags [N, P] in steps from the middle of the grid.

    order: 1, linear as in the map; 3, cubic (Catmull & Rom 1974): between ranges a lag changes by less than a step, and
    linear interpolation draws the maximum to the grid.
    """
    last = correlation.shape[1] - 1
    place = np.clip(steps + last / 2, 0, last - 1e-6)
    index = place.astype(np.int64)
    share, pair = place - index, np.arange(len(correlation))
    at = [correlation[pair, np.clip(index + k, 0, last)] for k in range(-1, 3)]
    if order == 1:
        return np.sum((1 - share) * at[1] + share * at[2], axis=1)
    curve = 3 * (at[1] - at[2]) + at[3] - at[0]
    slope = 2 * at[0] - 5 * at[1] + 4 * at[2] - at[3]
    return np.sum(at[1] + 0.5 * share * (at[2] - at[0] + share * (slope + share * curve)), axis=1)
