"""How right masks are: the benchmark's own measures (AVSBench, Zhou et al. 2022) and those that it hides.

AVSBench's mean IoU scores an image with empty truth by its share of true negatives, so that empty answers do well, and
its F is the maximum over thresholds, the lowest of which calls every pixel an object. Beside them stand the IoU over
the views that show the object, the rate of false masks, and the F of the outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

BETA2 = 0.3
THRESHOLDS = np.linspace(0.0, 1.0 - 1e-10, 255)
# Outlines agree within this share of the image's diagonal (Perazzi et al. 2016, DAVIS).
OUTLINE_TOLERANCE = 0.008
_EPS = 1e-7


@dataclass(frozen=True)
class ViewScore:
    """One view's numbers. f and f_all: F of the mask, and of calling every pixel the object; None for empty truth.

    iou: AVSBench's, with its rule for empty truth; boundary_f: None for empty truth; truth_share, mask_share: of the
    image's pixels.
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

    miou, f: as AVSBench has them; f_plain: F of the masks themselves, without the floor that the thresholds give;
    visible_iou, boundary_f: over the views with truth; false_mask_rate: share of the views without truth that have any
    mask; empty_share: of views without truth; object_share: of the pixels of those with.
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
    """Means over views. Raises ValueError without any."""
    if not views:
        raise ValueError("no view to score")
    visible = [view for view in views if view.is_visible]
    empty = [view for view in views if not view.is_visible]
    f_plain, floor = _mean([view.f for view in visible]), _mean([view.f_all for view in visible])
    return SceneScore(
        miou=float(np.mean([view.iou for view in views])),
        f=None if f_plain is None or floor is None else max(f_plain, floor),
        f_plain=f_plain,
        visible_iou=_mean([view.iou for view in visible]),
        boundary_f=_mean([view.boundary_f for view in visible]),
        false_mask_rate=_mean([float(view.mask_share > 0) for view in empty]),
        empty_share=len(empty) / len(views),
        object_share=_mean([view.truth_share for view in visible]),
    )


def avsbench_iou(mask: Mask, truth: Mask) -> float:
    """Intersection over union; for empty truth the true negatives over all pixels."""
    if not truth.any():
        return float((~mask).sum() / (mask.size + _EPS))
    return float((mask & truth).sum() / ((mask | truth).sum() + _EPS))


def avsbench_f(scores: Sequence[NDArray[np.floating]], truths: Sequence[Mask], sigmoid: bool = False) -> float | None:
    """F-beta (beta^2 = 0.3) of soft masks [H, W] in [0, 1] as AVSBench takes it, None if no truth shows anything.

    The mean over the images with truth at each of 255 thresholds, then its maximum. A pixel is the object's where its
    score is at or above the threshold, so the first threshold, 0, calls everything the object. sigmoid: put the scores
    through a sigmoid first, as the reference does with masks that are 0 or 1 already: they become 0.5 and 0.73, all
    thresholds up to 0.5 call everything the object, those up to 0.73 give the mask, and those above give nothing. Either
    way F has the floor mean(1.3 p / (1 + 0.3 p)), p the object's share of the image, and for binary masks it is the
    larger of that and the mask's own F: what score_scene takes, without 255 rounds.
    """
    curves = []
    for score, truth in zip(scores, truths, strict=True):
        if truth.any():
            values = 1 / (1 + np.exp(-np.asarray(score, float))) if sigmoid else np.asarray(score, float)
            curves.append(_f_curve(values, truth))
    return float(np.mean(curves, axis=0).max()) if curves else None


def f_floor(truth_share: float) -> float:
    """F of calling every pixel the object."""
    return (1 + BETA2) * truth_share / (BETA2 * truth_share + 1)


def boundary_f(mask: Mask, truth: Mask) -> float:
    """F1 of the outlines, which agree where they are within OUTLINE_TOLERANCE of the diagonal. truth must not be empty."""
    reach = max(1, round(OUTLINE_TOLERANCE * float(np.hypot(*mask.shape))))
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    found, wanted = _outline(mask), _outline(truth)
    if not found.any():
        return 0.0
    precision = (found & _grown(wanted, near)).sum() / found.sum()
    recall = (wanted & _grown(found, near)).sum() / wanted.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0


def _f(mask: Mask, truth: Mask) -> float:
    hit = float((mask & truth).sum())
    if hit == 0:
        return 0.0
    precision, recall = hit / float(mask.sum()), hit / float(truth.sum())
    return (1 + BETA2) * precision * recall / (BETA2 * precision + recall)


def _f_curve(values: NDArray[np.floating], truth: Mask) -> NDArray[np.floating]:
    """[255] F at each threshold; 0 where nothing is right."""
    inside, everywhere = np.sort(values[truth]), np.sort(values, axis=None)
    hit = len(inside) - np.searchsorted(inside, THRESHOLDS)
    called = len(everywhere) - np.searchsorted(everywhere, THRESHOLDS)
    precision, recall = hit / np.maximum(called, 1), hit / len(inside)
    return np.where(hit > 0, (1 + BETA2) * precision * recall / np.maximum(BETA2 * precision + recall, 1e-20), 0.0)


def _outline(mask: Mask) -> Mask:
    """Pixels of the mask that have a neighbour (of 4) outside it; the image's border is no outline."""
    inner = cv2.erode(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), borderValue=1)
    return mask & (inner == 0)


def _grown(mask: Mask, near: NDArray[Any]) -> Mask:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), near) > 0)


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
