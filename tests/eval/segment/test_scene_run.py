"""The key of a stored run, and instances by the rows of the saved map."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from echoseg_ros.eval.segment.scene_run import code_digest, run_key, with_row_uids
from echoseg_ros.types import Box, Instance, MapSnapshot


def test_key_changes_with_the_settings_and_the_scene_but_not_with_its_cases(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a_1.png").write_bytes(b"one")
    key = run_key(tmp_path, {})
    assert run_key(tmp_path, {}) == key
    assert run_key(tmp_path, {"map.seed": 1}) != key
    (tmp_path / "cases" / "0").mkdir(parents=True)
    (tmp_path / "cases" / "0" / "truth.json").write_text("{}")
    assert run_key(tmp_path, {}) == key
    (tmp_path / "images" / "a_1.png").write_bytes(b"three")
    assert run_key(tmp_path, {}) != key
    assert len(code_digest()) == 16


def test_instances_refer_to_rows_and_lose_pruned_gaussians() -> None:
    uids = np.array([3, 5, 8, 9])
    points = np.arange(9, dtype=np.float32).reshape(3, 3)
    box = Box(np.zeros(3), np.ones(3), np.array([0, 0, 0, 1.0]))
    instance = Instance(4, np.array([5, 7, 9]), points, np.zeros((3, 3), np.uint8), np.zeros(3), box, 2, 1.0)
    empty = np.zeros((0, 3), np.float32)
    snapshot = MapSnapshot(0, (instance,), empty, empty.astype(np.uint8), np.zeros(0, np.int32), 4)
    (renamed,) = with_row_uids(snapshot, uids).instances
    assert renamed.uids.tolist() == [1, 3]
    assert (renamed.points_map == points[[0, 2]]).all()
