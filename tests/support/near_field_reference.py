"""Plain reference of the near-field correction, against which the kernel of `NearFieldWindows` is tested."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import Float32Array, Float64Array, SoundEvidence


def near_field_energy(
    evidence: SoundEvidence, array: ArrayGeometry, points_array: NDArray[np.floating[Any]]
) -> Float64Array:
    """[N] total of the direction map at points [N, 3] in the array frame, for spherical waves.

    The value of the map in the nearest direction, plus the change of the pairs' correlations from the lags of the plane
    wave to those of the sphere. A source 0.3 m from a cube of 10 cm changes the delays by up to 40 microseconds. For
    evidence without correlations, and for ears on a head, it is the map's value.
    """
    points = np.asarray(points_array, dtype=float)
    directions = evidence.directions_array
    unit = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
    nearest = np.concatenate(
        [np.argmax(part @ directions.T, axis=1) for part in np.array_split(unit, len(unit) // 500 + 1)]
    )
    energy: Float64Array = evidence.energy.sum(axis=0)[nearest].astype(float)
    if evidence.correlation is None or array.head is not None:
        return energy
    pairs = np.stack(np.triu_indices(array.microphones, 1), axis=1)
    arrival_s = np.linalg.norm(points[:, None] - array.microphones_m, axis=2) / SPEED_OF_SOUND_M_PER_S
    plane_s = array.far_field_delays_s(directions[nearest])
    sphere, plane = ((d[:, pairs[:, 0]] - d[:, pairs[:, 1]]) / evidence.lag_step_s for d in (arrival_s, plane_s))
    return energy - _at_lags(evidence.correlation, plane, 1) + _at_lags(evidence.correlation, sphere, 3)


def _at_lags(correlation: Float32Array, steps: Float64Array, order: int) -> Float64Array:
    """[N] sum over pairs of correlations [P, L] at lags [N, P] in steps from the middle of the grid.

    order: 1, linear as in the map; 3, cubic (Catmull & Rom 1974): between ranges a lag changes by less than a step, and
    linear interpolation would draw the maximum to the grid.
    """
    last = correlation.shape[1] - 1
    place = np.clip(steps + last / 2, 0, last - 1e-6)
    index = place.astype(np.int64)
    share, pair = place - index, np.arange(len(correlation))
    at = [correlation[pair, np.clip(index + k, 0, last)] for k in range(-1, 3)]
    result: Float64Array
    if order == 1:
        result = np.sum((1 - share) * at[1] + share * at[2], axis=1)
        return result
    curve = 3 * (at[1] - at[2]) + at[3] - at[0]
    slope = 2 * at[0] - 5 * at[1] + 4 * at[2] - at[3]
    result = np.sum(at[1] + 0.5 * share * (at[2] - at[0] + share * (slope + share * curve)), axis=1)
    return result
