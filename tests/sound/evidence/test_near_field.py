"""The near-field correction against a plain reference, and the reference against simulated near sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from near_field_reference import near_field_energy
from scipy.spatial.transform import Rotation
from waves import cube, delayed, plane_wave, simulated_window

from echoseg_ros.config import SoundConfig
from echoseg_ros.geometry import transform
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry, load_array
from echoseg_ros.sound.array.directions import fibonacci_sphere
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.sound.localisation.evidence_memory import EvidenceMemory
from echoseg_ros.types import AudioWindow, Float64Array


def extractor(array: ArrayGeometry) -> EvidenceExtractor:
    return EvidenceExtractor(array, array.sample_rate_hz, SoundConfig())


def directions(count: int) -> Float64Array:
    """[count, 3] evenly spread, but not on the extractor's own grid."""
    return fibonacci_sphere(count + 7)[3:-4]


def near_wave(array: ArrayGeometry, place_m: Float64Array, rng: np.random.Generator) -> AudioWindow:
    """Half a second of white noise from a point in the array frame: spherical waves that weaken with distance."""
    distances_m = np.linalg.norm(array.microphones_m - place_m, axis=1)
    samples = delayed(rng.standard_normal(8000), distances_m / SPEED_OF_SOUND_M_PER_S, 16000.0) / distances_m[:, None]
    samples = 0.1 * distances_m.mean() * (samples + 0.03 * rng.standard_normal(samples.shape))
    return AudioWindow(0, samples.astype(np.float32), 16000.0, np.eye(4))


def test_the_reference_finds_the_range_of_a_near_source() -> None:
    rng, extract = np.random.default_rng(9), extractor(cube())
    ranges_m, aside_rad = np.arange(0.105, 0.8, 0.015), np.arange(-0.02, 0.021, 0.005)
    for direction in directions(4):
        place_m = 0.3 * direction
        evidence = extract(near_wave(cube(), place_m, rng))
        across = np.linalg.svd(direction[None])[2][1:]
        u, v = (part.ravel() for part in np.meshgrid(aside_rad + 0.002, aside_rad - 0.001))
        points = np.concatenate([r * (direction + u[:, None] * across[0] + v[:, None] * across[1]) for r in ranges_m])
        energy = near_field_energy(evidence, cube(), points)
        assert np.linalg.norm(points[np.argmax(energy)] - place_m) < 0.03
        # For plane waves all ranges are alike; they lose a few hundredths of the energy that the right sphere keeps.
        there = near_field_energy(evidence, cube(), place_m[None])[0]
        plane = near_field_energy(evidence, cube(), 100 * place_m[None])[0]
        assert there == pytest.approx(1.0, abs=0.03)
        assert plane < there - 0.015


def test_the_correction_agrees_with_the_reference() -> None:
    """Two poses of a turned array: the weighted sum of the kernel against the reference in each array frame."""
    rng, extract = np.random.default_rng(13), extractor(cube())
    memory, poses = EvidenceMemory(60.0), []
    for k, turn_rad in enumerate((0.4, -1.1)):
        turn = Rotation.from_rotvec([0.2, -0.1, turn_rad]).as_matrix()
        poses.append(transform(turn, np.array([1.0 + 0.2 * k, 2.0, 0.9])))
    evidence = [extract(near_wave(cube(), 0.3 * direction, rng)) for direction in directions(4)[:2]]
    for k, (window, pose) in enumerate(zip(evidence, poses, strict=True)):
        memory.add(replace(window, stamp_ns=k * 500_000_000, T_map_array=pose))
    weights = np.array([0.25, 0.75])
    near = memory.near_field_windows(memory.slots(), weights)
    assert near is not None
    for k, (window, pose) in enumerate(zip(evidence, poses, strict=True)):
        at_array = 0.3 * window.directions_array[::40].astype(float)
        alone = replace(near, slots=near.slots[k : k + 1], weights=np.ones(1))
        expected = near_field_energy(window, cube(), at_array) - window.energy.sum(axis=0)[::40]
        found = alone.correction(at_array @ pose[:3, :3].T + pose[:3, 3])
        assert np.abs(expected).max() > 0.04
        np.testing.assert_allclose(found, expected, atol=0.003)  # the map is linear between lags, the kernel cubic
    points = poses[0][:3, 3] + rng.uniform(-0.3, 0.3, (50, 3))
    each = [replace(near, slots=near.slots[k : k + 1], weights=np.ones(1)).correction(points) for k in range(2)]
    np.testing.assert_allclose(near.correction(points), weights @ np.stack(each), atol=1e-9)
    assert (near.correction(points + [3.0, 0, 0]) == 0).all()


def test_the_reference_is_the_map_far_from_the_array() -> None:
    rng, extract = np.random.default_rng(10), extractor(cube())
    evidence = extract(
        simulated_window(cube(), transform(np.eye(3), np.array([2.0, 2.0, 1.0])), np.array([4.0, 3.0, 1.5]), rng)
    )
    total = evidence.energy.sum(axis=0)
    off = np.abs(near_field_energy(evidence, cube(), 5.0 * evidence.directions_array) - total)
    assert off.max() < 0.01
    assert np.abs(near_field_energy(evidence, cube(), 0.3 * evidence.directions_array) - total).max() > 5 * off.max()


def test_the_reference_is_the_map_without_correlations_or_with_a_head() -> None:
    evidence = extractor(cube())(plane_wave(cube(), np.array([0.6, 0.0, 0.8]), np.random.default_rng(11)))
    total = evidence.energy.sum(axis=0)
    points = 0.3 * evidence.directions_array[::50]
    bare = replace(evidence, correlation=None)
    np.testing.assert_allclose(near_field_energy(bare, cube(), points), total[::50], rtol=1e-6)
    ears = load_array("binaural")
    evidence = extractor(ears)(plane_wave(ears, np.array([0.6, 0.0, 0.8]), np.random.default_rng(12)))
    np.testing.assert_allclose(near_field_energy(evidence, ears, points), evidence.energy.sum(axis=0)[::50], rtol=1e-6)
