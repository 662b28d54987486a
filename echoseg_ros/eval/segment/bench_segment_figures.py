"""From the rows of `echoseg bench segment` to the figures that count, and what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from echoseg_ros.eval.bench import verdict
from echoseg_ros.eval.segment.bootstrap import rate_estimate
from echoseg_ros.eval.segment.evaluate_report import (
    SETTINGS,
    choice_counts,
    difference,
    is_void,
    mean_of,
    of_method,
    reference_of,
)
from echoseg_ros.eval.segment.evaluate_scene import Row
from echoseg_ros.eval.segment.segment_methods import OURS, OURS_ON_FRONT_END

Figures = dict[str, float | None]

# (figure, what it should be: at most or at least)
TARGETS = (
    ("visible_iou_single", ">=", 0.83),
    ("visible_iou_multi", ">=", 0.80),
    ("avsbench_miou_single", ">=", 0.90),
    ("avsbench_miou_multi", ">=", 0.88),
    ("avsbench_f_single", ">=", 0.85),
    ("avsbench_f_multi", ">=", 0.82),
    ("empty_share", ">=", 0.40),
    ("empty_share", "<=", 0.45),
    ("wrong_instance_rate", "<=", 0.03),
    ("false_mask_rate", "<=", 0.01),
    ("gain_over_reference_single", ">=", 0.10),
    ("gain_over_reference_multi", ">=", 0.10),
    ("gain_lo95_single", ">=", 0.0),
    ("gain_lo95_multi", ">=", 0.0),
    ("kitchen_mask_iou", ">=", 0.6),
    ("lift_ms_30_proposals", "<=", 300.0),
)
RELABEL_LIMIT_S = 2.0
LEAST_CASES = 200


def figures_of(scored: Sequence[Row], cases: Sequence[Row], kitchen: Sequence[Row], timing: Row | None) -> Figures:
    """The figures of ours, unless they name the reference; None for what was not measured.

    Scenes are averaged without weights; empty_share and false_mask_rate are over all test views, the wrong-instance rate
    over all cases and the scenes' own sounds. The reference is the reading of it that does best in a setting; what is
    gained over it is by ours on the same 2D masks and map, and None while those are not calibrated (is_void).
    kitchen_mask_iou is the worst object's.
    """
    figures: Figures = {}
    for name, measure in (("visible_iou", "visible_iou"), ("avsbench_miou", "miou"), ("avsbench_f", "f")):
        for setting in SETTINGS:
            figures[f"{name}_{setting}"] = mean_of(scored, OURS, setting, measure)
    views = [view for row in of_method(scored, OURS) for view in row["views"]]
    empty = [view for view in views if view["truth_share"] == 0]
    figures["empty_share"] = len(empty) / len(views) if views else None
    wrong, _, told = choice_counts([*cases, *of_method(scored, OURS)])
    rate = rate_estimate(wrong, told)
    figures["wrong_instance_rate"] = rate.mean if rate else None
    figures["wrong_instance_rate_hi95"] = rate.high if rate else None
    figures["false_mask_rate"] = float(np.mean([view["mask_share"] > 0 for view in empty])) if empty else None
    figures["iou_3d"] = mean_of(scored, OURS, None, "iou_3d")
    for setting in SETTINGS:
        best = reference_of(scored, setting)
        figures[f"reference_visible_iou_{setting}"] = mean_of(scored, best, setting, "visible_iou") if best else None
    for setting in SETTINGS:
        best = reference_of(scored, setting)
        gain = difference(scored, OURS_ON_FRONT_END, best, setting, "visible_iou") if best else None
        void = is_void(scored)
        figures[f"gain_over_reference_{setting}"] = None if gain is None or void else gain.mean
        figures[f"gain_lo95_{setting}"] = None if gain is None or void else gain.low
    ious = [row["mask_iou"] for row in kitchen if row.get("mask_iou") is not None]
    figures["kitchen_mask_iou"] = min(ious) if ious else None
    figures["lift_ms_30_proposals"] = timing["lift_ms_30_proposals"] if timing else None
    return figures


def target_rows(figures: Figures, cases: int, timing: Row | None) -> list[dict[str, Any]]:
    """figure, value, target and verdict; beside the figures how many cases there are, and the time of relabelling."""
    rows = [
        {
            "figure": name,
            "value": figures.get(name),
            "target": f"{sign} {limit:g}",
            "verdict": verdict(figures.get(name), sign, limit),
        }
        for name, sign, limit in TARGETS
    ]
    relabel_s = timing["relabel_s"] if timing else None
    rows.append({"figure": "cases of the choice", "value": cases, "target": f">= {LEAST_CASES}",
                 "verdict": verdict(cases, ">=", LEAST_CASES)})  # fmt: skip
    rows.append({"figure": "relabelling everything, s", "value": relabel_s, "target": f"<= {RELABEL_LIMIT_S:g}",
                 "verdict": verdict(relabel_s, "<=", RELABEL_LIMIT_S)})  # fmt: skip
    return rows
