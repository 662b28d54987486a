"""Figures of the time of an optimisation step."""

from __future__ import annotations

from echoseg_ros.eval.map.step_time import step_times


def test_step_times_returns_all_figures() -> None:
    figures = step_times(48, 32, 200, seed=0, repeats=2)
    assert figures["step_ms_48x32_200"] > 0 and figures["forward_ms_48x32_200"] > 0
    assert figures["step_speedup_vs_torch_tiled"] > 0 and figures["reference_matmul_ms"] > 0
    assert 2 < figures["tiles_per_gaussian"] < 6
