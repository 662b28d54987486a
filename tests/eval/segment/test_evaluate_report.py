"""Means, calibration, variants of the reference and tables of an evaluation."""

from __future__ import annotations

import pytest
from segment_rows import CASES, scored

from echoseg_ros.eval.segment.bench_segment_figures import figures_of
from echoseg_ros.eval.segment.compared_methods import FRONT_END, METHODS, NO_AISRM, OURS, OURS_ON_FRONT_END
from echoseg_ros.eval.segment.evaluate_report import (
    best_reference,
    calibration,
    difference,
    is_comparison_void,
    method_rows,
    report,
)
from echoseg_ros.eval.segment.front_end_calibration import misfit


def test_comparison_with_uncalibrated_masks_is_void() -> None:
    assert not is_comparison_void(scored())
    rows = scored(calibrated=False)
    assert is_comparison_void(rows)
    assert [entry["holds"] for entry in calibration(rows)] == [True, False, True, True]
    assert misfit(rows) == pytest.approx(0.057 + 0.1 * (0.003 + 0.057 + 0.009 + 0.012) / 4)
    figures = figures_of(rows, CASES, [], None)
    assert figures["gain_over_reference_single"] is None and figures["gain_lo95_multi"] is None
    assert figures["reference_visible_iou_single"] == pytest.approx(0.55)
    assert "VOID" in report(rows, METHODS) and "VOID" not in report(scored(), METHODS)
    assert is_comparison_void([entry for entry in scored() if entry["method"] != NO_AISRM])


def test_the_best_variant_of_the_reference_counts() -> None:
    assert best_reference(scored(), "single") == "echosegnet-eps"
    assert best_reference([entry for entry in scored() if entry["method"] == OURS], "single") is None
    found = difference(scored(), OURS, "echosegnet", None, "miou")
    assert found is not None and found.mean == pytest.approx(0.25) and found.count == 6


def test_table_has_a_row_for_each_scored_method() -> None:
    rows = method_rows(scored(), METHODS)
    assert [entry["method"] for entry in rows] == [
        OURS,
        OURS_ON_FRONT_END,
        "echosegnet",
        "echosegnet-eps",
        NO_AISRM,
        FRONT_END,
    ]
    assert rows[0]["single visible"] == pytest.approx(0.9) and rows[0]["scenes"] == 6
