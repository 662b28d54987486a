"""Evidence of simulated windows: directions, energy, activity, weights of bins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from waves import cube, plane_wave, simulated_window

from echoseg_ros.config import SoundConfig
from echoseg_ros.errors import ArrayError
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, array_from_mapping, load_array
from echoseg_ros.sound.array.directions import fibonacci_sphere, peak_direction
from echoseg_ros.sound.evidence.bin_weights import MIN_DIRECT_SHARE, MIN_WEIGHT, REVERBERATION_S
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.sound.evidence.gcc_phat import correlations, cross_spectra, phase_transform, steered_sum
from echoseg_ros.types import AudioWindow, Float64Array

LINE = {"sample_rate_hz": 16000, "microphones_m": [[0.03 * i, 0, 0] for i in range(4)]}


def extractor(array: ArrayGeometry) -> EvidenceExtractor:
    return EvidenceExtractor(array, array.sample_rate_hz, SoundConfig())


def directions(count: int) -> Float64Array:
    """[count, 3] evenly spread, but not on the extractor's own grid."""
    return fibonacci_sphere(count + 7)[3:-4]


def test_cube_finds_every_direction_within_a_degree() -> None:
    rng, extract = np.random.default_rng(1), extractor(cube())
    for direction in directions(20):
        found = peak_direction(extract(plane_wave(cube(), direction, rng)))
        assert np.degrees(np.arccos(min(1.0, found @ direction))) < 1.0


def test_flat_square_finds_the_azimuth_within_a_degree() -> None:
    array = load_array("square4")
    rng, extract = np.random.default_rng(2), extractor(array)
    for direction in directions(20)[5:-5]:
        found = peak_direction(extract(plane_wave(array, direction, rng)))
        turn = np.angle(complex(*found[:2]) / complex(*direction[:2]))
        assert abs(np.degrees(turn)) < 1.0


@pytest.mark.parametrize(("array", "axis"), [(load_array("binaural"), 1), (array_from_mapping(LINE), 0)])
def test_pair_and_line_find_the_angle_to_their_axis_within_a_degree(array: ArrayGeometry, axis: int) -> None:
    rng, extract = np.random.default_rng(3), extractor(array)
    tested = [d for d in directions(30) if abs(d[axis]) < 0.85]  # near its ends a line does not resolve the angle
    for direction in tested:
        found = peak_direction(extract(plane_wave(array, direction, rng)))
        assert abs(np.degrees(np.arcsin(found[axis]) - np.arcsin(direction[axis]))) < 1.0


def test_energy_is_the_share_of_a_plane_wave() -> None:
    evidence = extractor(cube())(plane_wave(cube(), np.array([0.6, 0.0, 0.8]), np.random.default_rng(0)))
    assert evidence.energy.shape == (4, 2500)
    assert (evidence.energy >= 0).all()
    assert evidence.energy.sum(axis=0).max() == pytest.approx(1.0, abs=0.03)
    assert evidence.activity > 0.9
    assert evidence.level_db == pytest.approx(-20.0, abs=0.2)


def test_a_sound_in_one_band_counts_in_that_band() -> None:
    rng, extract = np.random.default_rng(0), extractor(cube())
    quiet = simulated_window(cube(), np.eye(4), None, rng)
    for _ in range(4):
        extract(quiet)
    window = plane_wave(cube(), np.array([0.0, 1.0, 0.0]), rng, noise=0.0)
    highpass = butter(8, 4000, "highpass", fs=16000, output="sos")
    samples = sosfilt(highpass, window.samples, axis=1) + 0.003 * rng.standard_normal(window.samples.shape)
    evidence = extract(replace(window, samples=samples.astype(np.float32)))
    assert evidence.energy[3].max() > 0.6
    assert evidence.energy[:3].sum(axis=0).max() < 0.1


def test_microphone_noise_has_little_activity_and_silence_none() -> None:
    rng, extract = np.random.default_rng(5), extractor(cube())
    activity = [extract(simulated_window(cube(), np.eye(4), None, rng)).activity for _ in range(20)]
    assert max(activity) < 0.2
    assert extract(AudioWindow(0, np.zeros((8, 8000), np.float32), 16000.0, np.eye(4))).activity == 0.0


def test_a_weak_sound_is_active_and_a_steady_one_stays_so() -> None:
    """A noise floor that gated bins, or learned a steady sound, removed weak speech and rain."""
    rng, extract = np.random.default_rng(6), extractor(cube())
    for _ in range(8):
        extract(simulated_window(cube(), np.eye(4), None, rng, noise=0.02))
    weak = extract(simulated_window(cube(), np.eye(4), np.array([3.0, 2.0, 1.0]), rng, noise=0.02))  # about -3 dB
    assert weak.activity > 0.4
    steady = [extract(simulated_window(cube(), np.eye(4), np.array([2.0, 2.0, 1.0]), rng)).activity for _ in range(60)]
    assert min(steady) > 0.6


def test_a_window_with_another_number_of_microphones_is_refused() -> None:
    with pytest.raises(ArrayError, match="window of 4 channels: want the array's 8"):
        extractor(cube())(AudioWindow(0, np.zeros((4, 8000), np.float32), 16000.0, np.eye(4)))


def test_a_diffuse_field_has_no_direction_even_to_a_flat_array() -> None:
    """Reverberation drew the sources of a flat array up and down, from where it reaches all microphones at once."""
    array = load_array("square4")
    rng, extract = np.random.default_rng(8), extractor(array)
    total = np.zeros(2500)
    for _ in range(12):
        waves = [plane_wave(array, direction, rng, noise=0.0).samples for direction in fibonacci_sphere(60)]
        total += extract(AudioWindow(0, np.sum(waves, axis=0) / 8, 16000.0, np.eye(4))).energy.sum(axis=0) / 12
    assert total.max() - total.mean() < 0.031  # 0.035 without the subtraction


def test_the_map_is_the_steered_power_of_the_weighted_phases() -> None:
    """Kernels and look-up of lags against the definition: |sum over microphones of phases steered to a direction|^2."""
    array = cube()
    extract = extractor(array)
    window = plane_wave(array, np.array([0.48, 0.6, 0.64]), np.random.default_rng(13))
    spectra = extract._spectra(window.samples)
    power = np.mean(np.abs(spectra) ** 2, axis=0)
    echo = np.zeros_like(power[0])
    share = np.ones_like(power)
    for t in range(1, len(power)):
        echo = 10 ** (-6 * 256 / 16000 / REVERBERATION_S) * np.maximum(echo if t > 1 else power[0], power[t - 1])
        share[t] = 1 - echo / power[t]
    share[0] = 0
    weights, _ = extract._weights.update(spectra)
    above = np.log10(power / (1.2 * power.mean(axis=0)))
    clean = np.clip(above, MIN_WEIGHT, 1)
    np.testing.assert_allclose(weights, clean * np.clip(share, MIN_DIRECT_SHARE, 1), rtol=1e-3, atol=1e-4)
    unit = spectra / np.abs(spectra)
    frequencies_hz = np.fft.rfftfreq(512, 1 / 16000)[extract._used]
    some = extract.directions[::250]
    delays_s = array.far_field_delays_s(some)
    steered = [np.sum(unit * np.exp(2j * np.pi * frequencies_hz * d[:, None, None]), axis=0) for d in delays_s]
    expected = [np.sum(weights * np.abs(s) ** 2) / weights.sum() / 64 for s in steered]
    cross = cross_spectra(phase_transform(spectra), weights / weights.sum(), extract._pairs)
    correlation = correlations(cross, extract._cos, extract._sin, extract._band_of_bin, 4)
    pair_sum = steered_sum(correlation, extract._lag_index, extract._lag_share).sum(axis=1)[::250]
    np.testing.assert_allclose((8 + 2 * pair_sum) / 64, expected, atol=0.005)  # linear between lags


def test_a_lasting_tone_is_found_in_microphone_noise() -> None:
    """A lasting tone is its own noise floor: its bins had no more weight than bins of noise."""
    array, rng, pitch_hz = cube(), np.random.default_rng(8), 900.0
    for direction in (np.array([0.6, -0.64, 0.48]), np.array([-0.3, 0.9, 0.316])):
        extract, late_s = extractor(array), array.far_field_delays_s(direction[None])[0]
        for k in range(15):
            t = (4000 * k + np.arange(8000)) / array.sample_rate_hz
            tone = 0.05 * np.sin(2 * np.pi * pitch_hz * (t[None] - late_s[:, None]))
            samples = (tone + 0.02 * rng.standard_normal(tone.shape)).astype(np.float32)
            evidence = extract(AudioWindow(250_000_000 * k, samples, array.sample_rate_hz, np.eye(4)))
        assert evidence.activity > 0.5
        assert np.degrees(np.arccos(min(1.0, peak_direction(evidence) @ direction))) < 15.0


def test_beeps_are_not_outweighed_by_the_noise_of_other_bins() -> None:
    """Noise has a little weight in each of hundreds of bins: with two ears, beeps were found in none of 5 rooms."""
    array, rng, direction = load_array("binaural"), np.random.default_rng(9), np.array([0.6, 0.64, 0.48])
    extract, late_s = extractor(array), array.far_field_delays_s(direction[None])[0]
    total = np.zeros(2500)
    for k in range(30):
        t = (4000 * k + np.arange(8000)) / array.sample_rate_hz
        beep = 0.1 * np.sin(2 * np.pi * 1300.0 * (t[None] - late_s[:, None])) * (t % 0.5 < 0.1)
        samples = (beep + 0.01 * rng.standard_normal(beep.shape)).astype(np.float32)
        total += extract(AudioWindow(250_000_000 * k, samples, array.sample_rate_hz, np.eye(4))).energy.sum(axis=0) / 30
    there = extract.directions @ direction > 0.99
    assert total[there].mean() - total.mean() > 0.06
