from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from waves import cube, delayed

from echoseg_ros.config import InputConfig, SoundConfig
from echoseg_ros.errors import ArrayError
from echoseg_ros.geometry import PoseTrack, transform
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.evidence.audio_stream import AudioStream
from echoseg_ros.types import AudioChunk, AudioFormat, AudioWindow

RATE_HZ = 16000
CHUNK = 320
START_NS = 5_000_000_000


def poses(until_s: float = 100.0) -> PoseTrack:
    """The camera moves along x at 1 m/s: its x is the time since START_NS."""
    track = PoseTrack(max_gap_s=200.0, keep_s=1000.0)
    for t in (-1.0, until_s):
        track.add(START_NS + round(t * 1e9), transform(np.eye(3), np.array([t, 0.0, 0.0])))
    return track


def stream(array: ArrayGeometry | None = None, inputs: InputConfig | None = None) -> AudioStream:
    array = array or cube()
    audio = AudioFormat(RATE_HZ, array.channels, "S16LE", "wave")
    return AudioStream(array, audio, SoundConfig(), inputs or InputConfig())


def chunks(seconds: float, jitter_s: float = 0.0, drift: float = 0.0, skip: tuple[int, ...] = ()) -> list[AudioChunk]:
    """Messages of CHUNK samples whose first channel holds the true time of the sample."""
    rng = np.random.default_rng(3)
    made = []
    for k in range(round(seconds * RATE_HZ / CHUNK)):
        times_s = (k * CHUNK + np.arange(CHUNK)) / RATE_HZ * (1 + drift)
        samples = np.repeat(times_s[:, None], 8, axis=1).astype(np.float32)
        stamp_ns = START_NS + round((times_s[0] + jitter_s * rng.uniform(-1, 1)) * 1e9)
        if k not in skip:
            made.append(AudioChunk(stamp_ns, samples))
    return made


def feed(audio: AudioStream, messages: list[AudioChunk], track: PoseTrack) -> tuple[list[AudioWindow], list[str]]:
    windows, problems = [], []
    for message in messages:
        problems += audio.add(message)
        windows += audio.take_windows(track)
    return windows, problems


def centre_error_s(window: AudioWindow) -> float:
    """How far the window's stamp is from the true time of the sample in its middle."""
    return (window.stamp_ns - START_NS) / 1e9 - float(window.samples[0, window.samples.shape[1] // 2])


def test_windows_follow_each_other_by_the_hop_and_carry_the_pose_of_their_centre() -> None:
    audio = stream()
    windows, problems = feed(audio, chunks(2.0), poses())
    assert not problems
    assert [round((w.stamp_ns - START_NS) / 1e9, 6) for w in windows] == [0.25 + 0.25 * k for k in range(7)]
    assert [w.T_map_array[0, 3] for w in windows] == pytest.approx([0.25 + 0.25 * k for k in range(7)])
    assert all(w.samples.shape == (8, 8000) for w in windows)
    assert max(abs(centre_error_s(w)) for w in windows) < 1e-6
    assert audio.received_s == pytest.approx(2.0)
    assert audio.dropped_s == 0.0


def test_the_array_sits_on_the_camera_as_its_extrinsics_say() -> None:
    array = replace(cube(), T_camera_array=transform(np.eye(3), np.array([0.0, 0.0, 0.5])))
    windows, _ = feed(stream(array), chunks(0.6), poses())
    assert windows[0].T_map_array[:3, 3] == pytest.approx([0.25, 0.0, 0.5])


def test_jitter_of_the_stamps_is_averaged_out() -> None:
    windows, problems = feed(stream(), chunks(8.0, jitter_s=0.003), poses())
    assert not problems
    assert max(abs(centre_error_s(w)) for w in windows[8:]) < 1e-3


def test_a_drifting_clock_is_followed() -> None:
    audio = stream()
    windows, problems = feed(audio, chunks(30.0, jitter_s=0.001, drift=3e-4), poses())
    assert not problems
    assert audio.clock.drift == pytest.approx(3e-4, abs=1e-4)
    assert max(abs(centre_error_s(w)) for w in windows[40:]) < 1e-3


def test_a_short_gap_is_told_and_later_samples_keep_their_time() -> None:
    audio = stream()
    windows, problems = feed(audio, chunks(4.0, skip=(75, 76)), poses())
    assert len(problems) == 1
    assert "640 samples (40 ms) are missing" in problems[0]
    assert max(abs(centre_error_s(w)) for w in windows[8:]) < 1e-6
    assert audio.dropped_s == 0.0


def test_windows_full_of_a_gap_are_dropped_and_counted() -> None:
    audio = stream()
    windows, _ = feed(audio, chunks(4.0, skip=tuple(range(75, 95))), poses())
    assert audio.dropped_s > 0
    assert audio.dropped_s == pytest.approx(0.25 * (15 - len(windows)))


def test_a_long_gap_starts_anew() -> None:
    windows, problems = feed(stream(), chunks(6.0, skip=tuple(range(50, 200))), poses())
    assert len(problems) == 1
    assert "gap of 3.00 s, the audio buffer was emptied" in problems[0]
    assert max(abs(centre_error_s(w)) for w in windows) < 1e-6
    assert (windows[-1].stamp_ns - START_NS) / 1e9 == pytest.approx(5.75)


def test_time_that_goes_back_starts_anew() -> None:
    messages = chunks(3.0)
    windows, problems = feed(stream(), messages + chunks(1.0), poses())
    assert len(problems) == 1
    assert "time goes back by 3.00 s" in problems[0]
    assert (windows[-1].stamp_ns - START_NS) / 1e9 == pytest.approx(0.75)


def test_a_repeated_message_is_told_and_taken_once() -> None:
    messages = chunks(2.0)
    windows, problems = feed(stream(), messages[:40] + [messages[39]] + messages[40:], poses())
    assert len(problems) == 1
    assert "overlaps the last message by 20 ms" in problems[0]
    assert max(abs(centre_error_s(w)) for w in windows) < 1e-6


def test_samples_that_are_not_finite_are_told_and_do_not_spread() -> None:
    messages = chunks(1.0)
    samples = messages[10].samples.copy()
    samples[5:8, 2] = np.nan
    messages[10] = replace(messages[10], samples=samples)
    windows, problems = feed(stream(), messages, poses())
    assert len(problems) == 1
    assert "3 of 320 samples are not finite" in problems[0]
    assert all(np.isfinite(w.samples).all() for w in windows)


def test_an_empty_message_is_told() -> None:
    assert "empty" in stream().add(AudioChunk(START_NS, np.empty((0, 8), np.float32)))[0]


def test_arrival_stamps_and_delays_are_taken_into_account() -> None:
    inputs = InputConfig(audio_stamp="arrival", audio_delay_s=-0.1)
    late_ns = round((CHUNK / RATE_HZ + 0.1) * 1e9)
    messages = [replace(chunk, stamp_ns=chunk.stamp_ns + late_ns) for chunk in chunks(1.0)]
    windows, problems = feed(stream(inputs=inputs), messages, poses())
    assert not problems
    assert max(abs(centre_error_s(w)) for w in windows) < 1e-6


def test_a_window_waits_for_its_pose_and_is_dropped_when_none_comes() -> None:
    audio = stream()
    windows, _ = feed(audio, chunks(1.0), poses(until_s=0.3))
    assert len(windows) == 1  # the one at 0.25 s; the next ones wait
    assert audio.dropped_s == 0.0
    assert len(audio.take_windows(poses())) == 2
    audio = stream()
    feed(audio, chunks(4.0), poses(until_s=0.3))
    assert audio.dropped_s == pytest.approx(0.25 * 10)  # centres 0.5 to 2.75 s: more than input.wait_s ago
    _, _ = feed(audio, [], poses())


def test_wiring_gains_and_delays_of_the_channels_are_undone() -> None:
    rng = np.random.default_rng(0)
    order, gains_db = rng.permutation(8), rng.uniform(-6, 6, 8)
    delays_s = rng.uniform(0, 1e-4, 8)
    clean = np.cumsum(rng.standard_normal(RATE_HZ)) * 1e-3
    clean -= np.linspace(clean[0], clean[-1], RATE_HZ)
    wired = np.empty((RATE_HZ, 8), np.float32)
    wired[:, order] = delayed(clean, delays_s, RATE_HZ).T * 10 ** (gains_db / 20)
    array = replace(cube(), channel_order=order, gains_db=gains_db, delays_s=delays_s)
    messages = [AudioChunk(START_NS + k * 20_000_000, wired[k * CHUNK : (k + 1) * CHUNK]) for k in range(50)]
    window = feed(stream(array), messages, poses())[0][0]
    middle = slice(500, -500)  # the phase ramp wraps around at the window's edges
    assert np.abs(window.samples[:, middle] - clean[:8000][middle]).max() < 0.02 * np.abs(clean).max()


def test_audio_that_does_not_fit_the_array_is_refused() -> None:
    array = cube()
    with pytest.raises(ArrayError, match="8 microphones.*6 channels"):
        AudioStream(array, AudioFormat(RATE_HZ, 6, "S16LE", "wave"), SoundConfig(), InputConfig())
    with pytest.raises(ArrayError, match="16000 Hz.*48000 Hz"):
        AudioStream(array, AudioFormat(48000, 8, "S16LE", "wave"), SoundConfig(), InputConfig())
    with pytest.raises(ArrayError, match="2 channels"):
        stream().add(AudioChunk(START_NS, np.zeros((10, 2), np.float32)))
