"""Audio windows of a moving array in a simple simulated room: fractional delays, first reflections as mirror images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echoseg_ros.config import SoundConfig
from echoseg_ros.geometry import inverse, transform
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry, array_from_mapping
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.types import AudioWindow, Float64Array, SoundEvidence

ROOM_M = np.array([6.0, 5.0, 2.7])
REFLECTION = 0.5


def cube(side_m: float = 0.1, rate_hz: float = 16000.0) -> ArrayGeometry:
    """Eight microphones on the corners of a cube, array frame = camera frame."""
    half = side_m / 2
    corners = [[x, y, z] for x in (-half, half) for y in (-half, half) for z in (-half, half)]
    return array_from_mapping({"name": "cube", "sample_rate_hz": rate_hz, "microphones_m": corners})


def delayed(signal: Float64Array, delays_s: Float64Array, rate_hz: float) -> Float64Array:
    """[M, S] the signal [S] delayed by each of delays_s [M], circularly."""
    frequencies_hz = np.fft.rfftfreq(len(signal), 1.0 / rate_hz)
    spectra = np.fft.rfft(signal) * np.exp(-2j * np.pi * frequencies_hz * np.asarray(delays_s)[:, None])
    return np.fft.irfft(spectra, n=len(signal), axis=1)


def plane_wave(
    array: ArrayGeometry,
    direction: Float64Array,
    rng: np.random.Generator,
    noise: float = 0.01,
    tone_hz: float | None = None,
) -> AudioWindow:
    """Half a second of white noise, or of a tone, from a far direction in the array frame."""
    signal = rng.standard_normal(round(0.5 * array.sample_rate_hz))
    if tone_hz is not None:
        signal = np.sqrt(2) * np.sin(2 * np.pi * tone_hz * np.arange(len(signal)) / array.sample_rate_hz)
    samples = delayed(signal, array.far_field_delays_s(direction[None])[0], array.sample_rate_hz)
    samples = 0.1 * (samples + noise * rng.standard_normal(samples.shape))
    return AudioWindow(0, samples.astype(np.float32), array.sample_rate_hz, np.eye(4))


def mirror_images(source_m: Float64Array, room: bool, direct: float = 1.0) -> list[tuple[Float64Array, float]]:
    """The source and, in a room with a corner at the origin, its six mirror images, with their gains.

    direct: gain of the source itself, smaller where an obstacle blocks the direct path.
    """
    found = [(np.asarray(source_m, dtype=float), direct)]
    for axis in range(3):
        for wall in (0.0, ROOM_M[axis]):
            mirrored = np.array(source_m, dtype=float)
            mirrored[axis] = 2 * wall - mirrored[axis]
            found += [(mirrored, REFLECTION)] if room else []
    return found


def simulated_window(
    array: ArrayGeometry, T_map_array: Float64Array, source_m: Float64Array | None, rng: np.random.Generator,
    stamp_ns: int = 0, room: bool = True, noise: float = 0.003, direct: float = 1.0,
) -> AudioWindow:  # fmt: skip
    """Half a second at one pose: white noise from a point, its reflections, independent noise of the microphones.

    source_m: [3] in the map, None without a source; direct: gain of the direct path.
    """
    count = round(0.5 * array.sample_rate_hz)
    samples = noise * rng.standard_normal((array.microphones, count))
    if source_m is not None:
        signal = 0.05 * rng.standard_normal(count)
        for place_m, gain in mirror_images(source_m, room, direct):
            place_array = inverse(T_map_array)[:3] @ np.append(place_m, 1.0)
            distances_m = np.linalg.norm(place_array - array.microphones_m, axis=1)
            delays_s = distances_m / SPEED_OF_SOUND_M_PER_S
            samples += gain / distances_m.mean() * delayed(signal, delays_s, array.sample_rate_hz)
    return AudioWindow(stamp_ns, samples.astype(np.float32), array.sample_rate_hz, T_map_array)


def path(
    steps: int, length_m: float = 1.5, start_m: tuple[float, float, float] = (2.0, 1.5, 1.0)
) -> list[Float64Array]:
    """Poses T_map_array along a gentle arc with a turn of 1.2 rad."""
    poses = []
    for s in np.linspace(0.0, 1.0, steps):
        turn = 1.2 * s - 0.6
        rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
        poses.append(transform(rotation, np.array(start_m) + [length_m * s, 0.3 * np.sin(3 * s), 0.1 * s]))
    return poses


def evidence_along(
    array: ArrayGeometry, poses: list[Float64Array], sources_m: Sequence[Float64Array | None], seed: int,
    room: bool = True, hop_s: float = 0.25, direct: float = 1.0,
) -> list[SoundEvidence]:  # fmt: skip
    """Evidence of one window for each pose. sources_m: the source in each window, None without one; direct: its gain."""
    rng = np.random.default_rng(seed)
    extract = EvidenceExtractor(array, array.sample_rate_hz, SoundConfig())
    stamps_ns = [round((0.25 + k * hop_s) * 1e9) for k in range(len(poses))]
    return [
        extract(simulated_window(array, T, s, rng, t, room, direct=direct))
        for T, s, t in zip(poses, sources_m, stamps_ns, strict=True)
    ]
