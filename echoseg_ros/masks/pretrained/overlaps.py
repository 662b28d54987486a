"""Masks that overlap become one label image: the smaller thing lies in front of the larger, or in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.masks.pretrained.boxes import MAX_IMAGE_SHARE, SAME_THING_IOU
from echoseg_ros.types import MaskProposal

UNJUDGED = -1
# A mask of which others leave less than this is not known well enough to be a proposal.
_MIN_LEFT_SHARE = 0.25
_MIN_PX = 16


def make_proposal(
    masks: NDArray[np.bool_],
    scores: NDArray[np.float32],
    names: tuple[str, ...],
    sure: NDArray[np.bool_],
    stamp_ns: int,
    backend: str,
) -> MaskProposal:
    """Masks [N, H, W] with scores [N] and names as labels.

    Of masks of the same thing the best stays. Where masks overlap, the smaller has the pixels. Masks that are not `sure`
    [N], those that are too small, and those of which others leave next to nothing are no proposals: what no other covers
    is left unjudged there, since there may be something. The rest of the image holds no object (of those asked for).
    """
    labels = np.zeros(masks.shape[1:], np.int32)
    sizes = masks.sum(axis=(1, 2))
    kept = _best_of_each(masks, np.where(sure, scores + 1, scores))
    order = sorted(kept, key=lambda i: (bool(sure[i]), -sizes[i]))  # the unsure ones below
    for i in order:
        labels[masks[i]] = i + 1
    left = np.bincount(labels.ravel(), minlength=len(masks) + 1)
    final = np.full(len(masks) + 1, UNJUDGED, np.int32)
    final[0] = 0
    proposed = [i for i in kept if sure[i] and _is_left(left[i + 1], sizes[i])]
    final[np.array(proposed, int) + 1] = np.arange(1, len(proposed) + 1)
    worth = np.asarray(scores, np.float32)[proposed]
    return MaskProposal(stamp_ns, final[labels], worth, backend, tuple(names[i] for i in proposed))


def _is_left(left_px: int, whole_px: int) -> bool:
    return left_px >= _MIN_PX and left_px >= _MIN_LEFT_SHARE * whole_px


def _best_of_each(masks: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[int]:
    """Masks that hold anything and are not most of the image, without those that a better one covers alike."""
    flat = masks.reshape(len(masks), masks.shape[1] * masks.shape[2])
    sizes = flat.sum(axis=1)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if not 0 < sizes[i] <= MAX_IMAGE_SHARE * flat.shape[1]:
            continue
        shared = np.array([np.count_nonzero(flat[i] & flat[j]) for j in kept])
        if not (shared > SAME_THING_IOU * (sizes[i] + sizes[kept] - shared)).any():
            kept.append(i)
    return kept
