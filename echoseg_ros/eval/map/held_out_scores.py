"""Scores of a map in held-out views, and pictures of the best, median and worst view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from echoseg_ros.eval.bench import mean, median
from echoseg_ros.eval.map.image_quality import COVERED_ALPHA, depth_errors_pct, ssim
from echoseg_ros.eval.picture_files import write_png
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.report import draw
from echoseg_ros.types import CameraFrame, FloatImage, RgbImage

# Factor by which the error picture amplifies differences.
_ERROR_GAIN = 4
# Width of each panel of a picture, px.
_PANEL_WIDTH_PX = 320


@dataclass(frozen=True, eq=False)
class ViewScore:
    """Scores of one held-out view at the map's resolution.

    psnr_fitted_db: after the gain and offset that fit best; depth_errors_pct: [n] errors of the pixels with known depth,
    % of the true depth; covered_share: share of pixels that the map covers; truth: the frame; rgb: [H, W, 3] in 0..1 and
    depth: [H, W] as rendered, 0 = not covered.
    """

    psnr_db: float
    psnr_fitted_db: float
    ssim: float
    depth_errors_pct: FloatImage
    covered_share: float
    truth: CameraFrame
    rgb: FloatImage
    depth: FloatImage


def score_views(mapper: Mapper, frames: Sequence[CameraFrame]) -> list[ViewScore]:
    """Compare the rendered view of each frame with the frame; a frame without depth_m gets no depth errors."""
    return [_score(mapper, frame) for frame in frames]


def _score(mapper: Mapper, frame: CameraFrame) -> ViewScore:
    truth, rendered = mapper.predict(frame)
    rgb, depth, alpha = rendered.rgb.cpu().numpy(), rendered.depth.cpu().numpy(), rendered.alpha.cpu().numpy()
    true_depth = np.zeros_like(depth) if truth.depth_m is None else truth.depth_m
    return ViewScore(
        psnr_db=mapper.psnr_db(frame),
        psnr_fitted_db=mapper.psnr_db(frame, compensate_exposure=True),
        ssim=ssim(rgb, truth.rgb / 255.0),
        depth_errors_pct=depth_errors_pct(depth, alpha, true_depth),
        covered_share=float((alpha > COVERED_ALPHA).mean()),
        truth=truth,
        rgb=rgb,
        depth=np.where(alpha > COVERED_ALPHA, depth, np.float32(0)),
    )


def summary(scores: Sequence[ViewScore]) -> dict[str, Any]:
    """Means over the views and the median depth error over the pixels of all views; None where no view has a value."""
    errors = np.concatenate([score.depth_errors_pct for score in scores]) if scores else np.zeros(0)
    return {
        "views": len(scores),
        "psnr_db": mean([score.psnr_db for score in scores], 4),
        "psnr_fitted_db": mean([score.psnr_fitted_db for score in scores], 4),
        "ssim": mean([score.ssim for score in scores], 4),
        "depth_error_pct_p50": median(errors, 4),
        "drawn_pct": mean([100 * score.covered_share for score in scores], 4),
    }


def write_side_by_side(out: Path, name: str, scores: Sequence[ViewScore]) -> list[Path]:
    """Write OUT/NAME_{best,median,worst}.png by PSNR (see `side_by_side`); returns the files."""
    if not scores:
        return []
    ranked = sorted(scores, key=lambda score: -score.psnr_db)
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    paths = []
    for rank, score in chosen.items():
        path = out / f"{name}_{rank}.png"
        write_png(path, side_by_side(score))
        paths.append(path)
    return paths


def side_by_side(score: ViewScore) -> RgbImage:
    """[h, 5 w, 3] one view as rendered, the frame, their difference, rendered depth and true depth."""
    truth = score.truth.rgb
    view = (score.rgb * 255).round().astype(np.uint8)
    difference = np.abs(score.rgb - truth / 255.0).mean(axis=-1)
    error = np.repeat((np.clip(_ERROR_GAIN * difference, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=-1)
    true_depth = np.zeros_like(score.depth) if score.truth.depth_m is None else score.truth.depth_m
    farthest = max(float(np.percentile(true_depth if true_depth.any() else score.depth, 99)), 1e-6)
    panels = {
        f"map, {score.psnr_db:.1f} dB": view,
        "truth": truth,
        f"error x {_ERROR_GAIN}": error,
        "map's depth": _coloured(score.depth, farthest),
        "true depth": _coloured(true_depth, farthest),
    }
    return np.concatenate([_panel(image, text) for text, image in panels.items()], axis=1)


def _panel(image: RgbImage, text: str) -> RgbImage:
    height = round(image.shape[0] * _PANEL_WIDTH_PX / image.shape[1])
    large = np.asarray(cv2.resize(image, (_PANEL_WIDTH_PX, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    draw.caption(large, text, (4, height), (255, 255, 255))
    return large


def _coloured(depth: FloatImage, farthest: float) -> RgbImage:
    """Colours of a depth image: near is bright, no depth is black."""
    scaled = np.clip(255 * (1 - depth / farthest), 0, 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    coloured: RgbImage = np.where((depth > 0)[..., None], colours, np.uint8(0))
    return coloured
