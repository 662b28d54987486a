"""Sparse models of COLMAP: cameras, images and points3D, read as binary or text, written as binary.

COLMAP stores T_camera_world with quaternions in w, x, y, z order; this module gives T_world_camera. The centre of the first
pixel is (0.5, 0.5) in both. The world has no metric scale.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import DatasetError, PoseError
from echoseg_ros.geometry import inverse, quaternion_xyzw, transform_from_quaternion
from echoseg_ros.types import Camera, Float64Array

# Files of a model, without suffix.
PARTS = ("cameras", "images", "points3D")

# Camera models by COLMAP's number; only the first two have no distortion.
_CAMERA_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV", "FOV",
           "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE")  # fmt: skip
# Number of parameters of the camera models without distortion.
_PARAMETER_COUNTS = {"SIMPLE_PINHOLE": 3, "PINHOLE": 4}
# Layouts of the binary files.
_KEYPOINT = np.dtype([("xy", "<f8", 2), ("point", "<i8")])
_TRACK = np.dtype([("image", "<i4"), ("keypoint", "<i4")])
_POINT = struct.Struct("<Q3d3BdQ")


@dataclass(frozen=True, eq=False)
class ColmapImage:
    """A registered image. keypoints_px: [K, 2]; point_ids: [K] int64, id of the point at each keypoint, -1 = none."""

    name: str
    camera_id: int
    T_world_camera: Float64Array
    keypoints_px: Float64Array
    point_ids: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ColmapPoints:
    """The sparse cloud, sorted by id.

    ids: [N] int64; positions: [N, 3] in the world; rgb: [N, 3] uint8; tracks: per point [T] int64, ids of the images that
    show it; keypoints: per point [T] int64, index of its keypoint in each of these images.
    """

    ids: NDArray[np.int64]
    positions: Float64Array
    rgb: NDArray[np.uint8]
    tracks: tuple[NDArray[np.int64], ...]
    keypoints: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False)
class ColmapModel:
    """Cameras and images by id, and the points."""

    cameras: Mapping[int, Camera]
    images: Mapping[int, ColmapImage]
    points: ColmapPoints


def missing_parts(folder: Path) -> list[str]:
    """The PARTS that a model folder has neither as .bin nor as .txt."""
    return [part for part in PARTS if _file(Path(folder), part) is None]


def read_model(folder: Path) -> ColmapModel:
    """The model in a folder; where a part has both files, the binary one is read.

    Raises DatasetError for a missing or damaged part and for a camera with distortion.
    """
    folder = Path(folder)
    missing = missing_parts(folder)
    if missing:
        raise DatasetError(f"{folder}: no {', '.join(missing)} (.bin or .txt)")
    return ColmapModel(
        _read_part(folder, "cameras", _cameras_from_bytes, _cameras_from_text),
        _read_part(folder, "images", _images_from_bytes, _images_from_text),
        _sorted_points(_read_part(folder, "points3D", _points_from_bytes, _points_from_text)),
    )


def write_model(folder: Path, model: ColmapModel) -> None:
    """Write cameras.bin, images.bin and points3D.bin; all cameras are written as PINHOLE."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cameras = [struct.pack("<Q", len(model.cameras))]
    for number, c in model.cameras.items():
        cameras.append(
            struct.pack("<iiQQ4d", number, _CAMERA_MODELS.index("PINHOLE"), c.width, c.height, c.fx, c.fy, c.cx, c.cy)
        )
    (folder / "cameras.bin").write_bytes(b"".join(cameras))
    images = [struct.pack("<Q", len(model.images))]
    images += [_image_bytes(number, image) for number, image in model.images.items()]
    (folder / "images.bin").write_bytes(b"".join(images))
    points = model.points
    rows = zip(
        points.ids.tolist(),
        points.positions.tolist(),
        points.rgb.tolist(),
        points.tracks,
        points.keypoints,
        strict=True,
    )
    blocks = [struct.pack("<Q", len(points.ids))]
    for number, position, rgb, track, keypoints in rows:
        pairs = np.zeros(len(track), _TRACK)
        pairs["image"], pairs["keypoint"] = track, keypoints
        blocks += [_POINT.pack(number, *position, *rgb, 0.0, len(track)), pairs.tobytes()]
    (folder / "points3D.bin").write_bytes(b"".join(blocks))


def _image_bytes(number: int, image: ColmapImage) -> bytes:
    T_camera_world = inverse(image.T_world_camera)
    x, y, z, w = quaternion_xyzw(T_camera_world[:3, :3])
    keypoints = np.zeros(len(image.point_ids), _KEYPOINT)
    keypoints["xy"], keypoints["point"] = image.keypoints_px, image.point_ids
    head = struct.pack("<i7di", number, w, x, y, z, *T_camera_world[:3, 3], image.camera_id)
    return head + image.name.encode() + b"\0" + struct.pack("<Q", len(keypoints)) + keypoints.tobytes()


def _file(folder: Path, part: str) -> Path | None:
    return next((f for f in (folder / f"{part}.bin", folder / f"{part}.txt") if f.is_file()), None)


def _read_part(folder: Path, part: str, from_bytes: Callable[[bytes], Any], from_text: Callable[[str], Any]) -> Any:
    """The parsed file of a part. Raises DatasetError."""
    file = _file(folder, part)
    assert file is not None  # read_model has checked
    try:
        return from_bytes(file.read_bytes()) if file.suffix == ".bin" else from_text(file.read_text())
    except DatasetError as error:
        raise DatasetError(f"{file}: {error}") from error
    except (struct.error, ValueError, IndexError, KeyError, OSError, PoseError, OverflowError, MemoryError) as error:
        raise DatasetError(f"{file}: not a complete COLMAP {part} file ({error})") from error


def _camera(model: str, width: int, height: int, parameters: list[float]) -> Camera:
    """A camera of COLMAP's numbers. Raises DatasetError for distortion, ValueError for numbers out of range."""
    if model not in _PARAMETER_COUNTS:
        raise DatasetError(
            f"camera model {model} has distortion: want {' or '.join(_PARAMETER_COUNTS)} (undistort the images)"
        )
    if len(parameters) != _PARAMETER_COUNTS[model] or min(width, height) < 1 or not np.isfinite(parameters).all():
        raise ValueError(f"{model} camera of {width}x{height} with parameters {parameters}")
    fx, fy = parameters[0], parameters[-3]  # SIMPLE_PINHOLE has one focal length for both
    return Camera(width, height, fx, fy, parameters[-2], parameters[-1])


def _pose(quaternion_wxyz: Any, translation: Any) -> Float64Array:
    """T_world_camera [4, 4] from the rotation and translation of T_camera_world."""
    w, x, y, z = quaternion_wxyz
    return inverse(transform_from_quaternion(np.asarray(translation, float), np.array([x, y, z, w], float)))


class _BinaryReader:
    """Reads values from bytes in sequence."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return values

    def array(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        values = np.frombuffer(self._data, dtype, count, self._at)
        self._at += count * dtype.itemsize
        return values

    def text(self) -> str:
        end = self._data.index(b"\0", self._at)
        start, self._at = self._at, end + 1
        return self._data[start:end].decode()


def _cameras_from_bytes(data: bytes) -> dict[int, Camera]:
    file, cameras = _BinaryReader(data), {}
    for _ in range(file.take("<Q")[0]):
        number, kind, width, height = file.take("<iiQQ")
        model = _CAMERA_MODELS[kind] if 0 <= kind < len(_CAMERA_MODELS) else f"number {kind}"
        cameras[number] = _camera(model, width, height, list(file.take(f"<{_PARAMETER_COUNTS.get(model, 0)}d")))
    return cameras


def _cameras_from_text(text: str) -> dict[int, Camera]:
    cameras = {}
    for line in _lines(text):
        number, model, width, height, *parameters = line.split()
        cameras[int(number)] = _camera(model, int(width), int(height), [float(p) for p in parameters])
    return cameras


def _images_from_bytes(data: bytes) -> dict[int, ColmapImage]:
    file, images = _BinaryReader(data), {}
    for _ in range(file.take("<Q")[0]):
        number, *pose, camera_id = file.take("<i7di")
        name = file.text()
        keypoints = file.array(_KEYPOINT, file.take("<Q")[0])
        images[number] = ColmapImage(
            name, camera_id, _pose(pose[:4], pose[4:]), keypoints["xy"].copy(), keypoints["point"].astype(np.int64)
        )
    return images


def _images_from_text(text: str) -> dict[int, ColmapImage]:
    """Two lines per image; the second, its keypoints, may be empty."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    images, at = {}, 0
    while at < len(lines):
        if not lines[at]:
            at += 1
            continue
        words = lines[at].split(maxsplit=9)
        keypoints = np.array(lines[at + 1].split() if at + 1 < len(lines) else [], dtype=float).reshape(-1, 3)
        pose = [float(word) for word in words[1:8]]
        images[int(words[0])] = ColmapImage(
            words[9], int(words[8]), _pose(pose[:4], pose[4:]), keypoints[:, :2], keypoints[:, 2].astype(np.int64)
        )
        at += 2
    return images


# Id, position, colour, track, keypoints.
_PointRow = tuple[int, Any, Any, NDArray[np.int64], NDArray[np.int64]]


def _points_from_bytes(data: bytes) -> list[_PointRow]:
    file = _BinaryReader(data)
    rows: list[_PointRow] = []
    for _ in range(file.take("<Q")[0]):
        number, x, y, z, red, green, blue, _error, length = file.take(_POINT.format)
        track = file.array(_TRACK, length)
        rows.append(
            (number, (x, y, z), (red, green, blue), track["image"].astype(np.int64), track["keypoint"].astype(np.int64))
        )
    return rows


def _points_from_text(text: str) -> list[_PointRow]:
    rows: list[_PointRow] = []
    for line in _lines(text):
        words = line.split()
        track = np.array(words[8:], dtype=np.int64).reshape(-1, 2)
        rows.append(
            (int(words[0]), [float(w) for w in words[1:4]], [int(w) for w in words[4:7]], track[:, 0], track[:, 1])
        )
    return rows


def _sorted_points(rows: list[_PointRow]) -> ColmapPoints:
    rows = sorted(rows, key=lambda row: row[0])
    return ColmapPoints(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=float).reshape(-1, 3),
        np.array([row[2] for row in rows], dtype=np.uint8).reshape(-1, 3),
        tuple(row[3] for row in rows),
        tuple(row[4] for row in rows),
    )


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
