"""Scenario: the map runs with torch, numpy, scipy and numba alone; a GPU machine may have no other packages."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ALLOWED = ("torch", "numpy", "scipy", "numba", "gsplat", "echoseg_ros")

PROGRAM = """
import importlib.abc, sys
BLOCKED = set({blocked!r})

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{{name}} is not on this machine", name=name)

sys.meta_path.insert(0, Blocker())
sys.path[:0] = {folders!r}
from echoseg_ros.config import Config
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.types import Camera
from gpu_check import cli
from gpu_check.frames import synthetic_recording

mapper = Mapper(Config().updated({{"map.image_width_px": 64, "keyframes.min_interval_s": 0.0}}))
for frame in synthetic_recording(Camera(64, 48, 60.0, 60.0, 32.0, 24.0), 2).frames:
    keyframe = mapper.add_frame(frame)
    mapper.optimise(2)
assert keyframe is not None and len(mapper.gaussians) > 100
"""


def names_of(distribution: str) -> set[str]:
    """Normalised names of a distribution and of all its requirements."""
    found: set[str] = set()
    waiting = [distribution]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found.add(name)
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        waiting += [re.split(r"[\s;<>=!~\[(]", line)[0] for line in required if "extra ==" not in line]
    return found


def blocked_modules() -> list[str]:
    """Top-level modules of the installed distributions other than the allowed ones and their requirements."""
    keep = set().union(*(names_of(name) for name in ALLOWED if name != "echoseg_ros")) | {"echoseg-ros"}
    return sorted(
        module
        for module, distributions in metadata.packages_distributions().items()
        if not any(re.sub(r"[-_.]+", "-", name).lower() in keep for name in distributions)
        and module not in sys.stdlib_module_names
    )


def test_the_map_runs_with_torch_numpy_scipy_numba_alone() -> None:
    blocked = blocked_modules()
    assert {"cv2", "yaml", "open3d", "rosbags"} <= set(blocked)
    root = Path(__file__).resolve().parents[2]
    program = PROGRAM.format(blocked=blocked, folders=[str(root / "tools"), str(root)])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
