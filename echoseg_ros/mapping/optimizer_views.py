"""What the optimiser keeps of each keyframe: its images on the map's device and how well the map explains it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.types import Float64Array, RgbImage

# A blurred view never counts less than this: it may be the only one of a place.
MIN_WEIGHT = 0.2
# A measured surface says that there is one within this window of pixels, too.
KNOWN_AROUND_PX = 7
# Only views of the last few keyframes say how sharp a view of this place can be.
SHARPNESS_WINDOW = 8


@dataclass(eq=False)
class View:
    """One keyframe to optimise by.

    image: [H, W, 3] in 0..1; depth: [H, W] map units, 0 = none; known: [H, W] bool, where a surface was measured or next
    to it; weight: of its colours, less for a blurred image; T_map_camera: the given pose, or the refined one.
    """

    keyframe: Keyframe
    image: Tensor
    depth: Tensor
    known: Tensor
    weight: float
    T_map_camera: Float64Array

    @staticmethod
    def of(keyframe: Keyframe, device: torch.device, weight: float = 1.0) -> View:
        """Upload a keyframe's images once."""
        image = torch.from_numpy(keyframe.rgb).to(device).float() / 255
        assert keyframe.depth_m is not None  # sensed or swept: without, a keyframe does not join
        depth = torch.from_numpy(keyframe.depth_m).to(device)
        near = (
            torch.nn.functional.max_pool2d((depth > 0).float()[None], KNOWN_AROUND_PX, 1, KNOWN_AROUND_PX // 2)[0] > 0
        )
        return View(keyframe, image, depth, near, weight, keyframe.T_map_camera)


class Sharpness:
    """Weights of views by how sharp they are next to the ones just before them."""

    def __init__(self) -> None:
        self._recent: list[float] = []

    def weight(self, rgb: RgbImage) -> float:
        """In [MIN_WEIGHT, 1]: its fine detail as a share of what the last views usually had."""
        detail = _detail(rgb)
        self._recent = [*self._recent, detail][-SHARPNESS_WINDOW:]
        usual = float(np.median(self._recent))
        return float(np.clip(detail / max(usual, 1e-9), MIN_WEIGHT, 1.0))


def _detail(rgb: RgbImage) -> float:
    """Share of the image's contrast that lies in its finest details: blur takes it away, exposure does not."""
    grey = rgb.mean(axis=-1, dtype=np.float32)
    fine = grey - ndimage.uniform_filter(grey, 3)
    return float(fine.std() / max(float(grey.std()), 1e-3))
