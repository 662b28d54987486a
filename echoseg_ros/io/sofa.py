"""Head-related impulse responses of SOFA files (AES69, convention SimpleFreeFieldHRIR)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from echoseg_ros.errors import ArrayError
from echoseg_ros.types import Float64Array

# Delays are interpolated between this many measured directions.
MIN_DIRECTIONS = 3


@dataclass(frozen=True)
class HeadResponses:
    """Measured impulse responses of a head, in whose frame the listener looks along x and z points up.

    directions: [D, 3] unit vectors towards the sources; ears: [2, 3] unit vectors towards the receivers; responses:
    [D, 2, N] at sample_rate_hz; delays: [D, 2] samples, to be added to the arrival in a response.
    """

    directions: Float64Array
    ears: Float64Array
    responses: Float64Array
    delays: Float64Array
    sample_rate_hz: float


def read_head_responses(path: Path) -> HeadResponses:
    """The responses of a SOFA file. Raises ArrayError if it cannot be read or holds something else."""
    import h5py  # imported here: only arrays with a measured head need it

    try:
        with h5py.File(path) as file:
            directions, ears = _cartesian(file["SourcePosition"]), _cartesian(file["ReceiverPosition"])
            responses: Float64Array = np.asarray(file["Data.IR"], dtype=float)
            rate_hz = float(np.ravel(file["Data.SamplingRate"])[0])
            delays = np.broadcast_to(np.asarray(file["Data.Delay"], dtype=float), responses.shape[:2])
    except (OSError, KeyError, ValueError) as error:
        raise ArrayError(
            f"head {path}: not a SOFA file of head-related impulse responses ({str(error).splitlines()[0]})"
        ) from error
    if responses.ndim != 3 or responses.shape[1] != 2 or not len(directions) == len(responses) >= MIN_DIRECTIONS:
        raise ArrayError(f"head {path}: Data.IR has shape {list(responses.shape)}, want [directions, 2 ears, samples]")
    return HeadResponses(_unit(directions), _unit(ears), responses, delays, rate_hz)


def _cartesian(dataset: Any) -> Float64Array:
    """[N, 3] of a SOFA position, which is cartesian or spherical in degrees."""
    values: Float64Array = np.asarray(dataset, dtype=float)
    values = values[..., 0] if values.ndim == 3 else values.reshape(-1, 3)
    kind = dataset.attrs.get("Type", b"cartesian")
    if (kind.decode() if isinstance(kind, bytes) else str(kind)) != "spherical":
        return values
    azimuth, elevation = np.radians(values[:, 0]), np.radians(values[:, 1])
    across = values[:, 2] * np.cos(elevation)
    return np.stack([across * np.cos(azimuth), across * np.sin(azimuth), values[:, 2] * np.sin(elevation)], axis=-1)


def _unit(vectors: Float64Array) -> Float64Array:
    lengths: Float64Array = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths
