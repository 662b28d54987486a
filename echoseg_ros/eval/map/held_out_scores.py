"""What a map is worth in views it was not built from: figures over all of them, pictures of the best and the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from echoseg_ros.eval.map.image_quality import DRAWN_ALPHA, depth_errors_pct, ssim
from echoseg_ros.io.files import replacing
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.report import draw
from echoseg_ros.types import CameraFrame, FloatImage, RgbImage

# The error picture shows differences this many times as large.
_ERROR_GAIN = 4
_PICTURE_WIDTH_PX = 320


@dataclass(frozen=True, eq=False)
class ViewScore:
    """One held-out view at the map's resolution.

    psnr_fitted_db: with the gain and bias that fit best; depth_errors_pct: [n] of the pixels that can be judged;
    drawn_share: pixels that the map draws; truth: the frame; rgb: [H, W, 3] in 0..1 and depth: [H, W] as drawn.
    """

    psnr_db: float
    psnr_fitted_db: float
    ssim: float
    depth_errors_pct: FloatImage
    drawn_share: float
    truth: CameraFrame
    rgb: FloatImage
    depth: FloatImage


def score_views(mapper: Mapper, frames: Sequence[CameraFrame]) -> list[ViewScore]:
    """Compare what the map expects of each frame with the frame; without depth_m its depth is not judged."""
    return [_score(mapper, frame) for frame in frames]


def _score(mapper: Mapper, frame: CameraFrame) -> ViewScore:
    truth, drawn = mapper.predict(frame)
    rgb, depth, alpha = drawn.rgb.cpu().numpy(), drawn.depth.cpu().numpy(), drawn.alpha.cpu().numpy()
    true_depth = np.zeros_like(depth) if truth.depth_m is None else truth.depth_m
    return ViewScore(
        psnr_db=mapper.psnr_db(frame),
        psnr_fitted_db=mapper.psnr_db(frame, compensate_exposure=True),
        ssim=ssim(rgb, truth.rgb / 255.0),
        depth_errors_pct=depth_errors_pct(depth, alpha, true_depth),
        drawn_share=float((alpha > DRAWN_ALPHA).mean()),
        truth=truth,
        rgb=rgb,
        depth=np.where(alpha > DRAWN_ALPHA, depth, np.float32(0)),
    )


def summary(scores: Sequence[ViewScore]) -> dict[str, Any]:
    """Means over the views, and the median depth error over the pixels of all of them; None for what no view tells."""
    errors = np.concatenate([score.depth_errors_pct for score in scores]) if scores else np.zeros(0)
    return {
        "views": len(scores),
        "psnr_db": _mean([score.psnr_db for score in scores]),
        "psnr_fitted_db": _mean([score.psnr_fitted_db for score in scores]),
        "ssim": _mean([score.ssim for score in scores]),
        "depth_error_pct_p50": round(float(np.median(errors)), 4) if len(errors) else None,
        "drawn_pct": _mean([100 * score.drawn_share for score in scores]),
    }


def write_side_by_side(out: Path, name: str, scores: Sequence[ViewScore]) -> list[Path]:
    """OUT/NAME_{best,median,worst}.png by PSNR: what the map draws | the frame | error | depth of both."""
    if not scores:
        return []
    ranked = sorted(scores, key=lambda score: -score.psnr_db)
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    paths = []
    for rank, score in chosen.items():
        path = out / f"{name}_{rank}.png"
        with replacing(path) as temporary:
            cv2.imwrite(str(temporary), cv2.cvtColor(side_by_side(score), cv2.COLOR_RGB2BGR))
        paths.append(path)
    return paths


def side_by_side(score: ViewScore) -> RgbImage:
    """View, truth, error and depths of one view as one picture [h, 5 w, 3]."""
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
    height = round(image.shape[0] * _PICTURE_WIDTH_PX / image.shape[1])
    large = np.asarray(cv2.resize(image, (_PICTURE_WIDTH_PX, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    draw.caption(large, text, (4, height), (255, 255, 255))
    return large


def _coloured(depth: FloatImage, farthest: float) -> RgbImage:
    """Near is bright; black where there is none."""
    scaled = np.clip(255 * (1 - depth / farthest), 0, 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    return np.where((depth > 0)[..., None], colours, np.uint8(0))


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
