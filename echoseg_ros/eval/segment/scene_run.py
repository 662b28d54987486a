"""The run of a scene that all methods share: stored, and made again when code, settings or data have changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import echoseg_ros
from echoseg_ros.config import Config
from echoseg_ros.errors import DatasetError
from echoseg_ros.eval.bench import commit
from echoseg_ros.eval.checkpoint import load_checkpoint, save_checkpoint
from echoseg_ros.io.bag import BagReader
from echoseg_ros.io.files import read_json, write_json
from echoseg_ros.pipeline.dataset_bag import write_dataset_bag
from echoseg_ros.pipeline.replay import ReplayOptions, bag_array, bag_config, bag_T_map_world, replay_bag
from echoseg_ros.report.results import RunInfo, write_run
from echoseg_ros.report.run_folder import RunFolder
from echoseg_ros.types import MapSnapshot

# Source files that a run depends on, relative to the package; evaluation, nodes and command line only read runs.
_RUN_SOURCES = ("*.py", "mapping/**/*", "masks/**/*", "objects/**/*", "sound/**/*", "io/*.py", "pipeline/*.py")
_NOT_RUN_SOURCES = ("cli.py",)


class SceneRun:
    """A finished run: its folder and the last snapshot of its map.

    Instances of `snapshot` refer to Gaussians by rows of the saved map, which are the uids of the loaded map. made:
    content of made.json: key, commit, scene, busy seconds. Raises DatasetError if other code wrote the snapshot.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = RunFolder(folder / "run")
        snapshot = load_checkpoint(folder / "snapshot.pickle", "snapshot")
        if snapshot is None:
            raise DatasetError(f"{folder}: the run was made by other code; repeat it with --fresh")
        self.snapshot: MapSnapshot = snapshot
        self.made: dict[str, Any] = read_json(folder / "made.json")


def scene_run(
    scene: Path, folder: Path, overrides: dict[str, Any], fresh: bool = False, reuse: bool = False
) -> SceneRun:
    """The run of a scene in `folder`; made if it is missing or was made by other code, with other settings or data.

    fresh: make it in any case; reuse: accept a run of other code, settings or data. Deterministic: offline, on the CPU.
    """
    key = run_key(scene, overrides)
    made = read_json(folder / "made.json") if (folder / "made.json").exists() else None
    if fresh or made is None or (made["key"] != key and not reuse):
        _make_run(scene, folder, overrides, key)
    return SceneRun(folder)


def run_key(scene: Path, overrides: dict[str, Any]) -> str:
    """Digest of all that a run depends on: code, settings and files of the scene (without its choice cases)."""
    files = sorted((str(f.relative_to(scene)), f.stat().st_size, f.stat().st_mtime_ns)
                   for f in scene.rglob("*") if f.is_file() and f.relative_to(scene).parts[0] != "cases")  # fmt: skip
    return _digest(json.dumps([code_digest(), Config().updated(overrides).flat(), files], sort_keys=True, default=str))


@cache
def code_digest() -> str:
    """Digest of the package's files that a run depends on, weights included."""
    root = Path(echoseg_ros.__file__).parent
    found = {file for pattern in _RUN_SOURCES for file in root.glob(pattern)}
    files = sorted(
        f for f in found if f.is_file() and f.name not in _NOT_RUN_SOURCES and f.parent.name != "__pycache__"
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _make_run(scene: Path, folder: Path, overrides: dict[str, Any], key: str) -> None:
    """Write bag, run and snapshot; made.json comes last, so that an interrupted run is made again."""
    shutil.rmtree(folder, ignore_errors=True)
    bag = folder / "bag"
    write_dataset_bag(scene, bag)
    config = bag_config(bag).updated(overrides)
    reader = BagReader(bag)
    run = replay_bag(reader, config, bag_array(bag, config), ReplayOptions(progress=False))
    info = RunInfo(config, f"echoseg evaluate: run of {scene.name}", "cpu", reader.start_ns, bag_T_map_world(bag))
    write_run(folder / "run", info, run)
    uids = run.map_stage.mapper.gaussians.uids.cpu().numpy()
    snapshot = run.map_stage.snapshot(run.verdict.stamp_ns)
    save_checkpoint(folder / "snapshot.pickle", "snapshot", with_row_uids(snapshot, uids))
    shutil.rmtree(bag)
    seconds = {name: round(value, 2) for name, value in run.counters.busy_s.items()}
    write_json(folder / "made.json", {"key": key, "commit": commit(), "scene": str(scene), "busy_s": seconds})


def with_row_uids(snapshot: MapSnapshot, uids: NDArray[np.int64]) -> MapSnapshot:
    """The snapshot with uids replaced by rows of the map with `uids` [N]; pruned Gaussians are left out."""
    rows = {int(uid): row for row, uid in enumerate(uids)}
    instances = []
    for instance in snapshot.instances:
        kept = [k for k, uid in enumerate(instance.uids.tolist()) if uid in rows]
        kept_rows = np.array([rows[int(instance.uids[k])] for k in kept], np.int64)
        instances.append(
            replace(instance, uids=kept_rows, points_map=instance.points_map[kept], rgb=instance.rgb[kept])
        )
    return replace(snapshot, instances=tuple(instances))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
