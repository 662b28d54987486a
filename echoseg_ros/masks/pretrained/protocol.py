"""The interface of detectors, which find boxes for the texts of `masks.prompts`."""

from __future__ import annotations

from typing import Protocol

from echoseg_ros.masks.pretrained.boxes import Boxes
from echoseg_ros.types import RgbImage


class Detector(Protocol):
    """Finds boxes of the objects that `masks.prompts` names."""

    def find(self, rgb: RgbImage, min_score: float) -> Boxes:
        """Boxes with at least this score in an image [H, W, 3], in any order; they may overlap."""
        ...
