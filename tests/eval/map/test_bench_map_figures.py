"""Figures and targets of `echoseg bench map` from rows made by hand."""

from __future__ import annotations

import pytest

from echoseg_ros.eval.bench import Row, target_rows
from echoseg_ros.eval.map.bench_map_figures import TARGETS, figures_of


def test_figures_and_targets() -> None:
    rows: list[Row] = [
        {"case": "online/room_0", "psnr_db": 29.0, "ssim": 0.9},
        {"case": "online/kitchen", "psnr_db": 23.0, "ssim": 0.8},
        {"case": "rgb_only/kitchen", "psnr_db": 20.0, "depth_error_pct_p50": 2.0},
        {"case": "offline/kitchen/7000", "psnr_db": 25.0},
        {"case": "offline/kitchen/30000", "psnr_db": 24.0},
        {"case": "scale/kitchen/rgbd/x1", "psnr_db": 22.0, "psnr_change_db": 0.0},
        {"case": "scale/kitchen/rgbd/x0.1", "psnr_db": 21.9, "psnr_change_db": -0.1},
        {"case": "scale/kitchen/rgbd/x10", "psnr_db": 22.3, "psnr_change_db": 0.3},
        *({"case": f"flat/{m}", "minute": m, "busy_per_kernel": 2.0 + 0.01 * m, "rss_mb": 500.0} for m in range(1, 8)),
    ]
    figures = figures_of(rows)
    assert figures["psnr_online_db"] == 26.0 and figures["psnr_offline_db"] == 25.0
    assert figures["psnr_gap_online_db"] == 2.0 and figures["psnr_gap_rgb_only_db"] == 3.0
    assert figures["scale_psnr_change_db"] == pytest.approx(0.2) and figures["scale_psnr_change_db_max"] == 0.3
    assert figures["flat_time_ratio"] == pytest.approx(2.07 / 2.05) and figures["flat_memory_ratio"] == 1.0
    verdicts = {(row["figure"], row["target"]): row["verdict"] for row in target_rows(TARGETS, figures)}
    assert verdicts["psnr_gap_online_db", "<= 1.5"] == "missed by 0.5"
    assert verdicts["psnr_rooms_online_db_min", ">= 28"] == "reached"
    assert verdicts["step_speedup_vs_torch_tiled", ">= 30"] == "-"
