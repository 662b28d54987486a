"""Completion of the folder of a finished run: the truth, the metrics that need it, the pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from echoseg_ros.config import InputConfig
from echoseg_ros.errors import EchosegError
from echoseg_ros.io.bag import BagReader
from echoseg_ros.io.files import write_json, write_text
from echoseg_ros.pipeline.frame_assembler import FrameAssembler
from echoseg_ros.report.metrics import compare_with_truth
from echoseg_ros.report.pictures import write_pictures
from echoseg_ros.report.run_folder import RunFolder
from echoseg_ros.report.summary import summary_table
from echoseg_ros.types import Camera, CameraFrame, Float64Array, ImageData, PoseData


def complete_run_folder(out: Path, bag: Path, extra_metrics: dict[str, Any] | None = None) -> str:
    """Add truth.json, the metrics against it and the pictures to the folder of a run.

    bag: the recording of the run; extra_metrics: further entries of metrics.json. Returns the summary for the terminal.
    """
    truth = Path(bag) / "truth.json"
    if truth.exists():
        write_text(out / "truth.json", truth.read_text())
    run = RunFolder(out)
    metrics = {**run.metrics, **(extra_metrics or {})}
    if run.truth is not None:
        metrics.update(asdict(compare_with_truth(run.objects, run.truth, run.timeline)))
    write_json(out / "metrics.json", metrics)
    frames, positions_m = bag_frames(bag)
    write_pictures(run, frames, positions_m)
    return summary_table(metrics, run)


def bag_frames(bag: Path, count: int = 40) -> tuple[list[CameraFrame], Float64Array]:
    """About `count` frames spread evenly over a bag, and the camera positions [F, 3] of all frames."""
    reader = BagReader(bag, require=("image", "camera_info", "pose"))
    stride = max(1, reader.counts[reader.topics.image] // count)
    assembler = FrameAssembler(InputConfig(), use_depth=False)
    frames: list[CameraFrame] = []
    positions_m: list[Float64Array] = []
    for item in reader.messages():
        if isinstance(item, Camera | ImageData | PoseData):
            try:
                ready = assembler.add(item)
            except EchosegError:  # the run has reported it
                continue
            positions_m += [frame.T_map_camera[:3, 3] for frame in ready]
            frames += [frame for frame in ready if frame.index % stride == 0]
    return frames, np.array(positions_m).reshape(-1, 3)
