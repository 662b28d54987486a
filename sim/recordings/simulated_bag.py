"""Simulated recordings as bags: all topics of a robot, and the truth in a file beside them."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from echoseg_ros.io.bag_writer import ARRAY_FILE, BAG_START_NS, BagWriter
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, array_to_mapping
from echoseg_ros.types import AudioFormat, Box, CameraFrame, Float32Array, Float64Array, PoseData

# Samples of an audio message, as capture nodes send them: 64 ms at 16 kHz.
_CHUNK = 1024
# Sample rate from which audio messages are twice as long, Hz: 46 ms at 44.1 kHz.
_HIGH_RATE_HZ = 24_000


@dataclass(frozen=True)
class TrueSource:
    """A simulated source.

    position_m: [3] in the map; on_s: intervals in seconds since the bag's first message; object: name of the object that
    sounds, None for a source without an object.
    """

    name: str
    position_m: Float64Array
    sound: str
    on_s: tuple[tuple[float, float], ...]
    object: str | None = None


@dataclass(frozen=True)
class TrueObject:
    """An object of the scene. box: its bounding box in the map."""

    kind: str
    box: Box


@dataclass(frozen=True)
class Truth:
    """Content of truth.json; all positions are in the map. T_map_world: [4, 4]; room_size_m: [3] of the acoustic room."""

    sources: tuple[TrueSource, ...] = ()
    objects: Mapping[str, TrueObject] = field(default_factory=dict)
    T_map_world: Float64Array = field(default_factory=lambda: np.eye(4))
    room_size_m: Float64Array | None = None
    rt60_measured_s: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The content as JSON values."""
        return {
            "sources": [_source_json(source) for source in self.sources],
            "objects": {name: _object_json(entry) for name, entry in self.objects.items()},
            "T_map_world": _numbers(self.T_map_world),
            "room": {
                "size_m": None if self.room_size_m is None else _numbers(self.room_size_m),
                "rt60_measured_s": self.rt60_measured_s,
            },
        }


@dataclass(frozen=True)
class Recording:
    """A recording to be written as a bag. Stamps are absolute, BAG_START_NS or later.

    frames: in order of time, read once; poses: of the camera, in order of time, at the frames' rate or faster; samples:
    [S, channels] in [-1, 1], the first one at BAG_START_NS, in the array's channel order as from simulate_array;
    frame_count: for the progress bar, None = unknown.
    """

    frames: Iterable[CameraFrame]
    poses: Sequence[PoseData]
    samples: Float32Array
    array: ArrayGeometry
    truth: Truth
    frame_count: int | None = None


def audio_format(array: ArrayGeometry) -> AudioFormat:
    """Audio format of a simulated bag: interleaved 16-bit samples."""
    return AudioFormat(int(array.sample_rate_hz), array.channels, "S16LE", "WAVE")


def write_recording(out: Path, recording: Recording, progress: bool = False) -> None:
    """Write the folder `out` atomically: an mcap bag, array.yaml and truth.json.

    An existing bag is replaced. Raises BagError if `out` exists and is no bag.
    """
    truth = recording.truth.as_json()
    with BagWriter(Path(out)) as bag:
        bag.write_tf_static(BAG_START_NS, recording.array.T_camera_array)
        bag.write_audio_info(BAG_START_NS, audio_format(recording.array))
        bag.write_truth(BAG_START_NS, truth["sources"])
        # Of equal stamps, the pose comes first: an image needs its pose.
        for _, write in heapq.merge(_poses(recording), _audio(recording), _frames(recording, progress), key=_stamp):
            write(bag)
        array_yaml = yaml.safe_dump(array_to_mapping(recording.array), sort_keys=False, default_flow_style=None)
        bag.write_file(ARRAY_FILE, array_yaml)
        bag.write_file("truth.json", json.dumps(truth, indent=1, allow_nan=False) + "\n")


_Write = Callable[[BagWriter], None]


def _stamp(entry: tuple[int, _Write]) -> int:
    return entry[0]


def _poses(recording: Recording) -> Iterator[tuple[int, _Write]]:
    for pose in recording.poses:

        def write(bag: BagWriter, pose: PoseData = pose) -> None:
            bag.write_pose(pose.stamp_ns, pose.T_map_camera)
            bag.write_tf(pose.stamp_ns, pose.T_map_camera)

        yield pose.stamp_ns, write


def _audio(recording: Recording) -> Iterator[tuple[int, _Write]]:
    rate_hz = recording.array.sample_rate_hz
    chunk = _CHUNK if rate_hz < _HIGH_RATE_HZ else 2 * _CHUNK
    for first in range(0, len(recording.samples), chunk):
        stamp_ns = BAG_START_NS + int(round(first / rate_hz * 1e9))

        def write(bag: BagWriter, stamp_ns: int = stamp_ns, first: int = first) -> None:
            bag.write_audio(stamp_ns, recording.samples[first : first + chunk])

        yield stamp_ns, write


def _frames(recording: Recording, progress: bool) -> Iterator[tuple[int, _Write]]:
    for frame in tqdm(recording.frames, "bag", recording.frame_count, unit="frame", disable=not progress):

        def write(bag: BagWriter, frame: CameraFrame = frame) -> None:
            bag.write_camera_info(frame.stamp_ns, frame.camera)
            bag.write_image(frame.stamp_ns, frame.rgb)
            if frame.depth_m is not None:
                bag.write_depth(frame.stamp_ns, frame.depth_m)

        yield frame.stamp_ns, write


def _source_json(source: TrueSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "position_m": _numbers(source.position_m),
        "sound": source.sound,
        "on_s": _numbers(source.on_s),
        "object": source.object,
    }


def _object_json(entry: TrueObject) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "center_m": _numbers(entry.box.center_m),
        "size_m": _numbers(entry.box.size_m),
        "quaternion_xyzw": _numbers(entry.box.quaternion_xyzw),
    }


def _numbers(values: Any) -> Any:
    return np.asarray(values, dtype=float).tolist()
