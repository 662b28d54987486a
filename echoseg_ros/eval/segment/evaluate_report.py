"""Tables of an evaluation: means over scenes, published values, differences between methods with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from echoseg_ros.eval.bench import Row, mean, text_table
from echoseg_ros.eval.segment.bootstrap import Estimate, paired_difference
from echoseg_ros.eval.segment.compared_methods import AISRM_VARIANTS, FRONT_END, NO_AISRM, OURS, OURS_ON_FRONT_END
from echoseg_ros.eval.segment.evaluate_scene import MISSED, WRONG

SETTINGS = ("single", "multi")
# Published (mIoU, F) of each setting: table 1 of Sokolov, Bhosale & Zhu 2024.
PUBLISHED = {
    NO_AISRM: {"single": (0.761, 0.628), "multi": (0.757, 0.609)},
    "echosegnet": {"single": (0.823, 0.730), "multi": (0.801, 0.714)},
    FRONT_END: {"single": (0.693, 0.523), "multi": (0.696, 0.502)},
}
# Largest difference between scores and published scores, single setting, with which the simulated 2D stage is calibrated.
CALIBRATION_TOLERANCE = 0.03


def mean_of(rows: Sequence[Row], method: str, setting: str | None, measure: str) -> float | None:
    """Unweighted mean over scenes; None if no scene has the measure. setting: None for all scenes."""
    return mean(row[measure] for row in rows_of_method(rows, method, setting))


def rows_of_method(rows: Sequence[Row], method: str, setting: str | None = None) -> list[Row]:
    """The rows of one method, of one setting unless it is None."""
    return [row for row in rows if row["method"] == method and setting in (None, row["setting"])]


def count_choices(rows: Sequence[Row]) -> tuple[int, int, int]:
    """(number of wrong choices, of missed ones, of all graded rows)."""
    choices = [row["choice"] for row in rows if row.get("choice") is not None]
    return choices.count(WRONG), choices.count(MISSED), len(choices)


def difference(rows: Sequence[Row], ours: str, theirs: str, setting: str | None, measure: str) -> Estimate | None:
    """Mean of ours - theirs over the scenes that have both values."""
    a, b = ({row["scene"]: row[measure] for row in rows_of_method(rows, m, setting)} for m in (ours, theirs))
    both = [scene for scene in a if a[scene] is not None and b.get(scene) is not None]
    return paired_difference([a[scene] for scene in both], [b[scene] for scene in both])


def calibration(rows: Sequence[Row]) -> list[Row]:
    """Scores of the simulated 2D stage beside the published ones, single setting; empty if its methods were not scored.

    holds: the difference is within CALIBRATION_TOLERANCE.
    """
    table = []
    for method in (FRONT_END, NO_AISRM):
        for measure, wanted in zip(("miou", "f"), PUBLISHED[method]["single"], strict=True):
            value = mean_of(rows, method, "single", measure)
            if value is not None:
                holds = abs(value - wanted) <= CALIBRATION_TOLERANCE
                table.append(
                    {"method": method, "measure": measure, "value": value, "published": wanted, "holds": holds}
                )
    return table


def is_comparison_void(rows: Sequence[Row]) -> bool:
    """Whether comparisons with the reference are invalid because its 2D stage is not calibrated on these scenes."""
    table = calibration(rows)
    return len(table) < 4 or not all(entry["holds"] for entry in table)


def best_reference(rows: Sequence[Row], setting: str, measure: str = "visible_iou") -> str | None:
    """Variant of the reference that scores best in a setting, with or without AISRM; None if none was scored."""
    scored = {method: mean_of(rows, method, setting, measure) for method in (*AISRM_VARIANTS, NO_AISRM)}
    known = {method: value for method, value in scored.items() if value is not None}
    return max(known, key=lambda method: known[method]) if known else None


def report(rows: Sequence[Row], methods: Sequence[str]) -> str:
    """The tables of an evaluation as text."""
    parts = [text_table(method_rows(rows, methods), _TABLE), text_table(published_rows(), _PUBLISHED)]
    tables = [text_table(choice_rows(rows, methods), _CHOICE)]
    differences = difference_rows(rows)
    if differences:
        tables.append(text_table(differences, ("difference", "setting", "visible IoU", "mIoU", "F", "note")))
    checked = calibration(rows)
    if checked:
        conclusion = (
            "VOID: the 2D masks do not score as published"
            if is_comparison_void(rows)
            else "the 2D masks score as published"
        )
        tables.append(text_table(checked, ("method", "measure", "value", "published", "holds")) + f"\n{conclusion}")
    return "\n\n".join([*parts, *tables])


_HEADS = {"mIoU": "miou", "F": "f", "visible": "visible_iou"}
_TABLE = ("method", *(f"{setting} {head}" for setting in SETTINGS for head in _HEADS), "outline F", "3D IoU", "scenes")
_PUBLISHED = ("published", "single mIoU", "single F", "multi mIoU", "multi F")
_CHOICE = ("method", "false masks", "wrong instance", "none named", "of scenes")


def method_rows(rows: Sequence[Row], methods: Sequence[str]) -> list[Row]:
    """A row for each scored method, with the columns of the paper's table and more."""
    table = []
    for method in methods:
        scored = rows_of_method(rows, method)
        if not scored:
            continue
        entry: Row = {"method": method, "scenes": len(scored)}
        for setting in SETTINGS:
            for head, measure in _HEADS.items():
                entry[f"{setting} {head}"] = mean_of(rows, method, setting, measure)
        entry["outline F"] = mean_of(rows, method, None, "boundary_f")
        entry["3D IoU"] = mean_of(rows, method, None, "iou_3d")
        table.append(entry)
    return table


def published_rows() -> list[Row]:
    """Rows of the published scores."""
    return [
        {"published": method, **{f"{s} {head}": values[s][k] for s in SETTINGS for k, head in enumerate(("mIoU", "F"))}}
        for method, values in PUBLISHED.items()
    ]


def choice_rows(rows: Sequence[Row], methods: Sequence[str]) -> list[Row]:
    """Rates of false masks on empty views and of wrong or missed choices of the instance, by method."""
    table = []
    for method in methods:
        scored = rows_of_method(rows, method)
        if scored:
            wrong, missed, graded = count_choices(scored)
            rates = {"wrong instance": wrong / graded, "none named": missed / graded} if graded else {}
            false = mean_of(rows, method, None, "false_mask_rate")
            table.append({"method": method, "false masks": false, **rates, "of scenes": graded})
    return table


def difference_rows(rows: Sequence[Row]) -> list[Row]:
    """Our method, and ours on the reference's 2D masks, minus the reference, with 95 % intervals over scenes."""
    table = []
    for ours in (OURS_ON_FRONT_END, OURS):
        for setting in SETTINGS:
            for theirs in (*AISRM_VARIANTS, NO_AISRM, FRONT_END):
                found = {head: difference(rows, ours, theirs, setting, m) for head, m in
                         {"visible IoU": "visible_iou", "mIoU": "miou", "F": "f"}.items()}  # fmt: skip
                if found["visible IoU"] is not None:
                    texts = {head: str(estimate) for head, estimate in found.items()}
                    name, note = f"{ours} - {theirs}", "VOID" if is_comparison_void(rows) else ""
                    table.append({"difference": name, "setting": setting, **texts, "note": note})
    return table
