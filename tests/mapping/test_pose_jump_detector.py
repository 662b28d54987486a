"""Pose jumps: which frames are kept out of the map, for how long, independent of the map unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checkered_room import SMALL, pose, room_view
from scipy.spatial.transform import Rotation

from echoseg_ros import geometry
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.mapping.pose_jump_detector import TRUSTED_AFTER_S, PoseJumpDetector
from echoseg_ros.types import Camera, CameraFrame

CAMERA = Camera(4, 3, 4.0, 4.0, 2.0, 1.5)
DEPTH = 2.0


def frame(seconds: float, x: float, turned_rad: float = 0.0) -> CameraFrame:
    T_map_camera = geometry.transform(Rotation.from_euler("y", turned_rad).as_matrix(), np.array([x, 0.0, 0.0]))
    return CameraFrame(round(seconds * 1e9), 0, CAMERA, np.zeros((3, 4, 3), np.uint8), None, T_map_camera)


def kept_out(steps: list[tuple[float, float]], factor: float = 1.0, depth: float | None = DEPTH) -> list[bool]:
    """Whether each of the frames at (seconds, x) is a jump; the map unit is 1 / `factor` metres."""
    jumps = PoseJumpDetector()
    known = None if depth is None else depth * factor
    return [jumps.check(frame(seconds, x * factor), known) is not None for seconds, x in steps]


def test_the_problem_text_has_distance_angle_and_time() -> None:
    jumps = PoseJumpDetector()
    assert jumps.check(frame(0.0, 0.0), DEPTH) is None
    problem = jumps.check(frame(0.1, 1.5), DEPTH)
    assert problem is not None and problem.startswith("pose jump: 1.50 map units and 0.00 rad in 0.10 s")


def test_a_fast_rotation_is_a_jump() -> None:
    jumps = PoseJumpDetector()
    jumps.check(frame(0.0, 0.0), DEPTH)
    problem = jumps.check(frame(0.1, 0.0, turned_rad=1.0), DEPTH)
    assert problem is not None and "1.00 rad" in problem
    assert jumps.check(frame(0.2, 0.0, turned_rad=0.3), DEPTH) is None


def test_frames_after_a_single_outlier_are_trusted() -> None:
    assert kept_out([(0.0, 0.0), (0.1, 1.5), (0.2, 0.02), (0.3, 0.04)]) == [False, True, False, False]


def test_repeated_outliers_are_never_trusted() -> None:
    """A localisation that alternates between two places for any time: the first place stays trusted."""
    steps = [(0.1 * i, 1.5 if i % 2 else 0.0) for i in range(80)]
    assert kept_out(steps) == [bool(i % 2) for i in range(80)]


def test_a_lasting_jump_is_trusted_after_a_time() -> None:
    """Also while the camera moves on after the jump."""
    decisions = kept_out([(0.0, 0.0)] + [(0.1 * i, 12.0 + 0.01 * i) for i in range(1, 40)])
    landed = 1
    trusted = landed + round(TRUSTED_AFTER_S / 0.1)
    assert decisions == [landed <= i < trusted for i in range(40)]


def test_a_second_jump_restarts_the_wait() -> None:
    """Two distant places for 1.5 s each: neither lasts long enough."""
    steps = [(0.0, 0.0)] + [(0.1 * i, 20.0 if i <= 15 else -20.0) for i in range(1, 31)]
    assert kept_out(steps) == [False] + [True] * 30


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_result_does_not_depend_on_the_map_unit(factor: float) -> None:
    random = np.random.default_rng(0)
    x = np.cumsum(np.where(random.uniform(size=60) < 0.2, random.normal(0, 1.0, 60), random.normal(0, 0.05, 60)))
    steps = [(0.1 * i, float(at)) for i, at in enumerate(x)]
    usual = kept_out(steps)
    assert kept_out(steps, factor) == usual
    assert 5 < sum(usual) < 55


def test_only_rotations_count_while_the_scene_depth_is_unknown() -> None:
    assert kept_out([(0.0, 0.0), (0.1, 100.0), (0.2, -100.0)], depth=None) == [False] * 3
    jumps = PoseJumpDetector()
    jumps.check(frame(0.0, 0.0), None)
    assert jumps.check(frame(0.1, 0.0, turned_rad=1.0), None) is not None


def test_usual_robot_motion_is_no_jump() -> None:
    """Slow motion, 1.5 m/s at one frame per second, and a fast rotation."""
    assert not any(kept_out([(0.1 * i, 0.002 * i) for i in range(30)]))
    assert not any(kept_out([(1.0 * i, 1.5 * i) for i in range(10)]))
    jumps = PoseJumpDetector()
    assert all(jumps.check(frame(1.0 * i, 0.0, turned_rad=1.5 * i), DEPTH) is None for i in range(10))


def test_clear_trusts_the_next_pose() -> None:
    jumps = PoseJumpDetector()
    jumps.check(frame(0.0, 0.0), DEPTH)
    jumps.clear()
    assert jumps.check(frame(0.1, 50.0), DEPTH) is None


def test_a_jumped_frame_does_not_change_the_map() -> None:
    mapper = Mapper(SMALL)
    for i in range(2):
        assert len(mapper.add_frame(room_view(i, pose(-0.3 + 0.15 * i)))) == 1 and mapper.problem is None
    uids, keyframes = mapper.gaussians.uids.clone(), len(mapper._keyframes)
    slipped = room_view(2, pose(0.0)).T_map_camera.copy()
    slipped[:3, 3] += [0.0, 0.0, 4.0]
    assert mapper.add_frame(replace(room_view(2, pose(0.0)), T_map_camera=slipped)) == []
    assert mapper.problem is not None and "pose jump: 4.0" in mapper.problem
    assert len(mapper._keyframes) == keyframes and mapper.gaussians.uids.tolist() == uids.tolist()
    assert len(mapper.add_frame(room_view(3, pose(0.0)))) == 1 and mapper.problem is None
