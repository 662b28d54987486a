"""Mask backends against the truth of rooms that none has seen: what is found, how sharply, and what is made up.

    python -m train_masks.evaluate --views DIR --maps DIR [--backends geometric,network --limit 400 --weights FILE]

DIR: folders of make_views.py and make_maps.py with seeds of their own (from 90000 on). Views are given to the backends as
a depth camera would deliver them, at the size of the map's keyframes; maps as the pipeline does without one. Objects of
at least 25 visible pixels that the image's border does not cut count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

import echoseg_ros.masks.network.network_masks as network_module
from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.factory import make_masks
from echoseg_ros.types import CameraFrame
from echoseg_ros.units import scaled_pose
from echoseg_sim.rooms.render import DEPTH_RANGE_M, RenderedView, simulate_sensor
from train_masks.samples import View, load_views

LEAST_PX = 25
SIZES_PX = ((25, 100), (100, 400), (400, 100_000))
_COLUMNS = (
    "depth", "backend", "views", "recall 0.5", "recall 0.75", "precision 0.5", "mean IoU", "IoU 25..100 px",
    "IoU 100..400 px", "IoU from 400 px", "pieces an object", "made up a view", "ms a view",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=Path)
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--backends", default="geometric,network")
    parser.add_argument("--limit", type=int, default=300, help="views of each sort")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    if arguments.weights:
        network_module.WEIGHTS_FILE = arguments.weights
    print("| " + " | ".join(_COLUMNS) + " |")
    print("| --- " * len(_COLUMNS) + "|")
    for sort, folder in (("sensor", arguments.views), ("map", arguments.maps)):
        if folder is None:
            continue
        for name in arguments.backends.split(","):
            print(row_of(sort, name, list(_frames(folder, sort, arguments.limit)), arguments.pictures), flush=True)


def row_of(sort: str, name: str, frames: list, pictures: Path | None) -> str:  # type: ignore[type-arg]
    """A line of the table."""
    backend = make_masks(MaskConfig(backend=name))
    backend.propose(*frames[0][:3])
    best, sizes, pieces, made_up, right, proposed, spent_s = [], [], [], 0, 0, 0, 0.0
    for number, (frame, depth, alpha, ids) in enumerate(frames):
        start = time.process_time()
        labels = backend.propose(frame, depth, alpha).labels
        spent_s += time.process_time() - start
        scores = _scores(labels, ids)
        best += scores["best"]
        sizes += scores["sizes"]
        pieces += scores["pieces"]
        made_up += scores["made_up"]
        right += scores["right"]
        proposed += scores["proposed"]
        if pictures is not None and number % max(len(frames) // 24, 1) == 0:
            _draw(pictures / f"{sort}_{number:04d}_{name}.png", frame, labels, ids)
    iou, size = np.array(best), np.array(sizes)
    by_size = [
        iou[(size >= low) & (size < high)].mean() if ((size >= low) & (size < high)).any() else np.nan
        for low, high in SIZES_PX
    ]
    values = [
        (iou >= 0.5).mean(),
        (iou >= 0.75).mean(),
        right / max(proposed, 1),
        iou.mean(),
        *by_size,
        np.mean(pieces),
    ]
    cells = [sort, name, str(len(frames)), *(f"{value:.3f}" for value in values), f"{made_up / len(frames):.2f}"]
    return "| " + " | ".join([*cells, f"{1000 * spent_s / len(frames):.0f}"]) + " |"


def _frames(
    folder: Path, sort: str, limit: int
) -> Iterator[tuple[CameraFrame, np.ndarray | None, np.ndarray | None, np.ndarray]]:
    files = [file for file in sorted(folder.glob("[0-9]*.npz")) if ".part" not in file.name]
    every = [view for file in files for view in load_views(file)]
    chosen = [every[i] for i in np.linspace(0, len(every) - 1, min(limit, len(every))).astype(int)]
    for number, view in enumerate(chosen):
        yield _given(view, sort, number)


def _given(view: View, sort: str, number: int) -> tuple[CameraFrame, np.ndarray | None, np.ndarray | None, np.ndarray]:
    """What the pipeline would give a backend, and the truth."""
    ids = view.ids.astype(np.int32)
    if sort == "map":
        pose = scaled_pose(view.T_map_camera, view.scale)
        frame = CameraFrame(number, number, view.camera, view.rgb, None, pose)
        assert view.map_depth_m is not None and view.alpha is not None
        return (
            frame,
            view.map_depth_m.astype(np.float32) * np.float32(view.scale),
            view.alpha.astype(np.float32) / 255,
            ids,
        )
    rendered = RenderedView(view.rgb, view.depth_m.astype(np.float32), ids)
    rgb, depth = simulate_sensor(rendered, np.random.default_rng(number))
    assert depth.max() < DEPTH_RANGE_M[1] + 0.2
    return CameraFrame(number, number, view.camera, rgb, depth, view.T_map_camera), None, None, ids


def _scores(labels: np.ndarray, ids: np.ndarray) -> dict:  # type: ignore[type-arg]
    """best: IoU of each object's best proposal; pieces: proposals that lie mostly in it; right: proposals of IoU 0.5."""
    count, objects = int(labels.max(initial=0)), int(ids.max(initial=0))
    shared = np.zeros((objects + 1, count + 1))
    np.add.at(shared, (np.maximum(ids, 0).ravel(), np.maximum(labels, 0).ravel()), 1)
    of_object, of_label = shared.sum(axis=1), shared.sum(axis=0)
    iou = shared / np.maximum(of_object[:, None] + of_label[None] - shared, 1)
    rim = np.unique(np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]]))
    counted = [k for k in range(1, objects + 1) if of_object[k] >= LEAST_PX and k not in rim]
    inside = shared[1:, 1:] > 0.5 * of_label[None, 1:]
    matched = iou[1:, 1:].max(axis=0, initial=0) if objects else np.zeros(count)
    # A proposal on a thing that does not count is neither right nor wrong.
    main = shared[:, 1:].argmax(axis=0)
    judged = [k for k in range(count) if main[k] == 0 or main[k] in counted]
    return {
        "best": [float(iou[k, 1:].max(initial=0)) for k in counted],
        "sizes": [int(of_object[k]) for k in counted],
        "pieces": [int(inside[k - 1].sum()) for k in counted if inside[k - 1].any()],
        "made_up": sum(1 for k in judged if shared[0, k + 1] > 0.5 * of_label[k + 1]),
        "right": sum(1 for k in judged if matched[k] >= 0.5),
        "proposed": len(judged),
    }


def _draw(file: Path, frame: CameraFrame, labels: np.ndarray, ids: np.ndarray) -> None:
    def coloured(image: np.ndarray) -> np.ndarray:
        colours = cv2.applyColorMap(((image * 67) % 255).astype(np.uint8), cv2.COLORMAP_HSV)
        mixed = (0.45 * frame.rgb[..., ::-1] + 0.55 * colours).astype(np.uint8)
        mixed[image == 0] = frame.rgb[..., ::-1][image == 0] // 2
        mixed[image < 0] = (128, 128, 128)
        return mixed

    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.hstack([frame.rgb[..., ::-1], coloured(np.maximum(ids, 0)), coloured(labels)]))


if __name__ == "__main__":
    main()
