"""Audio of a stationary array: the same as of the moving array at constant poses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve

from echoseg_ros.geometry import look_at
from echoseg_ros.pipeline.dataset_bag import dataset_array
from echoseg_ros.types import Float64Array
from echoseg_sim.acoustics.array_audio import simulate_array
from echoseg_sim.acoustics.receivers import LEAD_SAMPLES
from echoseg_sim.acoustics.reverberation import Shoebox
from echoseg_sim.acoustics.sounds import load_sound
from echoseg_sim.acoustics.source_signal import SimulatedSource, dry_signal
from echoseg_sim.acoustics.stationary_array import StationaryArray

ROOM = Shoebox(np.array([-2.0, -1.8, 0.0]), np.array([4.0, 3.6, 2.5]))
POSITION = np.array([1.1, 0.9, 0.8])
RT60_S, SEED = 0.4, 5
ARRAY = dataset_array()


def pose(x: float, y: float, toward: Float64Array) -> Float64Array:
    eye = np.array([x, y, 1.2])
    return look_at(eye, np.array([*toward[:2], 1.2])) @ ARRAY.T_camera_array


@pytest.fixture(scope="module")
def array() -> StationaryArray:
    poses = np.stack([pose(-1.0, -0.8, POSITION)] * 2 + [pose(-1.0, -0.8, np.array([-1.0, 1.5]))])
    return StationaryArray(ROOM, RT60_S, ARRAY, poses, POSITION, SEED)


def source(seconds: float, start_s: float = 0.0) -> SimulatedSource:
    signal = load_sound("builtin:speech", ARRAY.sample_rate_hz, 1)
    return SimulatedSource("a", POSITION, signal, ((start_s, seconds),))


def test_same_audio_as_a_moving_array_at_constant_poses() -> None:
    still = np.stack([pose(-1.0, -0.8, POSITION)] * 2)
    array = StationaryArray(ROOM, RT60_S, ARRAY, still, POSITION, SEED)
    received = array.record([(source(2.0), array.responses(POSITION))], 20.0, SEED)
    moving = simulate_array(ROOM, RT60_S, ARRAY, list(still), [0.0, 2.0], [source(2.0)], 2.0, 20.0, SEED)
    assert received.shape == moving.samples.shape == (88_200, 2)
    np.testing.assert_allclose(received, moving.samples, atol=2e-6)
    assert array.rt60_measured_s == pytest.approx(moving.rt60_measured_s, abs=1e-6)


def test_each_second_is_recorded_at_its_own_pose(array: StationaryArray) -> None:
    """The source is ahead in the first two seconds and to the right in the third; reverberation crosses the borders."""
    responses = array.responses(POSITION)
    arrivals = [[int(np.argmax(np.abs(ear) > 0.3 * np.abs(ear).max())) for ear in pose] for pose in responses.taps]
    assert abs(arrivals[0][0] - arrivals[0][1]) <= 1
    assert 10 < arrivals[2][0] - arrivals[2][1] < 40  # the sound reaches the right ear up to 0.8 ms earlier
    received = array.record([(source(3.0), responses)], 70.0, SEED)
    dry = dry_signal(source(3.0), 3 * 44_100, 44_100.0)
    for second in range(3):
        for ear in range(2):
            whole = fftconvolve(dry, responses.taps[second, ear])[LEAD_SAMPLES:]
            part = slice(44_100 * second, 44_100 * (second + 1))
            assert np.corrcoef(received[part, ear], whole[part])[0, 1] > 0.9999


def test_recording_is_silent_before_the_source_starts(array: StationaryArray) -> None:
    received = array.record([(source(3.0, 1.0), array.responses(POSITION))], 30.0, SEED)
    level = np.sqrt((received.reshape(3, 44_100, 2) ** 2).mean(axis=(1, 2)))
    assert 20 * np.log10(level[0]) == pytest.approx(-60.0, abs=0.5)
    assert level[1] > 10 * level[0]


def test_blocked_direct_path_is_at_least_ten_decibels_weaker(array: StationaryArray) -> None:
    free, blocked = (array.responses(POSITION, b).taps[0, 0] for b in (False, True))
    first = int(np.argmax(np.abs(free) > 0.1 * np.abs(free).max()))
    direct = slice(first - 30, first + 60)  # before any reflection
    assert np.abs(blocked[direct]).max() < 10 ** (-10 / 20) * np.abs(free[direct]).max()
    np.testing.assert_allclose(blocked[first + 2000 :], free[first + 2000 :], atol=1e-3 * np.abs(free).max())
