"""Figures and targets of `echoseg bench segment` from rows made by hand."""

from __future__ import annotations

import pytest
from segment_rows import CASES, TIMING, scored

from echoseg_ros.eval.segment.bench_segment_figures import figures_of, segment_target_rows


def test_figures_by_hand() -> None:
    figures = figures_of(scored(), CASES, [{"mask_iou": 0.7}, {"mask_iou": 0.55}, {"skipped": "x"}], TIMING)
    assert figures["visible_iou_single"] == pytest.approx(0.9)
    assert figures["avsbench_miou_multi"] == pytest.approx(0.95)
    assert figures["empty_share"] == 0.5
    assert figures["false_mask_rate"] == pytest.approx(2 / 6)
    # 3 of the cases and 1 of the scenes' own six sounds; a case without a named instance is not wrong.
    assert figures["wrong_instance_rate"] == pytest.approx(4 / 206)
    highest = figures["wrong_instance_rate_hi95"]
    assert highest is not None and 4 / 206 < highest < 0.06
    assert figures["reference_visible_iou_single"] == pytest.approx(0.55)
    assert figures["gain_over_reference_single"] == pytest.approx(0.81 - 0.55)
    lowest_gain = figures["gain_lo95_single"]
    assert lowest_gain is not None and 0.2 < lowest_gain < 0.26
    assert figures["kitchen_mask_iou"] == 0.55
    assert figures["lift_ms_30_proposals"] == 120.0


def test_verdicts() -> None:
    figures = figures_of(scored(), CASES, [], TIMING)
    verdicts = {
        (entry["figure"], entry["target"]): entry["verdict"]
        for entry in segment_target_rows(figures, len(CASES), TIMING)
    }
    assert verdicts["visible_iou_single", ">= 0.83"] == "reached"
    assert verdicts["empty_share", "<= 0.45"] == "missed by 0.05"
    assert verdicts["empty_share", ">= 0.4"] == "reached"
    assert verdicts["kitchen_mask_iou", ">= 0.6"] == "-"
    assert verdicts["relabelling everything, s", "<= 2"] == "missed by 0.5"
    assert verdicts["cases of the choice", ">= 200"] == "reached"
