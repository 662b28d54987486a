"""Floor and walls of the map, and how their reflections pull the place that a sound seems to come from.

What a wall reflects comes from the source's mirror image behind it, a few milliseconds late and almost as loud. While
source and image are closer together than the array's beam is wide, the steered power has one lobe for both, whose
middle lies between them: a source 20 cm from a wall is heard almost at the wall. Where the map knows the wall, this can
be undone; what is left is a place that is uncertain along the wall's normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float64Array

# The lobe's middle between source (0) and wall (1), by the powers of the two; what walls absorb is not known: each of
# these is as likely. Farther away than about the beam's deviation, within these bounds, the image pulls no more.
PULLS, BEAM_M = (0.5, 0.65, 0.8), (0.05, 1.0)
# A plane holds this share of the surface, is this long and this high, and its points, within a bin of depth, fill this
# share of it, counted in square cells.
MIN_SHARE, MIN_LENGTH_M, MIN_HEIGHT_M, BIN_M = 0.02, 1.4, 1.4, 0.06
MIN_FILLED, CELL_M = 0.5, 0.3
# Directions that walls are looked for in.
_YAWS_RAD = np.radians(np.arange(0.0, 90.0, 3.0))
# A wall ends this far beyond its outermost points.
_MARGIN_M = 0.3


@dataclass(frozen=True)
class Reflector:
    """Part of a plane n . p = offset_m.

    normal: [3] towards where the array was; low_m, high_m: [3] corners of what is known of it, with a margin, in the axes
    [3, 3] (rows) of the room.
    """

    normal: Float64Array
    offset_m: float
    axes: Float64Array
    low_m: Float64Array
    high_m: Float64Array

    def distance(self, points: Float64Array) -> Float64Array:
        """[P] metres in front of the plane of points [P, 3]; infinite beside it and behind it."""
        distance_m = points @ self.normal - self.offset_m
        return np.where(self._beside(points) | (distance_m < 0), np.inf, distance_m)

    def mirrored(self, point: Float64Array) -> Float64Array | None:
        """[3] the mirror image of a point [3] in front of the plane; None if it lies behind it or beside what is known."""
        distance_m = float(self.distance(point[None])[0])
        return point - 2 * distance_m * self.normal if np.isfinite(distance_m) else None

    def is_behind(self, points: NDArray[np.floating[Any]], at_least_m: float) -> NDArray[np.bool_]:
        """[P] whether points [P, 3] lie beyond the known part of the plane, by more than the map is off."""
        return ~self._beside(points) & (points @ self.normal - self.offset_m < -at_least_m)

    def is_near(self, points: NDArray[np.floating[Any]], within_m: float) -> NDArray[np.bool_]:
        """[P] whether points [P, 3] lie on the plane, give or take."""
        return ~self._beside(points) & (np.abs(points @ self.normal - self.offset_m) < within_m)

    def _beside(self, points: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        along = points @ self.axes.T
        return np.asarray(((along < self.low_m) | (along > self.high_m)).any(axis=1))


def find_reflectors(surface_points: NDArray[np.floating[Any]], seen_from_m: Float64Array) -> tuple[Reflector, ...]:
    """Floor and walls of a level map from a sample [S, 3] of its surface; seen_from_m: [3] a place in the room."""
    if len(surface_points) < 500:
        return ()
    points = np.asarray(surface_points, dtype=float)
    yaw_rad = _room_yaw(points)
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    axes = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    along = points @ axes.T
    found = [plane for axis in range(3) for plane in _planes(along, axes, axis, axes @ seen_from_m)]
    return tuple(found)


def _room_yaw(points: Float64Array) -> float:
    """The turn of the level axes for which the points' coordinates gather in the fewest bins."""
    sample = points[:: max(len(points) // 4000, 1), :2]
    return float(max(_YAWS_RAD, key=lambda yaw: _gathered(sample, yaw)))


def _gathered(xy: Float64Array, yaw_rad: float) -> float:
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    total = 0.0
    for along in (xy @ [cosine, sine], xy @ [-sine, cosine]):
        count = np.bincount(((along - along.min()) / BIN_M).astype(int))
        total += float(np.sum(count.astype(float) ** 2))
    return total


def _planes(along: Float64Array, axes: Float64Array, axis: int, seen_from: Float64Array) -> list[Reflector]:
    """The large planes across one axis; of the level ones only the floor: things on tables hide most of those."""
    bins = ((along[:, axis] - along[:, axis].min()) / BIN_M).astype(int)
    count = np.bincount(bins)
    double = count + np.append(count[1:], 0)  # a bin and the next
    least = MIN_SHARE * len(along)
    peaks = [b for b, c in enumerate(double) if c >= least and c == double[max(b - 2, 0) : b + 3].max()]
    found = []
    for b in peaks[:1] if axis == 2 else peaks:
        own = along[(bins == b) | (bins == b + 1)]
        offset_m = float(np.median(own[:, axis]))
        low, high = np.quantile(own, [0.02, 0.98], axis=0)
        if not _is_wide_and_full(np.delete(own, axis, axis=1), np.delete(low, axis), np.delete(high, axis)):
            continue
        sign = 1.0 if seen_from[axis] >= offset_m else -1.0
        low, high = low - _MARGIN_M, high + _MARGIN_M
        low[axis], high[axis] = -np.inf, np.inf
        found.append(Reflector(sign * axes[axis], sign * offset_m, axes, low, high))
    return found


def _is_wide_and_full(points: Float64Array, low: Float64Array, high: Float64Array) -> bool:
    """Whether points [P, 2] in a plane fill a large enough rectangle, rather than being a slice of other things."""
    extent_m = high - low
    if extent_m.max() < MIN_LENGTH_M or extent_m.min() < MIN_HEIGHT_M:
        return False
    rows, columns = np.ceil(extent_m / CELL_M).astype(int)
    cells = ((points[((points >= low) & (points < high)).all(axis=1)] - low) / CELL_M).astype(int)
    filled = np.bincount(cells[:, 0] * columns + cells[:, 1], minlength=rows * columns) > 0
    return bool(filled.mean() >= MIN_FILLED)


def unpulled(
    apparent: Float64Array, reflectors: tuple[Reflector, ...], beam_m: float, pull: float
) -> tuple[Float64Array, Float64Array]:
    """(places [P, 3], [P] by how much space is stretched there) of sounds that seem to come from `apparent` [P, 3].

    beam_m: standard deviation of the array's beam across the line of sight, there. The apparent distance from a plane is
    d - pull d exp(-(d / beam)^2): each plane is undone for itself.
    """
    places, stretch = apparent.copy(), np.ones(len(apparent))
    beam_m = float(np.clip(beam_m, *BEAM_M))
    true_m = np.linspace(0.0, 4 * beam_m, 400)
    seen_m = true_m * (1 - pull * np.exp(-((true_m / beam_m) ** 2)))
    slope = np.gradient(true_m, seen_m)
    for reflector in reflectors:
        seen = reflector.distance(apparent)
        near = seen < seen_m[-1]
        moved = np.interp(seen[near], seen_m, true_m) - seen[near]
        places[near] += moved[:, None] * reflector.normal
        stretch[near] *= np.interp(seen[near], seen_m, slope)
    return places, stretch
