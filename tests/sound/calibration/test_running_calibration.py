"""Self-calibration in a running sound stage: reported or applied to poses, head radius always applied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from echoseg_ros.config import Config
from echoseg_ros.eval.sound.sound_calibration import CalibrationRecording, pose_track, simulate_calibration_recording
from echoseg_ros.geometry import PoseTrack, transform
from echoseg_ros.pipeline.sound_stage import SoundStage
from echoseg_ros.sound.array.array_geometry import Head, load_array
from echoseg_ros.sound.calibration.running_calibration import CorrectedPoses, _merged
from echoseg_ros.sound.calibration.self_calibration import CalibrationEstimate
from echoseg_ros.types import AudioChunk, AudioFormat, PoseData, SoundEvidence

CUBE, EARS = load_array("cube8"), load_array("binaural")
START_NS = 100_000_000_000


@pytest.fixture(scope="module")
def walk() -> CalibrationRecording:
    """20 s of turning and walking in a room of 0.4 s, noise at 20 dB."""
    return simulate_calibration_recording(CUBE, 5, sound="builtin:noise")


def test_a_sound_stage_reports_and_applies_the_estimate(walk: CalibrationRecording) -> None:
    """Stamps 0.12 s early and an array turned by 12 degrees: after 20 s the poses of the windows are corrected."""
    turned = replace(CUBE, T_camera_array=CUBE.T_camera_array @ transform(
        Rotation.from_euler("z", -12, degrees=True).as_matrix(), np.zeros(3)))  # fmt: skip
    for mode in ("off", "report", "apply"):
        stage = SoundStage(Config().updated({"sound.self_calibration": mode, "sound.ego_noise": "off"}), turned)
        stage.add(AudioFormat(16000, 8, "S16LE", "WAVE"))
        for at_s, T_map_camera in zip(walk.times_s, walk.poses, strict=True):
            stage.add(PoseData(100_000_000_000 + round(at_s * 1e9), T_map_camera))
        last: SoundEvidence | None = None
        for k in range(200):
            chunk = AudioChunk(
                100_000_000_000 + round((0.1 * k - 0.12) * 1e9), walk.samples[1600 * k : 1600 * k + 1600]
            )
            for found in stage.add(chunk):
                last = found.evidence
        assert last is not None
        true = pose_track(walk).at(last.stamp_ns + 120_000_000)
        assert true is not None
        off = Rotation.from_matrix((true @ CUBE.T_camera_array)[:3, :3].T @ last.T_map_array[:3, :3]).magnitude()
        newest = stage.statistics().calibration
        assert (newest is None) == (mode == "off")
        assert (np.degrees(off) < 4) == (mode == "apply"), (newest, np.degrees(off))


def test_corrected_poses_undo_offset_and_yaw(walk: CalibrationRecording) -> None:
    """The array as described, at the corrected pose, has the pose of the array as mounted at the true time."""
    offset_s, yaw_rad = 0.07, 0.2
    mounted = CUBE.T_camera_array @ transform(Rotation.from_euler("z", yaw_rad).as_matrix(), np.zeros(3))
    estimate = CalibrationEstimate(offset_s, yaw_rad, 0.01, 0.01, np.array([0.0, 0, 1]), 0.2)
    poses = pose_track(walk)
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
def ears_walk() -> CalibrationRecording:
    """25 s of turning and walking with two ears on a sphere of 87.5 mm."""
    return simulate_calibration_recording(EARS, 1, sound="builtin:noise", seconds=25.0)


@pytest.mark.parametrize("share", [0.75, 0.9, 1.25])
def test_another_head_radius_is_found_and_used(ears_walk: CalibrationRecording, share: float) -> None:
    """In mode report too: a radius that is a quarter off moves sources by half a metre."""
    stage = SoundStage(Config(), replace(EARS, head=Head(radius_m=share * 0.0875)))
    stage.add(AudioFormat(44100, 2, "S16LE", "WAVE"))
    for at_s, T_map_camera in zip(ears_walk.times_s, ears_walk.poses, strict=True):
        stage.add(PoseData(START_NS + round(at_s * 1e9), T_map_camera))
    for k in range(250):
        stage.add(AudioChunk(START_NS + k * 100_000_000, ears_walk.samples[4410 * k : 4410 * (k + 1)]))
    found = stage.statistics().calibration
    assert found is not None and found.head_radius_m == pytest.approx(0.0875, rel=0.03)
    assert found.sigma_head_radius_m is not None and found.sigma_head_radius_m < 0.1 * 0.0875
    assert stage.array.head is not None and stage.array.head.radius_m == pytest.approx(0.0875, rel=0.05)
    assert stage._calibration.applied is None


def test_known_values_are_kept_when_a_later_estimate_leaves_them_open() -> None:
    """A turn on the spot determines the offset but not the yaw; it reset the yaw that a walk had determined."""
    up = np.array([0.0, 0.0, 1.0])
    walked = CalibrationEstimate(0.1, 0.2, 0.01, 0.01, up, 0.2)
    turned = CalibrationEstimate(0.12, 0.9, 0.005, 0.5, up, 0.2)
    still = CalibrationEstimate(0.0, 0.0, 0.2, 1.0, up, 0.2)
    assert _merged(still, None) is None
    assert _merged(turned, None) == turned
    both = _merged(turned, walked)
    assert both is not None and both.offset_s == 0.12 and both.yaw_rad == 0.2 and both.knows_yaw
    assert _merged(still, both) == replace(both, contrast=still.contrast)
