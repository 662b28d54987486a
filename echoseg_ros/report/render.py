"""Rendering of the map of a run from given poses: colour, depth, and the mask of the sounding objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from echoseg_ros.errors import FolderError
from echoseg_ros.io.dataset import DatasetScene
from echoseg_ros.io.dataset_map_frame import scene_T_map_world
from echoseg_ros.io.files import replacing
from echoseg_ros.io.rgbd_folder import RgbdFolder
from echoseg_ros.report.run_folder import RunFolder
from echoseg_ros.types import Camera, Float64Array

# Units per metre of the written depth images: 16 bit, 0 = no depth, as in an RGB-D folder.
DEPTH_SCALE = 1000.0
# Least alpha of a pixel that gets a depth.
MIN_ALPHA = 0.5


@dataclass(frozen=True)
class View:
    """A view to render. name: of its files, without suffix; T_map_camera: [4, 4]."""

    name: str
    camera: Camera
    T_map_camera: Float64Array


def folder_views(rgbd: Path, T_map_world: Float64Array) -> list[View]:
    """The views of an RGB-D folder; T_map_world: takes its world into the map of the run."""
    folder = RgbdFolder(rgbd)
    return [View(folder.names[i], folder.camera, T_map_world @ folder.pose_world(i)) for i in range(len(folder))]


def test_views(scene: Path) -> list[View]:
    """The test views of a data-set scene in the map of its bag, at the size of its images."""
    dataset = DatasetScene(scene)
    T_map_world = scene_T_map_world(dataset)
    return [
        View(Path(frame.name).stem, dataset.picture(frame)[1], T_map_world @ frame.T_world_camera)
        for frame in dataset.test
    ]


def render_run(
    run: Path, out: Path, rgbd: Path | None = None, scene: Path | None = None, progress: bool = True
) -> None:
    """Write OUT/{rgb,depth,mask}/NAME.png, full size, for the views of an RGB-D folder or the test views of a scene."""
    finished = RunFolder(run)
    views = (folder_views(rgbd, finished.T_map_world) if rgbd else []) + (test_views(scene) if scene else [])
    for view in tqdm(views, desc="render", unit="view", disable=not progress):
        rendered = finished.mapper.render(view.camera, view.T_map_camera)
        rgb = (rendered.rgb.clamp(0, 1) * 255).round().byte().cpu().numpy()
        depth_m = (rendered.depth * (rendered.alpha >= MIN_ALPHA)).cpu().numpy()
        mask = finished.mask(finished.sounding_ids, view.camera, view.T_map_camera)
        name = f"{view.name}.png"
        _write(out / "rgb" / name, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        _write(out / "depth" / name, np.clip(depth_m * DEPTH_SCALE, 0, 65535).astype(np.uint16))
        _write(out / "mask" / name, mask.astype(np.uint8) * 255)


def _write(path: Path, image: NDArray[Any]) -> None:
    """Write a PNG atomically. Raises FolderError."""
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), image):
            raise FolderError(f"{path}: cannot be written")
