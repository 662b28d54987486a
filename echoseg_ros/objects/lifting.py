"""Lifting: from labels in an image to weights of Gaussians, by exact blending weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.mapping.gaussians import Gaussians
from echoseg_ros.mapping.rasterizers.conventions import Rasterizer
from echoseg_ros.types import Camera, Float64Array, MaskProposal


def lift_proposal(
    rasterizer: Rasterizer, gaussians: Gaussians, camera: Camera, T_map_camera: Float64Array, proposal: MaskProposal
) -> NDArray[np.float32]:
    """[N, K + 1] float32: blending weights of each Gaussian in the background (column 0) and the K proposals.

    Entry (g, k) is the sum over pixels p with label k of w_g(p), the blending weight of Gaussian g in pixel p; occluded
    Gaussians get none. Unjudged pixels (label -1) enter no column. The view is rasterised at the proposal's size.
    """
    height, width = proposal.labels.shape
    if (width, height) != (camera.width, camera.height):
        camera = camera.resized(width, height)
    weights = rasterizer.lift(gaussians, camera, T_map_camera, proposal.labels, len(proposal.scores) + 1)
    return np.asarray(weights.detach().cpu().numpy(), dtype=np.float32)
