"""The mask of map objects in any view."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.types import Camera, Float64Array

# A pixel is the object's where its Gaussians hold at least this share of the whole scene's blending weight ...
MIN_SHARE = 0.5
# ... and where the scene is there at all: the ratio of two tiny weights says nothing.
MIN_ALPHA = 0.1


def object_mask(
    mapper: Mapper, uids: NDArray[np.int64], camera: Camera, T_map_camera: Float64Array
) -> NDArray[np.bool_]:
    """[H, W] pixels that show the Gaussians `uids` [n], what stands in front of them taken into account."""
    inside = np.isin(mapper.gaussians.uids.cpu().numpy(), uids)
    features = torch.from_numpy(inside.astype(np.float32))[:, None]
    weight, alpha = mapper.render_features(camera, T_map_camera, features)
    shown = (alpha >= MIN_ALPHA) & (weight[..., 0] >= MIN_SHARE * alpha)
    return shown.cpu().numpy()
