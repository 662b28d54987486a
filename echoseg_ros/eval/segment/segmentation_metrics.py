"""Scores of masks: those of AVSBench (Zhou et al. 2022) and stricter ones.

AVSBench's mean IoU scores an image with empty truth by its share of true negatives, which favours empty masks, and its F
is the maximum over thresholds, the lowest of which selects all pixels. The stricter scores are the IoU over the views
that show the object, the rate of false masks, and the F of the outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.bench import mean

Mask = NDArray[np.bool_]

# Square of beta in F, as in AVSBench: weight of recall against precision.
BETA2 = 0.3
# Distance within which outlines agree, share of the image's diagonal (DAVIS, Perazzi et al. 2016).
OUTLINE_TOLERANCE = 0.008
# Added to denominators, as in AVSBench.
_EPS = 1e-7


@dataclass(frozen=True)
class ViewScore:
    """Scores of one view.

    iou: AVSBench's, with its rule for empty truth; f, f_all: F of the mask and of a mask of all pixels; boundary_f: F of
    the outline; these three are None for empty truth; truth_share, mask_share: share of the image's pixels.
    """

    name: str
    iou: float
    f: float | None
    f_all: float | None
    boundary_f: float | None
    truth_share: float
    mask_share: float

    @property
    def is_visible(self) -> bool:
        """Whether the truth shows the object."""
        return self.truth_share > 0


@dataclass(frozen=True)
class SceneScore:
    """Means over a scene's views; None where no view counts.

    miou, f: as in AVSBench; f_plain: F of the masks, without the floor that the lowest threshold gives; visible_iou,
    boundary_f: over views with truth; false_mask_rate: share of views without truth that have a mask; empty_share: share
    of views without truth; object_share: mean share of the object in views with truth.
    """

    miou: float
    f: float | None
    f_plain: float | None
    visible_iou: float | None
    boundary_f: float | None
    false_mask_rate: float | None
    empty_share: float
    object_share: float | None


def score_view(name: str, mask: Mask, truth: Mask) -> ViewScore:
    """Compare a mask [H, W] with the truth of the same size. Raises ValueError if the sizes differ."""
    if mask.shape != truth.shape:
        raise ValueError(f"mask {mask.shape} and truth {truth.shape} of {name}: want one size")
    visible = bool(truth.any())
    return ViewScore(
        name=name,
        iou=avsbench_iou(mask, truth),
        f=_f(mask, truth) if visible else None,
        f_all=_f(np.ones_like(truth), truth) if visible else None,
        boundary_f=boundary_f(mask, truth) if visible else None,
        truth_share=float(truth.mean()),
        mask_share=float(mask.mean()),
    )


def score_scene(views: Sequence[ViewScore]) -> SceneScore:
    """Means over the views of a scene; raises ValueError without views.

    f is AVSBench's: the maximum over 255 thresholds in [0, 1) of the mean F of the views with truth. For binary masks it
    is the larger of the mean F of the masks and of the mean F of selecting all pixels (threshold 0), which is a floor.
    The sigmoid that the reference applies to its binary masks does not change that.
    """
    if not views:
        raise ValueError("no view to score")
    visible = [view for view in views if view.is_visible]
    empty = [view for view in views if not view.is_visible]
    f_plain, floor = mean([view.f for view in visible]), mean([view.f_all for view in visible])
    return SceneScore(
        miou=float(np.mean([view.iou for view in views])),
        f=None if f_plain is None or floor is None else max(f_plain, floor),
        f_plain=f_plain,
        visible_iou=mean([view.iou for view in visible]),
        boundary_f=mean([view.boundary_f for view in visible]),
        false_mask_rate=mean([float(view.mask_share > 0) for view in empty]),
        empty_share=len(empty) / len(views),
        object_share=mean([view.truth_share for view in visible]),
    )


def avsbench_iou(mask: Mask, truth: Mask) -> float:
    """Intersection over union of masks [H, W]; for empty truth the share of true negatives."""
    if not truth.any():
        return float((~mask).sum() / (mask.size + _EPS))
    return float((mask & truth).sum() / ((mask | truth).sum() + _EPS))


def boundary_f(mask: Mask, truth: Mask) -> float:
    """F1 of the outlines of masks [H, W], which agree within OUTLINE_TOLERANCE of the diagonal. truth: not empty."""
    reach = max(1, round(OUTLINE_TOLERANCE * float(np.hypot(*mask.shape))))
    neighbourhood = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    outline, true_outline = _outline(mask), _outline(truth)
    if not outline.any():
        return 0.0
    precision = (outline & _dilated(true_outline, neighbourhood)).sum() / outline.sum()
    recall = (true_outline & _dilated(outline, neighbourhood)).sum() / true_outline.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0


def _f(mask: Mask, truth: Mask) -> float:
    hit = float((mask & truth).sum())
    if hit == 0:
        return 0.0
    precision, recall = hit / float(mask.sum()), hit / float(truth.sum())
    return (1 + BETA2) * precision * recall / (BETA2 * precision + recall)


def _outline(mask: Mask) -> Mask:
    """Pixels of the mask with one of 4 neighbours outside the mask; the border of the image is no outline."""
    inner = cv2.erode(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), borderValue=1)
    outline: Mask = mask & (inner == 0)
    return outline


def _dilated(mask: Mask, neighbourhood: NDArray[Any]) -> Mask:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), neighbourhood) > 0)
