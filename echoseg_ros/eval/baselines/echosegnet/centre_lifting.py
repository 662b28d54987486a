"""The reference's lifting: centres of Gaussians projected into every train view, without an occlusion test, vote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import apply, inverse
from echoseg_ros.mapping.rasterizers.conventions import NEAR_PLANE
from echoseg_ros.types import Camera, Float64Array

VOTE_SHARE = 0.3
OUTSIDE = -1


def centre_pixels(
    points: NDArray[np.floating], cameras: Sequence[Camera], poses: Sequence[Float64Array]
) -> NDArray[np.int32]:
    """[V, N] flat index of the pixel that each point [N, 3] falls on in each view, OUTSIDE where it falls on none.

    poses: T_world_camera of each, in the points' frame.
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
    """[N] Gaussians that more than `share` of the views that see them call the object.

    pixels: [V, N] of centre_pixels; masks: [H, W] each, or None where a view has none and does not vote.
    """
    votes, seen = np.zeros(pixels.shape[1], np.int32), np.zeros(pixels.shape[1], np.int32)
    for where, mask in zip(pixels, masks, strict=True):
        if mask is None:
            continue
        inside = where >= 0
        seen += inside
        votes[inside] += mask.ravel()[where[inside]]
    return votes > share * seen
