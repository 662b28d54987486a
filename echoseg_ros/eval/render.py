"""A finished run drawn from given poses: colour, depth, and the mask of what sounds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from echoseg_ros.errors import FolderError
from echoseg_ros.io.files import replacing
from echoseg_ros.io.rgbd_folder import RgbdFolder
from echoseg_ros.io.run_folder import RunFolder

# Depth images are written like those of an RGB-D folder: 16 bit, this many units a metre, 0 = nothing there.
DEPTH_SCALE = 1000.0
MIN_ALPHA = 0.5


def render_run(run: Path, rgbd: Path, out: Path, progress: bool = True) -> None:
    """Write OUT/{rgb,depth,mask}/FRAME.png at the folder's full size for each of its poses.

    The folder's world is brought into the run's map by the T_map_world that the run was made with.
    """
    finished, folder = RunFolder(run), RgbdFolder(rgbd)
    for i in tqdm(range(len(folder)), desc="render", unit="view", disable=not progress):
        T_map_camera = finished.T_map_world @ folder.pose_world(i)
        view = finished.mapper.render(folder.camera, T_map_camera)
        rgb = (view.rgb.clamp(0, 1) * 255).round().byte().cpu().numpy()
        depth_m = (view.depth * (view.alpha >= MIN_ALPHA)).cpu().numpy()
        mask = finished.mask(finished.sounding_ids, folder.camera, T_map_camera)
        name = f"{folder.names[i]}.png"
        _write(out / "rgb" / name, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        _write(out / "depth" / name, np.clip(depth_m * DEPTH_SCALE, 0, 65535).astype(np.uint16))
        _write(out / "mask" / name, mask.astype(np.uint8) * 255)


def _write(path: Path, image: np.ndarray) -> None:
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), image):
            raise FolderError(f"{path}: cannot be written")
