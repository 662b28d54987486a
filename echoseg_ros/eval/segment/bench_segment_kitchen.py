"""The recorded kitchen: each of its objects sounds once, and the mask that a run gives it is held against a drawn one.

The truth is drawn by hand on ten images an object (docs/segmentation.md says how) and lies in the repository, not in the
package: without it, as without the recording, the rows say so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.segment.scene_run import code_digest
from echoseg_ros.eval.segment.segmentation_metrics import avsbench_iou
from echoseg_ros.io.files import read_json, write_json
from echoseg_ros.io.rgbd_folder import RgbdFolder
from echoseg_ros.pipeline.replay import ReplayOptions, bag_config
from echoseg_ros.report.run_bag import run_bag
from echoseg_ros.report.run_folder import RunFolder

KITCHEN, TRUTH_FILE = "kitchen", Path("docs/kitchen_masks.json")
SOUND, SECONDS = "builtin:pink", 20.0


def kitchen_rows(data: Path | None, runs: Path, truth_file: Path = TRUTH_FILE) -> list[dict[str, Any]]:
    """A row for each object: case "kitchen/NAME", mask_iou (mean over views), views; or one that says why there is none.

    data: the folder of recordings or None; runs: where bags and runs are kept, made anew if missing, runs also by other code.
    """
    if data is None or not (data / "real_kitchen").is_dir():
        return [{"case": KITCHEN, "skipped": "no recording real_kitchen (--data, ECHOSEG_TEST_DATA)"}]
    if not truth_file.exists():
        return [{"case": KITCHEN, "skipped": f"no truth masks of the kitchen's objects ({truth_file})"}]
    recording = RgbdFolder(data / "real_kitchen")
    return [
        _row(name, outlines, recording, _run_of(name, recording, runs / KITCHEN))
        for name, outlines in read_json(truth_file).items()
    ]


def _run_of(name: str, recording: RgbdFolder, folder: Path) -> RunFolder:
    """The run of a bag in which the object sounds, made if it is not there, or was made by other code."""
    from echoseg_sim.recordings.rgbd_recording import SourceSpec, simulate_rgbd  # here: the simulator needs open3d

    bag, out, made = folder / f"{name}_bag", folder / name, folder / f"{name}_made.json"
    if not bag.exists():
        simulate_rgbd(recording.path, bag, [SourceSpec(name, SOUND)], seconds=SECONDS, progress=False)
    if not made.exists() or read_json(made)["key"] != code_digest():
        run_bag(bag, out, bag_config(bag), f"echoseg run {bag.name} --out {out.name}", ReplayOptions(progress=False))
        write_json(made, {"key": code_digest()})
    return RunFolder(out)


def _row(name: str, outlines: dict[str, Any], recording: RgbdFolder, run: RunFolder) -> dict[str, Any]:
    ious = []
    for frame, outline in outlines.items():
        truth = filled(outline, recording.camera.height, recording.camera.width)
        T_map_camera = run.T_map_world @ recording.pose_world(recording.names.index(frame))
        ious.append(avsbench_iou(run.mask(run.sounding_ids[:1], recording.camera, T_map_camera), truth))
    return {"case": f"{KITCHEN}/{name}", "mask_iou": float(np.mean(ious)), "worst_iou": min(ious), "views": len(ious)}


def filled(outline: list[list[float]], height: int, width: int) -> NDArray[np.bool_]:
    """[H, W] the inside of a polygon [P, 2] of x and y in pixels."""
    image = np.zeros((height, width), np.uint8)
    cv2.fillPoly(image, [np.round(outline).astype(np.int32)], 1)
    return image > 0
