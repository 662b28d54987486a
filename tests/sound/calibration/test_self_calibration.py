"""A wrong clock and a wrong yaw, put in and found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from echoseg_ros.config import Config, InputConfig, SoundConfig
from echoseg_ros.eval.sound.sound_calibration import Walk, record_walk, track
from echoseg_ros.geometry import PoseTrack, transform
from echoseg_ros.pipeline.sound_stage import SoundStage
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, Head, load_array
from echoseg_ros.sound.calibration.self_calibration import (
    CalibrationEstimate,
    CorrectedPoses,
    SelfCalibration,

)
from echoseg_ros.sound.calibration.sub_windows import SubWindowExtractor
from echoseg_ros.sound.evidence.audio_stream import AudioStream
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.types import AudioChunk, AudioFormat, AudioWindow, PoseData
from echoseg_sim.acoustics.array_audio import Shoebox, SimulatedSource, simulate_array
from echoseg_sim.acoustics.sounds import load_sound

CUBE, EARS = load_array("cube8"), load_array("binaural")
START_NS = 100_000_000_000


def listen(walk: Walk, array: ArrayGeometry, offset_s: float, yaw_rad: float) -> SelfCalibration:
    """A walk heard with audio stamps that are `offset_s` early and an array said to be turned back by `yaw_rad`."""
    rate_hz = round(array.sample_rate_hz)
    back = transform(Rotation.from_euler("z", -yaw_rad).as_matrix(), np.zeros(3))
    calibration = SelfCalibration(replace(array, T_camera_array=array.T_camera_array @ back))
    sound = SoundConfig()
    stream = AudioStream(array, AudioFormat(rate_hz, array.channels, "S16LE", "WAVE"), sound, InputConfig())
    extract, poses, step = EvidenceExtractor(array, rate_hz, sound), track(walk), rate_hz // 10
    for start in range(0, len(walk.samples), step):
        stamp_ns = START_NS + round((start / rate_hz - offset_s) * 1e9)
        stream.add(AudioChunk(stamp_ns, walk.samples[start : start + step]))
        for window in stream.take_windows(poses):
            calibration.add(extract(window), poses, window)
    return calibration


@pytest.fixture(scope="module")
def walk() -> Walk:
    """20 s of turning and walking in a room of 0.4 s, noise at 20 dB."""
    return record_walk(CUBE, 5, sound="builtin:noise")


@pytest.mark.parametrize(("offset_s", "yaw_deg"), [(0.12, -14.0), (-0.15, 9.0), (0.0, 0.0)])
def test_offset_and_yaw_are_found_from_20_s_of_motion(walk: Walk, offset_s: float, yaw_deg: float) -> None:
    estimate = listen(walk, CUBE, offset_s, np.radians(yaw_deg)).estimate()
    assert estimate is not None and estimate.knows_offset and estimate.knows_yaw
    offset_error_s, yaw_error_rad = estimate.offset_s - offset_s, estimate.yaw_rad - np.radians(yaw_deg)
    assert abs(offset_error_s) < 0.012 and abs(offset_error_s) < 3 * estimate.sigma_offset_s
    assert abs(yaw_error_rad) < np.radians(1.2) and abs(yaw_error_rad) < 3 * estimate.sigma_yaw_rad
    assert estimate.up_array == pytest.approx([0, 0, 1], abs=0.15)


def test_an_array_mounted_back_to_front_is_found(walk: Walk) -> None:
    estimate = listen(walk, CUBE, 0.0, np.pi).estimate()
    assert estimate is not None
    assert abs((estimate.yaw_rad % (2 * np.pi)) - np.pi) < np.radians(2.0)


def on_the_spot(turning: bool) -> Walk:
    """12 s of noise in the free field, heard by an array that does not move and may turn."""
    times_s = np.arange(0.0, 12.02, 0.02)
    turns = Rotation.from_rotvec(np.outer(0.8 * turning * np.sin(1.3 * times_s), [0, 0, 1])).as_matrix()
    upright = Rotation.from_euler("x", -90, degrees=True).as_matrix()  # optical frame: z ahead, y down
    poses = np.stack([transform(turn @ upright, np.array([0.0, 0.0, 1.2])) for turn in turns])
    source_m = np.array([1.2, 0.5, 1.4])
    source = SimulatedSource("source", source_m, load_sound("builtin:noise", 16000), ((0.0, 12.0),))
    room = Shoebox(np.array([-2.0, -2.0, 0.0]), np.array([4.0, 4.0, 2.5]))
    heard = simulate_array(room, 0.0, CUBE, list(poses @ CUBE.T_camera_array), times_s, [source], 12.0)
    return Walk(heard.samples, times_s, poses, source_m, "noise")


@pytest.mark.parametrize("turning", [False, True])
def test_what_the_motion_leaves_open_is_said_to_be_open(turning: bool) -> None:
    """On the spot a yaw of the array looks like another bearing of the source; without a turn so does the clock."""
    estimate = listen(on_the_spot(turning), CUBE, 0.1, 0.1).estimate()
    assert estimate is not None and not estimate.knows_yaw and estimate.knows_offset == turning
    assert estimate.sigma_yaw_rad > np.radians(20)
    if turning:
        assert abs(estimate.offset_s - 0.1) < 0.015 and estimate.sigma_offset_s < 0.01
    else:
        assert estimate.sigma_offset_s > 0.1


def test_a_sound_side_reports_and_applies_what_it_found(walk: Walk) -> None:
    """Stamps 0.12 s early and an array turned by 12 degrees: after 20 s the poses of the windows are right."""
    turned = replace(CUBE, T_camera_array=CUBE.T_camera_array @ transform(
        Rotation.from_euler("z", -12, degrees=True).as_matrix(), np.zeros(3)))  # fmt: skip
    for mode in ("off", "report", "apply"):
        side = SoundStage(Config().updated({"sound.self_calibration": mode, "sound.ego_noise": "off"}), turned)
        side.add(AudioFormat(16000, 8, "S16LE", "WAVE"))
        for at_s, T_map_camera in zip(walk.times_s, walk.poses, strict=True):
            side.add(PoseData(100_000_000_000 + round(at_s * 1e9), T_map_camera))
        last = None
        for k in range(200):
            chunk = AudioChunk(
                100_000_000_000 + round((0.1 * k - 0.12) * 1e9), walk.samples[1600 * k : 1600 * k + 1600]
            )
            last = (side.add(chunk) or [last])[-1]
        assert last is not None
        true = track(walk).at(last.stamp_ns + 120_000_000)
        assert true is not None
        off = Rotation.from_matrix((true @ CUBE.T_camera_array)[:3, :3].T @ last.T_map_array[:3, :3]).magnitude()
        assert (side.calibration.newest is None) == (mode == "off")
        assert (np.degrees(off) < 4) == (mode == "apply"), (side.calibration.newest, np.degrees(off))


def test_nothing_is_said_before_there_is_sound_and_motion() -> None:
    assert SelfCalibration(CUBE).estimate() is None


def test_corrected_poses_undo_the_offset_and_the_yaw(walk: Walk) -> None:
    """The array as described, at the corrected pose, points where the array as mounted points at the true time."""
    offset_s, yaw_rad = 0.07, 0.2
    mounted = CUBE.T_camera_array @ transform(Rotation.from_euler("z", yaw_rad).as_matrix(), np.zeros(3))
    estimate = CalibrationEstimate(offset_s, yaw_rad, 0.01, 0.01, np.array([0.0, 0, 1]), 0.2)
    poses = track(walk)
    corrected = CorrectedPoses(poses, CUBE, estimate)
    at_ns = 104_000_000_000
    T_map_camera, T_corrected = poses.at(at_ns + round(offset_s * 1e9)), corrected.at(at_ns)
    assert T_map_camera is not None and T_corrected is not None
    assert T_corrected @ CUBE.T_camera_array == pytest.approx(T_map_camera @ mounted, abs=1e-9)
    assert poses.newest_ns is not None and corrected.newest_ns == poses.newest_ns - 70_000_000
    assert CorrectedPoses(PoseTrack(), CUBE, estimate).at(at_ns) is None
    only_offset = CorrectedPoses(poses, CUBE, replace(estimate, sigma_yaw_rad=0.3)).at(at_ns)
    assert only_offset == pytest.approx(T_map_camera, abs=1e-9)
    only_yaw = CorrectedPoses(poses, CUBE, replace(estimate, sigma_offset_s=0.1)).at(at_ns)
    assert only_yaw is not None and only_yaw[:3, 3] != pytest.approx(T_corrected[:3, 3], abs=1e-3)


@pytest.fixture(scope="module")
def ears_walk() -> Walk:
    """The same kind of walk, heard by two ears on a sphere of 87.5 mm."""
    return record_walk(EARS, 1, sound="builtin:noise", seconds=25.0)


@pytest.mark.parametrize("share", [0.75, 0.9, 1.25])
def test_a_head_of_another_size_is_found_and_used(ears_walk: Walk, share: float) -> None:
    """Also where nothing else is applied: a radius that is a quarter off moves sources by half a metre."""
    side = SoundStage(Config(), replace(EARS, head=Head(radius_m=share * 0.0875)))
    side.add(AudioFormat(44100, 2, "S16LE", "WAVE"))
    for at_s, T_map_camera in zip(ears_walk.times_s, ears_walk.poses, strict=True):
        side.add(PoseData(START_NS + round(at_s * 1e9), T_map_camera))
    for k in range(250):
        side.add(AudioChunk(START_NS + k * 100_000_000, ears_walk.samples[4410 * k : 4410 * (k + 1)]))
    found = side.calibration.newest
    assert found is not None and found.head_radius_m == pytest.approx(0.0875, rel=0.03)
    assert found.sigma_head_radius_m is not None and found.sigma_head_radius_m < 0.1 * 0.0875
    assert side.array.head is not None and side.array.head.radius_m == pytest.approx(0.0875, rel=0.05)
    assert side.calibration.applied is None


def test_frames_of_overlapping_windows_are_heard_once() -> None:
    """And a moment's time is that of its sound: a click."""
    samples = np.zeros((4, 16000), dtype=np.float32)
    samples[:, 5200] = 1.0
    extract = SubWindowExtractor(load_array("square4"), 16000.0)
    moments = []
    for start in (0, 4000, 8000):
        part = samples[:, start : start + 8000]
        moments += extract(AudioWindow(round((start / 16000 + 0.25) * 1e9), part, 16000.0, np.eye(4)))
    stamps_s = np.array([m.stamp_ns for m in moments]) / 1e9
    assert np.all(np.diff(stamps_s) > 0)
    assert sum(m.length_s for m in moments) == pytest.approx(1.0, abs=0.03)
    clicks = np.array([m.weight for m in moments])
    assert stamps_s[int(np.argmax(clicks))] == pytest.approx(5200 / 16000, abs=0.01)


def test_what_was_known_is_not_given_up_for_an_estimate_that_does_not_know_it() -> None:
    """A turn on the spot tells the clock and not the yaw: the yaw that a walk had told was set back."""
    up = np.array([0.0, 0.0, 1.0])
    walked = CalibrationEstimate(0.1, 0.2, 0.01, 0.01, up, 0.2)
    turned = CalibrationEstimate(0.12, 0.9, 0.005, 0.5, up, 0.2)
    still = CalibrationEstimate(0.0, 0.0, 0.2, 1.0, up, 0.2)
    assert _merged(still, None) is None
    assert _merged(turned, None) == turned
    both = _merged(turned, walked)
    assert both is not None and both.offset_s == 0.12 and both.yaw_rad == 0.2 and both.knows_yaw
    assert _merged(still, both) == replace(both, contrast=still.contrast)
