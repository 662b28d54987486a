"""Grades of the choice of an instance."""

from __future__ import annotations

import numpy as np

from echoseg_ros.eval.segment.evaluate_scene import grade_choice


def test_a_choice_is_right_only_if_all_named_instances_sound() -> None:
    true_objects = np.array([1, 1, 2, 2, 0], np.int32)
    first, second, wall = (np.isin(np.arange(5), rows) for rows in ([0, 1], [2, 3], [4]))
    assert grade_choice([first], true_objects, [1]) == "right"
    assert grade_choice([first, second], true_objects, [1]) == "wrong"
    assert grade_choice([wall], true_objects, [1]) == "wrong"
    assert grade_choice([first, second], true_objects, [1, 2]) == "right"
    assert grade_choice([], true_objects, [1]) == "missed"
