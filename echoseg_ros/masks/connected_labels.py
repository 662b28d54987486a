"""Connected components of an image in which each pair of neighbouring pixels is linked or not."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def _root(parent: NDArray[np.int64], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(cache=True, nogil=True)
def _join(parent: NDArray[np.int64], a: int, b: int) -> None:
    root_a, root_b = _root(parent, a), _root(parent, b)
    if root_a < root_b:
        parent[root_b] = root_a
    else:
        parent[root_a] = root_b


@numba.njit(cache=True, nogil=True)
def label_components(
    mask: NDArray[np.bool_], link_right: NDArray[np.bool_], link_down: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], int]:
    """Label the components of `mask` under the given links between 4-neighbours, by union-find in two passes.

    mask, link_right, link_down: [H, W]; link_right[i, j] joins pixel (i, j) with (i, j + 1). Returns labels [H, W] (0
    outside the mask, else 1..n in scan order) and n.
    """
    height, width = mask.shape
    parent = np.arange(height * width)
    for i in range(height):
        for j in range(width):
            if not mask[i, j]:
                continue
            here = i * width + j
            if j + 1 < width and link_right[i, j] and mask[i, j + 1]:
                _join(parent, here, here + 1)
            if i + 1 < height and link_down[i, j] and mask[i + 1, j]:
                _join(parent, here, here + width)
    labels = np.zeros((height, width), np.int32)
    count = 0
    for i in range(height):
        for j in range(width):
            if not mask[i, j]:
                continue
            here = i * width + j
            root = _root(parent, here)
            if root == here:
                count += 1
                labels[i, j] = count
            else:
                labels[i, j] = labels[root // width, root % width]
    return labels, count


@numba.njit(cache=True, nogil=True)
def label_spans(labels: NDArray[np.int32], points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """[count + 1, 3] extent of the points [H, W, 3] of each label along each axis; 0 for labels without pixels."""
    low = np.full((count + 1, 3), np.inf, np.float32)
    high = np.full((count + 1, 3), -np.inf, np.float32)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            label = labels[i, j]
            for axis in range(3):
                low[label, axis] = min(low[label, axis], points[i, j, axis])
                high[label, axis] = max(high[label, axis], points[i, j, axis])
    spans: NDArray[np.float32] = np.maximum(high - low, np.float32(0))
    return spans
