"""A small scene in the layout of the data set, in closed form: floor, walls, boxes of which one hums, and two ears."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from echoseg_ros.geometry import apply, inverse, look_at, pixel_rays, project, quaternion_xyzw, transform
from echoseg_ros.io.colmap import ColmapImage, ColmapModel, ColmapPoints, write_model
from echoseg_ros.types import Camera, Float64Array, RgbImage

SIZE, RATE_HZ = 64, 44_100
CAMERA = Camera(SIZE, SIZE, *(SIZE / 2,) * 4)
# Kind, center and half size of the boxes in metres, z up; the first one hums. Both clocks are in view.
BOXES = (
    ("clock", np.array([2.0, 0.5, 0.25]), np.array([0.2, 0.2, 0.25])),
    ("clock", np.array([2.0, -0.6, 0.25]), np.array([0.2, 0.2, 0.25])),
    ("crate", np.array([1.3, 1.3, 0.2]), np.array([0.2, 0.2, 0.2])),
)
COLOURS = np.array([[120, 110, 90], [90, 120, 130], [130, 130, 90], [200, 60, 50], [200, 140, 50], [60, 160, 80]])
# Distance of an ear from the camera, m.
EAR_M = 0.09
SOUND_M_PER_S = 343.0
# Units of the world of COLMAP per metre.
UNITS_PER_M = 2.0


def room_pose(number: int) -> Float64Array:
    """T_room_camera: sideways along the boxes; every fourth camera looks away from them."""
    eye = np.array([0.1 * np.sin(number), -0.9 + 0.08 * number, 0.8])
    target = np.array([2.0, 0.1, 0.2]) if number % 4 != 3 else np.array([-3.0, 1.0, 0.3])
    return look_at(eye, target)


def T_world_room() -> Float64Array:
    """T_world_room: the world has the axes of COLMAP (x right, y down, z forward), forward is x of the room."""
    return transform(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.zeros(3))


def world_pose(number: int) -> Float64Array:
    """T_world_camera in the units of the world."""
    pose = T_world_room() @ room_pose(number)
    pose[:3, 3] *= UNITS_PER_M
    return pose


def view(T_room_camera: Float64Array) -> tuple[RgbImage, Float64Array, NDArray[np.int64]]:
    """(rgb [H, W, 3], points in the room [H, W, 3], ids [H, W]: k for the k-th box, else 0)."""
    rays = pixel_rays(CAMERA).reshape(-1, 3) @ T_room_camera[:3, :3].T
    eye = T_room_camera[:3, 3]
    depth, surface = np.full(len(rays), 30.0), np.zeros(len(rays), int)
    with np.errstate(divide="ignore", invalid="ignore"):
        for number, (axis, level) in enumerate(((2, 0.0), (0, 3.0), (0, -3.0), (1, 3.0), (1, -3.0), (2, 2.6))):
            t = (level - eye[axis]) / rays[:, axis]
            nearer = (t > 0) & (t < depth)
            depth[nearer], surface[nearer] = t[nearer], number % 3
        for number, (_, center, half) in enumerate(BOXES, start=3):
            faces = np.stack([(center - half - eye) / rays, (center + half - eye) / rays])
            enter, leave = faces.min(axis=0).max(axis=1), faces.max(axis=0).min(axis=1)
            nearer = (enter < leave) & (enter > 0) & (enter < depth)
            depth[nearer], surface[nearer] = enter[nearer], number
    points = eye + rays * depth[:, None]
    # Random patches: each place has its own texture.
    cells = np.floor(points * 6 + 1e-6).astype(np.int64) @ [73856093, 19349663, 83492791]
    speckle = np.random.default_rng(0).integers(-40, 40, 1009)[cells % 1009]
    rgb = np.clip(COLOURS[surface] + speckle[:, None], 0, 255).astype(np.uint8)
    shape = (CAMERA.height, CAMERA.width)
    return rgb.reshape(*shape, 3), points.reshape(*shape, 3), np.maximum(surface - 2, 0).reshape(shape)


def heard(T_room_camera: Float64Array, source_m: Float64Array, rng: np.random.Generator) -> np.ndarray:
    """[S, 2] a second of noise from a place, with the delays of two ears and a head's shadow; int16."""
    at = apply(inverse(T_room_camera), source_m)
    noise = rng.normal(size=RATE_HZ + 200)
    side = at[0] / np.linalg.norm(at)
    ears = []
    for sign in (-1, 1):
        delay = np.linalg.norm(at - [sign * EAR_M, 0, 0]) / SOUND_M_PER_S * RATE_HZ
        spectrum = np.fft.rfft(noise) * np.exp(-2j * np.pi * np.fft.rfftfreq(len(noise)) * delay)
        ears.append(np.fft.irfft(spectrum, len(noise))[:RATE_HZ] * (1 + 0.5 * sign * side) / np.linalg.norm(at))
    both = np.stack(ears, axis=1) + rng.normal(0, 0.02, (RATE_HZ, 2))
    return np.round(3000 * both).astype(np.int16)


def truth(source: int) -> dict[str, Any]:
    """Content of truth.json in the world of COLMAP; the box with this number (from 0) sounds."""
    turn = T_world_room()
    objects = {
        f"{kind}_{k}": {
            "kind": kind,
            "center_m": (UNITS_PER_M * apply(turn, center)).tolist(),
            "size_m": (2 * UNITS_PER_M * half).tolist(),
            "quaternion_xyzw": quaternion_xyzw(turn[:3, :3]).tolist(),
        }
        for k, (kind, center, half) in enumerate(BOXES)
    }
    name = list(objects)[source]
    entry = {
        "name": name,
        "position_m": objects[name]["center_m"],
        "sound": "builtin:noise",
        "on_s": [[0, 99]],
        "object": name,
    }
    room = {"size_m": [6 * UNITS_PER_M] * 3, "rt60_measured_s": 0.1}
    return {
        "sources": [entry],
        "objects": objects,
        "T_map_world": np.eye(4).tolist(),
        "room": room,
        "metres_per_unit": 1 / UNITS_PER_M,
    }


def write_clips(folder: Path, count: int, source: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(source)
    for number in range(count):
        clip = heard(room_pose(number), BOXES[source][1], rng)
        wavfile.write(folder / f"clip_{number}.wav", RATE_HZ, clip)


def make_model(names: list[str]) -> ColmapModel:
    """Points of the surfaces, each shown by the images in whose pictures it lies unhidden."""
    rng = np.random.default_rng(1)
    seen = [view(room_pose(k)) for k in range(len(names))]
    picks = [points[tuple(rng.integers(0, SIZE, (2, 40)))] for _, points, _ in seen]
    places = np.concatenate(picks)
    keypoints: list[list[np.ndarray]] = [[] for _ in names]
    shown: list[list[int]] = [[] for _ in names]
    tracks: list[np.ndarray] = []
    indices: list[np.ndarray] = []
    for p, place in enumerate(places):
        track, index = [], []
        for k in range(len(names)):
            (pixel,), (z,) = project(CAMERA, apply(inverse(room_pose(k)), place[None]))
            row, column = int(np.floor(pixel[1])) if z > 0 else -1, int(np.floor(pixel[0])) if z > 0 else -1
            if 0 <= row < SIZE and 0 <= column < SIZE and np.linalg.norm(seen[k][1][row, column] - place) < 0.15:
                track.append(1 + k)
                index.append(len(shown[k]))
                keypoints[k].append(pixel)
                shown[k].append(1 + p)
        tracks.append(np.array(track, np.int64))
        indices.append(np.array(index, np.int64))
    images = {
        1 + k: ColmapImage(
            name, 1, world_pose(k), np.array(keypoints[k], float).reshape(-1, 2), np.array(shown[k], np.int64)
        )
        for k, name in enumerate(names)
    }
    positions = UNITS_PER_M * apply(T_world_room(), places)
    ids = np.arange(1, len(places) + 1)
    rgb = np.full((len(places), 3), 128, np.uint8)
    return ColmapModel({1: CAMERA}, images, ColmapPoints(ids, positions, rgb, tuple(tracks), tuple(indices)))


def write_segment_scene(folder: Path, count: int = 24, cases: int = 1) -> Path:
    """`count` frames, every 8th for testing; case n has the box n % 3 sounding, counted from the second."""
    names = [f"frame_{number:04d}.png" for number in range(count)]
    for part in ("input", "images", "semantic_masks", "object_ids"):
        (folder / part).mkdir(parents=True)
    for number, name in enumerate(names):
        rgb, _, ids = view(room_pose(number))
        for part in ("input", "images"):
            cv2.imwrite(str(folder / part / name), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(folder / "object_ids" / name), ids.astype(np.uint8))
        cv2.imwrite(str(folder / "semantic_masks" / name), 255 * (ids == 1).astype(np.uint8))
    write_clips(folder / "audio_clips_binaural", count, 0)
    (folder / "truth.json").write_text(json.dumps(truth(0)))
    for case in range(cases):
        source = (case + 1) % len(BOXES)
        write_clips(folder / "cases" / str(case) / "audio_clips_binaural", count, source)
        (folder / "cases" / str(case) / "truth.json").write_text(json.dumps({"sources": truth(source)["sources"]}))
    write_model(folder / "sparse" / "0", make_model(names))
    return folder
