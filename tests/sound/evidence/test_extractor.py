from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from near_field_reference import near_field_energy
from scipy.signal import butter, sosfilt
from scipy.spatial.transform import Rotation
from waves import cube, delayed, hear, plane_wave

from echoseg_ros.config import SoundConfig
from echoseg_ros.errors import ArrayError
from echoseg_ros.geometry import transform
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, array_from_mapping, load_array
from echoseg_ros.sound.array.directions import fibonacci_sphere, peak_direction
from echoseg_ros.sound.evidence.bin_weights import MIN_DIRECT_SHARE, MIN_WEIGHT, REVERBERATION_S
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.sound.evidence.gcc_phat import correlations, cross_spectra, phase_transform, steered_sum
from echoseg_ros.sound.localisation.evidence_memory import EvidenceMemory
from echoseg_ros.types import AudioWindow

LINE = {"sample_rate_hz": 16000, "microphones_m": [[0.03 * i, 0, 0] for i in range(4)]}


def extractor(array) -> EvidenceExtractor:
    return EvidenceExtractor(array, array.sample_rate_hz, SoundConfig())


def directions(count: int) -> np.ndarray:
    """Evenly spread, but not on the extractor's own grid."""
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
def test_pair_and_line_find_the_angle_to_their_axis_within_a_degree(array, axis: int) -> None:
    rng, extract = np.random.default_rng(3), extractor(array)
    tested = [d for d in directions(30) if abs(d[axis]) < 0.85]  # towards its ends a line hears no change of angle
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
    quiet = hear(cube(), np.eye(4), None, rng)
    for _ in range(4):
        extract(quiet)
    window = plane_wave(cube(), np.array([0.0, 1.0, 0.0]), rng, noise=0.0)
    highpass = butter(8, 4000, "highpass", fs=16000, output="sos")
    samples = sosfilt(highpass, window.samples, axis=1) + 0.003 * rng.standard_normal(window.samples.shape)
    evidence = extract(replace(window, samples=samples.astype(np.float32)))
    assert evidence.energy[3].max() > 0.6
    assert evidence.energy[:3].sum(axis=0).max() < 0.1


def test_noise_of_the_microphones_is_not_active_and_silence_not_at_all() -> None:
    rng, extract = np.random.default_rng(5), extractor(cube())
    activity = [extract(hear(cube(), np.eye(4), None, rng)).activity for _ in range(20)]
    assert max(activity) < 0.2
    assert extract(AudioWindow(0, np.zeros((8, 8000), np.float32), 16000.0, np.eye(4))).activity == 0.0


def test_a_weak_sound_is_active_and_a_steady_one_stays_so() -> None:
    """A floor that gates, or learns a steady sound, made weak speech and rain vanish."""
    rng, extract = np.random.default_rng(6), extractor(cube())
    for _ in range(8):
        extract(hear(cube(), np.eye(4), None, rng, noise=0.02))
    weak = extract(hear(cube(), np.eye(4), np.array([3.0, 2.0, 1.0]), rng, noise=0.02))  # about -3 dB
    assert weak.activity > 0.4
    steady = [extract(hear(cube(), np.eye(4), np.array([2.0, 2.0, 1.0]), rng)).activity for _ in range(60)]
    assert min(steady) > 0.6


def test_a_window_of_other_microphones_is_refused() -> None:
    with pytest.raises(ArrayError, match="window of 4 channels: want the array's 8"):
        extractor(cube())(AudioWindow(0, np.zeros((4, 8000), np.float32), 16000.0, np.eye(4)))


def test_a_diffuse_field_has_no_direction_even_to_a_flat_array() -> None:
    """Reverberation pulled sources of a flat array up and down: its microphones all hear those directions at once."""
    array = load_array("square4")
    rng, extract = np.random.default_rng(8), extractor(array)
    total = np.zeros(2500)
    for _ in range(12):
        waves = [plane_wave(array, direction, rng, noise=0.0).samples for direction in fibonacci_sphere(60)]
        total += extract(AudioWindow(0, np.sum(waves, axis=0) / 8, 16000.0, np.eye(4))).energy.sum(axis=0) / 12
    assert total.max() - total.mean() < 0.031  # 0.035 with the pattern left in


def near_wave(array, place_m: np.ndarray, rng: np.random.Generator) -> AudioWindow:
    """Half a second of white noise from a point in the array frame: spheres, weaker with distance."""
    distances_m = np.linalg.norm(array.microphones_m - place_m, axis=1)
    samples = delayed(rng.standard_normal(8000), distances_m / SPEED_OF_SOUND_M_PER_S, 16000.0) / distances_m[:, None]
    samples = 0.1 * distances_m.mean() * (samples + 0.03 * rng.standard_normal(samples.shape))
    return AudioWindow(0, samples.astype(np.float32), 16000.0, np.eye(4))


def test_near_field_finds_a_source_at_arms_length_in_range_too() -> None:
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
        # In the map of plane waves all ranges are alike; they lose a few hundredths of what the right sphere keeps.
        there = near_field_energy(evidence, cube(), place_m[None])[0]
        plane = near_field_energy(evidence, cube(), 100 * place_m[None])[0]
        assert there == pytest.approx(1.0, abs=0.03)
        assert plane < there - 0.015


def test_windows_in_the_map_are_corrected_as_the_reference_says() -> None:
    """Two places of a turned array: the kernel's weighted sum against the plain version in each array's frame."""
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


def test_near_field_is_the_map_far_away() -> None:
    rng, extract = np.random.default_rng(10), extractor(cube())
    evidence = extract(hear(cube(), transform(np.eye(3), np.array([2.0, 2.0, 1.0])), np.array([4.0, 3.0, 1.5]), rng))
    total = evidence.energy.sum(axis=0)
    off = np.abs(near_field_energy(evidence, cube(), 5.0 * evidence.directions_array) - total)
    assert off.max() < 0.01
    assert np.abs(near_field_energy(evidence, cube(), 0.3 * evidence.directions_array) - total).max() > 5 * off.max()


def test_near_field_without_correlations_or_with_a_head_is_the_map() -> None:
    evidence = extractor(cube())(plane_wave(cube(), np.array([0.6, 0.0, 0.8]), np.random.default_rng(11)))
    total = evidence.energy.sum(axis=0)
    points = 0.3 * evidence.directions_array[::50]
    bare = replace(evidence, correlation=None)
    np.testing.assert_allclose(near_field_energy(bare, cube(), points), total[::50], rtol=1e-6)
    ears = load_array("binaural")
    evidence = extractor(ears)(plane_wave(ears, np.array([0.6, 0.0, 0.8]), np.random.default_rng(12)))
    np.testing.assert_allclose(near_field_energy(evidence, ears, points), evidence.energy.sum(axis=0)[::50], rtol=1e-6)


def test_the_map_is_the_steered_power_of_the_weighted_phases() -> None:
    """The kernels and the look-up of lags beside the definition: |sum over microphones of phases turned to a direction|^2."""
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


def test_a_tone_that_lasts_is_heard_among_the_microphones_noise() -> None:
    """A lasting tone is its own noise floor: its bins counted no more than those that hold noise alone."""
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


def test_a_beep_is_not_outweighed_by_the_noise_of_other_bins() -> None:
    """Noise counts a little in each of hundreds of bins: two ears heard beeps in none of 5 rooms."""
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
