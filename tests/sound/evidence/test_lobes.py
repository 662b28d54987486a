"""The lobes of an array against the direction maps of its evidence for lone plane waves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from waves import cube, plane_wave

from echoseg_ros.config import SoundConfig
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, array_from_mapping
from echoseg_ros.sound.array.directions import cube_nodes, fibonacci_sphere
from echoseg_ros.sound.evidence.extractor import LOBE_BANDS, EvidenceExtractor
from echoseg_ros.sound.evidence.lobes import CUBE_CELLS, FREQUENCIES_PER_BAND, bin_shares, lobe_table, node_weights
from echoseg_ros.types import Float64Array


def line() -> ArrayGeometry:
    microphones = [[0.05 * k, 0.0, 0.0] for k in range(4)]
    return array_from_mapping({"name": "line", "sample_rate_hz": 16000.0, "microphones_m": microphones})


def weights_of_nodes(direction: Float64Array) -> tuple[int, float, float]:
    """`node_weights` without numba."""
    weights: Any = node_weights.py_func
    node, row_share, column_share = weights(*direction, CUBE_CELLS)
    return node, row_share, column_share


def measured_and_expected_lobe(
    array: ArrayGeometry, direction: Float64Array, band: int, tone_hz: float | None = None, flat: bool = False
) -> tuple[Float64Array, Float64Array]:
    """(direction map of a band at the sampled directions, map by the lobes), both less their means.

    flat: the lobes of noise, whatever the spectrum.
    """
    extract = EvidenceExtractor(array, array.sample_rate_hz, SoundConfig())
    evidence = extract(plane_wave(array, direction, np.random.default_rng(0), 0.001, tone_hz))
    lobes, spectrum = evidence.lobes, evidence.spectrum
    assert lobes is not None and spectrum is not None
    sounding = np.full(FREQUENCIES_PER_BAND, 1 / FREQUENCIES_PER_BAND) if flat else spectrum[band]
    nearest = np.argmax(lobes.samples @ evidence.directions_array.T, axis=1)
    energy = evidence.energy[lobes.bands[band]]
    measured: Float64Array = (energy[nearest] - energy.mean()) / (energy.mean() / (sounding @ lobes.means[band]))
    k, s, t = weights_of_nodes(direction)
    values = np.einsum("k,kun->un", sounding, lobes.values[band])
    upper, lower = (
        (1 - t) * values[k] + t * values[k + 1],
        (1 - t) * values[k + CUBE_CELLS + 1] + t * values[k + CUBE_CELLS + 2],
    )
    return measured, (1 - s) * upper + s * lower


@pytest.mark.parametrize("make", [cube, line])
@pytest.mark.parametrize("band", range(len(LOBE_BANDS)))
def test_a_lone_wave_has_the_lobe_of_its_direction(make: Callable[[], ArrayGeometry], band: int) -> None:
    array = make()
    for direction in fibonacci_sphere(9)[1:-1]:
        measured, expected = measured_and_expected_lobe(array, direction, band)
        assert np.corrcoef(measured, expected)[0, 1] > 0.97
        # The mean of a line's map depends on the direction of the sound, so that the scale is known only roughly.
        assert 0.85 < measured @ expected / (expected @ expected) < 1.45


@pytest.mark.parametrize("tone_hz", [1500.0, 2100.0, 2450.0])
def test_a_tone_has_lobes_of_its_own(tone_hz: float) -> None:
    """The lobes of a tone repeat over the directions; with the lobes of noise, beeps were not found."""
    for direction in fibonacci_sphere(9)[1:-1]:
        own, of_noise = (
            np.corrcoef(*measured_and_expected_lobe(line(), direction, 1, tone_hz, flat))[0, 1]
            for flat in (False, True)
        )
        assert own > 0.95
        assert own > of_noise


def test_a_bin_is_shared_between_the_frequencies_around_it() -> None:
    tabled_hz = np.array([[500.0, 600.0, 700.0], [700.0, 900.0, 1100.0]])
    shares = bin_shares(tabled_hz, np.array([100.0, 525.0, 600.0, 850.0, 1200.0]))
    expected = np.zeros((5, 2, 3))
    expected[1, 0, :2], expected[2, 0, 1], expected[3, 1, :2] = (0.75, 0.25), 1.0, (0.25, 0.75)
    np.testing.assert_allclose(shares, expected)


def test_directions_lie_between_the_nodes_around_them() -> None:
    nodes = cube_nodes(CUBE_CELLS)
    for direction in fibonacci_sphere(200):
        k, s, t = weights_of_nodes(direction)
        around = nodes[[k, k + 1, k + CUBE_CELLS + 1, k + CUBE_CELLS + 2]]
        mixed = np.array([(1 - s) * (1 - t), (1 - s) * t, s * (1 - t), s * t]) @ around
        assert np.linalg.norm(mixed / np.linalg.norm(mixed) - direction) < 0.01


def test_lobes_have_no_mean_and_narrow_with_frequency() -> None:
    array = cube()
    lobes = lobe_table(array, np.array([[200.0, 470.0], [470.0, 1100.0], [1100.0, 2600.0], [2600.0, 6000.0]]), (1, 3))
    assert lobes.values.shape == (2, FREQUENCIES_PER_BAND, len(cube_nodes(CUBE_CELLS)), len(lobes.samples))
    np.testing.assert_allclose(lobes.values.mean(axis=3), 0.0, atol=1e-5)
    of_noise = lobes.values.mean(axis=1)
    widths = (of_noise > 0.5 * of_noise.max(axis=2, keepdims=True)).mean(axis=(1, 2))
    assert widths[1] < 0.3 * widths[0]  # the higher the band, the narrower the lobe
