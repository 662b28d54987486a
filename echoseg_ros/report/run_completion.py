"""What is added to a run once it is over: the truth, the figures that need it, the pictures, a table for the terminal."""

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
from echoseg_ros.types import Camera, CameraFrame, Float64Array, ImageData, PoseData


def complete_run_folder(out: Path, bag: Path, extra_metrics: dict[str, Any] | None = None) -> str:
    """Complete the folder of a run; returns its table for the terminal."""
    truth = Path(bag) / "truth.json"
    if truth.exists():
        write_text(out / "truth.json", truth.read_text())
    run = RunFolder(out)
    metrics = {**run.metrics, **(extra_metrics or {})}
    if run.truth is not None:
        metrics.update(asdict(compare_with_truth(run.objects, run.truth, run.timeline)))
    write_json(out / "metrics.json", metrics)
    frames, path_m = bag_frames(bag)
    write_pictures(run, frames, path_m)
    return table(metrics, run)


def bag_frames(bag: Path, count: int = 40) -> tuple[list[CameraFrame], Float64Array]:
    """About `count` posed frames spread over a bag, and the camera positions [F, 3] of all frames."""
    reader = BagReader(bag, require=("image", "camera_info", "pose"))
    stride = max(1, reader.counts[reader.topics.image] // count)
    assembler = FrameAssembler(InputConfig(), use_depth=False)
    frames: list[CameraFrame] = []
    positions_m: list[Float64Array] = []
    for item in reader.messages():
        if isinstance(item, Camera | ImageData | PoseData):
            try:
                ready = assembler.add(item)
            except EchosegError:  # the run has already said what is wrong with the bag
                continue
            positions_m += [frame.T_map_camera[:3, 3] for frame in ready]
            frames += [frame for frame in ready if frame.index % stride == 0]
    return frames, np.array(positions_m).reshape(-1, 3)


def table(metrics: dict[str, Any], run: RunFolder) -> str:
    """The run in a few lines for a person."""
    rows = [("sounding objects", _objects_text(run)), *_truth_rows(metrics)]
    frames, audio, latency = metrics["frames"], metrics["audio"], metrics["latency_ms"]
    rows += [
        ("map", f"{metrics['gaussians']} Gaussians, {len(run.objects['instances'])} instances"),
        ("held-out views", "none" if metrics["psnr_db"] is None else f"PSNR {metrics['psnr_db']:.1f} dB"),
        ("frames", f"{frames['received']} received, {frames['keyframes']} keyframes, {frames['dropped']} dropped"),
        ("audio", f"{audio['received_s']:.1f} s received, {audio['dropped_s']:.1f} s dropped"),
        ("real-time factor", f"{metrics['realtime_factor']}"),
    ]
    if latency:
        rows.append(
            ("latency", f"p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms, p99 {latency['p99']:.0f} ms")
        )
    rows += [("peak memory", f"{metrics['peak_rss_mb']:.0f} MB"), ("files", str(run.path))]
    width = max(len(name) for name, _ in rows)
    line = "-" * (width + 60)
    return "\n".join([line, *(f"{name:<{width}}  {text}" for name, text in rows), line])


def _objects_text(run: RunFolder) -> str:
    entries = run.objects["objects"]
    if not entries:
        return "none" + (" (a source elsewhere)" if run.objects["sources"] else "")
    return "; ".join(f"{e['label']} at {_point(e['position_m'])}, {e['probability']:.0%}" for e in entries)


def _point(position_m: list[float]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in position_m) + ") m"


def _truth_rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    if "false_objects" not in metrics:
        return []
    if metrics["correct_object"] is None:
        return [("truth", f"silence; {metrics['false_objects']} false sounding objects")]
    error, iou, time_s = metrics["source_error_m"], metrics["box_iou"], metrics["time_to_right_s"]
    return [
        ("right object", "yes" if metrics["correct_object"] else "NO"),
        ("source error", "missed" if error is None else f"{error:.3f} m"),
        ("box IoU", "-" if iou is None else f"{iou:.2f}"),
        ("right after", "never" if time_s is None else f"{time_s:.1f} s"),
    ]
