"""Files of a simulated scene in the layout of 3DAVS-S34-O7: views, masks, audio, sparse model, truth."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile
from tqdm import tqdm

from echoseg_ros.geometry import quaternion_xyzw, rotation_matrix
from echoseg_ros.io.colmap import write_model
from echoseg_ros.io.dataset import BINAURAL, IMAGES, INPUT, MASKS, MODEL, MONO, TRUTH_FILE
from echoseg_ros.io.dataset_split import SPLIT_FILE
from echoseg_ros.io.files import write_json
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import Box, Camera, Float32Array, Float64Array
from echoseg_sim.acoustics.sounds import BUILTIN_PREFIX, load_sound
from echoseg_sim.acoustics.source_signal import SimulatedSource
from echoseg_sim.acoustics.stationary_array import Responses, StationaryArray
from echoseg_sim.recordings.benchmark import SceneSpec
from echoseg_sim.recordings.room_recording import shoebox_of
from echoseg_sim.recordings.simulated_bag import TrueObject, TrueSource, Truth
from echoseg_sim.recordings.sound_cases import SoundCase, choose_sound_cases
from echoseg_sim.recordings.sparse_model import Features, Gauge, find_features, make_model
from echoseg_sim.recordings.viewpoint_plan import count_train_frames_with_object
from echoseg_sim.rooms.object_placement import RoomObject
from echoseg_sim.rooms.render import render
from echoseg_sim.rooms.room import Room

# Reverberation time of the scenes, s.
RT60_S = 0.4
# Power of the source over the noise's, dB.
SNR_DB = 20.0
# Folder of the images of object numbers, and folder of the sound cases.
OBJECT_IDS, CASES_FOLDER = "object_ids", "cases"
# Built-in sounds of kinds that sound different from the same kind in a general room.
_SOUNDS = {"microwave": "hum"}
# Train frames in which an object must be visible to be the source of a sound case.
_SEEN_FRAMES = 4
# Largest value of a 16-bit sample.
_MAX_INT16 = 32767


@dataclass(frozen=True, eq=False)
class PlannedScene:
    """Room and viewpoints of a scene.

    sounding: the sounding object; poses: [F, 4, 4] T_room_camera, one a second; train: [F] whether a frame is a train frame.
    """

    spec: SceneSpec
    room: Room
    sounding: RoomObject
    camera: Camera
    poses: Float64Array
    train: NDArray[np.bool_]
    gauge: Gauge

    @property
    def names(self) -> list[str]:
        """File names of the images."""
        return [f"frame_{number:04d}.png" for number in range(len(self.poses))]

    @property
    def seconds(self) -> float:
        """Length of the scene: one second for each frame."""
        return float(len(self.poses))


def write_scene(
    folder: Path, scene: PlannedScene, array: ArrayGeometry, cases: int, settings: dict[str, Any], progress: bool
) -> None:
    """Write all files of a scene into an empty folder.

    cases: number of sound cases; settings: what the scene was simulated with, for its truth.json.
    """
    features = _write_views(folder, scene, progress)
    rng = np.random.default_rng([scene.room.seed, 17])
    model = make_model(scene.room.geometry, scene.camera, scene.names, scene.poses, features, scene.gauge, rng)
    write_model(folder / MODEL, model)
    own = SoundCase(
        scene.sounding,
        _SOUNDS.get(scene.sounding.kind, str(scene.sounding.sound)),
        (0.0, scene.seconds),
        scene.spec.blocked,
    )
    acoustics = _SceneAcoustics(scene, array)
    samples = acoustics.record(own, scene.room.seed)
    _write_seconds(folder / BINAURAL, samples, array)
    _write_mono(folder / MONO, samples, array, scene.train)
    for number, case in enumerate(_sound_cases(scene, own, cases)):
        case_folder = folder / CASES_FOLDER / str(number)
        _write_seconds(case_folder / BINAURAL, acoustics.record(case, scene.room.seed + 100 + number), array)
        write_json(case_folder / TRUTH_FILE, {"sources": _sources(scene, case)})
    splits = {
        split: [name for name, is_train in zip(scene.names, scene.train) if is_train == (split == "train")]
        for split in ("train", "test")
    }
    write_json(folder / SPLIT_FILE, splits)
    truth = {**_truth(scene, acoustics.rt60_measured_s), "sources": _sources(scene, own)}
    write_json(
        folder / TRUTH_FILE, {**truth, "metres_per_unit": 1 / scene.gauge.units_per_m, "simulated_with": settings}
    )


def mono_seconds(frame: int, train: NDArray[np.bool_]) -> tuple[int, int]:
    """The two seconds of the mono clip of a frame.

    They are the frame's own second and the next one; if the next frame belongs to the other split or does not exist, the
    previous second and its own; else its own twice. A train clip therefore holds no test second.
    """
    for first, second in ((frame, frame + 1), (frame - 1, frame)):
        other = second if first == frame else first
        if 0 <= other < len(train) and train[other] == train[frame]:
            return first, second
    return frame, frame


class _SceneAcoustics:
    """Audio of a scene's sound cases; the responses from each object are computed once."""

    def __init__(self, scene: PlannedScene, array: ArrayGeometry) -> None:
        self._scene, self._rate_hz = scene, array.sample_rate_hz
        box, poses = shoebox_of(scene.room), scene.poses @ array.T_camera_array
        self._array = StationaryArray(box, RT60_S, array, poses, scene.sounding.box.center_m, scene.room.seed)
        self._responses: dict[tuple[str, bool], Responses] = {}
        self.rt60_measured_s = self._array.rt60_measured_s

    def record(self, case: SoundCase, seed: int) -> Float32Array:
        """Audio [S, 2] of a sound case: the seconds of the scene in their order."""
        key = (case.item.name, case.blocked)
        if key not in self._responses:
            number = self._scene.room.objects.index(case.item)
            self._responses[key] = self._array.responses(case.item.box.center_m, case.blocked, number)
        signal = load_sound(BUILTIN_PREFIX + case.sound, self._rate_hz, seed)
        source = SimulatedSource(case.item.name, case.item.box.center_m, signal, (case.on_s,))
        return self._array.record([(source, self._responses[key])], SNR_DB, seed)


def _sound_cases(scene: PlannedScene, own: SoundCase, count: int) -> list[SoundCase]:
    wanted = min(_SEEN_FRAMES, int(scene.train.sum()) // 4)
    visible = [
        item.name
        for item in scene.room.objects
        if count_train_frames_with_object(scene.room, item, scene.camera, scene.poses, scene.train) >= wanted
    ]
    return choose_sound_cases(scene.room, own, visible, count, scene.spec.seed)


def _write_views(folder: Path, scene: PlannedScene, progress: bool) -> list[Features]:
    """Write input/, images/ (equal to input/: no distortion), semantic_masks/ and object_ids/; returns each view's features."""
    for part in (INPUT, IMAGES, MASKS, OBJECT_IDS):
        (folder / part).mkdir()
    sounding_id = 1 + scene.room.objects.index(scene.sounding)
    features = []
    for name, pose in tqdm(list(zip(scene.names, scene.poses)), "frames", leave=False, disable=not progress):
        view = render(scene.room, scene.camera, pose)
        _write_png(folder / INPUT / name, cv2.cvtColor(view.rgb, cv2.COLOR_RGB2BGR))
        shutil.copyfile(folder / INPUT / name, folder / IMAGES / name)
        _write_png(folder / MASKS / name, (view.object_ids == sounding_id).astype(np.uint8) * np.uint8(255))
        _write_png(folder / OBJECT_IDS / name, np.maximum(view.object_ids, 0).astype(np.uint8))
        features.append(find_features(view, scene.camera, pose))
    return features


def _write_png(file: Path, image: NDArray[Any]) -> None:
    if not cv2.imwrite(str(file), image):
        raise OSError(f"{file}: cannot be written")


def _seconds(samples: Float32Array, array: ArrayGeometry) -> NDArray[np.int16]:
    """16-bit samples [F, rate, 2] of audio [S, 2]."""
    return np.round(samples * _MAX_INT16).astype(np.int16).reshape(-1, round(array.sample_rate_hz), 2)


def _write_seconds(folder: Path, samples: Float32Array, array: ArrayGeometry) -> None:
    """Write one binaural clip for each frame into a new folder."""
    folder.mkdir(parents=True)
    for frame, second in enumerate(_seconds(samples, array)):
        wavfile.write(folder / f"clip_{frame}.wav", round(array.sample_rate_hz), second)


def _write_mono(folder: Path, samples: Float32Array, array: ArrayGeometry, train: NDArray[np.bool_]) -> None:
    """Write one mono clip of two seconds for each frame into a new folder: the mean of both acoustics."""
    folder.mkdir()
    seconds = _seconds(samples, array)
    for frame in range(len(seconds)):
        mono = np.concatenate([seconds[s] for s in mono_seconds(frame, train)]).mean(axis=1)
        wavfile.write(folder / f"frame_{frame}.wav", round(array.sample_rate_hz), mono.astype(np.int16))


def _sources(scene: PlannedScene, case: SoundCase) -> list[dict[str, Any]]:
    """The source of a sound case for truth.json, in COLMAP's world frame and units."""
    position = scene.gauge.points(case.item.box.center_m)
    source = TrueSource(case.item.name, position, BUILTIN_PREFIX + case.sound, (case.on_s,), case.item.name)
    return [{**Truth(sources=(source,)).as_json()["sources"][0], "blocked": case.blocked}]


def _truth(scene: PlannedScene, rt60_measured_s: float) -> dict[str, Any]:
    """Content of truth.json without its sources, in COLMAP's world frame and units."""
    scale = scene.gauge.units_per_m
    rotation = scene.gauge.T_room_world[:3, :3].T

    def in_world(box: Box) -> Box:
        quaternion = quaternion_xyzw(rotation @ rotation_matrix(box.quaternion_xyzw))
        return Box(scene.gauge.points(box.center_m), np.asarray(box.size_m) * scale, quaternion)

    return Truth(
        objects={item.name: TrueObject(item.kind, in_world(item.box)) for item in scene.room.objects},
        room_size_m=shoebox_of(scene.room).size_m * scale,
        rt60_measured_s=rt60_measured_s,
    ).as_json()
