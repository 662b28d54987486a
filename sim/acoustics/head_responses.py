"""What a head does to a sound from each direction: a rigid sphere by its exact solution, or measured responses.

Responses are kept as an arrival time and a time-aligned filter per direction, so that both interpolate smoothly while
the head turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly
from scipy.spatial import cKDTree
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from echoseg_ros.errors import ArrayError
from echoseg_ros.sound.array.array_geometry import DEFAULT_HEAD_RADIUS_M, SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import Float64Array

STEP_RAD = np.pi / 60  # the table's grid: 3 degrees
FILTER_S = 0.005  # a head's and pinna's response dies out within 5 ms
LEAD_TAPS = 12  # kept before the arrival, where a band-limited filter already swings
_OVERSAMPLING = 8
_ONSET = 0.15  # share of the peak at which a response is said to arrive


@dataclass(frozen=True)
class HeadTable:
    """Responses on a grid of directions of the array frame: elevation -90 to 90 degrees, azimuth 0 to 360 (both in).

    delays_s: [E, A, 2] after (+) or before (-) the head's centre; filters: [E, A, 2, T] float32, which begin LEAD_TAPS
    before the arrival.
    """

    delays_s: Float64Array
    filters: NDArray[np.float32]


def head_table(array: ArrayGeometry) -> HeadTable:
    """The table of an array's head at its sample rate. Raises ArrayError if its SOFA file cannot be used."""
    head, rate_hz = array.head, array.sample_rate_hz
    ears = array.microphones_m / np.linalg.norm(array.microphones_m, axis=1, keepdims=True)
    if head is not None and head.sofa is not None:
        return _measured_table(Path(head.sofa), ears, rate_hz)
    radius_m = head.radius_m if head is not None and head.radius_m else DEFAULT_HEAD_RADIUS_M
    return _sphere_table(radius_m, ears, rate_hz)


def _grid() -> Float64Array:
    """[E, A, 3] unit vectors of the table's directions."""
    elevation = np.arange(-30, 31) * STEP_RAD
    azimuth = np.arange(0, 121) * STEP_RAD
    elevation, azimuth = np.meshgrid(elevation, azimuth, indexing="ij")
    return np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )


def _sphere_table(radius_m: float, ears: Float64Array, rate_hz: float) -> HeadTable:
    angles_rad = np.radians(np.arange(181.0))
    lead = int(round(0.002 * rate_hz))
    responses = sphere_responses(angles_rad, radius_m, rate_hz, taps=4 * lead, lead=lead)
    arrivals, filters = _aligned(responses, rate_hz)
    incidence = np.arccos(np.clip(_grid() @ ears.T, -1, 1))  # [E, A, 2]
    delays_s = np.interp(incidence, angles_rad, (arrivals - lead) / rate_hz)
    return HeadTable(delays_s, filters[np.round(np.degrees(incidence)).astype(int)])


def sphere_responses(angles_rad: Float64Array, radius_m: float, rate_hz: float, taps: int, lead: int) -> Float64Array:
    """[D, taps] pressure on a rigid sphere for a far impulse, `lead` samples after it passes the sphere's centre.

    angles_rad: [D] between the ear and the direction of the sound. Exact series of R. O. Duda and W. L. Martens, "Range
    dependence of the response of a spherical head model", J. Acoust. Soc. Am. 104, 1998, for a source at infinity.
    """
    frequencies_hz = np.fft.rfftfreq(taps, 1 / rate_hz)
    mu = 2 * np.pi * np.maximum(frequencies_hz, 1e-3) * radius_m / SPEED_OF_SOUND_M_PER_S  # [F]
    order = np.arange(int(mu.max()) + 25)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        slope = spherical_jn(order, mu, derivative=True) + 1j * spherical_yn(order, mu, derivative=True)
        terms = (2 * order + 1) * (-1j) ** (order % 4) / slope  # [N, F]
    terms = np.where(np.isfinite(terms), terms, 0.0)  # the highest orders vanish at low frequencies
    legendre = eval_legendre(order, np.cos(angles_rad))  # [N, D]
    spectrum = np.conj(1j / mu**2 * (legendre.T @ terms))  # [D, F]
    # A soft end below half the sample rate, or the impulse rings on both sides.
    taper = 0.5 + 0.5 * np.cos(np.pi * np.clip((frequencies_hz / (rate_hz / 2) - 0.8) / 0.2, 0, 1))
    shift = np.exp(-2j * np.pi * frequencies_hz * lead / rate_hz)
    return np.fft.irfft(spectrum * taper * shift, taps, axis=-1)


def _measured_table(path: Path, ears: Float64Array, rate_hz: float) -> HeadTable:
    directions, receivers, responses, delays = _read_sofa(path, rate_hz)
    order = np.argmax(ears @ receivers.T, axis=1)
    if len(set(order.tolist())) != 2:
        raise ArrayError(f"{path}: its ears at {receivers.tolist()} do not match microphones_m")
    responses, delays = responses[:, order], delays[:, order]
    arrivals, filters = _aligned(responses, rate_hz)
    delays_s = (arrivals + delays) / rate_hz
    # The measurement's own travel time goes: straight ahead both ears hear when the centre does, as on a sphere.
    delays_s = delays_s - delays_s[np.argmax(directions[:, 0])].mean()
    weights, nearest = _interpolation(directions)
    return HeadTable(
        np.einsum("eak,eakm->eam", weights, delays_s[nearest]),
        np.einsum("eak,eakmt->eamt", weights.astype(np.float32), filters[nearest]),
    )


def _interpolation(directions: Float64Array) -> tuple[Float64Array, NDArray[np.int64]]:
    """Weights [E, A, 3] and indices [E, A, 3] of the three nearest measured directions."""
    distance, nearest = cKDTree(directions).query(_grid(), k=3)
    weights = 1 / np.maximum(distance, 1e-6)
    return weights / weights.sum(axis=-1, keepdims=True), nearest


def _aligned(responses: Float64Array, rate_hz: float) -> tuple[Float64Array, NDArray[np.float32]]:
    """Arrival in samples [...] and the filters [..., T] from LEAD_TAPS before it, of responses [..., N]."""
    fine = np.abs(resample_poly(responses, _OVERSAMPLING, 1, axis=-1))
    arrivals = np.argmax(fine >= _ONSET * fine.max(axis=-1, keepdims=True), axis=-1) / _OVERSAMPLING
    taps = LEAD_TAPS + int(round(FILTER_S * rate_hz))
    length = 2 * max(responses.shape[-1], taps)
    frequencies = np.fft.rfftfreq(length)
    shift = np.exp(2j * np.pi * frequencies * (arrivals[..., None] - LEAD_TAPS))
    moved = np.fft.irfft(np.fft.rfft(responses, length, axis=-1) * shift, length, axis=-1)[..., :taps]
    fade = np.clip((taps - np.arange(taps)) / (taps / 4), 0, 1)
    return arrivals, (moved * fade).astype(np.float32)


def _read_sofa(path: Path, rate_hz: float) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Directions [D, 3], receivers [2, 3] (unit), responses [D, 2, N] and delays [D, 2] in samples, at rate_hz.

    The listener of SOFA's SimpleFreeFieldHRIR looks along x with z up: the frame of our arrays. Raises ArrayError.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            directions = _unit(_cartesian(file["SourcePosition"]))
            receivers = _unit(_cartesian(file["ReceiverPosition"]))
            responses = np.asarray(file["Data.IR"], dtype=float)
            measured_hz = float(np.ravel(file["Data.SamplingRate"])[0])
            delays = np.broadcast_to(np.asarray(file["Data.Delay"], dtype=float), responses.shape[:2])
    except (OSError, KeyError, ValueError) as error:
        raise ArrayError(f"head {path}: not a SOFA file of head responses ({str(error).splitlines()[0]})") from error
    if responses.ndim != 3 or responses.shape[1] != 2 or len(directions) != len(responses) or len(responses) < 3:
        raise ArrayError(f"head {path}: Data.IR has shape {list(responses.shape)}, want [directions, 2 ears, samples]")
    if measured_hz != rate_hz:
        ratio = Fraction(rate_hz / measured_hz).limit_denominator(1000)
        responses = resample_poly(responses, ratio.numerator, ratio.denominator, axis=-1)
        delays = delays * float(ratio)
    return directions, receivers, responses, delays


def _cartesian(dataset: NDArray[np.float64]) -> Float64Array:
    """[N, 3] of a SOFA position, which is cartesian or spherical in degrees."""
    values = np.asarray(dataset, dtype=float).reshape(-1, 3) if np.ndim(dataset) < 3 else np.asarray(dataset)[..., 0]
    kind = dataset.attrs.get("Type", b"cartesian")  # type: ignore[attr-defined]
    if (kind.decode() if isinstance(kind, bytes) else str(kind)) != "spherical":
        return values
    azimuth, elevation = np.radians(values[:, 0]), np.radians(values[:, 1])
    across = values[:, 2] * np.cos(elevation)
    return np.stack([across * np.cos(azimuth), across * np.sin(azimuth), values[:, 2] * np.sin(elevation)], axis=-1)


def _unit(vectors: Float64Array) -> Float64Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
