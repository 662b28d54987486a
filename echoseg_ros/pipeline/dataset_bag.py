"""A scene of the data set as a bag of its train frames.

Nothing of a test frame is in it: no image, no pose, no sound (the stream has a gap there), and no sparse point that
fewer than two train images show. Units are those of the data set; a rotation makes the map level.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from tqdm import tqdm

from echoseg_ros.config import SoundConfig
from echoseg_ros.errors import DatasetError
from echoseg_ros.geometry import apply
from echoseg_ros.io.bag_writer import ARRAY_FILE, BAG_START_NS, SETTINGS_FILE, BagWriter
from echoseg_ros.io.dataset import TRUTH_FILE, DatasetFrame, DatasetScene
from echoseg_ros.io.dataset_map_frame import scene_T_map_world, truth_in_map
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, array_to_mapping, load_array
from echoseg_ros.types import AudioChunk, AudioFormat, Float64Array, PoseData

logger = logging.getLogger(__name__)

_SECOND_NS = 1_000_000_000
# Poses are written at times for which an audio window lies within the frame's second; windows across two seconds, in which
# the camera jumps, have no pose.
_MARGIN_NS = round(SoundConfig().window_s / 2 * 1e9) - 5_000_000
_POSE_OFFSETS_NS = tuple(round(t) for t in np.linspace(_MARGIN_NS, _SECOND_NS - _MARGIN_NS, 11))
# Longest interpolation between poses: more than the steps within a second, less than from one second to the next.
_POSE_MAX_GAP_S = 0.3
# Length of the evidence memory: longer than any scene.
_MEMORY_S = 600.0
_CHUNKS_PER_S = 20


def dataset_array() -> ArrayGeometry:
    """The ears of the data set: binaural, with the camera at the centre of the head, since a scene has no metres."""
    array = load_array("binaural")
    T_camera_array = array.T_camera_array.copy()
    T_camera_array[:3, 3] = 0.0
    return replace(array, T_camera_array=T_camera_array)


def write_dataset_bag(scene_path: Path, out: Path, progress: bool = False) -> None:
    """Write the bag `out` of a scene's train frames, with array.yaml, settings and (where the scene has one) truth.json.

    Frame k is stamped with the middle of its second, BAG_START_NS + (k + 0.5) s. Raises DatasetError if the scene lacks
    what that needs, BagError if something else lies at `out`.
    """
    scene = DatasetScene(scene_path)
    train = scene.train
    if not train:
        raise DatasetError(f"{scene.path}: no train frame among its {len(scene.frames)} registered frames")
    T_map_world = scene_T_map_world(scene)
    array = replace(dataset_array(), sample_rate_hz=float(scene.sample_rate_hz))
    with BagWriter(Path(out)) as bag:
        bag.write_tf_static(BAG_START_NS, array.T_camera_array)
        bag.write_audio_info(BAG_START_NS, AudioFormat(scene.sample_rate_hz, array.channels, "S16LE", "WAVE"))
        bag.write_points(BAG_START_NS, apply(T_map_world, scene.seed_points()))
        truth = scene.truth()
        if truth is not None:
            truth = truth_in_map(truth, T_map_world)
            bag.write_truth(BAG_START_NS, truth["sources"])
            bag.write_file(TRUTH_FILE, json.dumps(truth, indent=1, allow_nan=False) + "\n")
        for frame in tqdm(train, "bag", unit="frame", disable=not progress):
            _write_second(bag, scene, frame, T_map_world)
        bag.write_file(ARRAY_FILE, yaml.safe_dump(array_to_mapping(array), sort_keys=False, default_flow_style=None))
        bag.write_file(SETTINGS_FILE, _settings())


def _write_second(bag: BagWriter, scene: DatasetScene, frame: DatasetFrame, T_map_world: Float64Array) -> None:
    """A frame's pose, image and sound, in the order in which they are logged."""
    start_ns = BAG_START_NS + frame.number * _SECOND_NS
    T_map_camera = T_map_world @ frame.T_world_camera
    rgb, camera = scene.picture(frame)

    def write_pose(at_ns: int) -> None:
        bag.write_pose(at_ns, T_map_camera)
        bag.write_tf(at_ns, T_map_camera)

    def write_image(at_ns: int) -> None:
        bag.write_camera_info(at_ns, camera)
        bag.write_image(at_ns, rgb)

    # Of equal times the pose comes first: an image is of use only with it.
    writes: list[tuple[int, Callable[[], None]]] = [
        (start_ns + offset_ns, partial(write_pose, start_ns + offset_ns)) for offset_ns in _POSE_OFFSETS_NS
    ]
    writes.append((start_ns + _SECOND_NS // 2, partial(write_image, start_ns + _SECOND_NS // 2)))
    for first_s, last_s, samples in _chunks(scene, frame):
        at_ns = start_ns + round(first_s * _SECOND_NS)
        writes.append((start_ns + round(last_s * _SECOND_NS), partial(bag.write_audio, at_ns, samples)))
    for _, write in sorted(writes, key=lambda entry: entry[0]):
        write()


def sound_messages(scene: DatasetScene, frame: DatasetFrame, T_map_world: Float64Array) -> list[PoseData | AudioChunk]:
    """Poses and sound of a frame's second, as its bag has them, in the order in which they are logged."""
    start_ns = BAG_START_NS + frame.number * _SECOND_NS
    T_map_camera = T_map_world @ frame.T_world_camera
    messages: list[tuple[int, PoseData | AudioChunk]] = [
        (start_ns + offset_ns, PoseData(start_ns + offset_ns, T_map_camera)) for offset_ns in _POSE_OFFSETS_NS
    ]
    for first_s, last_s, samples in _chunks(scene, frame):
        at_ns = start_ns + round(first_s * _SECOND_NS)
        messages.append((start_ns + round(last_s * _SECOND_NS), AudioChunk(at_ns, samples)))
    return [message for _, message in sorted(messages, key=lambda entry: entry[0])]


def _chunks(scene: DatasetScene, frame: DatasetFrame) -> Iterator[tuple[float, float, NDArray[np.float32]]]:
    """(first, end in seconds since the frame's second began, samples [S, 2]) of its clip."""
    clip, rate_hz = scene.binaural(frame), scene.sample_rate_hz
    if clip is None:
        logger.warning("%s: frame %d has no binaural clip", scene.path, frame.number)
        return
    step = rate_hz // _CHUNKS_PER_S
    for first in range(0, len(clip), step):
        samples = clip[first : first + step]
        yield first / rate_hz, (first + len(samples)) / rate_hz, samples


def _settings() -> str:
    """Settings of such a bag: poses without metric scale, no held-out views, a memory for the whole scene."""
    stages = {
        "input": {"pose_units": "arbitrary", "hold_out_every": 0, "pose_max_gap_s": _POSE_MAX_GAP_S},
        "sources": {"memory_s": _MEMORY_S},
    }
    return yaml.safe_dump({"/**": {"ros__parameters": stages}}, sort_keys=False)
