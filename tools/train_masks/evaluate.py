"""Evaluation of mask backends against the truth in rooms that are not in the training.

    python -m train_masks.evaluate --views DIR --maps DIR [--backends geometric,network --limit 400 --weights FILE]

DIR: folders of make_views.py and make_maps.py with seeds from 90000. Backends get views with the depth of a simulated sensor
at the size of the map's keyframes, and maps with the rendered depth as in the pipeline without a depth sensor. Objects with
at least 25 visible pixels that the image's border does not cut are counted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.masks.factory import make_masks
from echoseg_ros.masks.network.network_masks import NetworkMasks
from echoseg_ros.masks.protocol import MaskBackend
from echoseg_ros.types import CameraFrame, FloatImage, RgbImage
from echoseg_ros.units import scaled_pose
from echoseg_sim.rooms.render import DEPTH_RANGE_M, RenderedView, simulate_sensor
from train_masks.samples import View, load_views

# Least number of visible pixels of an object that is counted.
LEAST_PX = 25
# Classes of an object's visible pixels.
SIZES_PX = ((25, 100), (100, 400), (400, 100_000))
# Pictures that are drawn for each table row.
_PICTURES = 24
# Columns of the table.
_COLUMNS = (
    "depth", "backend", "views", "recall 0.5", "recall 0.75", "precision 0.5", "mean IoU", "IoU 25..100 px",
    "IoU 100..400 px", "IoU from 400 px", "proposals per object", "false proposals per view", "ms per view",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class BackendInput:
    """Input of a mask backend, and the truth. depth_m, alpha: [H, W] of a map, or None; ids: [H, W] object numbers."""

    frame: CameraFrame
    depth_m: FloatImage | None
    alpha: FloatImage | None
    ids: NDArray[np.int32]


@dataclass
class Scores:
    """Scores of proposals in one or more views.

    best_iou, sizes_px: IoU of the best proposal and visible pixels of each counted object; proposals_per_object: proposals
    that lie mostly in an object, for objects that have any; right: proposals with an IoU of at least 0.5; false: proposals
    that lie mostly outside of all objects; counted: proposals that are right, false or neither, without those on objects
    that are not counted.
    """

    best_iou: list[float] = field(default_factory=list)
    sizes_px: list[int] = field(default_factory=list)
    proposals_per_object: list[int] = field(default_factory=list)
    right: int = 0
    false: int = 0
    counted: int = 0

    def add(self, other: Scores) -> None:
        """Add the scores of another view."""
        self.best_iou += other.best_iou
        self.sizes_px += other.sizes_px
        self.proposals_per_object += other.proposals_per_object
        self.right += other.right
        self.false += other.false
        self.counted += other.counted


def main() -> None:
    """Print the table of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=Path)
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--backends", default="geometric,network")
    parser.add_argument("--limit", type=int, default=300, help="views of each kind of depth")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    print("| " + " | ".join(_COLUMNS) + " |")
    print("| --- " * len(_COLUMNS) + "|")
    for sort, folder in (("sensor", arguments.views), ("map", arguments.maps)):
        if folder is None:
            continue
        for name in arguments.backends.split(","):
            views = list(_inputs(folder, sort, arguments.limit))
            backend = _make_backend(name, arguments.weights)
            print(table_row(sort, name, backend, views, arguments.pictures), flush=True)


def _make_backend(name: str, weights: Path | None) -> MaskBackend:
    """The backend of a name; the network with other weights if they are given. Raises BackendError."""
    config = MaskConfig(backend=name)
    return NetworkMasks(config, weights) if name == "network" and weights is not None else make_masks(config)


def table_row(sort: str, name: str, backend: MaskBackend, views: Sequence[BackendInput], pictures: Path | None) -> str:
    """A row of the table: the scores of a backend in views of one kind of depth; also draws pictures if a folder is given."""
    backend.propose(views[0].frame, views[0].depth_m, views[0].alpha)
    spent_s, total = 0.0, Scores()
    for number, view in enumerate(views):
        start = time.process_time()
        labels = backend.propose(view.frame, view.depth_m, view.alpha).labels
        spent_s += time.process_time() - start
        total.add(scores_of(labels, view.ids))
        if pictures is not None and number % max(len(views) // _PICTURES, 1) == 0:
            _draw(pictures / f"{sort}_{number:04d}_{name}.png", view.frame, labels, view.ids)
    iou, size = np.array(total.best_iou), np.array(total.sizes_px)
    by_size = [
        iou[(size >= low) & (size < high)].mean() if ((size >= low) & (size < high)).any() else np.nan
        for low, high in SIZES_PX
    ]
    values = [
        (iou >= 0.5).mean(),
        (iou >= 0.75).mean(),
        total.right / max(total.counted, 1),
        iou.mean(),
        *by_size,
        np.mean(total.proposals_per_object),
    ]
    cells = [sort, name, str(len(views)), *(f"{value:.3f}" for value in values), f"{total.false / len(views):.2f}"]
    return "| " + " | ".join([*cells, f"{1000 * spent_s / len(views):.0f}"]) + " |"


def _inputs(folder: Path, sort: str, limit: int) -> Iterator[BackendInput]:
    """Inputs of at most `limit` views in a folder, evenly chosen."""
    files = [file for file in sorted(folder.glob("[0-9]*.npz")) if ".part" not in file.name]
    every = [view for file in files for view in load_views(file)]
    chosen = [every[i] for i in np.linspace(0, len(every) - 1, min(limit, len(every))).astype(int)]
    for number, view in enumerate(chosen):
        yield _input(view, sort, number)


def _input(view: View, sort: str, number: int) -> BackendInput:
    """Input of a backend as in the pipeline, with the truth. sort: "map" or "sensor"."""
    ids = view.ids.astype(np.int32)
    if sort == "map":
        pose = scaled_pose(view.T_map_camera, view.scale)
        frame = CameraFrame(number, number, view.camera, view.rgb, None, pose)
        assert view.map_depth_m is not None and view.alpha is not None
        map_depth_m = view.map_depth_m.astype(np.float32) * np.float32(view.scale)
        return BackendInput(frame, map_depth_m, view.alpha.astype(np.float32) / np.float32(255), ids)
    rendered = RenderedView(view.rgb, view.depth_m.astype(np.float32), ids)
    rgb, depth = simulate_sensor(rendered, np.random.default_rng(number))
    assert depth.max() < DEPTH_RANGE_M[1] + 0.2
    return BackendInput(CameraFrame(number, number, view.camera, rgb, depth, view.T_map_camera), None, None, ids)


def scores_of(labels: NDArray[np.int32], ids: NDArray[np.int32]) -> Scores:
    """Scores of a label image [H, W] against object numbers [H, W]."""
    count, objects = int(labels.max(initial=0)), int(ids.max(initial=0))
    shared = np.zeros((objects + 1, count + 1))
    np.add.at(shared, (np.maximum(ids, 0).ravel(), np.maximum(labels, 0).ravel()), 1)
    of_object, of_label = shared.sum(axis=1), shared.sum(axis=0)
    iou = shared / np.maximum(of_object[:, None] + of_label[None] - shared, 1)
    at_border = np.unique(np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]]))
    counted = [k for k in range(1, objects + 1) if of_object[k] >= LEAST_PX and k not in at_border]
    inside = shared[1:, 1:] > 0.5 * of_label[None, 1:]
    matched = iou[1:, 1:].max(axis=0, initial=0) if objects else np.zeros(count)
    # A proposal on an object that is not counted is neither right nor wrong.
    main_object = shared[:, 1:].argmax(axis=0)
    counted_proposals = [k for k in range(count) if main_object[k] == 0 or main_object[k] in counted]
    return Scores(
        best_iou=[float(iou[k, 1:].max(initial=0)) for k in counted],
        sizes_px=[int(of_object[k]) for k in counted],
        proposals_per_object=[int(inside[k - 1].sum()) for k in counted if inside[k - 1].any()],
        false=sum(1 for k in counted_proposals if shared[0, k + 1] > 0.5 * of_label[k + 1]),
        right=sum(1 for k in counted_proposals if matched[k] >= 0.5),
        counted=len(counted_proposals),
    )


def _draw(file: Path, frame: CameraFrame, labels: NDArray[np.int32], ids: NDArray[np.int32]) -> None:
    """Write a picture: the image, the truth and the proposals side by side."""

    def coloured(image: NDArray[np.int32]) -> RgbImage:
        colours = cv2.applyColorMap(((image * 67) % 255).astype(np.uint8), cv2.COLORMAP_HSV)
        mixed: RgbImage = (0.45 * frame.rgb[..., ::-1] + 0.55 * colours).astype(np.uint8)
        mixed[image == 0] = frame.rgb[..., ::-1][image == 0] // 2
        mixed[image < 0] = (128, 128, 128)
        return mixed

    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.hstack([frame.rgb[..., ::-1], coloured(np.maximum(ids, 0)), coloured(labels)]))


if __name__ == "__main__":
    main()
