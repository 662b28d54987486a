"""Rows of an evaluation, made by hand."""

from __future__ import annotations

from typing import Any

from echoseg_ros.eval.segment.compared_methods import FRONT_END, NO_AISRM, OURS, OURS_ON_FRONT_END


def row(
    method: str, scene: int, setting: str, iou: float, choice: str | None = "right", **values: Any
) -> dict[str, Any]:
    views = [{"truth_share": 0.02, "mask_share": 0.02}, {"truth_share": 0.0, "mask_share": values.pop("false", 0.0)}]
    made = {
        "miou": (1 + iou) / 2,
        "f": iou,
        "visible_iou": iou,
        "boundary_f": iou,
        "iou_3d": iou,
        "false_mask_rate": 0.0,
    }
    return {
        "method": method,
        "scene": f"{setting}_{scene}",
        "setting": setting,
        "choice": choice,
        "views": views,
        **made,
        **values,
    }


def scored(calibrated: bool = True) -> list[dict[str, Any]]:
    rows = []
    for setting in ("single", "multi"):
        for k in range(3):
            rows.append(
                row(OURS, k, setting, 0.9, "wrong" if k == 2 and setting == "multi" else "right", false=0.1 * (k == 0))
            )
            rows.append(row(OURS_ON_FRONT_END, k, setting, 0.8 + 0.01 * k))
            rows.append(row("echosegnet", k, setting, 0.4))
            rows.append(row("echosegnet-eps", k, setting, 0.5 + 0.05 * k))
            rows.append(row(NO_AISRM, k, setting, 0.45, miou=0.77, f=0.64))
            rows.append(row(FRONT_END, k, setting, 0.4, None, miou=0.69, f=0.51 if calibrated else 0.58))
    return rows


CASES = [{"case": f"choice/{n}", "choice": "wrong" if n < 3 else "missed" if n < 5 else "right"} for n in range(200)]

TIMING = {"lift_ms_30_proposals": 120.0, "relabel_s": 2.5}
