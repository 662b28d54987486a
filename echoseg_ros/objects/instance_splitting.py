"""Two things that votes hold for one although space lies between them: views in which one hides the other join them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from echoseg_ros.objects.instance_body import connected_parts

# A part is a thing of its own from so many Gaussians on, and from this share of the largest part.
_LEAST_GAUSSIANS, _LEAST_SHARE = 40, 0.25
# Fewer are strays, which may lie anywhere.
_STRAYS = 8
# So far it lies from all other parts: a thing whose middle is hidden comes in two pieces that lie closer (in 26 maps without a
# depth sensor pieces of one thing of that many Gaussians at most 9 cm, different things 7 to 29 cm).
_GAP_M = 0.10


def standing_apart(points_m: NDArray[np.float32]) -> NDArray[np.intp]:
    """Rows of the largest part of an instance, except for its body, that stands clear of all the others; may be empty.

    points_m: [N, 3] the instance's Gaussians.
    """
    if len(points_m) < 2 * _LEAST_GAUSSIANS:
        return np.zeros(0, np.intp)
    part = connected_parts(points_m)
    size = np.bincount(part)
    body = int(size.argmax())
    enough = (size >= _LEAST_GAUSSIANS) & (size >= _LEAST_SHARE * size[body])
    enough[body] = False
    for other in sorted(np.flatnonzero(enough).tolist(), key=lambda k: -size[k]):
        inside = part == other
        others = points_m[~inside & (size[part] >= _STRAYS)]
        gap_m, _ = cKDTree(others).query(points_m[inside], distance_upper_bound=_GAP_M)
        if not np.isfinite(gap_m).any():
            return np.flatnonzero(inside)
    return np.zeros(0, np.intp)
