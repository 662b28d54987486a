"""Masks of instances in any view."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.types import Camera, Float64Array

# Share of the full scene's blending weight that the object's Gaussians need in a pixel of the mask.
MIN_SHARE = 0.5
# Alpha of the full scene that a pixel of the mask needs: the ratio of two tiny weights says nothing.
MIN_ALPHA = 0.1


def object_mask(
    mapper: Mapper, uids: NDArray[np.int64], camera: Camera, T_map_camera: Float64Array
) -> NDArray[np.bool_]:
    """[H, W] bool: pixels that show the Gaussians `uids` [n], occlusion by the rest of the map included."""
    inside = np.isin(mapper.gaussians.uids.cpu().numpy(), uids)
    features = torch.from_numpy(inside.astype(np.float32))[:, None]
    weight, alpha = mapper.render_features(camera, T_map_camera, features)
    is_object = (alpha >= MIN_ALPHA) & (weight[..., 0] >= MIN_SHARE * alpha)
    return is_object.cpu().numpy()
