"""Faults put into simulated recordings are reported; good recordings have none."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from bag_maker import CAMERA

from echoseg_ros.errors import ArrayError
from echoseg_ros.eval.sound.sound_calibration import CalibrationRecording, pose_track, simulate_calibration_recording
from echoseg_ros.io.bag_writer import BagWriter
from echoseg_ros.sound.array.array_geometry import array_to_mapping, load_array
from echoseg_ros.sound.channel_checks.channel_check import check_bag_channels, check_channels
from echoseg_ros.sound.channel_checks.channel_faults import ArrayRecording
from echoseg_ros.types import AudioFormat, Float32Array

START_NS = 100_000_000_000
CASES = [("cube8", 1), ("square4", 1), ("square4", 3)]


@cache
def walk(name: str, seed: int) -> CalibrationRecording:
    """10 s in a room of 0.4 s: noise (seed 1) or speech (seed 3)."""
    return simulate_calibration_recording(load_array(name), seed, seconds=10.0)


def faults(name: str, seed: int, samples: Float32Array) -> list[tuple[str, tuple[int, ...]]]:
    found = check_channels(ArrayRecording(samples, START_NS, 16000.0, pose_track(walk(name, seed))), load_array(name))
    return [(fault.kind, fault.channels) for fault in found]


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_a_good_recording_has_no_faults(name: str, seed: int) -> None:
    assert faults(name, seed, walk(name, seed).samples) == []


@pytest.mark.parametrize(("name", "seed"), CASES)
@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 3)])
def test_swapped_channels_are_found(name: str, seed: int, pair: tuple[int, int]) -> None:
    """Swapping (0, 2) or (1, 3) of the square gives its mirror image, which only the motion reveals."""
    samples = walk(name, seed).samples.copy()
    samples[:, pair] = samples[:, pair[::-1]]
    assert faults(name, seed, samples) == [("swapped", pair)]


@pytest.mark.parametrize(("name", "seed"), CASES)
@pytest.mark.parametrize("channel", [0, 2])
def test_inverted_dead_and_clipped_channels_are_found(name: str, seed: int, channel: int) -> None:
    good = walk(name, seed).samples
    inverted, dead, clipped = good.copy(), good.copy(), good.copy()
    inverted[:, channel] *= -1
    dead[:, channel] = 1e-5 * np.random.default_rng(0).standard_normal(len(dead))
    limit = np.quantile(np.abs(good[:, channel]), 0.995)
    clipped[:, channel] = np.clip(good[:, channel], -limit, limit)
    assert faults(name, seed, inverted) == [("inverted", (channel,))]
    assert faults(name, seed, dead) == [("dead", (channel,))]
    assert faults(name, seed, clipped) == [("clipped", (channel,))]


@pytest.mark.parametrize("stated_hz", [8000.0, 32000.0])
def test_a_wrong_rate_is_found_by_the_delays(stated_hz: float) -> None:
    """The driver counts samples at the stated rate, so that the stamps agree with it."""
    poses = pose_track(replace(walk("cube8", 1), times_s=walk("cube8", 1).times_s * 16000.0 / stated_hz))
    (found,) = check_channels(
        ArrayRecording(walk("cube8", 1).samples, START_NS, stated_hz, poses),
        replace(load_array("cube8"), sample_rate_hz=stated_hz),
    )
    assert found.kind == "sample_rate" and found.actual_rate_hz == pytest.approx(16000, rel=0.08)


def test_a_wrong_rate_is_found_by_the_stamps() -> None:
    stamps = [(k * 1600, START_NS + k * 100_000_000) for k in range(100)]
    poses = pose_track(walk("square4", 1))
    recording = ArrayRecording(walk("square4", 1).samples, START_NS, 44100.0, poses, stamps)
    (found,) = check_channels(recording, replace(load_array("square4"), sample_rate_hz=44100.0))
    assert found.kind == "sample_rate" and found.actual_rate_hz == 16000
    assert "44100 Hz, but by the stamps there are 16000 samples per second" in found.text


def test_silence_is_no_fault() -> None:
    samples = 1e-3 * np.random.default_rng(1).standard_normal((160_000, 4)).astype(np.float32)
    assert check_channels(ArrayRecording(samples, START_NS, 16000.0), load_array("square4")) == []


def test_a_bag_with_an_inverted_channel(tmp_path: Path) -> None:
    import yaml

    recorded, array = walk("square4", 1), load_array("square4")
    samples = recorded.samples * np.array([1, 1, -1, 1], dtype=np.float32)
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_audio_info(START_NS, AudioFormat(16000, 4, "S16LE", "WAVE"))
        bag.write_camera_info(START_NS, CAMERA)
        for at_s, T_map_camera in zip(recorded.times_s, recorded.poses, strict=True):
            bag.write_pose(START_NS + round(at_s * 1e9), T_map_camera)
        for k in range(100):
            bag.write_audio(START_NS + k * 100_000_000, samples[k * 1600 : (k + 1) * 1600])
    with pytest.raises(ArrayError, match="no array.yaml"):
        check_bag_channels(tmp_path / "bag")
    (tmp_path / "bag" / "array.yaml").write_text(yaml.safe_dump(array_to_mapping(array)))
    assert [str(fault) for fault in check_bag_channels(tmp_path / "bag")] == ["channel 2 has inverted polarity"]
