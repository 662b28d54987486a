"""A short bag of a room in which one box hums: images in closed form, free-field sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import apply, look_at, pixel_rays
from echoseg_ros.io.bag_writer import BagWriter
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.types import AudioFormat, Camera, Float64Array, FloatImage, RgbImage

CAMERA = Camera(160, 120, 130.0, 130.0, 80.0, 60.0)
START_NS = 5_000_000_000
RATE_HZ = 10.0
SPEED_OF_SOUND_M_S = 343.0
WALL_X_M = 2.6
# Center and half size of the boxes, m; the first one hums.
BOXES = (
    (np.array([2.0, 0.25, 0.15]), np.array([0.10, 0.12, 0.15])),
    (np.array([2.1, -0.55, 0.12]), np.array([0.12, 0.10, 0.12])),
)
SOURCE_M = BOXES[0][0] + [-0.05, 0.0, 0.05]


def pose(t_s: float) -> Float64Array:
    """T_map_camera of a sideways walk past the boxes."""
    eye = np.array([0.15 * np.sin(0.8 * t_s), -0.7 + 0.25 * t_s, 0.75 + 0.1 * np.sin(0.6 * t_s)])
    return look_at(eye, np.array([2.0, -0.1, 0.1]))


def render(T_map_camera: Float64Array) -> tuple[RgbImage, FloatImage]:
    """(rgb [H, W, 3], depth_m [H, W]) of floor, wall and boxes."""
    rays = pixel_rays(CAMERA).reshape(-1, 3) @ T_map_camera[:3, :3].T
    eye = T_map_camera[:3, 3]
    depth = np.full(len(rays), 8.0)
    surface = np.zeros(len(rays), int)
    with np.errstate(divide="ignore", invalid="ignore"):
        for number, (axis, level) in enumerate(((2, 0.0), (0, WALL_X_M)), start=1):
            t = (level - eye[axis]) / rays[:, axis]
            nearer = (t > 0) & (t < depth)
            depth[nearer], surface[nearer] = t[nearer], number
        for number, (center, half) in enumerate(BOXES, start=3):
            faces = np.stack([(center - half - eye) / rays, (center + half - eye) / rays])
            enter, leave = faces.min(axis=0).max(axis=1), faces.max(axis=0).min(axis=1)
            nearer = (enter < leave) & (enter > 0) & (enter < depth)
            depth[nearer], surface[nearer] = enter[nearer], number
    points = eye + rays * depth[:, None]
    base = np.array([[90, 90, 90], [150, 120, 80], [110, 130, 150], [200, 60, 50], [60, 160, 80]])[surface]
    checks = (np.floor(points * 8).sum(axis=1) % 2)[:, None] * 30
    shape = (CAMERA.height, CAMERA.width)
    rgb = np.clip(base + checks, 0, 255).astype(np.uint8).reshape(*shape, 3)
    return rgb, depth.astype(np.float32).reshape(shape)


def heard(array: ArrayGeometry, seconds: float, seed: int) -> NDArray[np.float32]:
    """[S, M] free-field sound of the source at the moving microphones, with a little noise."""
    rate = array.sample_rate_hz
    times = np.arange(int(seconds * rate)) / rate
    fine = np.random.default_rng(seed).normal(size=int((seconds + 1) * rate * 4))
    fine = np.convolve(fine, np.ones(12) / 12, mode="same")  # low-pass at about 5 kHz: the signal is interpolated below
    knots_s = np.arange(0, seconds + 0.05, 0.05)
    samples = np.zeros((len(times), array.microphones), np.float32)
    for m, microphone in enumerate(array.microphones_m):
        at = np.array([apply(pose(t) @ array.T_camera_array, microphone) for t in knots_s])
        distance = np.interp(times, knots_s, np.linalg.norm(at - SOURCE_M, axis=1))
        arrival = (times + 0.5 - distance / SPEED_OF_SOUND_M_S) * rate * 4
        samples[:, m] = np.interp(arrival, np.arange(len(fine)), fine) / distance
    noise = np.random.default_rng(seed + 1).normal(0, 0.02, samples.shape)
    received: NDArray[np.float32] = (0.2 * samples / np.abs(samples).max() + 0.2 * noise * 0.1).astype(np.float32)
    return received


def write_scene_bag(path: Path, seconds: float = 6.0, seed: int = 0) -> Path:
    """Write ten frames per second and audio messages of 0.1 s."""
    array = load_array("cube8")
    audio_format = AudioFormat(int(array.sample_rate_hz), array.microphones, "S16LE", "WAVE")
    samples = heard(array, seconds, seed)
    step = int(array.sample_rate_hz / RATE_HZ)
    with BagWriter(path) as bag:
        bag.write_audio_info(START_NS, audio_format)
        bag.write_tf_static(START_NS, array.T_camera_array)
        for i in range(int(seconds * RATE_HZ)):
            t_s = i / RATE_HZ
            at_ns = START_NS + round(t_s * 1e9)
            rgb, depth_m = render(pose(t_s))
            bag.write_camera_info(at_ns, CAMERA)
            bag.write_pose(at_ns, pose(t_s))
            bag.write_tf(at_ns, pose(t_s))
            bag.write_image(at_ns, rgb)
            bag.write_depth(at_ns, depth_m)
            bag.write_audio(at_ns, samples[i * step : (i + 1) * step])
    return path
