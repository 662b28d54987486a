"""The parts of a simulated scene in the layout of 3DAVS-S34-O7: views, masks, sounds, the sparse model, the truth."""

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
from echoseg_sim.rooms.render import render
from echoseg_sim.rooms.room import Room, RoomObject

RT60_S, SNR_DB = 0.4, 20.0
OBJECT_IDS, CASES_FOLDER = "object_ids", "cases"
# Recordings of these are less pure than what the kind plays in a plain room.
_SOUNDS = {"microwave": "hum"}
# A case's source is seen in as many train frames at least, so that there is something to choose.
_SEEN_FRAMES = 4


@dataclass(frozen=True, eq=False)
class PlannedScene:
    """What a scene shows. poses: [F, 4, 4] T_room_camera, one a second; train: [F]; sounding: the object that does."""

    spec: SceneSpec
    room: Room
    sounding: RoomObject
    camera: Camera
    poses: Float64Array
    train: NDArray[np.bool_]
    gauge: Gauge

    @property
    def names(self) -> list[str]:
        """Of the images."""
        return [f"frame_{number:04d}.png" for number in range(len(self.poses))]

    @property
    def seconds(self) -> float:
        """One a frame."""
        return float(len(self.poses))


def write_scene(
    folder: Path, visit: PlannedScene, array: ArrayGeometry, cases: int, made_with: dict[str, Any], progress: bool
) -> None:
    """Write all parts of a scene into an empty folder."""
    features = _write_views(folder, visit, progress)
    rng = np.random.default_rng([visit.room.seed, 17])
    model = make_model(visit.room.geometry, visit.camera, visit.names, visit.poses, features, visit.gauge, rng)
    write_model(folder / MODEL, model)
    own = SoundCase(
        visit.sounding,
        _SOUNDS.get(visit.sounding.kind, str(visit.sounding.sound)),
        (0.0, visit.seconds),
        visit.spec.blocked,
    )
    ears = _Ears(visit, array)
    samples = ears.record(own, visit.room.seed)
    _write_seconds(folder / BINAURAL, samples, array)
    _write_mono(folder / MONO, samples, array, visit.train)
    for number, case in enumerate(_cases(visit, own, cases)):
        place = folder / CASES_FOLDER / str(number)
        _write_seconds(place / BINAURAL, ears.record(case, visit.room.seed + 100 + number), array)
        write_json(place / TRUTH_FILE, {"sources": _sources(visit, case)})
    splits = {
        split: [n for n, t in zip(visit.names, visit.train) if t == (split == "train")] for split in ("train", "test")
    }
    write_json(folder / SPLIT_FILE, splits)
    truth = {**_truth(visit, ears.rt60_measured_s), "sources": _sources(visit, own)}
    write_json(
        folder / TRUTH_FILE, {**truth, "metres_per_unit": 1 / visit.gauge.units_per_m, "simulated_with": made_with}
    )


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


class _Ears:
    """Hears cases of a scene; an object's responses are made once."""

    def __init__(self, visit: PlannedScene, array: ArrayGeometry) -> None:
        self._visit, self._rate_hz = visit, array.sample_rate_hz
        box, poses = shoebox_of(visit.room), visit.poses @ array.T_camera_array
        self._standing = StationaryArray(box, RT60_S, array, poses, visit.sounding.box.center_m, visit.room.seed)
        self._known: dict[tuple[str, bool], Responses] = {}
        self.rt60_measured_s = self._standing.rt60_measured_s

    def record(self, case: SoundCase, seed: int) -> Float32Array:
        """[S, 2] the seconds of the scene one after the other."""
        key = (case.item.name, case.blocked)
        if key not in self._known:
            number = self._visit.room.objects.index(case.item)
            self._known[key] = self._standing.responses(case.item.box.center_m, case.blocked, number)
        signal = load_sound(BUILTIN_PREFIX + case.sound, self._rate_hz, seed)
        source = SimulatedSource(case.item.name, case.item.box.center_m, signal, (case.on_s,))
        return self._standing.record([(source, self._known[key])], SNR_DB, seed)


def _cases(visit: PlannedScene, own: SoundCase, count: int) -> list[SoundCase]:
    wanted = min(_SEEN_FRAMES, int(visit.train.sum()) // 4)
    visible = [
        item.name
        for item in visit.room.objects
        if count_train_frames_with_object(visit.room, item, visit.camera, visit.poses, visit.train) >= wanted
    ]
    return choose_sound_cases(visit.room, own, visible, count, visit.spec.seed)


def _write_views(folder: Path, visit: PlannedScene, progress: bool) -> list[Features]:
    """Write input/, images/ (the same: nothing is distorted), semantic_masks/ and object_ids/."""
    for part in (INPUT, IMAGES, MASKS, OBJECT_IDS):
        (folder / part).mkdir()
    sounding_id = 1 + visit.room.objects.index(visit.sounding)
    features = []
    for name, pose in tqdm(list(zip(visit.names, visit.poses)), "frames", leave=False, disable=not progress):
        view = render(visit.room, visit.camera, pose)
        _write_png(folder / INPUT / name, cv2.cvtColor(view.rgb, cv2.COLOR_RGB2BGR))
        shutil.copyfile(folder / INPUT / name, folder / IMAGES / name)
        _write_png(folder / MASKS / name, (view.object_ids == sounding_id).astype(np.uint8) * np.uint8(255))
        _write_png(folder / OBJECT_IDS / name, np.maximum(view.object_ids, 0).astype(np.uint8))
        features.append(find_features(view, visit.camera, pose))
    return features


def _write_png(file: Path, image: NDArray[Any]) -> None:
    if not cv2.imwrite(str(file), image):
        raise OSError(f"{file}: could not be written")


def _seconds(samples: Float32Array, array: ArrayGeometry) -> NDArray[np.int16]:
    """[F, rate, 2]."""
    return np.round(samples * 32767).astype(np.int16).reshape(-1, round(array.sample_rate_hz), 2)


def _write_seconds(folder: Path, samples: Float32Array, array: ArrayGeometry) -> None:
    """A clip a frame."""
    folder.mkdir(parents=True)
    for frame, second in enumerate(_seconds(samples, array)):
        wavfile.write(folder / f"clip_{frame}.wav", round(array.sample_rate_hz), second)


def _write_mono(folder: Path, samples: Float32Array, array: ArrayGeometry, train: NDArray[np.bool_]) -> None:
    """Two seconds a frame, both ears mixed."""
    folder.mkdir()
    seconds = _seconds(samples, array)
    for frame in range(len(seconds)):
        mono = np.concatenate([seconds[s] for s in mono_seconds(frame, train)]).mean(axis=1)
        wavfile.write(folder / f"frame_{frame}.wav", round(array.sample_rate_hz), mono.astype(np.int16))


def _sources(visit: PlannedScene, case: SoundCase) -> list[dict[str, Any]]:
    """What truth.json says of the sounding source, in COLMAP's world and units."""
    place = visit.gauge.points(case.item.box.center_m)
    source = TrueSource(case.item.name, place, BUILTIN_PREFIX + case.sound, (case.on_s,), case.item.name)
    return [{**Truth(sources=(source,)).as_json()["sources"][0], "blocked": case.blocked}]


def _truth(visit: PlannedScene, rt60_s: float) -> dict[str, Any]:
    """The rest of truth.json, in COLMAP's world and units."""
    scale = visit.gauge.units_per_m
    turn = visit.gauge.T_room_world[:3, :3].T

    def box(of: Box) -> Box:
        quaternion = quaternion_xyzw(turn @ rotation_matrix(of.quaternion_xyzw))
        return Box(visit.gauge.points(of.center_m), np.asarray(of.size_m) * scale, quaternion)

    return Truth(
        objects={item.name: TrueObject(item.kind, box(item.box)) for item in visit.room.objects},
        room_size_m=shoebox_of(visit.room).size_m * scale,
        rt60_measured_s=rt60_s,
    ).as_json()
