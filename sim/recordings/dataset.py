"""Simulated scenes in the layout of 3DAVS-S34-O7: rooms of ours, seen and heard once a second, without a scale.

As in the data set, the robot stands still for each second and hears it with two ears in the middle of the camera.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from echoseg_ros.errors import ConfigError, DatasetError
from echoseg_ros.io.dataset import TRUTH_FILE
from echoseg_ros.io.dataset_split import TEST_EVERY
from echoseg_ros.pipeline.dataset_bag import dataset_array
from echoseg_ros.sound.array.array_geometry import Head
from echoseg_ros.types import Camera
from echoseg_sim.recordings.benchmark import SCENES, SceneSpec, benchmark_scenes
from echoseg_sim.recordings.scene_writer import PlannedScene, write_scene
from echoseg_sim.recordings.sparse_model import Gauge
from echoseg_sim.recordings.viewpoint_plan import ViewpointPlan, plan_viewpoints
from echoseg_sim.rooms.room import make_room

logger = logging.getLogger(__name__)

MIN_SIZE_PX, MIN_FRAMES = 32, 4
CASES = 6
_UNITS_PER_M = (0.2, 5.0)  # COLMAP's scale is anything
# Of some rooms the first is taken whose visit is this near to what is wished, else the best; few frames are coarse.
_ROOMS = 5
_GOOD, _COARSE, _USELESS = 0.2, 1.5, 5.0


def simulate_dataset(
    root: Path,
    scenes: int = SCENES,
    size_px: int = 1008,
    seed: int = 0,
    frames: int = 120,
    head: Path | None = None,
    progress: bool = True,
    cases: int = CASES,
    jobs: int = 1,
) -> list[Path]:
    """Write the first scenes of the benchmark below `root`; returns their folders.

    jobs: processes at a time. The rest is as in simulate_scene.
    """
    specs = benchmark_scenes(scenes, seed)
    folders = [Path(root) / spec.folder for spec in specs]
    if jobs < 1:
        raise ConfigError(f"{jobs} jobs: want at least 1")
    make = partial(
        simulate_scene, size_px=size_px, frames=frames, head=head, cases=cases, progress=progress and jobs == 1
    )
    bar = tqdm(desc="scenes", total=len(specs), unit="scene", disable=not progress)
    if jobs == 1:
        for folder, spec in zip(folders, specs):
            make(folder, spec)
            bar.update()
        return folders
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(make, folder, spec) for folder, spec in zip(folders, specs)]
        try:
            for future in as_completed(futures):
                future.result()
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return folders


def simulate_scene(
    folder: Path,
    spec: SceneSpec,
    size_px: int = 1008,
    frames: int = 120,
    head: Path | None = None,
    cases: int = CASES,
    progress: bool = True,
) -> bool:
    """Write one scene; False where it is there already. It appears whole or not at all.

    size_px: width and height of the images; frames: one a second; head: a SOFA file of measured responses instead of
    the spherical head; cases: other sounds in the same scene. Raises ConfigError or ArrayError for values that cannot be
    simulated, DatasetError where an existing scene was made with others.
    """
    if size_px < MIN_SIZE_PX or frames < MIN_FRAMES:
        raise ConfigError(f"{frames} frames of {size_px} px: want at least {MIN_FRAMES} and {MIN_SIZE_PX} px")
    array = dataset_array() if head is None else replace(dataset_array(), head=Head(sofa=Path(head)))
    made_with: dict[str, Any] = {**spec.as_json(), "size_px": size_px, "frames": frames, "cases": cases}
    made_with["head"] = "" if head is None else Path(head).name
    if folder.exists():
        _check_same(folder, made_with)
        return False
    with _appearing(folder) as temporary:
        write_scene(temporary, plan_scene(spec, size_px, frames), array, cases, made_with, progress)
    return True


def plan_scene(spec: SceneSpec, size_px: int, frames: int) -> PlannedScene:
    """The visit that a scene shows. Raises ConfigError if no room of its seed can be visited."""
    camera = Camera(size_px, size_px, *(size_px / 2,) * 4)  # 90 degrees of view, as Habitat's
    train = np.arange(frames) % TEST_EVERY != 0
    good = _GOOD + _COARSE / int((~train).sum())
    best: tuple[ViewpointPlan, PlannedScene] | None = None
    for room_seed in range(1000 * spec.seed, 1000 * spec.seed + _ROOMS):
        try:
            room = make_room(room_seed, home=spec.home)
        except ValueError as error:  # no layout
            logger.info("%s", error)
            continue
        # The first ones of the kind are those a metre apart, where there are such.
        able = [item.name for item in room.objects if item.kind == spec.home.kind][: 2 if spec.home.pair else None]
        name = able[int(np.random.default_rng([room_seed, 5]).integers(len(able)))]
        visit = plan_viewpoints(room, name, camera, train, spec.empty, room_seed)
        if visit is None or (best is not None and visit.off >= best[0].off):
            continue
        low, high = np.log(_UNITS_PER_M)
        units_per_m = float(np.exp(np.random.default_rng([room_seed, 13]).uniform(low, high)))
        gauge = Gauge(visit.poses[0], units_per_m)
        best = visit, PlannedScene(spec, room, room.object(name), camera, visit.poses, train, gauge)
        if visit.off <= good:
            break
    if best is None or best[0].off > _USELESS:
        raise ConfigError(f"no room of seed {spec.seed} shows its sounding object long enough: take another seed")
    logger.info("%s: %.2f from what is wished", spec.folder, best[0].off)
    return best[1]


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `folder` when the block ends well, and is removed when it fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_same(folder: Path, made_with: dict[str, Any]) -> None:
    try:
        found = json.loads((folder / TRUTH_FILE).read_text()).get("simulated_with")
    except (OSError, ValueError, AttributeError):
        found = None
    if found != made_with:
        raise DatasetError(
            f"{folder} is there but was made with {found}, not {made_with}: remove it or take another ROOT"
        )
