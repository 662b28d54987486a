"""Motion hints: the motion that decides what the evidence leaves open."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.sound.localisation.motion_hint import motion_hint

ARRAY_M = np.array([1.0, 1.0, 1.0])
SMALL = np.diag([0.01, 0.01, 0.01])


def test_a_certain_position_needs_no_motion() -> None:
    place = ARRAY_M + [2.0, 0.0, 0.0]
    assert motion_hint(place, SMALL, ((1.0, place),), ARRAY_M) is None
    assert motion_hint(place, SMALL, ((0.95, place), (0.05, ARRAY_M - [2.0, 0.0, 0.0])), ARRAY_M) is None


@pytest.mark.parametrize("range_m", [0.8, 2.0, 6.0])
def test_an_open_range_asks_for_a_horizontal_move_across_the_line_of_sight(range_m: float) -> None:
    sight = np.array([0.6, 0.8, 0.0])
    place = ARRAY_M + range_m * sight
    covariance_m2 = 0.01 * np.eye(3) + (0.6 * range_m) ** 2 * np.outer(sight, sight)
    hint = motion_hint(place, covariance_m2, ((1.0, place),), ARRAY_M)
    assert hint is not None and hint.kind == "move"
    assert abs(hint.vector_map @ sight) < 1e-9 and abs(hint.vector_map[2]) < 1e-9
    distance_m = np.linalg.norm(hint.vector_map)
    assert distance_m == pytest.approx(min(1.5, range_m * np.tan(np.radians(30))))
    assert f"{distance_m:.1f} m" in hint.text
    # After the move, the two ends of the uncertainty lie in clearly different directions.
    near, far = (place + k * 0.6 * range_m * sight - ARRAY_M - hint.vector_map for k in (-1, 1))
    assert near @ far / np.linalg.norm(near) / np.linalg.norm(far) < np.cos(np.radians(10))


def test_front_and_back_of_a_pair_ask_for_a_turn() -> None:
    front, back = ARRAY_M + [2.0, 0.3, 0.0], ARRAY_M + [-2.0, 0.3, 0.0]
    hint = motion_hint(front, SMALL, ((0.6, front), (0.4, back)), ARRAY_M)
    assert hint is not None and hint.kind == "turn"
    np.testing.assert_allclose(hint.vector_map / np.linalg.norm(hint.vector_map), [0, 0, 1])


def test_above_and_below_of_a_flat_array_ask_for_a_tilt_about_a_level_axis() -> None:
    above, below = ARRAY_M + [2.0, 0.0, 0.8], ARRAY_M + [2.0, 0.0, -0.8]
    hint = motion_hint(below, SMALL, ((0.7, below), (0.3, above)), ARRAY_M)
    assert hint is not None and hint.kind == "tilt"
    assert abs(hint.vector_map[2]) < 1e-9 and 0.2 < np.linalg.norm(hint.vector_map) < 0.8
    # After the tilt, the plane of the array no longer lies halfway between the two places.
    assert abs(hint.vector_map @ [2.0, 0.0, 0.0]) < 1e-9
