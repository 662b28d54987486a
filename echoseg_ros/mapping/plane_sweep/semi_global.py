"""Semi-global smoothing of a cost volume (Hirschmueller 2008), and the depth and confidence read out of it."""

from __future__ import annotations

import numba as nb
import numpy as np

from echoseg_ros.types import Float32Array

_F = np.float32
_ZERO, _ONE, _HALF, _TWO = _F(0), _F(1), _F(0.5), _F(2)
# Minima are compared, never NaN: this lets the compiler take eight at a time.
_FAST = {"nnan", "nsz"}


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def aggregate(cost: Float32Array, grey: Float32Array, small: float, large: float, contrast: float) -> Float32Array:
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
    cost: Float32Array,
    grey: Float32Array,
    small: float,
    large: float,
    contrast: float,
    backwards: bool,
    total: Float32Array,
) -> None:
    """Paths along the row and from the three neighbours of the row before; backwards: from the last pixel to the first."""
    height, width, planes = cost.shape
    # [direction: 0 along the row, 1..3 the row before at x - 1, x, x + 1][two rows in turn][x][plane]
    paths = np.zeros((4, 2, width, planes), np.float32)
    least, jumps = np.zeros((4, 2, width), np.float32), np.zeros(width, np.float32)
    for step in range(height):
        y = height - 1 - step if backwards else step
        above = y + 1 if backwards else y - 1
        now, before = step % 2, 1 - step % 2
        total[y, :, :] = _ZERO
        for d in range(4):
            source, other_y = (now, y) if d == 0 else (before, above)
            shift = (1 if backwards else -1) if d == 0 else d - 2
            for x in range(width):
                # Negative: the path starts here.
                jumps[x] = -_ONE
                if 0 <= x + shift < width and 0 <= other_y < height:
                    edge = abs(grey[y, x] - grey[other_y, x + shift]) / contrast
                    jumps[x] = max(large / (_ONE + edge), small)
            _follow(
                cost[y], paths[d, source], least[d, source], shift, backwards, small, jumps, paths[d, now], least[d, now],
                total[y],
            )  # fmt: skip


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _follow(
    cost: Float32Array,
    before: Float32Array,
    least_before: Float32Array,
    shift: int,
    backwards: bool,
    small: float,
    jumps: Float32Array,
    after: Float32Array,
    least_after: Float32Array,
    total: Float32Array,
) -> None:
    """One row of paths, each a pixel further from x + shift; [W, P] costs and paths, [W] their least."""
    width, planes = cost.shape
    last = planes - 1
    for k in range(width):
        x = width - 1 - k if backwards else k
        jump = jumps[x]
        costs, path, sums = cost[x], after[x], total[x]
        if jump < _ZERO:
            path[:] = costs
        else:
            previous, least = before[x + shift], least_before[x + shift]
            ceiling = least + jump
            left, right, middle, inner, out = previous, previous[2:], previous[1:], costs[1:], path[1:]
            for p in range(planes - 2):
                side = (left[p] if left[p] < right[p] else right[p]) + small
                value = middle[p] if middle[p] < side else side
                value = value if value < ceiling else ceiling
                out[p] = value - least + inner[p]
            path[0] = min(previous[0], previous[1] + small, ceiling) - least + costs[0]
            path[last] = min(previous[last], previous[last - 1] + small, ceiling) - least + costs[last]
        for p in range(planes):
            sums[p] += path[p]
        least_after[x] = _least(path)


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _least(values: Float32Array) -> float:
    """Minimum of [P]; four at a time, since one chain of comparisons is what the whole smoothing would wait for."""
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
    return min(a, b, c, d)


@nb.njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def pick(cost: Float32Array, total: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array]:
    """(plane [H, W], fractional and -1 where it lies at an end; likeness [H, W]; lead [H, W] over any other plane).

    cost, total: [H, W, P] before and after smoothing. The plane is the vertex of the parabola through the costs at the least
    sum and its neighbours (through the sums, which lean towards flat, where the pixel's own costs are no valley);
    likeness is 1 - cost there; lead is how far the best plane elsewhere lies above it, per path.
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
            lead[y, x] = (other - sums[best]) / _F(8)
            likeness[y, x] = _ONE - cost[y, x, best]
            a, b, c = cost[y, x, best - 1], cost[y, x, best], cost[y, x, best + 1]
            if not (b < a and b < c):
                a, b, c = sums[best - 1], sums[best], sums[best + 1]
            bend = a - _TWO * b + c
            plane[y, x] = _F(best) + (_HALF * (a - c) / bend if bend > _ZERO else _ZERO)
    return plane, likeness, lead
