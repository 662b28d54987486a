"""Boxes that a detector found in an image, and which of them are worth a mask."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import MaskConfig
from echoseg_ros.errors import BackendError
from echoseg_ros.types import RgbImage

# A box over so much of the image says "somewhere in this picture": detectors answer so to a name of what is not there.
MAX_IMAGE_SHARE = 0.9
# Of boxes that share this much (IoU) one is enough: several names fit the same thing.
SAME_THING_IOU = 0.7
_MIN_SIDE_PX = 2.0

# Module and class of each detector; imported only when asked for.
_DETECTORS = {
    "owlv2": ("echoseg_ros.masks.pretrained.owlv2", "Owlv2Detector"),
    "grounding_dino": ("echoseg_ros.masks.pretrained.grounding_dino", "GroundingDinoDetector"),
}


@dataclass(frozen=True)
class Boxes:
    """corners_px: [N, 4] float32 left, top, right, bottom in the image; scores: [N] in [0, 1]; names: what each shows."""

    corners_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    names: tuple[str, ...]


class Detector(Protocol):
    """Finds what `masks.prompts` names."""

    def find(self, rgb: RgbImage, min_score: float) -> Boxes:
        """Boxes with at least that score in an image [H, W, 3], in any order, overlapping as they come."""
        ...


def make_detector(config: MaskConfig, device: str = "cpu") -> Detector:
    """The detector that `config.detector` names. Raises BackendError if it is unknown or lacks package, files or prompts."""
    if config.detector not in _DETECTORS:
        raise BackendError(f"detector {config.detector!r}: want one of {', '.join(_DETECTORS)}")
    module, name = _DETECTORS[config.detector]
    detector: Detector = getattr(importlib.import_module(module), name)(config, device)
    return detector


def selected(boxes: Boxes, width: int, height: int, max_count: int) -> Boxes:
    """Those worth a mask, best first: inside the image, not most of it, one a thing, at most `max_count`."""
    corners = np.clip(boxes.corners_px, 0, np.array([width, height, width, height], np.float32))
    sides = corners[:, 2:] - corners[:, :2]
    sensible = (sides >= _MIN_SIDE_PX).all(axis=1) & (sides.prod(axis=1) <= MAX_IMAGE_SHARE * width * height)
    kept: list[int] = []
    for i in np.argsort(-boxes.scores, kind="stable").tolist():
        if len(kept) == max_count:
            break
        if sensible[i] and (_iou(corners[i], corners[kept]) < SAME_THING_IOU).all():
            kept.append(i)
    return Boxes(corners[kept], boxes.scores[kept], tuple(boxes.names[i] for i in kept))


def _iou(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N] of a box [4] with others [N, 4]."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (one[2:] - one[:2]).prod()
    return np.asarray(shared / np.maximum(areas - shared, 1e-6), np.float32)
