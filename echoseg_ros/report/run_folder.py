"""Reading of the folder of a run: its documents, its map, and masks of its instances from any pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import Config
from echoseg_ros.errors import MapFileError
from echoseg_ros.io.files import read_json
from echoseg_ros.mapping.map_copy import ECHOSEG_FIELDS
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.objects.object_mask import object_mask
from echoseg_ros.types import Camera, Float64Array


class RunFolder:
    """The folder that `echoseg run` or the demo wrote.

    objects, timeline, reasons, metrics, truth: contents of the JSON files (reasons: why.json, [] without it); config:
    settings of the run; mapper: holds its map; instance_id: [N] int32 and audio_intensity: [N] float32 of each Gaussian.
    Raises FolderError or MapFileError if a file is missing or damaged.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.path = Path(path)
        run = read_json(self.path / "run.json")
        self.objects: dict[str, Any] = read_json(self.path / "objects.json")
        self.timeline: list[dict[str, Any]] = read_json(self.path / "timeline.json")
        reasons = self.path / "why.json"
        self.reasons: list[dict[str, Any]] = read_json(reasons) if reasons.exists() else []
        self.metrics: dict[str, Any] = read_json(self.path / "metrics.json")
        truth = self.path / "truth.json"
        self.truth: dict[str, Any] | None = read_json(truth) if truth.exists() else None
        self.T_map_world: Float64Array = np.asarray(run["T_map_world"], dtype=float)
        self.start_ns = int(run["start_ns"])
        self.config = Config().updated(run["config"])
        self.mapper = Mapper(self.config, device)
        extra = self.mapper.load(self.path / "map.ply")
        if missing := [name for name in ECHOSEG_FIELDS if name not in extra]:
            raise MapFileError(f"map file {self.path / 'map.ply'}: not the map of a run, lacks {', '.join(missing)}")
        self.instance_id: NDArray[np.int32] = extra["instance_id"].astype(np.int32)
        self.audio_intensity: NDArray[np.float32] = extra["audio_intensity"].astype(np.float32)

    @property
    def sounding_ids(self) -> list[int]:
        """Ids of the objects judged to sound, most probable first."""
        return [entry["id"] for entry in sorted(self.objects["objects"], key=lambda entry: -entry["probability"])]

    def mask(self, ids: list[int], camera: Camera, T_map_camera: Float64Array) -> NDArray[np.bool_]:
        """[H, W] mask of the instances `ids`."""
        uids = self.mapper.gaussians.uids.cpu().numpy()[np.isin(self.instance_id, ids)]
        return object_mask(self.mapper, uids, camera, T_map_camera)
