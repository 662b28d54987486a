"""Pictures of masks beside the truth: a method's best, median and worst views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import FolderError
from echoseg_ros.eval.segment.evaluate_scene import Row, mask_file
from echoseg_ros.eval.segment.scene_views import EvalScene, View
from echoseg_ros.io.files import replacing
from echoseg_ros.report.draw import caption, colour, tint
from echoseg_ros.types import RgbImage

_TRUTH, _FOUND = colour(2), colour(0)
_GAP_PX = 4


def write_examples(out: Path, scenes: Mapping[str, Path], rows: Sequence[Row], methods: Sequence[str]) -> list[Path]:
    """Write OUT/pictures/METHOD_{best,median,worst}.png, of all views that show the object; returns the files."""
    files = []
    for method in methods:
        for name, (row, view) in examples(rows, method).items():
            file = out / "pictures" / f"{method}_{name}.png"
            _write(file, side_by_side(out, EvalScene(scenes[row["scene"]]), row, view))
            files.append(file)
    return files


def examples(rows: Sequence[Row], method: str) -> dict[str, tuple[Row, dict[str, float]]]:
    """The scene's row and the view's score of the best, the median and the worst IoU among visible views."""
    seen = [(row, view) for row in rows if row["method"] == method for view in row["views"] if view["truth_share"] > 0]
    ordered = sorted(seen, key=lambda pair: (-pair[1]["iou"], pair[0]["scene"], pair[1]["name"]))
    if not ordered:
        return {}
    return {"best": ordered[0], "median": ordered[len(ordered) // 2], "worst": ordered[-1]}


def side_by_side(out: Path, scene: EvalScene, row: Row, score: Mapping[str, float]) -> RgbImage:
    """[H, 2 W + gap, 3] the view with the truth, and with what was found."""
    view = next(view for view in scene.test if view.name == score["name"])
    rgb = _at_size_of(view, scene.data.picture(view.frame)[0])
    found = cv2.imread(str(mask_file(out, row["method"], row["scene"], view.name)), cv2.IMREAD_GRAYSCALE)
    if found is None:
        raise FolderError(f"{mask_file(out, row['method'], row['scene'], view.name)}: not a readable image")
    halves = [tint(rgb, scene.truth_mask(view), _TRUTH), tint(rgb, found > 127, _FOUND)]
    for half, text, ink in zip(
        halves, ("truth", f"{row['method']}, IoU {score['iou']:.2f}"), (_TRUTH, _FOUND), strict=True
    ):
        caption(half, text, (4, 0), ink)
    gap = np.full((rgb.shape[0], _GAP_PX, 3), 255, np.uint8)
    both = np.concatenate([halves[0], gap, halves[1]], axis=1)
    caption(both, f"{row['scene']}, {view.name}", (4, both.shape[0]), (255, 255, 255))
    return both


def _at_size_of(view: View, rgb: RgbImage) -> RgbImage:
    size = (view.camera.width, view.camera.height)
    return (
        rgb if (rgb.shape[1], rgb.shape[0]) == size else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    )


def _write(file: Path, rgb: NDArray[np.uint8]) -> None:
    with replacing(file) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
            raise FolderError(f"{file}: cannot be written")
