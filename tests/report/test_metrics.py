"""Metrics against the truth, on cases computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from echoseg_ros.report.metrics import compare_with_truth, time_to_right

UPRIGHT = [0.0, 0.0, 0.0, 1.0]


def found(id: int, x: float) -> dict[str, Any]:
    return {"id": id, "position_m": [x, 0, 0], "size_m": [1, 1, 1], "orientation_xyzw": UPRIGHT, "gaussians": 5}


def source(x: float, object_id: int | None) -> dict[str, Any]:
    return {"position_m": [x, 0, 0], "object_id": object_id}


def truth(object_name: str | None = "clock", x: float = 0.0) -> dict[str, Any]:
    return {
        "sources": [{"name": "s", "position_m": [x, 0, 0], "sound": "", "on_s": [[2, 5]], "object": object_name}],
        "objects": {"clock": {"kind": "clock", "center_m": [0, 0, 0], "size_m": [1, 1, 1], "quaternion_xyzw": UPRIGHT}},
    }


def test_the_right_object_is_correct() -> None:
    objects = {"objects": [found(7, 0.2)], "sources": [source(0.1, 7)], "instances": [found(7, 0.2), found(8, 0.9)]}
    timeline = [{"t_s": t, "sources": [source(0.1, 8 if t < 4 else 7)]} for t in range(1, 7)]
    result = compare_with_truth(objects, truth(), timeline)
    assert result.correct_object is True
    assert result.source_error_m == pytest.approx(0.1)
    assert result.box_iou == pytest.approx(0.8 / 1.2)
    assert result.false_objects == 0
    assert result.time_to_right_s == pytest.approx(2.0)


def test_an_instance_without_the_largest_overlap_is_wrong() -> None:
    objects = {"objects": [found(8, 0.4)], "sources": [source(0.1, 8)], "instances": [found(7, 0.2), found(8, 0.4)]}
    assert compare_with_truth(objects, truth(), []).correct_object is False


def test_an_instance_with_little_overlap_is_wrong() -> None:
    objects = {"objects": [found(7, 0.7)], "sources": [source(0.1, 7)], "instances": [found(7, 0.7)]}
    assert compare_with_truth(objects, truth(), []).correct_object is False


def test_a_missed_source_is_wrong() -> None:
    result = compare_with_truth({"objects": [], "sources": [], "instances": [found(7, 0)]}, truth(), [])
    assert result.correct_object is False and result.source_error_m is None and result.time_to_right_s is None


def test_elsewhere_is_right_for_a_source_without_object() -> None:
    objects = {"objects": [], "sources": [source(0.3, None)], "instances": [found(7, 1)]}
    result = compare_with_truth(objects, truth(None), [{"t_s": 3, "sources": [source(0.3, None)]}])
    assert result.correct_object is True and result.box_iou is None and result.time_to_right_s == pytest.approx(1)


def test_without_true_sources_all_sounding_objects_are_false() -> None:
    silent: dict[str, Any] = {"sources": [], "objects": {}}
    claimed = {"objects": [found(7, 0)], "sources": [source(0, 7)], "instances": [found(7, 0)]}
    result = compare_with_truth(claimed, silent, [])
    assert result.false_objects == 1 and result.correct_object is None and result.source_error_m is None


def test_two_sources_are_matched_by_least_total_distance() -> None:
    both = truth()
    both["sources"].append({**truth(None, 3.0)["sources"][0], "name": "t"})
    objects = {"objects": [found(7, 0)], "sources": [source(2.8, None), source(0.2, 7)], "instances": [found(7, 0)]}
    result = compare_with_truth(objects, both, [])
    assert result.correct_object is True and result.source_error_m == pytest.approx(0.2)


def test_time_to_right_counts_from_the_last_change_to_right() -> None:
    rows = [{"t_s": t, "sources": [source(0, 7 if t in (1, 2, 5) else 8)]} for t in range(1, 6)]
    assert time_to_right(rows, [7], onset_s=0.5) == pytest.approx(4.5)
    assert time_to_right(rows[:4], [7], onset_s=0.5) is None
