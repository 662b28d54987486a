"""A data-set scene as an evaluation sees it: views in the run's map, truth masks, and who is who in a simulated one."""

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

OBJECT_IDS = "object_ids"


@dataclass(frozen=True, eq=False)
class View:
    """A frame's camera at the size of its truth, in the run's map. T_map_camera: [4, 4]."""

    name: str
    frame: DatasetFrame
    camera: Camera
    T_map_camera: Float64Array


class EvalScene:
    """A scene with its truth. Raises DatasetError if it is not one, or has no truth masks."""

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
        """What a method may see."""
        return tuple(self._view(frame) for frame in self.data.train)

    @cached_property
    def test(self) -> tuple[View, ...]:
        """What scores it."""
        return tuple(self._view(frame) for frame in self.data.test)

    @property
    def has_ids(self) -> bool:
        """Whether every object is known in every view, as in a simulated scene."""
        return bool(self.object_names) and (self.path / OBJECT_IDS).is_dir()

    @property
    def object_names(self) -> list[str]:
        """Object k (from 1) of `object_ids` is the k-th of these."""
        return list(self._truth.get("objects", {}))

    @property
    def sounding_ids(self) -> list[int]:
        """Numbers of the objects that sound. Raises DatasetError without truth."""
        return self.ids_of(self._truth.get("sources", []))

    def ids_of(self, sources: Sequence[dict[str, Any]]) -> list[int]:
        """Numbers of the objects that sources of a truth.json are in."""
        names = self.object_names
        return [1 + names.index(source["object"]) for source in sources if source.get("object") in names]

    def ids_of_kind(self, of_id: int) -> list[int]:
        """Numbers of all objects of the same kind as one of them, itself too."""
        kinds = [entry["kind"] for entry in self._truth["objects"].values()]
        return [k for k, kind in enumerate(kinds, start=1) if kind == kinds[of_id - 1]]

    def truth_mask(self, view: View) -> NDArray[np.bool_]:
        """[H, W] where the sounding object is seen."""
        return self.data.mask(view.frame)

    def object_ids(self, view: View) -> NDArray[np.int32]:
        """[H, W] number of the object seen, 0 for none. Raises DatasetError without such an image."""
        file = self.path / OBJECT_IDS / Path(view.frame.name).with_suffix(".png").name
        ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if ids is None or ids.shape != (view.camera.height, view.camera.width):
            raise DatasetError(f"{file}: not a readable image of {view.camera.width}x{view.camera.height}")
        return ids.astype(np.int32)

    def truth_labels(self, view: View) -> NDArray[np.int32]:
        """[H, W] as object_ids; without those 1 where the sounding object is seen."""
        return self.object_ids(view) if self.has_ids else self.truth_mask(view).astype(np.int32)

    def _view(self, frame: DatasetFrame) -> View:
        height, width = self.data.mask(frame).shape
        return View(
            Path(frame.name).stem, frame, frame.camera.resized(width, height), self.T_map_world @ frame.T_world_camera
        )
