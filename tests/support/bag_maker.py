"""A short bag with known content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from echoseg_ros.geometry import transform
from echoseg_ros.io.bag_writer import BagWriter
from echoseg_ros.types import AudioFormat, Camera

CAMERA = Camera(64, 48, 60.0, 61.0, 32.25, 24.5)
AUDIO = AudioFormat(16000, 4, "S16LE", "WAVE")
T_CAMERA_ARRAY = transform(Rotation.from_euler("x", 90, degrees=True).as_matrix(), np.array([0.0, -0.1, 0.02]))
START_NS = 1_000_000_000
FRAMES = 20


def pose(i: int) -> np.ndarray:
    """T_map_camera of frame i."""
    return transform(Rotation.from_rotvec([0, 0.02 * i, 0]).as_matrix(), np.array([0.1 * i, 0.2, 1.5]))


def rgb(i: int) -> np.ndarray:
    """Image of frame i."""
    return np.random.default_rng(i).integers(0, 255, (CAMERA.height, CAMERA.width, 3), dtype=np.uint8)


def depth_m(i: int) -> np.ndarray:
    """Depth of frame i, with one pixel without reading."""
    depth = np.full((CAMERA.height, CAMERA.width), 1.0 + 0.1 * i, np.float32)
    depth[0, 0] = 0.0
    return depth


def audio(i: int) -> np.ndarray:
    """[1600, 4] samples of the i-th tenth of a second."""
    return np.random.default_rng(100 + i).uniform(-0.9, 0.9, (1600, AUDIO.channels)).astype(np.float32)


def write_bag(path: Path, frames: int = FRAMES) -> Path:
    """Frames at 10 Hz with audio, poses on /camera/pose and /tf."""
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
            bag.write_audio(at_ns, audio(i))  # logged a tenth of a second later
        bag.write_file("truth.json", "{}")
    return path
