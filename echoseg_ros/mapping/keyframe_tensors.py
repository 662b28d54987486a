"""Images of keyframes as tensors on the map's device, for the optimiser."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.types import Float64Array

# Side of the pixel square around a measured depth in which a surface counts as known.
KNOWN_WINDOW_PX = 7


@dataclass(eq=False)
class KeyframeTensors:
    """A keyframe as the optimiser uses it.

    image: [H, W, 3] in 0..1; depth: [H, W] map units, 0 = none; known: [H, W] bool, pixels with a measured depth nearby;
    weight: weight of the colour loss, lower for a blurred image; T_map_camera: [4, 4] given pose, or the refined one.
    """

    keyframe: Keyframe
    image: Tensor
    depth: Tensor
    known: Tensor
    weight: float
    T_map_camera: Float64Array

    @staticmethod
    def of(keyframe: Keyframe, device: torch.device, weight: float = 1.0) -> KeyframeTensors:
        """Copy a keyframe's images to the device; the keyframe must have depth, measured or swept."""
        image = torch.from_numpy(keyframe.rgb).to(device).float() / 255
        assert keyframe.depth_m is not None
        depth = torch.from_numpy(keyframe.depth_m).to(device)
        pooled = torch.nn.functional.max_pool2d((depth > 0).float()[None], KNOWN_WINDOW_PX, 1, KNOWN_WINDOW_PX // 2)
        return KeyframeTensors(keyframe, image, depth, pooled[0] > 0, weight, keyframe.T_map_camera)
