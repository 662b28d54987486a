"""A scene in the layout of the data set 3DAVS-S34-O7: images, sound, masks, split and COLMAP model.

Frame k (k is the number in its file name) covers the second [k, k + 1) of the sound. Positions are in the world of COLMAP,
whose scale is unknown. Only train frames may feed a method; test frames score it.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from echoseg_ros.errors import DatasetError
from echoseg_ros.io.colmap import ColmapModel, missing_parts, read_model
from echoseg_ros.io.dataset_split import Split, frame_number, read_splits
from echoseg_ros.types import Camera, Float64Array, RgbImage

# Parts of a scene.
INPUT, IMAGES, BINAURAL, MONO, MASKS, MODEL = (
    "input", "images", "audio_clips_binaural", "audio_clips_mono", "semantic_masks", "sparse/0",
)  # fmt: skip
# Truth of a simulated scene.
TRUTH_FILE = "truth.json"
# Number of objects of the sounding kind in the scenes of each part of the data set.
INSTANCES = {"part_1": "single", "part_2": "multi"}
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, eq=False)
class DatasetFrame:
    """A registered frame. name: in the COLMAP model; camera: of the COLMAP model; split: None = in neither split."""

    number: int
    name: str
    image_id: int
    camera: Camera
    T_world_camera: Float64Array
    split: Split | None


class DatasetScene:
    """A scene folder.

    frames: registered frames, sorted by number; unregistered: numbers of frames without a pose in the COLMAP model;
    require: further parts that the scene must have (MASKS, MONO). Raises DatasetError, one line that lists all missing
    parts or names the part that cannot be read.
    """

    def __init__(self, path: Path, require: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self._check_parts(require)
        self._model: ColmapModel = read_model(self.path / MODEL)
        self._files = {part: _numbered(self.path / part) for part in (INPUT, IMAGES, BINAURAL, MONO, MASKS)}
        self.frames = self._frames()
        numbers = {frame.number for frame in self.frames}
        self.unregistered = tuple(sorted(set(self._files[INPUT]) - numbers))

    @property
    def train(self) -> tuple[DatasetFrame, ...]:
        """The train frames, which may feed a method."""
        return tuple(frame for frame in self.frames if frame.split == "train")

    @property
    def test(self) -> tuple[DatasetFrame, ...]:
        """The test frames, which score a method."""
        return tuple(frame for frame in self.frames if frame.split == "test")

    def with_sound(self, folder: Path) -> DatasetScene:
        """Copy of the scene with the binaural clips of another folder. Raises DatasetError for two clips of one frame."""
        other = copy.copy(self)
        other._files = {**self._files, BINAURAL: _numbered(folder)}
        return other

    @property
    def instances(self) -> str:
        """ "single" or "multi" by the part of the data set in the path; "" if the path has none."""
        return next((INSTANCES[part] for part in reversed(self.path.absolute().parts) if part in INSTANCES), "")

    def picture(self, frame: DatasetFrame) -> tuple[RgbImage, Camera]:
        """The image [H, W, 3] of a frame, from images/ (undistorted) or else input/, and the camera at its size."""
        file = self._files[IMAGES].get(frame.number) or self._files[INPUT].get(frame.number)
        if file is None:
            raise DatasetError(f"{self.path}: no image of frame {frame.number} in {IMAGES}/ or {INPUT}/")
        rgb = np.asarray(cv2.cvtColor(_read_image(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)
        return rgb, frame.camera.resized(rgb.shape[1], rgb.shape[0])

    def mask(self, frame: DatasetFrame) -> NDArray[np.bool_]:
        """[H, W] mask of the sounding object, at the size of input/. Raises DatasetError if missing or damaged."""
        file = self._files[MASKS].get(frame.number)
        if file is None:
            raise DatasetError(f"{self.path}: no mask of frame {frame.number} in {MASKS}/")
        return np.asarray(_read_image(file, cv2.IMREAD_GRAYSCALE) > 127)

    def binaural(self, frame: DatasetFrame) -> NDArray[np.float32] | None:
        """[S, 2] in [-1, 1], left and right ear in the second of the frame; None if it has no clip."""
        file = self._files[BINAURAL].get(frame.number)
        if file is None:
            return None
        rate_hz, samples = _read_wav(file)
        if rate_hz != self.sample_rate_hz or samples.shape[1] != 2:
            raise DatasetError(
                f"{file}: {samples.shape[1]} channels at {rate_hz} Hz, want 2 at {self.sample_rate_hz} Hz"
            )
        return samples[:rate_hz]

    def mono(self, frame: DatasetFrame) -> tuple[int, NDArray[np.float32]] | None:
        """Sample rate in Hz and [S] in [-1, 1], the sound of the frame without direction; None if it has no clip."""
        file = self._files[MONO].get(frame.number)
        if file is None:
            return None
        rate_hz, samples = _read_wav(file)
        return rate_hz, samples.mean(axis=1)

    @cached_property
    def sample_rate_hz(self) -> int:
        """Sample rate of the first binaural clip, Hz. Raises DatasetError if there is none."""
        files = [
            self._files[BINAURAL][f.number] for f in (*self.train, *self.test) if f.number in self._files[BINAURAL]
        ]
        if not files:
            raise DatasetError(f"{self.path / BINAURAL}: no clip of a frame; want NAME_<number>.wav")
        return _read_wav(files[0])[0]

    def seed_points(self) -> Float64Array:
        """[N, 3] sparse points in the world that at least two train images show: they do not need a test view.

        Their colours are left out: COLMAP averages colours over all views, test views included.
        """
        train = np.array([frame.image_id for frame in self.train], dtype=np.int64)
        points = self._model.points
        is_seed = [len(np.intersect1d(track, train)) >= 2 for track in points.tracks]
        seeds: Float64Array = points.positions[np.array(is_seed, dtype=bool)]
        return seeds

    def truth(self) -> dict[str, Any] | None:
        """Content of truth.json of a simulated scene, in the world and units of the scene; None without the file."""
        file = self.path / TRUTH_FILE
        if not file.is_file():
            return None
        try:
            return dict(json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise DatasetError(f"{file}: not a JSON object ({error})") from error

    def _check_parts(self, require: Sequence[str]) -> None:
        if not self.path.is_dir():
            raise DatasetError(f"{self.path}: no such folder")
        missing = [f"{MODEL}/{part} (.bin or .txt)" for part in missing_parts(self.path / MODEL)]
        if not any((self.path / part).is_dir() for part in (IMAGES, INPUT)):
            missing.append(f"{IMAGES}/ or {INPUT}/")
        missing += [f"{part}/" for part in (BINAURAL, *require) if not (self.path / part).is_dir()]
        if missing:
            raise DatasetError(f"{self.path}: not a scene of the data set: missing {', '.join(missing)}")

    def _frames(self) -> tuple[DatasetFrame, ...]:
        numbered: dict[int, int] = {}
        for image_id, image in self._model.images.items():
            number = frame_number(Path(image.name).name)
            if number is None or number in numbered:
                why = 'no number after the last "_"' if number is None else f"a second frame {number}"
                raise DatasetError(f"{self.path / MODEL}: image {image.name!r} has {why}")
            if image.camera_id not in self._model.cameras:
                raise DatasetError(
                    f"{self.path / MODEL}: image {image.name!r} is of an unknown camera {image.camera_id}"
                )
            numbered[number] = image_id
        names = {number: self._model.images[image_id].name for number, image_id in numbered.items()}
        splits = read_splits(self.path, names, {*names, *self._files[INPUT], *self._files[BINAURAL]})
        return tuple(
            DatasetFrame(
                n, image.name, numbered[n], self._model.cameras[image.camera_id], image.T_world_camera, splits.get(n)
            )
            for n in sorted(numbered)
            for image in (self._model.images[numbered[n]],)
        )


def find_scenes(root: Path) -> list[Path]:
    """Folders with sparse/0 at or below `root`, at any depth. Raises DatasetError if there is none."""
    root = Path(root)
    scenes = sorted(_scenes_below(root))
    if not scenes:
        raise DatasetError(f"{root}: no scene found: want folders with {MODEL} at any depth")
    return scenes


def _scenes_below(root: Path) -> Iterator[Path]:
    for folder, below, _ in os.walk(root):
        if (Path(folder) / MODEL).is_dir():
            below.clear()
            yield Path(folder)
        below[:] = [name for name in below if not name.startswith(".")]  # hidden: a scene that is being written


def _numbered(folder: Path) -> dict[int, Path]:
    """Images or sounds of a folder by the number in their names. Raises DatasetError for two with the same number."""
    suffixes = (".wav",) if folder.name in (BINAURAL, MONO) else _IMAGE_SUFFIXES
    files: dict[int, Path] = {}
    for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
        number = frame_number(file.name)
        if file.suffix.lower() not in suffixes or number is None:
            continue
        if number in files:
            raise DatasetError(f"{folder}: {files[number].name} and {file.name} are both number {number}")
        files[number] = file
    return files


def _read_image(file: Path, flags: int) -> NDArray[Any]:
    image = cv2.imread(str(file), flags)
    if image is None:
        raise DatasetError(f"{file}: not a readable image")
    return image


def _read_wav(file: Path) -> tuple[int, NDArray[np.float32]]:
    """Sample rate in Hz and samples [S, channels] in [-1, 1]. Raises DatasetError."""
    try:
        rate_hz, samples = wavfile.read(file)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{file}: not a readable WAV file ({error})") from error
    scaled = samples.astype(np.float32)
    if samples.dtype == np.uint8:
        scaled = (scaled - 128) / 128
    elif samples.dtype.kind == "i":
        scaled /= -float(np.iinfo(samples.dtype).min)
    if not len(scaled) or not np.isfinite(scaled).all():
        raise DatasetError(f"{file}: holds no samples, or samples that are not finite")
    return int(rate_hz), scaled.reshape(len(scaled), -1)
