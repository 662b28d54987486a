"""Self-calibration finds the time offset and the yaw that were put into a simulated walk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from echoseg_ros.config import InputConfig, SoundConfig
from echoseg_ros.eval.sound.sound_calibration import CalibrationRecording, pose_track, simulate_calibration_recording
from echoseg_ros.geometry import transform
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.sound.calibration.self_calibration import SelfCalibration
from echoseg_ros.sound.evidence.audio_stream import AudioStream
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.types import AudioChunk, AudioFormat
from echoseg_sim.acoustics.array_audio import simulate_array
from echoseg_sim.acoustics.reverberation import Shoebox
from echoseg_sim.acoustics.sounds import load_sound
from echoseg_sim.acoustics.source_signal import SimulatedSource

CUBE, EARS = load_array("cube8"), load_array("binaural")
START_NS = 100_000_000_000


def calibration_of(
    walk: CalibrationRecording, array: ArrayGeometry, offset_s: float, yaw_rad: float
) -> SelfCalibration:
    """Calibration of a walk with audio stamps `offset_s` early and an array described as turned back by `yaw_rad`."""
    rate_hz = round(array.sample_rate_hz)
    back = transform(Rotation.from_euler("z", -yaw_rad).as_matrix(), np.zeros(3))
    calibration = SelfCalibration(replace(array, T_camera_array=array.T_camera_array @ back))
    sound = SoundConfig()
    stream = AudioStream(array, AudioFormat(rate_hz, array.channels, "S16LE", "WAVE"), sound, InputConfig())
    extract, poses, step = EvidenceExtractor(array, rate_hz, sound), pose_track(walk), rate_hz // 10
    for start in range(0, len(walk.samples), step):
        stamp_ns = START_NS + round((start / rate_hz - offset_s) * 1e9)
        stream.add(AudioChunk(stamp_ns, walk.samples[start : start + step]))
        for window in stream.take_windows(poses):
            calibration.add(extract(window), poses, window)
    return calibration


@pytest.fixture(scope="module")
def walk() -> CalibrationRecording:
    """20 s of turning and walking in a room of 0.4 s, noise at 20 dB."""
    return simulate_calibration_recording(CUBE, 5, sound="builtin:noise")


@pytest.mark.parametrize(("offset_s", "yaw_deg"), [(0.12, -14.0), (-0.15, 9.0), (0.0, 0.0)])
def test_offset_and_yaw_are_found_from_20_s_of_motion(
    walk: CalibrationRecording, offset_s: float, yaw_deg: float
) -> None:
    estimate = calibration_of(walk, CUBE, offset_s, np.radians(yaw_deg)).estimate()
    assert estimate is not None and estimate.knows_offset and estimate.knows_yaw
    offset_error_s, yaw_error_rad = estimate.offset_s - offset_s, estimate.yaw_rad - np.radians(yaw_deg)
    assert abs(offset_error_s) < 0.012 and abs(offset_error_s) < 3 * estimate.sigma_offset_s
    assert abs(yaw_error_rad) < np.radians(1.2) and abs(yaw_error_rad) < 3 * estimate.sigma_yaw_rad
    assert estimate.up_array == pytest.approx([0, 0, 1], abs=0.15)


def test_an_array_mounted_back_to_front_is_found(walk: CalibrationRecording) -> None:
    estimate = calibration_of(walk, CUBE, 0.0, np.pi).estimate()
    assert estimate is not None
    assert abs((estimate.yaw_rad % (2 * np.pi)) - np.pi) < np.radians(2.0)


def on_the_spot(turning: bool) -> CalibrationRecording:
    """12 s of noise in the free field at an array that stays in place and may turn."""
    times_s = np.arange(0.0, 12.02, 0.02)
    turns = Rotation.from_rotvec(np.outer(0.8 * turning * np.sin(1.3 * times_s), [0, 0, 1])).as_matrix()
    upright = Rotation.from_euler("x", -90, degrees=True).as_matrix()  # optical frame: z ahead, y down
    poses = np.stack([transform(turn @ upright, np.array([0.0, 0.0, 1.2])) for turn in turns])
    source_m = np.array([1.2, 0.5, 1.4])
    source = SimulatedSource("source", source_m, load_sound("builtin:noise", 16000), ((0.0, 12.0),))
    room = Shoebox(np.array([-2.0, -2.0, 0.0]), np.array([4.0, 4.0, 2.5]))
    recorded = simulate_array(room, 0.0, CUBE, list(poses @ CUBE.T_camera_array), times_s, [source], 12.0)
    return CalibrationRecording(recorded.samples, times_s, poses, source_m, "noise")


@pytest.mark.parametrize("turning", [False, True])
def test_values_that_the_motion_leaves_open_count_as_unknown(turning: bool) -> None:
    """On the spot a yaw of the array equals another bearing of the source; without a turn the offset is open too."""
    estimate = calibration_of(on_the_spot(turning), CUBE, 0.1, 0.1).estimate()
    assert estimate is not None and not estimate.knows_yaw and estimate.knows_offset == turning
    assert estimate.sigma_yaw_rad > np.radians(20)
    if turning:
        assert abs(estimate.offset_s - 0.1) < 0.015 and estimate.sigma_offset_s < 0.01
    else:
        assert estimate.sigma_offset_s > 0.1


def test_there_is_no_estimate_without_sound() -> None:
    assert SelfCalibration(CUBE).estimate() is None
