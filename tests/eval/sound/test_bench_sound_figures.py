"""Figures, rows and targets of `echoseg bench sound` from runs made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sound_runs import calibration_run, case, run_row

from echoseg_ros.eval.sound.bench_sound_cases import BenchCase
from echoseg_ros.eval.sound.bench_sound_figures import (
    NOT_FOUND_ERROR_M,
    TARGETS,
    array_rows,
    case_row,
    figures_of,
    sound_target_rows,
)
from echoseg_ros.eval.sound.sound_scoring import RunRow


def hand_made_results() -> list[tuple[BenchCase, list[RunRow]]]:
    """A few runs of most kinds of cases."""
    never = run_row(position_m=[None], right=False, inside_95=[], time_to_right_s=None)
    return [
        (case("cube8/single/rt0.4/snr10/noise"), [run_row(), never]),
        (case("cube8/single/rt0.4/snr0/noise"), [run_row(position_m=[0.12])]),
        (case("cube8/single/rt0.7/snr10/noise"), [run_row(direction_deg=[3.0, 5.0])]),
        (case("cube8/single/rt0.7/snr20/noise"), [run_row(direction_deg=[90.0])]),
        (case("cube8/several2/rt0.4/snr20/mixed"), [run_row(things=[1, 2], found=1, sources_said=2)]),
        (case("cube8/blocked/rt0.4/snr20/noise"), [run_row(right=False, wrong=True), run_row(right=False)]),
        (case("cube8/moved/rt0.4/snr20/noise"), [run_row(time_to_right_s=9.0), run_row(time_to_right_s=None)]),
        (case("cube8/silence/rt0.4"), [{**run_row(), "false_objects": 1}]),
        (case("cube8/diffuse/rt0.4"), [run_row(hours=1.5)]),
        (case("binaural/single/rt0.2/snr20/noise"), [run_row(reference_right=False, reference_raw_right=True)]),
        (case("cube8/calibration/rt0.4/snr20/mixed"), [calibration_run(), calibration_run()]),
        (case("square4/calibration/rt0.4/snr20/mixed"), [calibration_run(knows_offset=False)]),
        (
            case("cube8/cost/rt0.4/snr20/speech"),
            [{"room": 0, "draw": 0, "core_share": 0.3, "evidence_core_share": 0.06}],
        ),
    ]


def test_figures_by_hand() -> None:
    figures = figures_of(hand_made_results())
    assert figures["cube8_direction_deg_p50"] == pytest.approx(2.0)
    assert figures["cube8_reverb_direction_deg_p50"] == pytest.approx(4.0)
    # A source that was not found counts as far away.
    assert figures["cube8_position_m_p50"] == pytest.approx((0.1 + NOT_FOUND_ERROR_M) / 2)
    assert figures["cube8_hard_position_m_p50"] == pytest.approx(0.12)
    assert figures["right_object_one_source"] == pytest.approx(5 / 6, abs=1e-4)
    assert figures["time_to_right_s_p50"] == pytest.approx(2.0)
    assert figures["recall_multi"] == 0.5 and figures["count_right_multi"] == 1.0
    assert figures["blocked_right_object"] == 0.0 and figures["blocked_wrong_object"] == 0.5
    assert figures["moved_right_object"] == 1.0
    assert figures["moved_time_to_right_s_p50"] == pytest.approx((9.0 + 30.0) / 2)  # never right: the whole time
    assert figures["false_objects_per_hour"] == 0.5  # one in two hours of silence and diffuse noise
    assert figures["binaural_right_object"] == figures["reference_binaural_right_object"] == 1.0
    # A calibration that states that it has no estimate leaves the whole offset.
    assert figures["calibration_ms_p90"] == pytest.approx(np.percentile([5, 5, 80], 90))
    assert figures["core_share_10hz"] == 0.3 and figures["evidence_core_share_10hz"] == 0.06


def test_verdicts_and_rows() -> None:
    results = hand_made_results()
    figures = figures_of(results)
    verdicts = {row["figure"]: row["verdict"] for row in sound_target_rows(figures)}
    assert verdicts["cube8_direction_deg_p50"] == verdicts["cube8_hard_position_m_p50"] == "reached"
    assert verdicts["binaural_right_object over reference_"] == verdicts["core_share_10hz"] == "missed by 0.2"
    assert verdicts["covariance_coverage_95"] == "missed by 0.02"  # too large covariances
    assert verdicts["ego_right_object"] == "-"
    assert {target.figure for target in TARGETS} <= set(figures)
    assert [(row["case"], row["runs"]) for row in array_rows(results)] == [("cube8/single", 5), ("binaural/single", 1)]
    assert case_row(*results[0])["right_object"] == 0.5 and case_row(*results[4])["recall"] == 0.5
