"""Simulated scenes in the layout of 3DAVS-S34-O7: rooms of ours, seen and heard once a second, without a scale.

As in the data set, the robot stands still for each second and hears it with two ears in the middle of the camera.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile
from tqdm import tqdm

from echoseg_ros.errors import ConfigError, DatasetError
from echoseg_ros.geometry import look_at, quaternion_xyzw, rotation_matrix
from echoseg_ros.io.colmap import write_model
from echoseg_ros.io.dataset import BINAURAL, IMAGES, INPUT, INSTANCES, MASKS, MODEL, MONO, TRUTH_FILE
from echoseg_ros.io.dataset_bag import dataset_array
from echoseg_ros.io.files import write_json
from echoseg_ros.io.splits import SPLIT_FILE, TEST_EVERY
from echoseg_ros.sound.array import ArrayGeometry, Head
from echoseg_ros.types import Array, Box, Camera
from echoseg_sim.acoustics import simulate_array
from echoseg_sim.render import render
from echoseg_sim.room import Tour, make_tour, shoebox_of, sounding_sources
from echoseg_sim.sparse_model import Features, Gauge, find_features, make_model
from echoseg_sim.writers import TrueObject, TrueSource, Truth

logger = logging.getLogger(__name__)

RT60_S, SNR_DB = 0.4, 20.0
MIN_SIZE_PX, MIN_FRAMES = 32, 4
_UNITS_PER_M = (0.2, 5.0)  # COLMAP's scale is anything
_MOVE_S = 1e-3  # the robot is elsewhere at once
# A room that shows its sounding object for a smaller share of the time is passed over.
_MIN_SEEN = 0.1
_ROOMS = 8


@dataclass(frozen=True, eq=False)
class _Visit:
    """A tour as the data set has it. seed: of the room; poses: [F, 4, 4] T_room_camera, one a second."""

    seed: int
    tour: Tour
    poses: Array
    camera: Camera
    gauge: Gauge

    @property
    def names(self) -> list[str]:
        return [f"frame_{number:04d}.png" for number in range(len(self.poses))]


def simulate_dataset(
    root: Path,
    scenes: int = 2,
    size_px: int = 1008,
    seed: int = 0,
    frames: int = 120,
    head: Path | None = None,
    progress: bool = True,
) -> list[Path]:
    """Write scenes below `root`, in turn single-instance (part_1) and multi-instance (part_2); returns their folders.

    The rest is as in simulate_scene.
    """
    if scenes < 1:
        raise ConfigError(f"{scenes} scenes: want at least 1")
    folders = []
    for number in tqdm(range(scenes), "scenes", unit="scene", disable=not progress):
        part, instances = list(INSTANCES.items())[number % 2]
        folders.append(Path(root) / part / f"flat_{seed}" / f"room_{number // 2}" / "1")
        simulate_scene(folders[-1], instances, 1000 * seed + number, size_px, frames, head, progress)
    return folders


def simulate_scene(
    folder: Path,
    instances: str = "single",
    seed: int = 0,
    size_px: int = 1008,
    frames: int = 120,
    head: Path | None = None,
    progress: bool = True,
) -> bool:
    """Write one scene; False where it is there already. It appears whole or not at all.

    instances: "single", or "multi" for three objects of the sounding kind; size_px: width and height of the images;
    frames: one a second; head: a SOFA file of measured responses instead of the spherical head. Raises ConfigError or
    ArrayError for values that cannot be simulated, DatasetError where an existing scene was made with others.
    """
    if size_px < MIN_SIZE_PX or frames < MIN_FRAMES:
        raise ConfigError(f"{frames} frames of {size_px} px: want at least {MIN_FRAMES} and {MIN_SIZE_PX} px")
    array = dataset_array() if head is None else replace(dataset_array(), head=Head(sofa=Path(head)))
    made_with = {"instances": instances, "seed": seed, "size_px": size_px, "frames": frames}
    made_with["head"] = "" if head is None else Path(head).name
    if folder.exists():
        _check_same(folder, made_with)
        return False
    with _appearing(folder) as temporary:
        _write_scene(temporary, _visit(seed, instances, size_px, frames), array, made_with, progress)
    return True


def mono_seconds(frame: int, train: NDArray[np.bool_]) -> tuple[int, int]:
    """The two seconds that the mono clip of a frame is made of.

    The frame's own and the next one; where that is of the other split or past the end, the one before and its own, else its
    own twice: so nothing of a test second is in a train clip.
    """
    for first, second in ((frame, frame + 1), (frame - 1, frame)):
        other = second if first == frame else first
        if 0 <= other < len(train) and train[other] == train[frame]:
            return first, second
    return frame, frame


def _visit(seed: int, instances: str, size_px: int, frames: int) -> _Visit:
    """The first of some rooms whose tour shows the sounding object long enough."""
    camera = Camera(size_px, size_px, *(size_px / 2,) * 4)  # 90 degrees of view, as Habitat's
    for room_seed in range(1000 * seed, 1000 * seed + _ROOMS):
        try:
            tour = make_tour(room_seed, 1, instances, float(frames))
        except (ConfigError, ValueError) as error:  # no layout, or no way to drive
            logger.info("%s", error)
            continue
        if min(tour.path.seen_s.values()) < _MIN_SEEN * frames:
            continue
        step_s = tour.path.times_s[1] - tour.path.times_s[0]
        poses = tour.path.poses[np.round((np.arange(frames) + 0.5) / step_s).astype(int)]
        eye, ahead = poses[0, :3, 3], poses[0, :3, 2]
        poses[0] = look_at(eye, eye + [ahead[0], ahead[1], 0.0])  # level, and with it COLMAP's world
        low, high = np.log(_UNITS_PER_M)
        units_per_m = float(np.exp(np.random.default_rng([room_seed, 13]).uniform(low, high)))
        return _Visit(room_seed, tour, poses, camera, Gauge(poses[0], units_per_m))
    raise ConfigError(f"no room of seed {seed} shows its sounding object long enough: take another seed")


def _write_scene(folder: Path, visit: _Visit, array: ArrayGeometry, made_with: dict[str, Any], progress: bool) -> None:
    source = visit.tour.sounding[0]
    train = np.arange(len(visit.poses)) % TEST_EVERY != 0
    features = _write_views(folder, visit, progress)
    geometry = visit.tour.room.scene.geometry
    rng = np.random.default_rng([visit.seed, 17])
    write_model(
        folder / MODEL, make_model(geometry, visit.camera, visit.names, visit.poses, features, visit.gauge, rng)
    )
    heard = TrueSource(
        source.name, source.box.center_m, f"builtin:{source.sound}", ((0.0, float(len(visit.poses))),), source.name
    )
    samples, rt60_s = _hear(visit, heard, array, progress)
    _write_sound(folder, samples, round(array.sample_rate_hz), train)
    splits = {split: [n for n, t in zip(visit.names, train) if t == (split == "train")] for split in ("train", "test")}
    write_json(folder / SPLIT_FILE, splits)
    truth = _truth(visit, heard, rt60_s).as_json()
    write_json(
        folder / TRUTH_FILE, {**truth, "metres_per_unit": 1 / visit.gauge.units_per_m, "simulated_with": made_with}
    )


def _write_views(folder: Path, visit: _Visit, progress: bool) -> list[Features]:
    """Write input/, images/ (the same: nothing is distorted) and semantic_masks/."""
    for part in (INPUT, IMAGES, MASKS):
        (folder / part).mkdir()
    room = visit.tour.room
    sounding_id = 1 + [item.name for item in room.objects].index(visit.tour.sounding[0].name)
    features = []
    for name, pose in tqdm(list(zip(visit.names, visit.poses)), "frames", leave=False, disable=not progress):
        view = render(room, visit.camera, pose)
        _write_png(folder / INPUT / name, cv2.cvtColor(view.rgb, cv2.COLOR_RGB2BGR))
        shutil.copyfile(folder / INPUT / name, folder / IMAGES / name)
        _write_png(folder / MASKS / name, (view.object_ids == sounding_id).astype(np.uint8) * np.uint8(255))
        features.append(find_features(view, visit.camera, pose))
    return features


def _write_png(file: Path, image: NDArray[Any]) -> None:
    if not cv2.imwrite(str(file), image):
        raise OSError(f"{file}: could not be written")


def _hear(visit: _Visit, source: TrueSource, array: ArrayGeometry, progress: bool) -> tuple[NDArray[np.float32], float]:
    """[S, 2] all seconds one after the other, the head where the second's frame was taken; and the measured RT60."""
    seconds = np.arange(len(visit.poses), dtype=float)
    times_s = np.stack([seconds, seconds + 1 - _MOVE_S], axis=1).ravel()
    heard = simulate_array(
        shoebox_of(visit.tour.room),
        RT60_S,
        array,
        list(np.repeat(visit.poses @ array.T_camera_array, 2, axis=0)),
        times_s,
        sounding_sources([source], [source.sound], array, visit.seed),
        float(len(visit.poses)),
        SNR_DB,
        visit.seed,
        progress,
    )
    return heard.samples, heard.rt60_measured_s


def _write_sound(folder: Path, samples: NDArray[np.float32], rate_hz: int, train: NDArray[np.bool_]) -> None:
    """Write audio_clips_binaural/, a second a frame, and audio_clips_mono/, two seconds a frame."""
    for part in (BINAURAL, MONO):
        (folder / part).mkdir()
    seconds = np.round(samples * 32767).astype(np.int16).reshape(len(train), rate_hz, 2)
    for frame, second in enumerate(seconds):
        wavfile.write(folder / BINAURAL / f"clip_{frame}.wav", rate_hz, second)
        mono = np.concatenate([seconds[s] for s in mono_seconds(frame, train)]).mean(axis=1)
        wavfile.write(folder / MONO / f"frame_{frame}.wav", rate_hz, mono.astype(np.int16))


def _truth(visit: _Visit, source: TrueSource, rt60_s: float) -> Truth:
    """In COLMAP's world and units."""
    scale = visit.gauge.units_per_m
    turn = visit.gauge.T_room_world[:3, :3].T

    def box(of: Box) -> Box:
        quaternion = quaternion_xyzw(turn @ rotation_matrix(of.quaternion_xyzw))
        return Box(visit.gauge.points(of.center_m), np.asarray(of.size_m) * scale, quaternion)

    return Truth(
        sources=(replace(source, position_m=visit.gauge.points(source.position_m)),),
        objects={item.name: TrueObject(item.kind, box(item.box)) for item in visit.tour.room.objects},
        room_size_m=shoebox_of(visit.tour.room).size_m * scale,
        rt60_measured_s=rt60_s,
    )


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
