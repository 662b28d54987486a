"""Merges overlapping masks into one label image; the smaller one lies in front of the larger one, or within it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.masks.pretrained.boxes import DUPLICATE_IOU, MAX_IMAGE_SHARE
from echoseg_ros.masks.protocol import UNJUDGED
from echoseg_ros.types import MaskProposal

# Least share of a mask that smaller ones do not cover; with less it is no proposal.
_MIN_UNCOVERED_SHARE = 0.25
# Least uncovered size of a mask, pixels.
_MIN_PX = 16


def merge_masks(
    masks: NDArray[np.bool_],
    scores: NDArray[np.float32],
    names: tuple[str, ...],
    confident: NDArray[np.bool_],
    stamp_ns: int,
    backend: str,
) -> MaskProposal:
    """The proposal made of masks [N, H, W] with scores [N] and names [N].

    Of several masks of an object the best one is kept. The smaller of two overlapping masks gets their common pixels.
    Masks that are not `confident` [N], that are too small, or that others cover almost wholly are no proposals; the
    pixels that only they cover are unjudged. All other pixels are background.
    """
    labels = np.zeros(masks.shape[1:], np.int32)
    sizes = masks.sum(axis=(1, 2))
    kept = _without_duplicates(masks, np.where(confident, scores + 1, scores))
    order = sorted(kept, key=lambda i: (bool(confident[i]), -sizes[i]))  # later ones cover earlier ones
    for i in order:
        labels[masks[i]] = i + 1
    uncovered = np.bincount(labels.ravel(), minlength=len(masks) + 1)
    final = np.full(len(masks) + 1, UNJUDGED, np.int32)
    final[0] = 0
    proposed = [i for i in kept if confident[i] and _is_visible(uncovered[i + 1], sizes[i])]
    final[np.array(proposed, int) + 1] = np.arange(1, len(proposed) + 1)
    kept_scores = np.asarray(scores, np.float32)[proposed]
    return MaskProposal(stamp_ns, final[labels], kept_scores, backend, tuple(names[i] for i in proposed))


def _is_visible(uncovered_px: int, size_px: int) -> bool:
    return uncovered_px >= _MIN_PX and uncovered_px >= _MIN_UNCOVERED_SHARE * size_px


def _without_duplicates(masks: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[int]:
    """Numbers of the masks, best first, that are not empty, not most of the image, and no duplicates of a better one."""
    flat = masks.reshape(len(masks), masks.shape[1] * masks.shape[2])
    sizes = flat.sum(axis=1)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if not 0 < sizes[i] <= MAX_IMAGE_SHARE * flat.shape[1]:
            continue
        shared = np.array([np.count_nonzero(flat[i] & flat[j]) for j in kept])
        if not (shared > DUPLICATE_IOU * (sizes[i] + sizes[kept] - shared)).any():
            kept.append(i)
    return kept
