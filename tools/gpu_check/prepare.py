"""Preparation of frames for a machine without data and without the packages that read them.

Runs on a development machine with the whole package installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from echoseg_ros.types import Camera, CameraFrame, DepthData, ImageData, PoseData
from gpu_check.frames import write_frames


def prepare(out: Path, frames: Iterable[CameraFrame], width: int, height: int, every: int, count: int | None) -> int:
    """Write every `every`-th frame, at most `count`, at a size into the folder `out`; returns the number of frames."""
    chosen = islice(islice(frames, 0, None, every), count)
    fitted = (replace(fit(frame, width, height), index=i) for i, frame in enumerate(chosen))
    return write_frames(out, fitted)


def rgbd_frames(folder: Path) -> Iterator[CameraFrame]:
    """The frames of an RGB-D folder. Raises FolderError."""
    from echoseg_ros.io.rgbd_folder import RgbdFolder

    recording = RgbdFolder(folder)
    return (recording.frame(i) for i in range(len(recording)))


def bag_frames(bag: Path) -> Iterator[CameraFrame]:
    """The posed frames with depth of a bag. Raises BagError."""
    from echoseg_ros.config import InputConfig
    from echoseg_ros.io.bag import BagReader
    from echoseg_ros.pipeline.frame_assembler import FrameAssembler

    assembler = FrameAssembler(InputConfig())
    for item in BagReader(bag, require=("image", "camera_info", "pose", "depth")).messages():
        if isinstance(item, (Camera, ImageData, DepthData, PoseData)):
            yield from assembler.add(item)


def room_frames(seed: int, width: int, height: int) -> Iterator[CameraFrame]:
    """The frames of a simulated room, rendered at this size: 20 s at 10 Hz."""
    from echoseg_sim.recordings.room_recording import camera_of, make_scenario, render_frames

    return render_frames(make_scenario(seed), camera_of((width, height)), seed)


def fit(frame: CameraFrame, width: int, height: int) -> CameraFrame:
    """The frame at another size: cropped around the centre to the aspect ratio, then resized.

    Depth is resized to the nearest reading and never averaged across an edge.
    """
    import cv2

    camera = frame.camera
    if (camera.width, camera.height) == (width, height):
        return frame
    share = min(camera.width / width, camera.height / height)
    cut_width, cut_height = round(width * share), round(height * share)
    left, top = (camera.width - cut_width) // 2, (camera.height - cut_height) // 2
    window = (slice(top, top + cut_height), slice(left, left + cut_width))
    cut = Camera(cut_width, cut_height, camera.fx, camera.fy, camera.cx - left, camera.cy - top)
    how = cv2.INTER_AREA if share >= 1 else cv2.INTER_LINEAR
    rgb = cv2.resize(np.ascontiguousarray(frame.rgb[window]), (width, height), interpolation=how)
    depth_m = None
    if frame.depth_m is not None:
        depth_m = cv2.resize(
            np.ascontiguousarray(frame.depth_m[window]), (width, height), interpolation=cv2.INTER_NEAREST
        )
    return replace(
        frame, camera=cut.resized(width, height), rgb=np.asarray(rgb, np.uint8),
        depth_m=None if depth_m is None else np.asarray(depth_m, np.float32),
    )  # fmt: skip
