"""Posed RGB-D frames in FOLDER/frames.npz, which needs numpy only.

Entries: intrinsics [6] width, height, fx, fy, cx, cy; stamps_ns [F]; indices [F]; T_map_camera [F, 4, 4]; and for each
frame rgb_NNNNN [H, W, 3] uint8 and depth_mm_NNNNN [H, W] uint16, 0 = no reading. Images are stored as differences between
neighbours along the rows (modulo the type), which halves their compressed size.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros import geometry
from echoseg_ros.errors import FolderError
from echoseg_ros.types import Camera, CameraFrame, Float64Array, FloatImage, RgbImage

# Name of the file in a folder.
FILE = "frames.npz"
# One frame of this many is held out.
HOLD_OUT_EVERY = 8


@dataclass(frozen=True)
class Recording:
    """Frames of one camera in order of time; frames with index % 8 == 7 are held out."""

    name: str
    camera: Camera
    frames: tuple[CameraFrame, ...]

    @property
    def training(self) -> tuple[CameraFrame, ...]:
        """Frames for the map."""
        return tuple(frame for frame in self.frames if frame.index % HOLD_OUT_EVERY != HOLD_OUT_EVERY - 1)

    @property
    def held_out(self) -> tuple[CameraFrame, ...]:
        """Held-out frames, which measure the map."""
        return tuple(frame for frame in self.frames if frame.index % HOLD_OUT_EVERY == HOLD_OUT_EVERY - 1)

    @property
    def size(self) -> str:
        """Size of the images, such as 640x480."""
        return f"{self.camera.width}x{self.camera.height}"


def write_frames(folder: Path, frames: Iterable[CameraFrame]) -> int:
    """Write FOLDER/frames.npz one frame at a time; returns the number of frames. Frames without depth are left out.

    Raises FolderError if no frame has depth or the folder has frames already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if path.exists():
        raise FolderError(f"{path} exists: want a new folder")
    stamps: list[int] = []
    indices: list[int] = []
    poses: list[Float64Array] = []
    camera: Camera | None = None
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for frame in frames:
            if frame.depth_m is None:
                continue
            camera = frame.camera
            name = f"{len(stamps):05d}"
            depth_mm = np.clip(np.round(frame.depth_m * 1000), 0, 65535).astype(np.uint16)
            _write(archive, f"rgb_{name}", _differences(frame.rgb))
            _write(archive, f"depth_mm_{name}", _differences(depth_mm))
            stamps.append(frame.stamp_ns)
            indices.append(frame.index)
            poses.append(frame.T_map_camera)
        if camera is not None:
            lens = [camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy]
            _write(archive, "intrinsics", np.array(lens, float))
            _write(archive, "stamps_ns", np.array(stamps, np.int64))
            _write(archive, "indices", np.array(indices, np.int64))
            _write(archive, "T_map_camera", np.array(poses, float))
    if camera is None:
        path.unlink()
        raise FolderError(f"{folder}: no frame with depth to write")
    return len(stamps)


def read_frames(folder: Path) -> Recording:
    """The recording in a folder. Raises FolderError if the folder has no readable frames.npz."""
    path = Path(folder) / FILE
    try:
        with np.load(path, allow_pickle=False) as content:
            lens = content["intrinsics"]
            camera = Camera(int(lens[0]), int(lens[1]), *(float(value) for value in lens[2:]))
            frames = []
            for i, (stamp, index, pose) in enumerate(
                zip(content["stamps_ns"], content["indices"], content["T_map_camera"])
            ):
                rgb = _sums(content[f"rgb_{i:05d}"])
                depth_m = _sums(content[f"depth_mm_{i:05d}"]).astype(np.float32) / np.float32(1000)
                frames.append(CameraFrame(int(stamp), int(index), camera, rgb, depth_m, pose))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FolderError(f"{path}: {error}; want a folder made by gpu_check --prepare") from error
    return Recording(Path(folder).name, camera, tuple(frames))


def synthetic_recording(camera: Camera, count: int) -> Recording:
    """A synthetic recording of `count` frames: a checkered wall with a red box in front of it, in closed form."""
    frames = []
    for i in range(count):
        x = -0.3 + 0.6 * i / max(count - 1, 1)
        pose = geometry.look_at(np.array([x, 0.0, 0.4]), np.array([x * 0.3, 2.0, 0.4]))
        rgb, depth_m = _synthetic_view(camera, pose)
        frames.append(CameraFrame(i * 100_000_000, i, camera, rgb, depth_m, pose))
    return Recording("checkers", camera, tuple(frames))


def _synthetic_view(camera: Camera, T_map_camera: Float64Array) -> tuple[RgbImage, FloatImage]:
    rays = geometry.pixel_rays(camera) @ T_map_camera[:3, :3].T
    origin = T_map_camera[:3, 3]
    to_wall, to_box = (2.0 - origin[1]) / rays[..., 1], (1.2 - origin[1]) / rays[..., 1]
    wall, box = origin + rays * to_wall[..., None], origin + rays * to_box[..., None]
    is_box = (np.abs(box[..., 0] - 0.1) < 0.2) & (np.abs(box[..., 2] - 0.4) < 0.15)
    checker = (np.floor(wall[..., 0] / 0.25) + np.floor(wall[..., 2] / 0.25)) % 2
    rgb = np.where(is_box[..., None], [200, 40, 30], 70 + 110 * checker[..., None] * np.array([1, 0.9, 0.6]))
    return rgb.astype(np.uint8), np.where(is_box, to_box, to_wall).astype(np.float32)


def _differences(image: NDArray[Any]) -> NDArray[Any]:
    return np.diff(image, axis=1, prepend=np.zeros_like(image[:, :1]))


def _sums(differences: NDArray[Any]) -> NDArray[Any]:
    return np.cumsum(differences, axis=1, dtype=differences.dtype)


def _write(archive: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
