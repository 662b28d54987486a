"""DBSCAN (Ester et al. 1996) in 3D, on a grid of cells, in memory that does not grow with the number of neighbours."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

NOISE = -1


def dbscan(points: NDArray[np.floating], eps: float, min_samples: int) -> NDArray[np.int32]:
    """[N] number of the cluster of each point [N, 3], from 0 in the order of the points; NOISE for none.

    A point with at least `min_samples` points within eps, itself too, is a core; cores within eps of each other are one
    cluster; other points within eps of a core belong to the first cluster that reaches them. Raises ValueError unless
    eps > 0.
    """
    if not eps > 0:
        raise ValueError(f"eps = {eps}: want more than 0")
    if len(points) == 0:
        return np.zeros(0, np.int32)
    exact = np.ascontiguousarray(points, np.float64)
    cells = np.floor((exact - exact.min(axis=0)) / eps).astype(np.int64)
    unique, inverse = np.unique(cells, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    order = np.argsort(inverse, kind="stable")
    starts = np.searchsorted(inverse[order], np.arange(len(unique) + 1))
    return _cluster(exact, eps * eps, min_samples, inverse, order, starts, _neighbours(unique))


def _neighbours(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """[C, 27] the cells around each of the cells [C, 3], which are sorted; -1 where there is none."""
    span = cells.max(axis=0) + 3
    key = ((cells[:, 0] + 1) * span[1] + cells[:, 1] + 1) * span[2] + cells[:, 2] + 1
    around = np.full((len(cells), 27), -1, np.int64)
    offsets = np.stack(np.meshgrid(*(np.arange(-1, 2),) * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for k, (dx, dy, dz) in enumerate(offsets.tolist()):
        wanted = key + (dx * span[1] + dy) * span[2] + dz
        place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        around[:, k] = np.where(key[place] == wanted, place, -1)
    return around


@numba.njit(cache=True, nogil=True)
def _cluster(points, eps2, min_samples, cell, order, starts, around):  # type: ignore[no-untyped-def]
    labels = np.full(len(points), -1, np.int32)
    core = np.zeros(len(points), np.bool_)
    for i in range(len(points)):
        count = 0
        for k in range(27):
            c = around[cell[i], k]
            if c < 0 or count >= min_samples:
                continue
            for place in range(starts[c], starts[c + 1]):
                if _near(points, i, order[place], eps2):
                    count += 1
                    if count >= min_samples:
                        break
        core[i] = count >= min_samples
    waiting = np.zeros(len(points), np.int64)
    clusters = 0
    for first in range(len(points)):
        if not core[first] or labels[first] >= 0:
            continue
        labels[first] = clusters
        waiting[0], left = first, 1
        while left > 0:
            left -= 1
            i = waiting[left]
            for k in range(27):
                c = around[cell[i], k]
                if c < 0:
                    continue
                for place in range(starts[c], starts[c + 1]):
                    j = order[place]
                    if labels[j] < 0 and _near(points, i, j, eps2):
                        labels[j] = clusters
                        if core[j]:
                            waiting[left] = j
                            left += 1
        clusters += 1
    return labels


@numba.njit(cache=True, nogil=True, inline="always")
def _near(points, i, j, eps2):  # type: ignore[no-untyped-def]
    dx, dy, dz = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1], points[i, 2] - points[j, 2]
    return dx * dx + dy * dy + dz * dz <= eps2
