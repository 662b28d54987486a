"""A data-set scene for evaluation: views in the run's map, truth masks and, in a simulated scene, numbered objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import DatasetError
from echoseg_ros.io.dataset import MASKS, DatasetFrame, DatasetScene
from echoseg_ros.io.dataset_map_frame import scene_T_map_world
from echoseg_ros.types import Camera, Float64Array

# Folder of the images of object numbers in a simulated scene.
OBJECT_IDS = "object_ids"


@dataclass(frozen=True, eq=False)
class View:
    """A frame with its camera at the size of the truth mask and its pose in the run's map. T_map_camera: [4, 4]."""

    name: str
    frame: DatasetFrame
    camera: Camera
    T_map_camera: Float64Array


class EvalScene:
    """A scene with its truth. Raises DatasetError if the folder is no scene, or has no truth masks or too few frames."""

    def __init__(self, path: Path) -> None:
        self.data = DatasetScene(path, require=(MASKS,))
        if not self.data.train or not self.data.test:
            raise DatasetError(f"{path}: {len(self.data.train)} train and {len(self.data.test)} test frames: want both")
        self.T_map_world = scene_T_map_world(self.data)
        self._truth = self.data.truth() or {}

    @property
    def path(self) -> Path:
        """The scene's folder."""
        return self.data.path

    @property
    def setting(self) -> str:
        """ "single" or "multi"; a scene outside of the data set's two parts counts as single."""
        return self.data.instances or "single"

    @cached_property
    def train(self) -> tuple[View, ...]:
        """The views that a method may use."""
        return tuple(self._view(frame) for frame in self.data.train)

    @cached_property
    def test(self) -> tuple[View, ...]:
        """The views that score a method."""
        return tuple(self._view(frame) for frame in self.data.test)

    @property
    def has_ids(self) -> bool:
        """Whether all objects are known in all views, as in a simulated scene."""
        return bool(self.object_names) and (self.path / OBJECT_IDS).is_dir()

    @property
    def object_names(self) -> list[str]:
        """Names of the objects; object number k (from 1) of `object_ids` is the k-th name."""
        return list(self._truth.get("objects", {}))

    @property
    def sounding_ids(self) -> list[int]:
        """Numbers of the objects that sound. Raises DatasetError without truth."""
        return self.ids_of_sources(self._truth.get("sources", []))

    def ids_of_sources(self, sources: Sequence[dict[str, Any]]) -> list[int]:
        """Numbers of the objects that contain the sources of a truth.json."""
        names = self.object_names
        return [1 + names.index(source["object"]) for source in sources if source.get("object") in names]

    def ids_of_same_kind(self, object_id: int) -> list[int]:
        """Numbers of all objects of the same kind as an object, itself included."""
        kinds = [entry["kind"] for entry in self._truth["objects"].values()]
        return [k for k, kind in enumerate(kinds, start=1) if kind == kinds[object_id - 1]]

    def truth_mask(self, view: View) -> NDArray[np.bool_]:
        """[H, W] mask of the sounding object."""
        return self.data.mask(view.frame)

    def object_ids(self, view: View) -> NDArray[np.int32]:
        """[H, W] number of the object in each pixel, 0 for none. Raises DatasetError without a readable image."""
        file = self.path / OBJECT_IDS / Path(view.frame.name).with_suffix(".png").name
        ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if ids is None or ids.shape != (view.camera.height, view.camera.width):
            raise DatasetError(f"{file}: not a readable image of {view.camera.width}x{view.camera.height}")
        return ids.astype(np.int32)

    def truth_labels(self, view: View) -> NDArray[np.int32]:
        """[H, W] as object_ids; in a scene without them 1 in the mask of the sounding object."""
        return self.object_ids(view) if self.has_ids else self.truth_mask(view).astype(np.int32)

    def _view(self, frame: DatasetFrame) -> View:
        height, width = self.data.mask(frame).shape
        return View(
            Path(frame.name).stem, frame, frame.camera.resized(width, height), self.T_map_world @ frame.T_world_camera
        )
