"""Boxes that a detector found in an image, and the selection of those that get a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Largest share of the image that a box covers; detectors return larger ones for objects that are not there.
MAX_IMAGE_SHARE = 0.9
# Intersection over union from which boxes show the same object; several names may fit it.
DUPLICATE_IOU = 0.7
# Least side of a box, pixels.
_MIN_SIDE_PX = 2.0


@dataclass(frozen=True)
class Boxes:
    """Boxes with names. corners_px: [N, 4] left, top, right, bottom in the image; scores: [N] in [0, 1]; names: [N]."""

    corners_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    names: tuple[str, ...]


def select_boxes(boxes: Boxes, width: int, height: int, max_count: int) -> Boxes:
    """At most `max_count` boxes, best first: clipped to the image, not most of it, one for each object."""
    corners = np.clip(boxes.corners_px, 0, np.array([width, height, width, height], np.float32))
    sides = corners[:, 2:] - corners[:, :2]
    usable = (sides >= _MIN_SIDE_PX).all(axis=1) & (sides.prod(axis=1) <= MAX_IMAGE_SHARE * width * height)
    kept: list[int] = []
    for i in np.argsort(-boxes.scores, kind="stable").tolist():
        if len(kept) == max_count:
            break
        if usable[i] and (_iou(corners[i], corners[kept]) < DUPLICATE_IOU).all():
            kept.append(i)
    return Boxes(corners[kept], boxes.scores[kept], tuple(boxes.names[i] for i in kept))


def _iou(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N] intersection over union of a box [4] with others [N, 4]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(shared / np.maximum(areas - shared, 1e-6), np.float32)
