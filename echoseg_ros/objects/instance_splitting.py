"""Splits instances that votes merged although they are spatially separated: views in which one hides the other join them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from echoseg_ros.objects.instance_body import connected_parts

# Gaussians that a part needs to become an instance of its own.
_MIN_GAUSSIANS = 40
# Size that it needs, as a share of the largest part.
_MIN_SHARE = 0.25
# Gaussians below which a part is a stray, which may lie anywhere and does not count as a neighbour.
_MAX_STRAY = 8
# Gap to all other parts, metres: an object whose middle is hidden has parts that lie closer.
_MIN_GAP_M = 0.10


def separate_part(points_m: NDArray[np.float32]) -> NDArray[np.intp]:
    """Rows of the largest part besides the body that is spatially separated from all other parts; may be empty.

    points_m: [N, 3] centres of the instance's Gaussians, metres.
    """
    if len(points_m) < 2 * _MIN_GAUSSIANS:
        return np.zeros(0, np.intp)
    part = connected_parts(points_m)
    size = np.bincount(part)
    body = int(size.argmax())
    enough = (size >= _MIN_GAUSSIANS) & (size >= _MIN_SHARE * size[body])
    enough[body] = False
    for other in sorted(np.flatnonzero(enough).tolist(), key=lambda k: -size[k]):
        inside = part == other
        others = points_m[~inside & (size[part] >= _MAX_STRAY)]
        gap_m, _ = cKDTree(others).query(points_m[inside], distance_upper_bound=_MIN_GAP_M)
        if not np.isfinite(gap_m).any():
            return np.flatnonzero(inside)
    return np.zeros(0, np.intp)
