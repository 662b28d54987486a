"""Reflectors: floor and walls of the map, and the bias of apparent source positions by their reflections.

A reflection comes from the mirror image of the source behind the wall, a few milliseconds late and almost as loud. While
the distance of source and image is below the beam width of the array, the steered power has one lobe for both. Its
middle lies between them: a source 20 cm from a wall appears almost at the wall. With a known wall this pull can be
undone. The position remains uncertain along the normal of the wall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Float64Array

# Middle of the lobe between source (0) and wall (1), by the powers of the two. The absorption of walls is not known: the
# values are equally likely.
PULLS = (0.5, 0.65, 0.8)
# Bounds of the standard deviation of the beam; at larger distances from a wall the image pulls no more, m.
BEAM_M = (0.05, 1.0)
# Surface points below which no reflectors are searched for.
MIN_SURFACE_POINTS = 500
# Share of the surface points that a plane holds at least.
MIN_SHARE = 0.02
# Longer and shorter side of a plane, at least, m.
MIN_LENGTH_M = 1.4
MIN_HEIGHT_M = 1.4
# Depth bins in which points count as one plane, m.
BIN_M = 0.06
# Share of the cells of a plane that hold points, at least, and the size of a cell, m.
MIN_FILLED = 0.5
CELL_M = 0.3
# Margin by which a wall continues beyond its outermost points, m.
MARGIN_M = 0.3
# Headings of the walls that are tried.
_YAWS_RAD = np.radians(np.arange(0.0, 90.0, 3.0))
# Points of the surface that are used to find the heading.
MAX_YAW_POINTS = 4000


@dataclass(frozen=True)
class Reflector:
    """Known part of a plane n . p = offset_m.

    normal: [3] towards the side of the array; axes: [3, 3] axes of the room (rows); low_m, high_m: [3] corners of the known
    part along these axes, with a margin.
    """

    normal: Float64Array
    offset_m: float
    axes: Float64Array
    low_m: Float64Array
    high_m: Float64Array

    def distance_m(self, points: Float64Array) -> Float64Array:
        """[P] distance of points [P, 3] in front of the plane; infinite beside its known part and behind it."""
        distance_m = points @ self.normal - self.offset_m
        return np.where(self._beside(points) | (distance_m < 0), np.inf, distance_m)

    def mirror_image(self, point: Float64Array) -> Float64Array | None:
        """[3] mirror image of a point [3] in front of the plane; None behind the plane or beside its known part."""
        distance_m = float(self.distance_m(point[None])[0])
        return point - 2 * distance_m * self.normal if np.isfinite(distance_m) else None

    def is_behind(self, points: NDArray[np.floating[Any]], at_least_m: float) -> NDArray[np.bool_]:
        """[P] whether points [P, 3] lie behind the known part of the plane, by more than at_least_m."""
        return ~self._beside(points) & (points @ self.normal - self.offset_m < -at_least_m)

    def is_near(self, points: NDArray[np.floating[Any]], within_m: float) -> NDArray[np.bool_]:
        """[P] whether points [P, 3] lie on the known part of the plane, within a tolerance."""
        return ~self._beside(points) & (np.abs(points @ self.normal - self.offset_m) < within_m)

    def _beside(self, points: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        along = points @ self.axes.T
        return np.asarray(((along < self.low_m) | (along > self.high_m)).any(axis=1))


def find_reflectors(surface_points: NDArray[np.floating[Any]], array_position_m: Float64Array) -> tuple[Reflector, ...]:
    """Floor and walls of a level map from a sample [S, 3] of its surface; array_position_m: [3] a point in the room."""
    if len(surface_points) < MIN_SURFACE_POINTS:
        return ()
    points = np.asarray(surface_points, dtype=float)
    yaw_rad = _room_yaw(points)
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    axes = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    along = points @ axes.T
    found = [plane for axis in range(3) for plane in _planes(along, axes, axis, axes @ array_position_m)]
    return tuple(found)


def _room_yaw(points: Float64Array) -> float:
    """Heading of the level axes along which the coordinates of the points fall into the fewest bins."""
    sample = points[:: max(len(points) // MAX_YAW_POINTS, 1), :2]
    return float(max(_YAWS_RAD, key=lambda yaw: _concentration(sample, yaw)))


def _concentration(xy: Float64Array, yaw_rad: float) -> float:
    """Sum of the squared histograms of the coordinates of points [P, 2] along both axes."""
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    total = 0.0
    for along in (xy @ [cosine, sine], xy @ [-sine, cosine]):
        count = np.bincount(((along - along.min()) / BIN_M).astype(int))
        total += float(np.sum(count.astype(float) ** 2))
    return total


def _planes(along: Float64Array, axes: Float64Array, axis: int, array_position: Float64Array) -> list[Reflector]:
    """Large planes across one axis of the room. Of the level ones only the floor: tables are mostly covered.

    along: [P, 3] points and array_position: [3], both along the axes of the room.
    """
    bins = ((along[:, axis] - along[:, axis].min()) / BIN_M).astype(int)
    count = np.bincount(bins)
    double = count + np.append(count[1:], 0)  # a bin and the next one
    least = MIN_SHARE * len(along)
    peaks = [b for b, c in enumerate(double) if c >= least and c == double[max(b - 2, 0) : b + 3].max()]
    found = []
    for b in peaks[:1] if axis == 2 else peaks:
        own = along[(bins == b) | (bins == b + 1)]
        offset_m = float(np.median(own[:, axis]))
        low, high = np.quantile(own, [0.02, 0.98], axis=0)
        if not _is_wide_and_full(np.delete(own, axis, axis=1), np.delete(low, axis), np.delete(high, axis)):
            continue
        sign = 1.0 if array_position[axis] >= offset_m else -1.0
        low, high = low - MARGIN_M, high + MARGIN_M
        low[axis], high[axis] = -np.inf, np.inf
        found.append(Reflector(sign * axes[axis], sign * offset_m, axes, low, high))
    return found


def _is_wide_and_full(points: Float64Array, low: Float64Array, high: Float64Array) -> bool:
    """Whether points [P, 2] of a plane fill a large rectangle, which a slice of other surfaces does not."""
    extent_m = high - low
    if extent_m.max() < MIN_LENGTH_M or extent_m.min() < MIN_HEIGHT_M:
        return False
    rows, columns = np.ceil(extent_m / CELL_M).astype(int)
    cells = ((points[((points >= low) & (points < high)).all(axis=1)] - low) / CELL_M).astype(int)
    filled = np.bincount(cells[:, 0] * columns + cells[:, 1], minlength=rows * columns) > 0
    return bool(filled.mean() >= MIN_FILLED)


def undo_pull(
    apparent: Float64Array, reflectors: tuple[Reflector, ...], beam_m: float, pull: float
) -> tuple[Float64Array, Float64Array]:
    """(true points [P, 3], [P] stretch of space there) of sounds whose apparent points are `apparent` [P, 3].

    beam_m: standard deviation of the beam across the line of sight at the points. The apparent distance from a plane is
    d - pull d exp(-(d / beam)^2). Each plane is undone independently.
    """
    points, stretch = apparent.copy(), np.ones(len(apparent))
    beam_m = float(np.clip(beam_m, *BEAM_M))
    true_m = np.linspace(0.0, 4 * beam_m, 400)
    apparent_m = true_m * (1 - pull * np.exp(-((true_m / beam_m) ** 2)))
    slope = np.gradient(true_m, apparent_m)
    for reflector in reflectors:
        distance_m = reflector.distance_m(apparent)
        near = distance_m < apparent_m[-1]
        moved_m = np.interp(distance_m[near], apparent_m, true_m) - distance_m[near]
        points[near] += moved_m[:, None] * reflector.normal
        stretch[near] *= np.interp(distance_m[near], apparent_m, slope)
    return points, stretch
