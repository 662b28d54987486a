"""A small recording and settings for tests of the map benchmark."""

from __future__ import annotations

from pathlib import Path

import scene_bag
import yaml

from echoseg_ros.eval.map.bench_map_cases import BenchSettings
from echoseg_ros.sound.array.array_geometry import array_to_mapping, load_array

# Length of the recording, seconds.
SECONDS = 3.0
SMALL_SETTINGS = BenchSettings(64, (20, 30), (1.0, 10.0), feeding_steps_per_s=4.0, progress=False)


def write_scene(path: Path) -> None:
    """Write the bag of a small scene with the array cube8 in it."""
    scene_bag.write_scene_bag(path, SECONDS)
    (path / "array.yaml").write_text(yaml.safe_dump(array_to_mapping(load_array("cube8"))))
