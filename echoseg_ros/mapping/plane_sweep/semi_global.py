"""Semi-global smoothing of a cost volume (Hirschmueller 2008), and the selection of the best plane of each pixel."""

from __future__ import annotations

import numba as nb
import numpy as np

from echoseg_ros.types import Float32Array

_F = np.float32
_ZERO, _ONE, _HALF, _TWO = _F(0), _F(1), _F(0.5), _F(2)
# fastmath flags: no value is NaN, so the compiler may vectorise the minima.
_FAST = {"nnan", "nsz"}


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def aggregate(cost: Float32Array, grey: Float32Array, small: float, large: float, contrast: float) -> Float32Array:
    """Sum [H, W, P] of the costs of the best paths that arrive from eight directions.

    cost: [H, W, P]; grey: [H, W] brightness; small, large: penalty of a step by one plane and by more planes. The large
    penalty falls with the difference of brightness along the path, to one half at `contrast`, because depth edges lie at
    image edges.
    """
    halves = np.empty((2, *cost.shape), np.float32)
    for half in nb.prange(2):
        _four_paths(cost, grey, _F(small), _F(large), _F(contrast), half == 1, halves[half])
    height = cost.shape[0]
    for y in nb.prange(height):
        halves[0, y] += halves[1, y]
    total: Float32Array = halves[0]
    return total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _four_paths(
    cost: Float32Array,
    grey: Float32Array,
    small: float,
    large: float,
    contrast: float,
    backwards: bool,
    total: Float32Array,
) -> None:
    """Paths along the row and from the three adjacent pixels of the row before; backwards: from the last pixel on."""
    height, width, planes = cost.shape
    # [direction: 0 along the row, 1..3 from x - 1, x, x + 1 of the row before][current or previous row][x][plane]
    paths = np.zeros((4, 2, width, planes), np.float32)
    minimum, jumps = np.zeros((4, 2, width), np.float32), np.zeros(width, np.float32)
    for step in range(height):
        y = height - 1 - step if backwards else step
        above = y + 1 if backwards else y - 1
        now, before = step % 2, 1 - step % 2
        total[y, :, :] = _ZERO
        for d in range(4):
            source, other_y = (now, y) if d == 0 else (before, above)
            shift = (1 if backwards else -1) if d == 0 else d - 2
            for x in range(width):
                # A negative penalty marks the start of a path.
                jumps[x] = -_ONE
                if 0 <= x + shift < width and 0 <= other_y < height:
                    edge = abs(grey[y, x] - grey[other_y, x + shift]) / contrast
                    jumps[x] = max(large / (_ONE + edge), small)
            _advance_paths(
                cost[y], paths[d, source], minimum[d, source], shift, backwards, small, jumps, paths[d, now], minimum[d, now],
                total[y],
            )  # fmt: skip


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _advance_paths(
    cost: Float32Array,
    before: Float32Array,
    minimum_before: Float32Array,
    shift: int,
    backwards: bool,
    small: float,
    jumps: Float32Array,
    after: Float32Array,
    minimum_after: Float32Array,
    total: Float32Array,
) -> None:
    """Extend the paths of one row by a pixel, from x + shift to x.

    cost, before, after, total: [W, P]; minimum_before, minimum_after: [W] over the planes; jumps: [W] large penalties.
    """
    width, planes = cost.shape
    last = planes - 1
    for k in range(width):
        x = width - 1 - k if backwards else k
        jump = jumps[x]
        costs, path, sums = cost[x], after[x], total[x]
        if jump < _ZERO:
            path[:] = costs
        else:
            previous, minimum = before[x + shift], minimum_before[x + shift]
            ceiling = minimum + jump
            left, right, middle, inner, out = previous, previous[2:], previous[1:], costs[1:], path[1:]
            for p in range(planes - 2):
                side = (left[p] if left[p] < right[p] else right[p]) + small
                value = middle[p] if middle[p] < side else side
                value = value if value < ceiling else ceiling
                out[p] = value - minimum + inner[p]
            path[0] = min(previous[0], previous[1] + small, ceiling) - minimum + costs[0]
            path[last] = min(previous[last], previous[last - 1] + small, ceiling) - minimum + costs[last]
        for p in range(planes):
            sums[p] += path[p]
        minimum_after[x] = _minimum(path)


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _minimum(values: Float32Array) -> float:
    """Minimum of values [P], in four independent chains of comparisons; a single chain would dominate the run time."""
    quarter = values.shape[0] // 4
    first, second, third, fourth = values, values[quarter:], values[2 * quarter :], values[3 * quarter :]
    a, b, c, d = values[0], values[0], values[0], values[0]
    for p in range(quarter):
        a = first[p] if first[p] < a else a
        b = second[p] if second[p] < b else b
        c = third[p] if third[p] < c else c
        d = fourth[p] if fourth[p] < d else d
    for p in range(4 * quarter, values.shape[0]):
        a = values[p] if values[p] < a else a
    minimum: float = min(a, b, c, d)
    return minimum


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def select_planes(cost: Float32Array, total: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array]:
    """(plane [H, W], fractional, -1 if it is the first or last; similarity [H, W]; margin [H, W]) of each pixel.

    cost, total: [H, W, P] before and after smoothing. The plane is the vertex of the parabola through the costs at the
    least total and the two planes next to it; where the costs have no minimum there, through the totals, which are biased
    towards flat surfaces. similarity: 1 - cost; margin: total of the best plane more than two planes away, minus the least
    total, for each path.
    """
    height, width, planes = cost.shape
    plane = np.full((height, width), _F(-1), np.float32)
    similarity, margin = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for y in nb.prange(height):
        for x in range(width):
            sums = total[y, x]
            best = 0
            for p in range(planes):
                if sums[p] < sums[best]:
                    best = p
            if best == 0 or best == planes - 1:
                continue
            runner_up = _F(1e9)
            for p in range(planes):
                if abs(p - best) > 2 and sums[p] < runner_up:
                    runner_up = sums[p]
            margin[y, x] = (runner_up - sums[best]) / _F(8)
            similarity[y, x] = _ONE - cost[y, x, best]
            a, b, c = cost[y, x, best - 1], cost[y, x, best], cost[y, x, best + 1]
            if not (b < a and b < c):
                a, b, c = sums[best - 1], sums[best], sums[best + 1]
            curvature = a - _TWO * b + c
            plane[y, x] = _F(best) + (_HALF * (a - c) / curvature if curvature > _ZERO else _ZERO)
    return plane, similarity, margin
