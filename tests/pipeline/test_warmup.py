"""The warm-up compiles every kernel that a run needs."""

from __future__ import annotations

import sys
from pathlib import Path

import scene_bag
from numba.core.registry import CPUDispatcher

from echoseg_ros.config import Config
from echoseg_ros.io.bag import BagReader
from echoseg_ros.pipeline.replay import ReplayOptions, replay_bag
from echoseg_ros.pipeline.warmup import warm_up
from echoseg_ros.sound.array.array_geometry import load_array


def compiled() -> set[tuple[str, str]]:
    """Every kernel of the package and the types of its arguments it is compiled for."""
    return {
        (f"{module}.{name}", str(types))
        for module in list(sys.modules)
        if module.startswith("echoseg_ros.")
        for name, kernel in vars(sys.modules[module]).items()
        if isinstance(kernel, CPUDispatcher)
        for types in kernel.signatures
    }


def test_a_first_run_finds_everything_compiled(tmp_path: Path) -> None:
    """On a new machine a live node compiled a dozen kernels while it ran: it was seconds late and dropped images."""
    array = load_array("cube8")
    warm_up(Config(), array, "cpu")
    before = compiled()
    bag = scene_bag.write_scene_bag(tmp_path / "bag", seconds=12.0)
    run = replay_bag(BagReader(bag), Config(), array, ReplayOptions(progress=False))
    assert run.verdict.sources  # it was heard, and so tracked
    assert compiled() - before == set()
