"""Audio of a moving array against closed forms and against the promises of simulate_array."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from scipy.spatial.transform import Rotation

from echoseg_ros.errors import ConfigError
from echoseg_ros.geometry import apply, transform
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry, load_array
from echoseg_ros.types import Float32Array, Float64Array
from echoseg_sim.acoustics.array_audio import simulate_array
from echoseg_sim.acoustics.receivers import LEAD_SAMPLES, FreeFieldReceiver
from echoseg_sim.acoustics.reverberation import Shoebox, direct_path, image_source_model, reverberation_time
from echoseg_sim.acoustics.source_signal import SimulatedSource

ROOM = Shoebox(np.array([-3.0, -2.5, -1.0]), np.array([6.0, 5.0, 2.7]))
FLAT_ROOM = Shoebox(np.array([-3.2, -1.25, -1.0]), np.array([6.4, 2.5, 2.5]))
POSITION = np.array([1.5, -1.0, 0.4])
CUBE = load_array("cube8")
# Two microphones exercise the same code in less time.
PAIR = replace(
    CUBE,
    microphones_m=CUBE.microphones_m[:2],
    channel_order=np.arange(2),
    gains_db=np.zeros(2),
    delays_s=np.zeros(2),
)


def moving_path(steps: int = 11) -> tuple[list[Float64Array], Float64Array]:
    """Poses and times of a path with 0.5 m/s and 60 degrees a second; 11 steps last 2 s."""
    turns = [Rotation.from_euler("z", 12 * i, degrees=True).as_matrix() for i in range(steps)]
    poses = [transform(turn, np.array([-1.0 + 0.1 * i, 0.3, 0.1])) for i, turn in enumerate(turns)]
    times_s = np.arange(steps).astype(float) * 0.2
    return poses, times_s


def source(signal: Float64Array, on_s: tuple[tuple[float, float], ...] = ((0.0, 60.0),)) -> SimulatedSource:
    return SimulatedSource("source", POSITION, signal, on_s)


def noise(seconds: float, rate_hz: float = 16000) -> Float64Array:
    return np.random.default_rng(3).standard_normal(int(seconds * rate_hz))


def arrival_difference_s(first: Float32Array, second: Float32Array, rate_hz: float) -> float:
    """Delay of the second signal against the first, by phase correlation on a fine grid."""
    a, b = first[:6000], second[:6000]
    frequency = np.fft.rfftfreq(len(a), 1 / rate_hz)
    cross = np.fft.rfft(b) * np.conj(np.fft.rfft(a))
    band = (frequency > 300) & (frequency < 5000)
    delays = np.arange(-1e-3, 1e-3, 1e-6)
    steering = np.exp(2j * np.pi * np.outer(delays, frequency[band]))
    return float(delays[np.argmax((steering @ (cross[band] / np.abs(cross[band]))).real)])


def test_free_field_has_the_delays_and_levels_of_the_geometry() -> None:
    T_map_array = transform(
        Rotation.from_euler("zyx", [30, 10, -5], degrees=True).as_matrix(), np.array([0.2, 0.3, 0.1])
    )
    received = simulate_array(ROOM, 0.0, CUBE, [T_map_array], [0.0], [source(noise(1))], 1.0, snr_db=60).samples[
        1600:-1600
    ]
    distances = np.linalg.norm(apply(T_map_array, CUBE.microphones_m) - POSITION, axis=1)
    for m in range(1, 8):
        expected_s = (distances[m] - distances[0]) / SPEED_OF_SOUND_M_PER_S
        assert arrival_difference_s(received[:, 0], received[:, m], 16000) == pytest.approx(expected_s, abs=2e-6)
    level_db = 10 * np.log10(np.mean(received.astype(float) ** 2, axis=0))
    np.testing.assert_allclose(level_db - level_db[0], -20 * np.log10(distances / distances[0]), atol=0.15)


def test_absolute_arrival() -> None:
    receiver = FreeFieldReceiver(PAIR)
    response = receiver.responses(direct_path(POSITION), np.eye(4)[None], 400)[0]
    for m in range(2):
        distance = float(np.linalg.norm(PAIR.microphones_m[m] - POSITION))
        assert abs(np.argmax(response[m]) - LEAD_SAMPLES - distance / SPEED_OF_SOUND_M_PER_S * 16000) <= 0.5
        assert response[m].sum() == pytest.approx(1 / distance, rel=1e-3)


@pytest.mark.parametrize("room", [ROOM, FLAT_ROOM])
@pytest.mark.parametrize("rt60_s", [0.2, 0.4, 0.7])
def test_reverberation_time_is_the_one_asked_for(room: Shoebox, rt60_s: float) -> None:
    poses, times_s = moving_path(6)
    result = simulate_array(room, rt60_s, PAIR, poses, times_s, [source(np.ones(10), ((0.0, 0.01),))], 0.1)
    assert result.rt60_measured_s == pytest.approx(rt60_s, rel=0.15)


def test_t30_of_an_exponential_decay() -> None:
    t = np.arange(16000) / 16000
    decay = np.random.default_rng(0).standard_normal((8, 16000)) * np.exp(-3 * np.log(10) * t / 0.5)
    assert reverberation_time(decay, 16000) == pytest.approx(0.5, rel=0.03)


def test_tail_continues_the_early_image_sources() -> None:
    """The energy of the responses falls steadily across the mixing time: by 2 dB in 20 ms."""
    model = image_source_model(ROOM, POSITION, 0.6, np.random.default_rng(0))
    response = (
        FreeFieldReceiver(PAIR)
        .responses(model.image_sources(0.9, 0.6), np.stack(moving_path(2)[0]), 12000)
        .astype(float)
    )
    response = sosfilt(butter(4, 400, "highpass", fs=16000, output="sos"), response, axis=-1)
    mixing = LEAD_SAMPLES + int(12 * 2.7 / SPEED_OF_SOUND_M_PER_S * 16000)
    before, after = response[..., mixing - 320 : mixing], response[..., mixing : mixing + 320]
    step_db = 10 * np.log10(np.mean(after**2) / np.mean(before**2))
    assert -4.0 < step_db < 0.0


def test_signal_to_noise_ratio_and_silence() -> None:
    poses, times_s = moving_path()
    result = simulate_array(ROOM, 0.3, PAIR, poses, times_s, [source(noise(0.4), ((0.8, 2.0),))], 3.0, snr_db=10)
    power = result.samples.astype(float) ** 2
    silent, on = power[:12800].mean(), power[12800:32000].mean()
    assert 10 * np.log10(silent) == pytest.approx(-60.0, abs=0.2)
    assert 10 * np.log10(on / silent - 1) == pytest.approx(10.0, abs=0.5)
    assert 10 * np.log10(power[40000:].mean()) == pytest.approx(-60.0, abs=0.5)


def test_no_source_gives_the_noise_floor_alone() -> None:
    poses, times_s = moving_path()
    result = simulate_array(ROOM, 0.3, PAIR, poses, times_s, [], 1.0)
    assert result.samples.shape == (16000, 2)
    assert 10 * np.log10(np.mean(result.samples.astype(float) ** 2)) == pytest.approx(-60.0, abs=0.1)
    assert result.rt60_measured_s == pytest.approx(0.3, rel=0.15)


def test_loud_sounds_do_not_clip() -> None:
    clicks = np.zeros(8000)
    clicks[::4000] = 1.0
    poses, times_s = moving_path()
    samples = simulate_array(ROOM, 0.3, PAIR, poses, times_s, [source(clicks)], 1.0, snr_db=60).samples
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("rt60_s", [0.0, 0.3])
def test_cross_fades_do_not_click(rt60_s: float) -> None:
    """A tone recorded by a moving, turning array stays a tone: a click would spread over all frequencies."""
    tone = np.sin(2 * np.pi * 440 * np.arange(32000) / 16000)
    poses, times_s = moving_path()
    samples = simulate_array(ROOM, rt60_s, PAIR, poses, times_s, [source(tone)], 2.0, snr_db=100).samples
    received = samples[3200:-3200, 0].astype(float)
    assert np.abs(np.diff(received)).max() < 1.1 * 2 * np.sin(np.pi * 440 / 16000) * np.abs(received).max()
    spectrum = np.abs(np.fft.rfft(received * np.hanning(len(received)))) ** 2
    far = np.abs(np.fft.rfftfreq(len(received), 1 / 16000) - 440) > 60
    assert 10 * np.log10(spectrum[far].sum() / spectrum.sum()) < -60


def test_a_clip_repeats_while_on() -> None:
    clip = noise(0.25)
    samples = simulate_array(ROOM, 0.0, PAIR, [np.eye(4)], [0.0], [source(clip)], 1.5, snr_db=50).samples[:, 0]
    first, second = samples[6000:10000], samples[10000:14000]
    assert np.corrcoef(first, second)[0, 1] > 0.99


def test_blocked_source_loses_its_direct_sound() -> None:
    seen = simulate_array(ROOM, 0.0, PAIR, [np.eye(4)], [0.0], [source(noise(1))], 1.0, snr_db=40).samples[:, 0]
    behind = replace(source(noise(1)), blocked=True)
    hidden = simulate_array(ROOM, 0.0, PAIR, [np.eye(4)], [0.0], [behind], 1.0, snr_db=40).samples[:, 0]
    high = np.fft.rfftfreq(16000, 1 / 16000) > 3000
    share = [np.sum(np.abs(np.fft.rfft(x))[high] ** 2) / np.sum(np.abs(np.fft.rfft(x)) ** 2) for x in (seen, hidden)]
    assert share[1] < 0.25 * share[0]


def test_wiring_of_the_array_is_in_the_samples() -> None:
    """The loader removes gains and delays again, so the simulator must apply them with the same sign."""
    wired = replace(PAIR, channel_order=np.array([1, 0]), gains_db=np.array([0.0, 6.0]), delays_s=np.array([0.0, 5e-4]))
    plain, odd = (
        simulate_array(ROOM, 0.0, array, [np.eye(4)], [0.0], [source(noise(1))], 1.0, snr_db=60).samples[1600:-1600]
        for array in (PAIR, wired)
    )
    late_s = arrival_difference_s(odd[:, 1], odd[:, 0], 16000) - arrival_difference_s(plain[:, 0], plain[:, 1], 16000)
    assert late_s == pytest.approx(5e-4, abs=2e-6)
    gain_db = 10 * np.log10(np.mean(odd[:, 0] ** 2) / np.mean(plain[:, 1] ** 2))
    assert gain_db == pytest.approx(6.0, abs=0.3)


def test_same_seed_same_samples() -> None:
    poses, times_s = moving_path()
    first, again, other = (
        simulate_array(ROOM, 0.3, PAIR, poses, times_s, [source(noise(1))], 0.5, seed=seed).samples
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rt60_s": float("nan")}, "rt60 nan"),
        ({"duration_s": 0.0}, "duration 0.0"),
        ({"sources": [SimulatedSource("bell", np.array([9.0, 0, 0]), np.ones(9), ((0, 1),))]}, "'bell' at .* outside"),
        ({"sources": [SimulatedSource("bell", POSITION, np.ones(9), ((2, 1),))]}, "'bell' on at .* start < end"),
        ({"poses": [transform(np.eye(3), np.array([0.0, 0.0, 5.0]))]}, "leaves the room"),
        ({"rt60_s": 0.01}, "rt60 0.01 s: a 6.0 x 5.0 x 2.7 m room gets no nearer"),
    ],
)
def test_bad_requests_are_named(change: dict[str, Any], message: str) -> None:
    request: dict[str, Any] = {
        "shoebox": ROOM, "rt60_s": 0.3, "array": PAIR, "poses": [np.eye(4)], "pose_times_s": [0.0],
        "sources": [], "duration_s": 0.2,
    }  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        simulate_array(**{**request, **change})


@pytest.mark.parametrize(
    ("name", "microphones", "rate_hz"), [("cube8", 8, 16000), ("square4", 4, 16000), ("binaural", 2, 44100)]
)
def test_shipped_arrays(name: str, microphones: int, rate_hz: float) -> None:
    array: ArrayGeometry = load_array(name)
    assert (array.microphones, array.sample_rate_hz, array.name) == (microphones, rate_hz, name)
    np.testing.assert_allclose(array.microphones_m.mean(axis=0), 0, atol=1e-9)
    # Forward, left and up of the array are +z, -x and -y of the optical frame.
    np.testing.assert_allclose(array.T_camera_array[:3, :3], [[0, -1, 0], [0, 0, -1], [1, 0, 0]])
