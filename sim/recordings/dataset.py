"""Simulated scenes in the layout of 3DAVS-S34-O7: one view and one second of binaural audio from each viewpoint, no scale.

As in the data set, the robot stands still for each second, and the head's centre is the camera.
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

# Least side of the images, px.
MIN_SIZE_PX = 32
# Least number of frames of a scene.
MIN_FRAMES = 4
# Default number of sound cases of a scene.
CASES = 6
# Smallest and largest scale of a scene's sparse model, units per metre; COLMAP's scale is arbitrary.
_UNITS_PER_M = (0.2, 5.0)
# Rooms that are planned at most; the first one with a good plan is taken, else the best one.
_ROOMS = 5
# Deviation of a good plan from the request. _COARSENESS divided by the number of test frames is added: the shares of few
# frames are coarse.
_GOOD_DEVIATION, _COARSENESS = 0.2, 1.5
# Deviation above which a plan is unusable.
_MAX_DEVIATION = 5.0


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

    jobs: number of processes; other arguments: see simulate_scene. Raises ConfigError if `scenes` or `jobs` is below 1, and
    the errors of simulate_scene.
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
    """Write one scene atomically; returns False if it exists.

    size_px: width and height of the images; frames: one a second; head: a SOFA file of measured responses instead of the
    spherical head; cases: number of other sounds in the same scene. Raises ConfigError or ArrayError for values that cannot
    be simulated, DatasetError if the scene exists and was simulated with other values.
    """
    if size_px < MIN_SIZE_PX or frames < MIN_FRAMES:
        raise ConfigError(f"{frames} frames of {size_px} px: want at least {MIN_FRAMES} and {MIN_SIZE_PX} px")
    array = dataset_array() if head is None else replace(dataset_array(), head=Head(sofa=Path(head)))
    settings: dict[str, Any] = {**spec.as_json(), "size_px": size_px, "frames": frames, "cases": cases}
    settings["head"] = "" if head is None else Path(head).name
    if folder.exists():
        _check_settings(folder, settings)
        return False
    with _atomic_folder(folder) as temporary:
        write_scene(temporary, plan_scene(spec, size_px, frames), array, cases, settings, progress)
    return True


def plan_scene(spec: SceneSpec, size_px: int, frames: int) -> PlannedScene:
    """Room and viewpoints of a scene. Raises ConfigError if no room of its seed has usable viewpoints."""
    camera = Camera(size_px, size_px, *(size_px / 2,) * 4)  # a field of view of 90 degrees, as in the data set
    train = np.arange(frames) % TEST_EVERY != 0
    good_deviation = _GOOD_DEVIATION + _COARSENESS / int((~train).sum())
    best: tuple[ViewpointPlan, PlannedScene] | None = None
    for room_seed in range(1000 * spec.seed, 1000 * spec.seed + _ROOMS):
        try:
            room = make_room(room_seed, home=spec.home)
        except ValueError as error:  # no layout
            logger.info("%s", error)
            continue
        # The first two objects of the kind are the pair.
        candidates = [item.name for item in room.objects if item.kind == spec.home.kind][
            : 2 if spec.home.pair else None
        ]
        name = candidates[int(np.random.default_rng([room_seed, 5]).integers(len(candidates)))]
        viewpoints = plan_viewpoints(room, name, camera, train, spec.empty, room_seed)
        if viewpoints is None or (best is not None and viewpoints.deviation >= best[0].deviation):
            continue
        low, high = np.log(_UNITS_PER_M)
        units_per_m = float(np.exp(np.random.default_rng([room_seed, 13]).uniform(low, high)))
        gauge = Gauge(viewpoints.poses[0], units_per_m)
        best = viewpoints, PlannedScene(spec, room, room.object(name), camera, viewpoints.poses, train, gauge)
        if viewpoints.deviation <= good_deviation:
            break
    if best is None or best[0].deviation > _MAX_DEVIATION:
        raise ConfigError(f"no room of seed {spec.seed} shows its sounding object long enough: take another seed")
    logger.info("%s: viewpoints deviate by %.2f from the request", spec.folder, best[0].deviation)
    return best[1]


@contextmanager
def _atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that is renamed to `folder` when the block succeeds, and is removed when it fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Raise DatasetError if the scene in `folder` was simulated with other settings."""
    try:
        found = json.loads((folder / TRUTH_FILE).read_text()).get("simulated_with")
    except (OSError, ValueError, AttributeError):
        found = None
    if found != settings:
        raise DatasetError(
            f"{folder} exists and was simulated with {found}, not {settings}: remove it or take another ROOT"
        )
