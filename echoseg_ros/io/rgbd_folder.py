"""An RGB-D recording with poses as a folder: rgb/, depth/, camera.json, poses.txt, objects.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import FolderError, PoseError
from echoseg_ros.geometry import (
    quaternion_xyzw,
    rotation_matrix,
    smallest_rotation,
    transform,
    transform_from_quaternion,
)
from echoseg_ros.io.files import read_json
from echoseg_ros.types import Box, Camera, CameraFrame, Float64Array, FloatImage, RgbImage


class RgbdFolder:
    """Frames of an RGB-D folder in the map frame; images are decoded on access.

    camera: of all frames; rate_hz: frame rate; T_map_world: [4, 4], levels the world of the folder; stamps_s: [F] its
    seconds; names: of the frames; objects: named boxes in the map. Raises FolderError if the layout is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise FolderError(f"{self.path}: no such RGB-D folder")
        content = read_json(self.path / "camera.json")
        self.camera = _camera(self.path / "camera.json", content)
        self.rate_hz = float(content.get("rate_hz", 10.0))
        self.world_up: Float64Array = np.asarray(content.get("world_up", [0.0, 0.0, 1.0]), dtype=float)
        self._depth_scale = float(content.get("depth_scale", 1000.0))
        self.T_map_world = transform(smallest_rotation(self.world_up, np.array([0.0, 0.0, 1.0])), np.zeros(3))
        self.stamps_s, self._T_world_camera, self.names = _read_poses(self.path / "poses.txt")
        self.objects = self._read_objects()

    def __len__(self) -> int:
        return len(self.names)

    def pose_world(self, i: int) -> Float64Array:
        """T_world_camera [4, 4] of frame i, in the world of the folder."""
        return np.asarray(self._T_world_camera[i])

    def T_map_camera(self, i: int) -> Float64Array:
        """T_map_camera [4, 4] of frame i."""
        return self.T_map_world @ self.pose_world(i)

    def rgb(self, i: int) -> RgbImage:
        """[H, W, 3] uint8 image of frame i. Raises FolderError if the file is missing or damaged."""
        for suffix in (".jpg", ".png"):
            file = self.path / "rgb" / f"{self.names[i]}{suffix}"
            if file.exists():
                bgr = _read_image(file, cv2.IMREAD_COLOR, self.camera)
                return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        raise FolderError(f"{self.path}/rgb: no image of frame {self.names[i]}, want .jpg or .png")

    def depth_m(self, i: int) -> FloatImage | None:
        """[H, W] float32 metres, 0 = no reading; None if the folder has no depth of the frame."""
        file = self.path / "depth" / f"{self.names[i]}.png"
        if not file.exists():
            return None
        units = _read_image(file, cv2.IMREAD_UNCHANGED, self.camera).astype(np.float32)
        depth_m: FloatImage = units / np.float32(self._depth_scale)
        return depth_m

    def frame(self, i: int) -> CameraFrame:
        """Frame i, stamped with the seconds of the folder."""
        stamp_ns = int(round(self.stamps_s[i] * 1e9))
        return CameraFrame(stamp_ns, i, self.camera, self.rgb(i), self.depth_m(i), self.T_map_camera(i))

    def _read_objects(self) -> dict[str, Box]:
        """The boxes of objects.json in the map by name; empty without the file."""
        file = self.path / "objects.json"
        if not file.exists():
            return {}
        R_map_world = self.T_map_world[:3, :3]
        return {
            name: Box(
                R_map_world @ np.asarray(entry["center_m"], dtype=float),
                np.asarray(entry["size_m"], dtype=float),
                quaternion_xyzw(R_map_world @ rotation_matrix(np.asarray(entry["quaternion_xyzw"], dtype=float))),
            )
            for name, entry in read_json(file).items()
        }


def _camera(file: Path, content: dict[str, Any]) -> Camera:
    """The camera of camera.json. Raises FolderError."""
    try:
        size = int(content["width"]), int(content["height"])
        return Camera(*size, *(float(content[key]) for key in ("fx", "fy", "cx", "cy")))
    except (KeyError, TypeError, ValueError) as error:
        raise FolderError(f"{file}: want width, height, fx, fy, cx, cy as numbers ({error!r})") from error


def _read_poses(file: Path) -> tuple[Float64Array, Float64Array, list[str]]:
    """Stamps in seconds [F], T_world_camera [F, 4, 4] and names of the frames of poses.txt. Raises FolderError."""
    if not file.exists():
        raise FolderError(f"{file}: missing; want lines of 'timestamp_s tx ty tz qx qy qz qw frame'")
    stamps, poses, names = [], [], []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        try:
            values = np.array([float(word) for word in words[:8]])
            poses.append(transform_from_quaternion(values[1:4], values[4:8]))
            stamps.append(float(values[0]))
            names.append(words[8])
        except (ValueError, IndexError, PoseError) as error:
            raise FolderError(f"{file}:{number}: {error}") from error
    if not names:
        raise FolderError(f"{file}: holds no poses; want lines of 'timestamp_s tx ty tz qx qy qz qw frame'")
    return np.array(stamps), np.array(poses), names


def _read_image(file: Path, flags: int, camera: Camera) -> NDArray[Any]:
    """The pixels of an image file. Raises FolderError if it is damaged or has not the size of the camera."""
    image = cv2.imread(str(file), flags)
    if image is None:
        raise FolderError(f"{file}: not a readable image")
    if image.shape[:2] != (camera.height, camera.width):
        raise FolderError(f"{file}: {image.shape[1]}x{image.shape[0]}, camera.json says {camera.width}x{camera.height}")
    return image
