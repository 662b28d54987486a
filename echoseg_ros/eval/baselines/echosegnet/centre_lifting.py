"""Lifting of EchoSegnet: votes of the train views at the projected centres of Gaussians, without an occlusion test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import apply, inverse
from echoseg_ros.mapping.rasterizers.conventions import NEAR_PLANE
from echoseg_ros.types import Camera, Float64Array

# Share of the views that see a Gaussian above which it belongs to the object.
VOTE_SHARE = 0.3
# Pixel index of a point that is not in the image.
OUTSIDE = -1


def centre_pixels(
    points: NDArray[np.floating], cameras: Sequence[Camera], poses: Sequence[Float64Array]
) -> NDArray[np.int32]:
    """[V, N] flat index of the pixel of each point [N, 3] in each view, OUTSIDE where it is not in the image.

    poses: T_world_camera of each view, in the points' frame.
    """
    pixels = np.full((len(cameras), len(points)), OUTSIDE, np.int32)
    for v, (camera, pose) in enumerate(zip(cameras, poses, strict=True)):
        seen = apply(inverse(pose), np.asarray(points, float))
        ahead = seen[:, 2] > NEAR_PLANE
        z = np.where(ahead, seen[:, 2], 1.0)
        column = np.floor(camera.fx * seen[:, 0] / z + camera.cx)
        row = np.floor(camera.fy * seen[:, 1] / z + camera.cy)
        inside = ahead & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        pixels[v, inside] = (row[inside] * camera.width + column[inside]).astype(np.int32)
    return pixels


def vote_lift(
    pixels: NDArray[np.int32], masks: Sequence[NDArray[np.bool_] | None], share: float = VOTE_SHARE
) -> NDArray[np.bool_]:
    """[N] Gaussians that lie in the mask in more than `share` of the views that see them.

    pixels: [V, N] by centre_pixels; masks: [H, W] of each view, None for a view without a mask, which does not vote.
    """
    votes, seen = np.zeros(pixels.shape[1], np.int32), np.zeros(pixels.shape[1], np.int32)
    for where, mask in zip(pixels, masks, strict=True):
        if mask is None:
            continue
        inside = where >= 0
        seen += inside
        votes[inside] += mask.ravel()[where[inside]]
    return votes > share * seen
