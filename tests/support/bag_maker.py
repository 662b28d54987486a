"""A short bag with known content, and copies of it in other storages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from scipy.spatial.transform import Rotation

from echoseg_ros.geometry import transform
from echoseg_ros.io.bag import BagItem
from echoseg_ros.io.bag_writer import BagWriter
from echoseg_ros.io.typestore import typestore
from echoseg_ros.types import AudioFormat, Camera, Float64Array, FloatImage, RgbImage

CAMERA = Camera(64, 48, 60.0, 61.0, 32.25, 24.5)
AUDIO = AudioFormat(16000, 4, "S16LE", "WAVE")
T_CAMERA_ARRAY = transform(Rotation.from_euler("x", 90, degrees=True).as_matrix(), np.array([0.0, -0.1, 0.02]))
START_NS = 1_000_000_000
FRAMES = 20

Item = TypeVar("Item", bound=BagItem)


def pose(i: int) -> Float64Array:
    """T_map_camera of frame i."""
    return transform(Rotation.from_rotvec([0, 0.02 * i, 0]).as_matrix(), np.array([0.1 * i, 0.2, 1.5]))


def rgb(i: int) -> RgbImage:
    """Image of frame i."""
    return np.random.default_rng(i).integers(0, 255, (CAMERA.height, CAMERA.width, 3), dtype=np.uint8)


def depth_m(i: int) -> FloatImage:
    """Depth of frame i; one pixel has no reading."""
    depth = np.full((CAMERA.height, CAMERA.width), 1.0 + 0.1 * i, np.float32)
    depth[0, 0] = 0.0
    return depth


def audio(i: int) -> NDArray[np.float32]:
    """[1600, 4] samples of the i-th interval of 0.1 s."""
    return np.random.default_rng(100 + i).uniform(-0.9, 0.9, (1600, AUDIO.channels)).astype(np.float32)


def write_bag(path: Path, frames: int = FRAMES) -> Path:
    """Write frames at 10 Hz with audio and poses on /camera/pose and /tf."""
    with BagWriter(path) as bag:
        bag.write_audio_info(START_NS, AUDIO)
        bag.write_tf_static(START_NS, T_CAMERA_ARRAY)
        bag.write_truth(START_NS, [{"name": "s0", "position_m": [1.0, 2.0, 0.5], "object": "mug"}])
        for i in range(frames):
            at_ns = START_NS + i * 100_000_000
            bag.write_camera_info(at_ns, CAMERA)
            bag.write_pose(at_ns, pose(i))
            bag.write_tf(at_ns, pose(i))
            bag.write_image(at_ns, rgb(i))
            bag.write_depth(at_ns, depth_m(i))
            bag.write_audio(at_ns, audio(i))  # logged 0.1 s later
        bag.write_file("truth.json", "{}")
    return path


def rewrite_bag(bag: Path, path: Path, plugin: StoragePlugin, compress: bool = False, rounds: int = 1) -> Path:
    """Copy the messages of a bag into another storage; with rounds > 1 several times in a row with later stamps."""
    writer = Writer(path, version=9, storage_plugin=plugin)
    if compress:
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    store = typestore()
    with Reader(bag) as reader, writer:
        connections: dict[str, Connection] = {}
        for i in range(rounds):
            for connection, stamp, view in reader.messages():
                data = bytes(view)
                if connection.topic not in connections:
                    added = writer.add_connection(connection.topic, connection.msgtype, typestore=store)
                    connections[connection.topic] = added
                shift = i * FRAMES * 100_000_000
                message = store.deserialize_cdr(data, connection.msgtype)
                if shift and hasattr(message, "header"):
                    total = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec + shift
                    message.header.stamp.sec, message.header.stamp.nanosec = divmod(total, 10**9)
                    data = bytes(store.serialize_cdr(message, connection.msgtype))
                writer.write(connections[connection.topic], stamp + shift, data)
    return path


def last_stamp_ns(rounds: int = 1) -> int:
    """Stamp of the last frame of a bag that `rewrite_bag` wrote."""
    return START_NS + (rounds * FRAMES - 1) * 100_000_000


def items_of(kind: type[Item], items: Iterable[BagItem]) -> list[Item]:
    """The items of one type, in their order."""
    return [item for item in items if isinstance(item, kind)]
