"""Planned scenes of the simulated benchmark, computed once for all tests."""

from __future__ import annotations

from functools import cache

from echoseg_sim.recordings.benchmark import benchmark_scenes
from echoseg_sim.recordings.dataset import plan_scene
from echoseg_sim.recordings.scene_writer import PlannedScene


@cache
def planned_scene(number: int) -> PlannedScene:
    """Scene `number` of the benchmark of seed 3: 120 frames of 128 px."""
    return plan_scene(benchmark_scenes(number + 1, seed=3)[number], 128, 120)
