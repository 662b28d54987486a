"""Pictures of masks beside the truth: best, median and worst view of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from echoseg_ros.errors import FolderError
from echoseg_ros.eval.bench import Row
from echoseg_ros.eval.picture_files import write_png
from echoseg_ros.eval.segment.evaluate_scene import mask_file
from echoseg_ros.eval.segment.scene_views import EvalScene, View
from echoseg_ros.report.draw import caption, colour, tint
from echoseg_ros.types import RgbImage

# Colours of the truth and of the method's mask.
_TRUTH_COLOUR = colour(2)
_MASK_COLOUR = colour(0)
# Width of the gap between both halves, px.
_GAP_PX = 4


def write_example_views(
    out: Path, scenes: Mapping[str, Path], rows: Sequence[Row], methods: Sequence[str]
) -> list[Path]:
    """Write OUT/pictures/METHOD_{best,median,worst}.png, chosen among views that show the object; returns the files."""
    files = []
    for method in methods:
        for name, (row, view) in example_views(rows, method).items():
            file = out / "pictures" / f"{method}_{name}.png"
            write_png(file, side_by_side(out, EvalScene(scenes[row["scene"]]), row, view))
            files.append(file)
    return files


def example_views(rows: Sequence[Row], method: str) -> dict[str, tuple[Row, Row]]:
    """(row of the scene, score of the view) of the best, median and worst IoU among views that show the object."""
    visible = [
        (row, view) for row in rows if row["method"] == method for view in row["views"] if view["truth_share"] > 0
    ]
    ordered = sorted(visible, key=lambda pair: (-pair[1]["iou"], pair[0]["scene"], pair[1]["name"]))
    if not ordered:
        return {}
    return {"best": ordered[0], "median": ordered[len(ordered) // 2], "worst": ordered[-1]}


def side_by_side(out: Path, scene: EvalScene, row: Row, score: Row) -> RgbImage:
    """[H, 2 W + gap, 3] the view with the truth and with the mask of a method."""
    view = next(view for view in scene.test if view.name == score["name"])
    rgb = _resized(view, scene.data.picture(view.frame)[0])
    mask = cv2.imread(str(mask_file(out, row["method"], row["scene"], view.name)), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise FolderError(f"{mask_file(out, row['method'], row['scene'], view.name)}: not a readable image")
    halves = [tint(rgb, scene.truth_mask(view), _TRUTH_COLOUR), tint(rgb, np.asarray(mask) > 127, _MASK_COLOUR)]
    for half, text, ink in zip(
        halves, ("truth", f"{row['method']}, IoU {score['iou']:.2f}"), (_TRUTH_COLOUR, _MASK_COLOUR), strict=True
    ):
        caption(half, text, (4, 0), ink)
    gap = np.full((rgb.shape[0], _GAP_PX, 3), 255, np.uint8)
    both = np.concatenate([halves[0], gap, halves[1]], axis=1)
    caption(both, f"{row['scene']}, {view.name}", (4, both.shape[0]), (255, 255, 255))
    return both


def _resized(view: View, rgb: RgbImage) -> RgbImage:
    size = (view.camera.width, view.camera.height)
    return (
        rgb if (rgb.shape[1], rgb.shape[0]) == size else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    )
