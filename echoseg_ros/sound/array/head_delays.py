"""When a sound reaches the two ears of a head: a sphere by its shortest paths, or as measured in a SOFA file (AES69).

A wave follows the straight line to an ear it can see, else the tangent and the arc behind it (Woodworth & Schlosberg
1954; for near sources Duda & Martens 1998). Of measured responses the onsets count.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly
from scipy.spatial import cKDTree

from echoseg_ros.errors import ArrayError
from echoseg_ros.types import Float64Array

_OVERSAMPLING = 8
_ONSET = 0.15  # share of the peak at which a response is said to arrive


def sphere_path_m(points: Float64Array, ears: Float64Array, radius_m: float) -> Float64Array:
    """[N, M] metres from points [N, 3] to ears (unit vectors [M, 3]) around a sphere, less those to its centre."""
    distance_m = np.maximum(np.linalg.norm(points, axis=1, keepdims=True), radius_m * (1 + 1e-9))
    cosine = np.clip(points @ ears.T / distance_m, -1.0, 1.0)
    straight_m = np.sqrt(distance_m**2 + radius_m**2 - 2 * radius_m * distance_m * cosine)
    tangent_m = np.sqrt(distance_m**2 - radius_m**2)
    around_m = tangent_m + radius_m * (np.arccos(cosine) - np.arccos(radius_m / distance_m))
    return np.where(cosine >= radius_m / distance_m, straight_m, around_m) - distance_m


def measured_delays_s(path: Path, ears: Float64Array, directions: Float64Array) -> Float64Array:
    """[D, 2] seconds after straight ahead that ears (unit vectors [2, 3]) hear a far sound from directions [D, 3].

    Between the measured directions the three nearest are averaged. Raises ArrayError if the file cannot be used.
    """
    measured, receivers, delays_s = _table(Path(path).resolve())
    order = np.argmax(ears @ receivers.T, axis=1)
    if len(set(order.tolist())) != 2:
        raise ArrayError(f"head {path}: its ears at {receivers.round(2).tolist()} do not match microphones_m")
    distance, nearest = cKDTree(measured).query(directions, k=3)
    weights = 1.0 / np.maximum(distance, 1e-6)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("dk,dkm->dm", weights, delays_s[:, order][nearest])


@lru_cache(maxsize=4)
def _table(path: Path) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Directions [D, 3], ears [2, 3] (unit vectors; the listener looks along x, z up) and onsets [D, 2] in seconds."""
    import h5py

    try:
        with h5py.File(path) as file:
            directions, receivers = _cartesian(file["SourcePosition"]), _cartesian(file["ReceiverPosition"])
            responses = np.asarray(file["Data.IR"], dtype=float)
            rate_hz = float(np.ravel(file["Data.SamplingRate"])[0])
            late = np.broadcast_to(np.asarray(file["Data.Delay"], dtype=float), responses.shape[:2])
    except (OSError, KeyError, ValueError) as error:
        raise ArrayError(f"head {path}: not a SOFA file of head responses ({str(error).splitlines()[0]})") from error
    if responses.ndim != 3 or responses.shape[1] != 2 or len(directions) != len(responses) or len(responses) < 3:
        raise ArrayError(f"head {path}: Data.IR has shape {list(responses.shape)}, want [directions, 2 ears, samples]")
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    receivers /= np.linalg.norm(receivers, axis=1, keepdims=True)
    fine = np.abs(resample_poly(responses, _OVERSAMPLING, 1, axis=-1))
    onsets = np.argmax(fine >= _ONSET * fine.max(axis=-1, keepdims=True), axis=-1) / _OVERSAMPLING
    delays_s = (onsets + late) / rate_hz
    return directions, receivers, delays_s - delays_s[np.argmax(directions[:, 0])].mean()


def _cartesian(dataset: Any) -> Float64Array:
    """[N, 3] of a SOFA position, which is cartesian or spherical in degrees."""
    values = np.asarray(dataset, dtype=float)
    values = values[..., 0] if values.ndim == 3 else values.reshape(-1, 3)
    kind = dataset.attrs.get("Type", b"cartesian")
    if (kind.decode() if isinstance(kind, bytes) else str(kind)) != "spherical":
        return values
    azimuth, elevation = np.radians(values[:, 0]), np.radians(values[:, 1])
    across = values[:, 2] * np.cos(elevation)
    return np.stack([across * np.cos(azimuth), across * np.sin(azimuth), values[:, 2] * np.sin(elevation)], axis=-1)
