"""A scene in the layout of the data set: random images and sounds, a COLMAP model with tracks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.io import wavfile

from echoseg_ros.geometry import inverse, look_at, quaternion_xyzw, transform
from echoseg_ros.io.colmap import ColmapImage, ColmapModel, ColmapPoints, write_model
from echoseg_ros.types import Camera, Float64Array

SIZE = 24
RATE_HZ = 44_100
CAMERA = Camera(SIZE, SIZE, 12.0, 12.0, 12.0, 12.0)
# Tilt of the world of COLMAP about x, rad.
WORLD_TILT = 0.2


def level_pose(number: int) -> Float64Array:
    """T_level_camera of a robot that turns and pitches; z is up."""
    heading = 0.7 * number
    eye = np.array([0.3 * number, np.sin(number), 1.2])
    return look_at(eye, eye + [np.cos(heading), np.sin(heading), -0.1 - 0.3 * (number % 3)])


def T_world_level() -> Float64Array:
    """T_world_level: a tilt about x after the axes of COLMAP (x right, y down, z forward)."""
    c, s = np.cos(WORLD_TILT), np.sin(WORLD_TILT)
    axes = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return transform(np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ axes, np.array([0.5, -0.2, 0.1]))


def image_name(number: int, width: int = 4) -> str:
    return f"view_a_{number:0{width}d}.png"


def make_model(numbers: list[int], width: int = 4, seed: int = 0) -> ColmapModel:
    """A model whose image ids are 100 + number; p % 4 + 1 images, from the p-th on, show point p."""
    rng = np.random.default_rng(seed)
    ids = np.arange(1, 25)
    tracks = [np.array([100 + numbers[(p + i) % len(numbers)] for i in range(p % 4 + 1)]) for p in ids]
    shown: dict[int, list[int]] = {100 + number: [] for number in numbers}
    places = []
    for point, track in zip(ids.tolist(), tracks, strict=True):
        places.append(np.array([len(shown[image]) for image in track.tolist()]))
        for image in track.tolist():
            shown[image].append(point)
    images = {
        100 + n: ColmapImage(
            image_name(n, width),
            1,
            T_world_level() @ level_pose(n),
            rng.uniform(0, SIZE, (len(shown[100 + n]), 2)),
            np.array(shown[100 + n], dtype=np.int64),
        )
        for n in numbers
    }
    points = ColmapPoints(
        ids,
        rng.normal(size=(len(ids), 3)),
        rng.integers(0, 256, (len(ids), 3)).astype(np.uint8),
        tuple(tracks),
        tuple(places),
    )
    return ColmapModel({1: CAMERA}, images, points)


def write_text_model(folder: Path, model: ColmapModel) -> None:
    """Write the model as `colmap model_converter --output_type TXT` does."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = ["# Camera list", "# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    cameras += [
        f"{i} PINHOLE {c.width} {c.height} {c.fx!r} {c.fy!r} {c.cx!r} {c.cy!r}" for i, c in model.cameras.items()
    ]
    images = ["# Image list with two lines of data per image:"]
    for number, image in model.images.items():
        T_camera_world = inverse(image.T_world_camera)
        x, y, z, w = quaternion_xyzw(T_camera_world[:3, :3]).tolist()
        numbers = " ".join(repr(float(v)) for v in (w, x, y, z, *T_camera_world[:3, 3]))
        images.append(f"{number} {numbers} {image.camera_id} {image.name}")
        images.append(
            " ".join(f"{float(u)!r} {float(v)!r} {p}" for (u, v), p in zip(image.keypoints_px, image.point_ids))
        )
    points = ["# 3D point list"]
    for i, number in enumerate(model.points.ids):
        position = " ".join(repr(float(v)) for v in model.points.positions[i])
        track = " ".join(f"{a} {b}" for a, b in zip(model.points.tracks[i], model.points.keypoints[i]))
        points.append(f"{number} {position} {' '.join(map(str, model.points.rgb[i]))} 0.0 {track}")
    for name, lines in (("cameras", cameras), ("images", images), ("points3D", points)):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def write_clip(folder: Path, number: int, rng: np.random.Generator, seconds: int, channels: int, name: str) -> None:
    folder.mkdir(exist_ok=True)
    shape = (seconds * RATE_HZ, channels) if channels > 1 else (seconds * RATE_HZ,)
    wavfile.write(folder / f"{name}_{number}.wav", RATE_HZ, rng.integers(-9000, 9000, shape).astype(np.int16))


def write_image(folder: Path, name: str, rng: np.random.Generator, size: int = SIZE) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), rng.integers(0, 256, (size, size, 3), dtype=np.uint8))


def write_scene(
    folder: Path,
    count: int = 10,
    unregistered: tuple[int, ...] = (),
    splits: Any = None,
    input_size: int = SIZE,
    width: int = 4,
) -> Path:
    """Write a scene of `count` frames; frames in `unregistered` have image, mask and sound but no pose."""
    rng = np.random.default_rng(5)
    registered = [n for n in range(count) if n not in unregistered]
    for number in range(count):
        write_image(folder / "input", image_name(number, width), rng, input_size)
        if number in registered:
            write_image(folder / "images", image_name(number, width), rng)
        mask = np.zeros((input_size, input_size), np.uint8)
        mask[: number + 1, : number + 1] = 255
        (folder / "semantic_masks").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "semantic_masks" / f"{image_name(number, width)[:-4]}.png"), mask)
        write_clip(folder / "audio_clips_binaural", number, rng, 1, 2, "clip_b")
        write_clip(folder / "audio_clips_mono", number, rng, 2, 1, "frame")
    write_model(folder / "sparse" / "0", make_model(registered, width))
    if splits is not None:
        (folder / "camera_splits.json").write_text(json.dumps(splits))
    return folder
