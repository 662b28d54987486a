"""Semi-global smoothing of a cost volume (Hirschmueller 2008), and the depth and confidence read out of it."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_F = np.float32
_ZERO, _ONE, _HALF, _TWO = _F(0), _F(1), _F(0.5), _F(2)
# Minima are compared, never NaN: this lets the compiler take eight at a time.
_FAST = {"nnan", "nsz"}


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def aggregate(cost: Floats, grey: Floats, small: float, large: float, contrast: float) -> Floats:
    """Sum [H, W, P] of the costs of the best paths that arrive from eight directions.

    cost: [H, W, P]; grey: [H, W]; small, large: penalty of a step of one plane and of any more; the large one falls with
    the difference of brightness along the path, to a half at `contrast`: depth jumps where the picture does.
    """
    halves = np.empty((2, *cost.shape), np.float32)
    for half in nb.prange(2):
        _four_paths(cost, grey, _F(small), _F(large), _F(contrast), half == 1, halves[half])
    height = cost.shape[0]
    for y in nb.prange(height):
        halves[0, y] += halves[1, y]
    return halves[0]


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _four_paths(
    cost: Floats, grey: Floats, small: float, large: float, contrast: float, backwards: bool, total: Floats
) -> None:
    """Paths along the row and from the three neighbours of the row before; backwards: from the last pixel to the first."""
    height, width, planes = cost.shape
    # [direction: 0 along the row, 1..3 the row before at x - 1, x, x + 1][two rows in turn][x][plane]
    paths = np.zeros((4, 2, width, planes), np.float32)
    least = np.zeros((4, 2, width), np.float32)
    for step in range(height):
        y = height - 1 - step if backwards else step
        above = y + 1 if backwards else y - 1
        now, before = step % 2, 1 - step % 2
        for k in range(width):
            x = width - 1 - k if backwards else k
            total[y, x, :] = _ZERO
            for d in range(4):
                from_x = (x + 1 if backwards else x - 1) if d == 0 else x + d - 2
                from_y, slot = (y, now) if d == 0 else (above, before)
                if from_x < 0 or from_x >= width or from_y < 0 or from_y >= height:
                    least[d, now, x] = _start(cost[y, x], paths[d, now, x], total[y, x])
                    continue
                edge = abs(grey[y, x] - grey[from_y, from_x]) / contrast
                jump = max(large / (_ONE + edge), small)
                least[d, now, x] = _follow(
                    cost[y, x], paths[d, slot, from_x], least[d, slot, from_x], small, jump, paths[d, now, x], total[y, x]
                )  # fmt: skip


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _start(cost: Floats, path: Floats, total: Floats) -> float:
    lowest = cost[0]
    for p in range(cost.shape[0]):
        path[p] = cost[p]
        total[p] += cost[p]
        lowest = cost[p] if cost[p] < lowest else lowest
    return lowest


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _follow(
    cost: Floats, previous: Floats, least: float, small: float, jump: float, path: Floats, total: Floats
) -> float:
    """One pixel further along a path; returns the least of its costs."""
    last = cost.shape[0] - 1
    ceiling = least + jump
    inner, left, right, costs, outs, sums = previous[1:], previous, previous[2:], cost[1:], path[1:], total[1:]
    for p in range(last - 1):
        side = (left[p] if left[p] < right[p] else right[p]) + small
        value = inner[p] if inner[p] < side else side
        value = value if value < ceiling else ceiling
        value = value - least + costs[p]
        outs[p] = value
        sums[p] += value
    path[0] = min(previous[0], previous[1] + small, ceiling) - least + cost[0]
    path[last] = min(previous[last], previous[last - 1] + small, ceiling) - least + cost[last]
    total[0] += path[0]
    total[last] += path[last]
    lowest = path[0]
    for p in range(last + 1):
        lowest = path[p] if path[p] < lowest else lowest
    return lowest


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def pick(cost: Floats, total: Floats) -> tuple[Floats, Floats, Floats]:
    """(plane [H, W], fractional and -1 where it lies at an end; likeness [H, W]; lead [H, W] over any other plane).

    cost, total: [H, W, P] before and after smoothing. The plane is the vertex of the parabola through the least sum
    and its neighbours; likeness is 1 - cost there; lead is how far the best plane elsewhere lies above it, per path.
    """
    height, width, planes = cost.shape
    plane = np.full((height, width), _F(-1), np.float32)
    likeness, lead = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for y in nb.prange(height):
        for x in range(width):
            sums = total[y, x]
            best = 0
            for p in range(planes):
                if sums[p] < sums[best]:
                    best = p
            if best == 0 or best == planes - 1:
                continue
            other = _F(1e9)
            for p in range(planes):
                if abs(p - best) > 2 and sums[p] < other:
                    other = sums[p]
            a, b, c = sums[best - 1], sums[best], sums[best + 1]
            bend = a - _TWO * b + c
            plane[y, x] = _F(best) + (_HALF * (a - c) / bend if bend > _ZERO else _ZERO)
            likeness[y, x] = _ONE - cost[y, x, best]
            lead[y, x] = (other - b) / _F(8)
    return plane, likeness, lead
