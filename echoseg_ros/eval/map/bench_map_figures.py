"""Figures of `echoseg bench map`, computed from its rows, and their targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echoseg_ros.eval.bench import Figures, Row, Target, mean

# Minute of the long run that the last minute is compared with: by then the map is full and caches are warm.
SETTLED_MINUTE = 5
# Limits of the figures; docs of the figures: figures_of.
TARGETS = (
    Target("psnr_gap_online_db", most=1.5),
    Target("psnr_rooms_online_db_min", least=28.0),
    Target("psnr_gap_rgb_only_db", most=2.0),
    Target("depth_error_pct_p50", most=3.0),
    Target("scale_psnr_change_db", most=0.3),
    Target("step_speedup_vs_torch_tiled", least=30.0),
    Target("flat_time_ratio", most=1.05),
    Target("flat_time_ratio", least=0.95),
    Target("flat_memory_ratio", most=1.05),
    Target("flat_memory_ratio", least=0.95),
)


def figures_of(rows: Sequence[Row]) -> Figures:
    """Means over the scenes that have run; None for figures without a run.

    psnr_offline_db: the best of a scene's numbers of steps, the ceiling. psnr_gap_*: over scenes that have both values,
    ceiling minus online, and online with depth minus online without. depth_error_pct_p50: of maps without a depth
    sensor. scale_psnr_change_db: absolute change, mean over scenes, modes and factors other than 1. flat_*_ratio: last
    minute of the long run divided by minute SETTLED_MINUTE.
    """
    online, rgb_only = _by_scene(rows, "online", "psnr_db"), _by_scene(rows, "rgb_only", "psnr_db")
    ceiling = _by_scene(rows, "offline", "psnr_db")
    changes = [abs(row["psnr_change_db"]) for row in _rows_of_kind(rows, "scale") if not row["case"].endswith("/x1")]
    steps = next(iter(_rows_of_kind(rows, "step")), {})
    return {
        "psnr_online_db": mean(online.values()),
        "psnr_offline_db": mean(ceiling.values()),
        "psnr_rgb_only_db": mean(rgb_only.values()),
        "psnr_gap_online_db": mean(ceiling[s] - online[s] for s in ceiling if s in online),
        "psnr_gap_rgb_only_db": mean(online[s] - rgb_only[s] for s in online if s in rgb_only),
        "psnr_rooms_online_db_min": min((v for s, v in online.items() if s.startswith("room")), default=None),
        "ssim_online": mean(_by_scene(rows, "online", "ssim").values()),
        "depth_error_pct_p50": mean(_by_scene(rows, "rgb_only", "depth_error_pct_p50").values()),
        "scale_psnr_change_db": mean(changes),
        "scale_psnr_change_db_max": max(changes, default=None),
        "step_ms_320x240_50k": steps.get("step_ms_320x240_50k"),
        "step_speedup_vs_torch_tiled": steps.get("step_speedup_vs_torch_tiled"),
        "flat_time_ratio": _last_by_settled_minute(rows, "busy_per_kernel"),
        "flat_memory_ratio": _last_by_settled_minute(rows, "rss_mb"),
    }


def _rows_of_kind(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["case"].split("/")[0] == kind]


def _by_scene(rows: Sequence[Row], kind: str, column: str) -> dict[str, float]:
    """Largest value of the column by scene."""
    values: dict[str, float] = {}
    for row in _rows_of_kind(rows, kind):
        scene, value = row["case"].split("/")[1], row[column]
        if value is not None:
            values[scene] = max(value, values.get(scene, -np.inf))
    return values


def _last_by_settled_minute(rows: Sequence[Row], column: str) -> float | None:
    """Value of the last minute divided by that of SETTLED_MINUTE; None for a run that is not longer than that."""
    minutes = {row["minute"]: row[column] for row in _rows_of_kind(rows, "flat")}
    last = max(minutes, default=0)
    return minutes[last] / minutes[SETTLED_MINUTE] if last > SETTLED_MINUTE else None
