"""What the rows of an evaluation say: means over scenes, beside what is published, and differences with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from echoseg_ros.eval.bench import text_table
from echoseg_ros.eval.segment.bootstrap import Estimate, paired_difference
from echoseg_ros.eval.segment.evaluate_scene import MISSED, WRONG, Row
from echoseg_ros.eval.segment.segment_methods import AISRM_VARIANTS, FRONT_END, NO_AISRM, OURS, OURS_ON_FRONT_END

SETTINGS = ("single", "multi")
# Table 1 of the paper: mIoU and F, single and multi.
PUBLISHED = {
    NO_AISRM: {"single": (0.761, 0.628), "multi": (0.757, 0.609)},
    "echosegnet": {"single": (0.823, 0.730), "multi": (0.801, 0.714)},
    FRONT_END: {"single": (0.693, 0.523), "multi": (0.696, 0.502)},
}
# The simulated 2D stage stands for the published one if it scores as published within this, in the single setting.
CALIBRATED_WITHIN = 0.03
MEASURES = ("miou", "f", "visible_iou", "boundary_f", "iou_3d", "false_mask_rate")


def mean_of(rows: Sequence[Row], method: str, setting: str | None, measure: str) -> float | None:
    """Mean over scenes, unweighted; None where no scene has the number. setting: None for all scenes."""
    values = [row[measure] for row in of_method(rows, method, setting) if row[measure] is not None]
    return float(np.mean(values)) if values else None


def of_method(rows: Sequence[Row], method: str, setting: str | None = None) -> list[Row]:
    """The rows of one method."""
    return [row for row in rows if row["method"] == method and setting in (None, row["setting"])]


def choice_counts(rows: Sequence[Row]) -> tuple[int, int, int]:
    """(wrong, missed, all) of the rows that tell."""
    told = [row["choice"] for row in rows if row.get("choice") is not None]
    return told.count(WRONG), told.count(MISSED), len(told)


def difference(rows: Sequence[Row], ours: str, theirs: str, setting: str | None, measure: str) -> Estimate | None:
    """Ours - theirs over the scenes that have both."""
    a, b = ({row["scene"]: row[measure] for row in of_method(rows, m, setting)} for m in (ours, theirs))
    both = [scene for scene in a if a[scene] is not None and b.get(scene) is not None]
    return paired_difference([a[scene] for scene in both], [b[scene] for scene in both])


def calibration(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What the simulated 2D stage gives beside what is published, single; holds: within CALIBRATED_WITHIN.

    Empty if neither of the two methods was scored.
    """
    table = []
    for method in (FRONT_END, NO_AISRM):
        for measure, wanted in zip(("miou", "f"), PUBLISHED[method]["single"], strict=True):
            value = mean_of(rows, method, "single", measure)
            if value is not None:
                holds = abs(value - wanted) <= CALIBRATED_WITHIN
                table.append(
                    {"method": method, "measure": measure, "value": value, "published": wanted, "holds": holds}
                )
    return table


def is_void(rows: Sequence[Row]) -> bool:
    """Whether comparisons with the reference mean nothing, because its 2D stage is not calibrated on these scenes."""
    table = calibration(rows)
    return len(table) < 4 or not all(entry["holds"] for entry in table)


def reference_of(rows: Sequence[Row], setting: str, measure: str = "visible_iou") -> str | None:
    """The reading of the reference that does best in a setting, with or without AISRM; None if none was scored."""
    scored = {method: mean_of(rows, method, setting, measure) for method in (*AISRM_VARIANTS, NO_AISRM)}
    known = {method: value for method, value in scored.items() if value is not None}
    return max(known, key=lambda method: known[method]) if known else None


def report(rows: Sequence[Row], methods: Sequence[str]) -> str:
    """The tables of an evaluation."""
    parts = [text_table(method_rows(rows, methods), _TABLE), text_table(published_rows(), _PUBLISHED)]
    other = [text_table(choice_rows(rows, methods), _CHOICE)]
    differences = difference_rows(rows)
    if differences:
        other.append(text_table(differences, ("difference", "setting", "visible IoU", "mIoU", "F", "note")))
    checked = calibration(rows)
    if checked:
        verdict = "VOID: the 2D masks do not score as published" if is_void(rows) else "the 2D masks score as published"
        other.append(text_table(checked, ("method", "measure", "value", "published", "holds")) + f"\n{verdict}")
    return "\n\n".join([*parts, *other])


_HEADS = {"mIoU": "miou", "F": "f", "visible": "visible_iou"}
_TABLE = ("method", *(f"{setting} {head}" for setting in SETTINGS for head in _HEADS), "outline F", "3D IoU", "scenes")
_PUBLISHED = ("published", "single mIoU", "single F", "multi mIoU", "multi F")
_CHOICE = ("method", "false masks", "wrong instance", "none named", "of scenes")


def method_rows(rows: Sequence[Row], methods: Sequence[str]) -> list[dict[str, Any]]:
    """One row a method, as in the paper's table."""
    table = []
    for method in methods:
        some = of_method(rows, method)
        if not some:
            continue
        entry: dict[str, Any] = {"method": method, "scenes": len(some)}
        for setting in SETTINGS:
            for head, measure in _HEADS.items():
                entry[f"{setting} {head}"] = mean_of(rows, method, setting, measure)
        entry["outline F"] = mean_of(rows, method, None, "boundary_f")
        entry["3D IoU"] = mean_of(rows, method, None, "iou_3d")
        table.append(entry)
    return table


def published_rows() -> list[dict[str, Any]]:
    """What the paper has."""
    return [
        {"published": method, **{f"{s} {head}": values[s][k] for s in SETTINGS for k, head in enumerate(("mIoU", "F"))}}
        for method, values in PUBLISHED.items()
    ]


def choice_rows(rows: Sequence[Row], methods: Sequence[str]) -> list[dict[str, Any]]:
    """False masks on empty views, and choices of the instance."""
    table = []
    for method in methods:
        some = of_method(rows, method)
        if some:
            wrong, missed, told = choice_counts(some)
            rates = {"wrong instance": wrong / told, "none named": missed / told} if told else {}
            false = mean_of(rows, method, None, "false_mask_rate")
            table.append({"method": method, "false masks": false, **rates, "of scenes": told})
    return table


def difference_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Ours, and ours on the reference's own 2D masks, less the reference, with 95 % intervals over scenes."""
    table = []
    for ours in (OURS_ON_FRONT_END, OURS):
        for setting in SETTINGS:
            for theirs in (*AISRM_VARIANTS, NO_AISRM, FRONT_END):
                found = {head: difference(rows, ours, theirs, setting, m) for head, m in
                         {"visible IoU": "visible_iou", "mIoU": "miou", "F": "f"}.items()}  # fmt: skip
                if found["visible IoU"] is not None:
                    texts = {head: str(estimate) for head, estimate in found.items()}
                    name, note = f"{ours} - {theirs}", "VOID" if is_void(rows) else ""
                    table.append({"difference": name, "setting": setting, **texts, "note": note})
    return table
