"""From the rows of `echoseg bench map` to the figures that count, and what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from echoseg_ros.eval.bench import verdict

Row = dict[str, Any]
Figures = dict[str, float | None]

# The minute after which the long run must not change any more: by then the map is full and the caches are warm.
SETTLED_MINUTE = 5
# (figure, what it should be: at most or at least)
TARGETS = (
    ("psnr_gap_online_db", "<=", 1.5),
    ("psnr_rooms_online_db_min", ">=", 28.0),
    ("psnr_gap_rgb_only_db", "<=", 2.0),
    ("depth_error_pct_p50", "<=", 3.0),
    ("scale_psnr_change_db", "<=", 0.3),
    ("step_speedup_vs_torch_tiled", ">=", 30.0),
    ("flat_time_ratio", "<=", 1.05),
    ("flat_time_ratio", ">=", 0.95),
    ("flat_memory_ratio", "<=", 1.05),
    ("flat_memory_ratio", ">=", 0.95),
)


def figures_of(rows: Sequence[Row]) -> Figures:
    """Means over the scenes, of what has run; None for the rest.

    psnr_offline_db: of each scene the better of its totals of steps, which is the ceiling. The gaps compare scenes that
    have both: online with the ceiling, RGB only (online) with RGB-D online. depth_error_pct_p50: RGB only's.
    scale_psnr_change_db: absolute, mean over the scenes, modes and factors other than 1. The flat ratios: the last
    minute of the long run by its fifth.
    """
    online, rgb_only = _by_scene(rows, "online", "psnr_db"), _by_scene(rows, "rgb_only", "psnr_db")
    ceiling = _by_scene(rows, "offline", "psnr_db")
    changes = [abs(row["psnr_change_db"]) for row in _of(rows, "scale") if not row["case"].endswith("/x1")]
    steps = next(iter(_of(rows, "step")), {})
    return {
        "psnr_online_db": _mean(online.values()),
        "psnr_offline_db": _mean(ceiling.values()),
        "psnr_rgb_only_db": _mean(rgb_only.values()),
        "psnr_gap_online_db": _mean(ceiling[s] - online[s] for s in ceiling if s in online),
        "psnr_gap_rgb_only_db": _mean(online[s] - rgb_only[s] for s in online if s in rgb_only),
        "psnr_rooms_online_db_min": min((v for s, v in online.items() if s.startswith("room")), default=None),
        "ssim_online": _mean(_by_scene(rows, "online", "ssim").values()),
        "depth_error_pct_p50": _mean(_by_scene(rows, "rgb_only", "depth_error_pct_p50").values()),
        "scale_psnr_change_db": _mean(changes),
        "scale_psnr_change_db_max": max(changes, default=None),
        "step_ms_320x240_50k": steps.get("step_ms_320x240_50k"),
        "step_speedup_vs_torch_tiled": steps.get("step_speedup_vs_torch_tiled"),
        "flat_time_ratio": _flat(rows, "busy_per_kernel"),
        "flat_memory_ratio": _flat(rows, "rss_mb"),
    }


def target_rows(figures: Figures) -> list[dict[str, Any]]:
    """figure, value, target and verdict ("reached", "missed by ...", or "-" where it was not measured)."""
    rows = []
    for name, sign, limit in TARGETS:
        value = figures.get(name)
        rows.append(
            {"figure": name, "value": value, "target": f"{sign} {limit:g}", "verdict": verdict(value, sign, limit)}
        )
    return rows


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["case"].split("/")[0] == kind]


def _by_scene(rows: Sequence[Row], kind: str, column: str) -> dict[str, float]:
    """The column by scene; the largest of several rows of a scene."""
    values: dict[str, float] = {}
    for row in _of(rows, kind):
        scene, value = row["case"].split("/")[1], row[column]
        if value is not None:
            values[scene] = max(value, values.get(scene, -np.inf))
    return values


def _flat(rows: Sequence[Row], column: str) -> float | None:
    """None for a run that was no longer than the minute it is compared with."""
    minutes = {row["minute"]: row[column] for row in _of(rows, "flat")}
    last = max(minutes, default=0)
    return minutes[last] / minutes[SETTLED_MINUTE] if last > SETTLED_MINUTE else None


def _mean(values: Any) -> float | None:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else None
