"""Delays of a sound at the two ears of a head: a sphere by its shortest paths, or the onsets of measured responses.

The wave takes the straight line to a visible ear, else the tangent and the arc behind it (Woodworth & Schlosberg 1954; for
near sources Duda & Martens 1998).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly
from scipy.spatial import cKDTree

from echoseg_ros.errors import ArrayError
from echoseg_ros.io.sofa import read_head_responses
from echoseg_ros.types import Float64Array

# Factor by which responses are oversampled to find their onsets.
_OVERSAMPLING = 8
# A response arrives where it first reaches this share of its peak.
_ONSET_SHARE = 0.15


def sphere_path_m(points: Float64Array, ears: Float64Array, radius_m: float) -> Float64Array:
    """[N, M] path lengths from points [N, 3] to ears (unit vectors [M, 3]) around a sphere, less those to its centre."""
    distance_m = np.maximum(np.linalg.norm(points, axis=1, keepdims=True), radius_m * (1 + 1e-9))
    cosine = np.clip(points @ ears.T / distance_m, -1.0, 1.0)
    straight_m = np.sqrt(distance_m**2 + radius_m**2 - 2 * radius_m * distance_m * cosine)
    tangent_m = np.sqrt(distance_m**2 - radius_m**2)
    around_m = tangent_m + radius_m * (np.arccos(cosine) - np.arccos(radius_m / distance_m))
    path_m: Float64Array = np.where(cosine >= radius_m / distance_m, straight_m, around_m) - distance_m
    return path_m


def measured_delays_s(path: Path, ears: Float64Array, directions: Float64Array) -> Float64Array:
    """[D, 2] delays of far sounds from directions [D, 3] at ears (unit vectors [2, 3]), by a SOFA file.

    Delays count from the arrival of a sound from straight ahead; between the measured directions the three nearest are
    averaged. Raises ArrayError if the file cannot be used.
    """
    measured, receivers, delays_s = _onsets(Path(path).resolve())
    order = np.argmax(ears @ receivers.T, axis=1)
    if len(set(order.tolist())) != 2:
        raise ArrayError(f"head {path}: its ears at {receivers.round(2).tolist()} do not match microphones_m")
    distance, nearest = cKDTree(measured).query(directions, k=3)
    weights = 1.0 / np.maximum(distance, 1e-6)
    weights /= weights.sum(axis=1, keepdims=True)
    interpolated: Float64Array = np.einsum("dk,dkm->dm", weights, delays_s[:, order][nearest])
    return interpolated


@lru_cache(maxsize=4)
def _onsets(path: Path) -> tuple[Float64Array, Float64Array, Float64Array]:
    """(directions [D, 3], ears [2, 3], onsets [D, 2] in seconds after those from straight ahead) of a SOFA file."""
    measured = read_head_responses(path)
    fine = np.abs(resample_poly(measured.responses, _OVERSAMPLING, 1, axis=-1))
    onsets = np.argmax(fine >= _ONSET_SHARE * fine.max(axis=-1, keepdims=True), axis=-1) / _OVERSAMPLING
    delays_s = (onsets + measured.delays) / measured.sample_rate_hz
    ahead_s = delays_s[np.argmax(measured.directions[:, 0])].mean()
    return measured.directions, measured.ears, delays_s - ahead_s
