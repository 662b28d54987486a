"""Head-related impulse responses: of a rigid sphere by its exact solution, or measured ones from a SOFA file.

A response is stored as an arrival time and a time-aligned filter for each direction. Both interpolate smoothly while the
head turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly
from scipy.spatial import cKDTree
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from echoseg_ros.errors import ArrayError
from echoseg_ros.io.sofa import HeadResponses, read_head_responses
from echoseg_ros.sound.array.array_geometry import DEFAULT_HEAD_RADIUS_M, SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import Float32Array, Float64Array

# Grid step of the table's directions (3 degrees), rad.
STEP_RAD = np.pi / 60
# Length of a filter after the arrival, s; responses of head and pinna decay within it.
FILTER_S = 0.005
# Taps of a filter before the arrival: a band-limited filter begins before it arrives.
LEAD_TAPS = 12
# Oversampling of the responses in which the arrival is searched.
_OVERSAMPLING = 8
# Share of the peak at which a response arrives.
_ONSET = 0.15
# Time before the arrival in the sphere's responses, s; they are four times as long.
_SPHERE_LEAD_S = 0.002
# Orders of the sphere's series beyond its size parameter.
_EXTRA_ORDERS = 25
# Measured directions that are interpolated.
_NEIGHBOURS = 3
# Half the number of elevation steps, and the number of azimuth steps.
_ELEVATION_STEPS = 30
_AZIMUTH_STEPS = 120


@dataclass(frozen=True)
class HeadTable:
    """Responses on a grid of directions in the array's frame.

    Elevation runs from -90 to 90 degrees, azimuth from 0 to 360 degrees, both inclusive. delays_s: [E, A, 2] arrival at the
    ear after (+) or before (-) the arrival at the head's centre; filters: [E, A, 2, T], LEAD_TAPS before the arrival first.
    """

    delays_s: Float64Array
    filters: Float32Array


def head_table(array: ArrayGeometry) -> HeadTable:
    """The table of an array's head at the array's sample rate. Raises ArrayError for an unusable SOFA file."""
    head, rate_hz = array.head, array.sample_rate_hz
    ears = array.microphones_m / np.linalg.norm(array.microphones_m, axis=1, keepdims=True)
    if head is not None and head.sofa is not None:
        return _measured_table(Path(head.sofa), ears, rate_hz)
    radius_m = head.radius_m if head is not None and head.radius_m else DEFAULT_HEAD_RADIUS_M
    return _sphere_table(radius_m, ears, rate_hz)


def _grid() -> Float64Array:
    """Unit vectors [E, A, 3] of the table's directions."""
    elevation = np.arange(-_ELEVATION_STEPS, _ELEVATION_STEPS + 1) * STEP_RAD
    azimuth = np.arange(0, _AZIMUTH_STEPS + 1) * STEP_RAD
    elevation, azimuth = np.meshgrid(elevation, azimuth, indexing="ij")
    return np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    )


def _sphere_table(radius_m: float, ears: Float64Array, rate_hz: float) -> HeadTable:
    angles_rad = np.radians(np.arange(181.0))
    lead = int(round(_SPHERE_LEAD_S * rate_hz))
    responses = sphere_responses(angles_rad, radius_m, rate_hz, taps=4 * lead, lead=lead)
    arrivals, filters = _aligned(responses, rate_hz)
    incidence = np.arccos(np.clip(_grid() @ ears.T, -1, 1))  # [E, A, 2]
    delays_s = np.interp(incidence, angles_rad, (arrivals - lead) / rate_hz)
    return HeadTable(delays_s, filters[np.round(np.degrees(incidence)).astype(int)])


def sphere_responses(angles_rad: Float64Array, radius_m: float, rate_hz: float, taps: int, lead: int) -> Float64Array:
    """Pressure [D, taps] on a rigid sphere for an impulse from a source at infinity.

    angles_rad: [D] angle between the ear and the direction of arrival; lead: sample in which the impulse passes the sphere's
    centre. Exact series of R. O. Duda and W. L. Martens, "Range dependence of the response of a spherical head model",
    J. Acoust. Soc. Am. 104, 1998.
    """
    frequencies_hz = np.fft.rfftfreq(taps, 1 / rate_hz)
    mu = 2 * np.pi * np.maximum(frequencies_hz, 1e-3) * radius_m / SPEED_OF_SOUND_M_PER_S  # [F]
    order = np.arange(int(mu.max()) + _EXTRA_ORDERS)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        slope = spherical_jn(order, mu, derivative=True) + 1j * spherical_yn(order, mu, derivative=True)
        terms = (2 * order + 1) * (-1j) ** (order % 4) / slope  # [N, F]
    terms = np.where(np.isfinite(terms), terms, 0.0)  # the highest orders vanish at low frequencies
    legendre = eval_legendre(order, np.cos(angles_rad))  # [N, D]
    spectrum = np.conj(1j / mu**2 * (legendre.T @ terms))  # [D, F]
    # The taper below half the sample rate keeps the impulse from ringing.
    taper = 0.5 + 0.5 * np.cos(np.pi * np.clip((frequencies_hz / (rate_hz / 2) - 0.8) / 0.2, 0, 1))
    shift = np.exp(-2j * np.pi * frequencies_hz * lead / rate_hz)
    return np.fft.irfft(spectrum * taper * shift, taps, axis=-1)


def _measured_table(path: Path, ears: Float64Array, rate_hz: float) -> HeadTable:
    measured = _measured_at(path, rate_hz)
    order = np.argmax(ears @ measured.ears.T, axis=1)
    if len(set(order.tolist())) != 2:
        raise ArrayError(f"head {path}: its ears at {measured.ears.tolist()} do not match microphones_m of the array")
    arrivals, filters = _aligned(measured.responses[:, order], rate_hz)
    delays_s = (arrivals + measured.delays[:, order]) / rate_hz
    # Without the travel time of the measurement: straight ahead, the mean delay of both ears is 0, as on a sphere.
    delays_s = delays_s - delays_s[np.argmax(measured.directions[:, 0])].mean()
    weights, nearest = _interpolation(measured.directions)
    return HeadTable(
        np.einsum("eak,eakm->eam", weights, delays_s[nearest]),
        np.einsum("eak,eakmt->eamt", weights.astype(np.float32), filters[nearest]),
    )


def _interpolation(directions: Float64Array) -> tuple[Float64Array, NDArray[np.int64]]:
    """Weights [E, A, 3] and indices [E, A, 3] of the three nearest measured directions [D, 3]."""
    distance, nearest = cKDTree(directions).query(_grid(), k=_NEIGHBOURS)
    weights = 1 / np.maximum(distance, 1e-6)
    return weights / weights.sum(axis=-1, keepdims=True), nearest


def _aligned(responses: Float64Array, rate_hz: float) -> tuple[Float64Array, Float32Array]:
    """Arrivals [...] in samples of responses [..., N], and filters [..., T] that begin LEAD_TAPS before the arrival."""
    fine = np.abs(resample_poly(responses, _OVERSAMPLING, 1, axis=-1))
    arrivals = np.argmax(fine >= _ONSET * fine.max(axis=-1, keepdims=True), axis=-1) / _OVERSAMPLING
    taps = LEAD_TAPS + int(round(FILTER_S * rate_hz))
    length = 2 * max(responses.shape[-1], taps)
    frequencies = np.fft.rfftfreq(length)
    shift = np.exp(2j * np.pi * frequencies * (arrivals[..., None] - LEAD_TAPS))
    aligned = np.fft.irfft(np.fft.rfft(responses, length, axis=-1) * shift, length, axis=-1)[..., :taps]
    fade = np.clip((taps - np.arange(taps)) / (taps / 4), 0, 1)
    return arrivals, (aligned * fade).astype(np.float32)


def _measured_at(path: Path, rate_hz: float) -> HeadResponses:
    """The responses of a SOFA file, resampled to rate_hz. Raises ArrayError."""
    measured = read_head_responses(path)
    if measured.sample_rate_hz == rate_hz:
        return measured
    ratio = Fraction(rate_hz / measured.sample_rate_hz).limit_denominator(1000)
    responses = resample_poly(measured.responses, ratio.numerator, ratio.denominator, axis=-1)
    return replace(measured, responses=responses, delays=measured.delays * float(ratio), sample_rate_hz=rate_hz)
