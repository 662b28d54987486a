"""A finished run drawn from given poses: colour, depth, and the mask of what sounds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from echoseg_ros.errors import FolderError
from echoseg_ros.io.dataset import DatasetScene
from echoseg_ros.io.dataset_map_frame import scene_T_map_world
from echoseg_ros.io.files import replacing
from echoseg_ros.io.rgbd_folder import RgbdFolder
from echoseg_ros.report.run_folder import RunFolder
from echoseg_ros.types import Camera, Float64Array

# Depth images are written like those of an RGB-D folder: 16 bit, this many units a metre, 0 = nothing there.
DEPTH_SCALE = 1000.0
MIN_ALPHA = 0.5


@dataclass(frozen=True)
class Pose:
    """A view to draw. name: of its files, without ending; T_map_camera: [4, 4]."""

    name: str
    camera: Camera
    T_map_camera: Float64Array


def folder_poses(rgbd: Path, T_map_world: Float64Array) -> list[Pose]:
    """The poses of an RGB-D folder, whose world `T_map_world` brings into the run's map."""
    folder = RgbdFolder(rgbd)
    return [Pose(folder.names[i], folder.camera, T_map_world @ folder.pose_world(i)) for i in range(len(folder))]


def held_out_poses(scene: Path) -> list[Pose]:
    """The test views of a data-set scene, in the map that its bag has; at the size of its masks."""
    dataset = DatasetScene(scene)
    T_map_world = scene_T_map_world(dataset)
    return [
        Pose(Path(frame.name).stem, dataset.picture(frame)[1], T_map_world @ frame.T_world_camera)
        for frame in dataset.test
    ]


def render_run(
    run: Path, out: Path, rgbd: Path | None = None, scene: Path | None = None, progress: bool = True
) -> None:
    """Write OUT/{rgb,depth,mask}/NAME.png, full size, for the poses of an RGB-D folder or of a data-set scene's test views."""
    finished = RunFolder(run)
    poses = (folder_poses(rgbd, finished.T_map_world) if rgbd else []) + (held_out_poses(scene) if scene else [])
    for pose in tqdm(poses, desc="render", unit="view", disable=not progress):
        view = finished.mapper.render(pose.camera, pose.T_map_camera)
        rgb = (view.rgb.clamp(0, 1) * 255).round().byte().cpu().numpy()
        depth_m = (view.depth * (view.alpha >= MIN_ALPHA)).cpu().numpy()
        mask = finished.mask(finished.sounding_ids, pose.camera, pose.T_map_camera)
        name = f"{pose.name}.png"
        _write(out / "rgb" / name, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        _write(out / "depth" / name, np.clip(depth_m * DEPTH_SCALE, 0, 65535).astype(np.uint16))
        _write(out / "mask" / name, mask.astype(np.uint8) * 255)


def _write(path: Path, image: np.ndarray) -> None:
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), image):
            raise FolderError(f"{path}: cannot be written")
