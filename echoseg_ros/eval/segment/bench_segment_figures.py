"""Figures of `echoseg bench segment`, computed from its rows, and their targets."""

from __future__ import annotations

from collections.abc import Sequence

from echoseg_ros.eval.bench import Figures, Row, Target, mean, target_rows
from echoseg_ros.eval.segment.bootstrap import rate_estimate
from echoseg_ros.eval.segment.compared_methods import OURS, OURS_ON_FRONT_END
from echoseg_ros.eval.segment.evaluate_report import (
    SETTINGS,
    best_reference,
    count_choices,
    difference,
    is_comparison_void,
    mean_of,
    rows_of_method,
)

# Limits of the figures.
TARGETS = (
    Target("visible_iou_single", least=0.83),
    Target("visible_iou_multi", least=0.80),
    Target("avsbench_miou_single", least=0.90),
    Target("avsbench_miou_multi", least=0.88),
    Target("avsbench_f_single", least=0.85),
    Target("avsbench_f_multi", least=0.82),
    Target("empty_share", least=0.40),
    Target("empty_share", most=0.45),
    Target("wrong_instance_rate", most=0.03),
    Target("false_mask_rate", most=0.01),
    Target("gain_over_reference_single", least=0.10),
    Target("gain_over_reference_multi", least=0.10),
    Target("gain_lo95_single", least=0.0),
    Target("gain_lo95_multi", least=0.0),
    Target("kitchen_mask_iou", least=0.6),
    Target("lift_ms_30_proposals", most=300.0),
)
# Limits of values that are printed beside the figures: seconds, and number of graded cases.
RELABEL_TARGET = Target("relabelling everything, s", most=2.0)
CASES_TARGET = Target("cases of the choice", least=200)


def figures_of(scored: Sequence[Row], cases: Sequence[Row], kitchen: Sequence[Row], timing: Row | None) -> Figures:
    """Figures of our method, unless they name the reference; None where nothing was measured.

    Scenes have equal weights; empty_share and false_mask_rate are over all test views, wrong_instance_rate over all choice
    cases and the scenes' own sounds. reference: the variant of EchoSegnet that scores best in a setting.
    gain_over_reference: our method on the reference's 2D masks and the same map, minus the reference; None if those masks
    are not calibrated (is_comparison_void). kitchen_mask_iou: of the worst object.
    """
    figures: Figures = {}
    for name, measure in (("visible_iou", "visible_iou"), ("avsbench_miou", "miou"), ("avsbench_f", "f")):
        for setting in SETTINGS:
            figures[f"{name}_{setting}"] = mean_of(scored, OURS, setting, measure)
    views = [view for row in rows_of_method(scored, OURS) for view in row["views"]]
    empty = [view for view in views if view["truth_share"] == 0]
    figures["empty_share"] = len(empty) / len(views) if views else None
    wrong, _, graded = count_choices([*cases, *rows_of_method(scored, OURS)])
    rate = rate_estimate(wrong, graded)
    figures["wrong_instance_rate"] = rate.mean if rate else None
    figures["wrong_instance_rate_hi95"] = rate.high if rate else None
    figures["false_mask_rate"] = mean(view["mask_share"] > 0 for view in empty)
    figures["iou_3d"] = mean_of(scored, OURS, None, "iou_3d")
    for setting in SETTINGS:
        best = best_reference(scored, setting)
        figures[f"reference_visible_iou_{setting}"] = mean_of(scored, best, setting, "visible_iou") if best else None
    for setting in SETTINGS:
        best = best_reference(scored, setting)
        gain = difference(scored, OURS_ON_FRONT_END, best, setting, "visible_iou") if best else None
        void = is_comparison_void(scored)
        figures[f"gain_over_reference_{setting}"] = None if gain is None or void else gain.mean
        figures[f"gain_lo95_{setting}"] = None if gain is None or void else gain.low
    ious = [row["mask_iou"] for row in kitchen if row.get("mask_iou") is not None]
    figures["kitchen_mask_iou"] = min(ious) if ious else None
    figures["lift_ms_30_proposals"] = timing["lift_ms_30_proposals"] if timing else None
    return figures


def segment_target_rows(figures: Figures, cases: int, timing: Row | None) -> list[Row]:
    """Lines of the table of targets: the figures, the number of graded choice cases and the time of relabelling."""
    relabel_s = timing["relabel_s"] if timing else None
    return [*target_rows(TARGETS, figures), CASES_TARGET.row(cases), RELABEL_TARGET.row(relabel_s)]
