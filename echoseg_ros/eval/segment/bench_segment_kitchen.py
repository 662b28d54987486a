"""The recorded kitchen: each object sounds in one run, and its mask in that run is compared with the truth.

Truth masks were drawn by hand on ten images of each object (docs/segmentation.md). They are in the repository, not in
the package; without them or the recording, the rows give the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.bench import Row
from echoseg_ros.eval.segment.scene_run import code_digest
from echoseg_ros.eval.segment.segmentation_metrics import avsbench_iou
from echoseg_ros.io.files import read_json, write_json
from echoseg_ros.io.rgbd_folder import RgbdFolder
from echoseg_ros.pipeline.replay import ReplayOptions, bag_config
from echoseg_ros.report.run_bag import run_bag
from echoseg_ros.report.run_folder import RunFolder

KITCHEN = "kitchen"
TRUTH_FILE = Path("docs/kitchen_masks.json")
SOUND = "builtin:pink"
# Length of each recording, seconds.
SECONDS = 20.0


def kitchen_rows(data: Path | None, runs: Path, truth_file: Path = TRUTH_FILE) -> list[Row]:
    """A row for each object: case "kitchen/NAME", mask_iou (mean over views), views; or one row with the reason for none.

    data: the folder of recordings or None; runs: folder of bags and runs. Missing bags and runs, and runs of other code,
    are made.
    """
    if data is None or not (data / "real_kitchen").is_dir():
        return [{"case": KITCHEN, "skipped": "no recording real_kitchen (--data, ECHOSEG_TEST_DATA)"}]
    if not truth_file.exists():
        return [{"case": KITCHEN, "skipped": f"no truth masks of the kitchen's objects ({truth_file})"}]
    recording = RgbdFolder(data / "real_kitchen")
    return [
        _row(name, outlines, recording, _kitchen_run(name, recording, runs / KITCHEN))
        for name, outlines in read_json(truth_file).items()
    ]


def _kitchen_run(name: str, recording: RgbdFolder, folder: Path) -> RunFolder:
    """The run of a bag in which the object sounds; made if it is missing or was made by other code."""
    from echoseg_sim.recordings.rgbd_recording import SourceSpec, simulate_rgbd  # here: the simulator needs open3d

    bag, out, made = folder / f"{name}_bag", folder / name, folder / f"{name}_made.json"
    if not bag.exists():
        simulate_rgbd(recording.path, bag, [SourceSpec(name, SOUND)], seconds=SECONDS, progress=False)
    if not made.exists() or read_json(made)["key"] != code_digest():
        run_bag(bag, out, bag_config(bag), f"echoseg run {bag.name} --out {out.name}", ReplayOptions(progress=False))
        write_json(made, {"key": code_digest()})
    return RunFolder(out)


def _row(name: str, outlines: dict[str, Any], recording: RgbdFolder, run: RunFolder) -> Row:
    ious = []
    for frame, outline in outlines.items():
        truth = fill_polygon(outline, recording.camera.height, recording.camera.width)
        T_map_camera = run.T_map_world @ recording.pose_world(recording.names.index(frame))
        ious.append(avsbench_iou(run.mask(run.sounding_ids[:1], recording.camera, T_map_camera), truth))
    return {"case": f"{KITCHEN}/{name}", "mask_iou": float(np.mean(ious)), "worst_iou": min(ious), "views": len(ious)}


def fill_polygon(outline: list[list[float]], height: int, width: int) -> NDArray[np.bool_]:
    """[H, W] inside of a polygon; outline: [P, 2] x and y in pixels."""
    image = np.zeros((height, width), np.uint8)
    cv2.fillPoly(image, [np.round(outline).astype(np.int32)], 1)
    return image > 0
