"""Footprints, walls, and the search for free places by rejection sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from echoseg_ros.types import Box, Float64Array

# Gap between a piece of furniture at a wall and the wall's ends, m.
_CORNER_GAP_M = 0.02
# Share of the places at a wall that lie in a corner of the room.
_CORNER_SHARE = 0.3
# Least gap between an object and the board above it, m.
_HEADROOM_MARGIN_M = 0.03
# Least gap between an object and the edge of the surface it stands on, m.
_EDGE_MARGIN_M = 0.01


@dataclass(frozen=True)
class Footprint:
    """An upright box in the map.

    center_m: [x, y]; size_m: extent along its own x and y; yaw_rad: of its own frame; z_m: lowest and highest height.
    """

    center_m: tuple[float, float]
    size_m: tuple[float, float]
    yaw_rad: float
    z_m: tuple[float, float]

    def corners(self, grow_m: float = 0.0) -> Float64Array:
        """Corners [4, 2] in the map, with `grow_m` added on every side."""
        half = np.asarray(self.size_m) / 2 + grow_m
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        corners: Float64Array = signs * half @ _rotation(self.yaw_rad).T + self.center_m
        return corners

    def box(self) -> Box:
        """The footprint as an oriented box of the map."""
        center = np.array([*self.center_m, sum(self.z_m) / 2])
        size = np.array([*self.size_m, self.z_m[1] - self.z_m[0]])
        return Box(center, size, Rotation.from_euler("z", self.yaw_rad).as_quat())


@dataclass(frozen=True)
class Wall:
    """A wall of a room centred at the origin.

    yaw_rad: of the normal into the room; distance_m: from the room's centre; length_m: along the wall.
    """

    yaw_rad: float
    distance_m: float
    length_m: float

    def point(self, along_m: float, off_m: float = 0.0) -> tuple[float, float]:
        """Position [x, y] in the map: `along_m` from the wall's middle, `off_m` from the wall into the room."""
        x, y = _rotation(self.yaw_rad) @ np.array([off_m - self.distance_m, along_m])
        return float(x), float(y)


def walls_of(width_m: float, depth_m: float) -> list[Wall]:
    """The four walls of a room centred at the origin, width along x."""
    ahead, aside = (width_m / 2, depth_m), (depth_m / 2, width_m)
    return [Wall(i * np.pi / 2, *(ahead if i % 2 == 0 else aside)) for i in range(4)]


def overlap(a: Footprint, b: Footprint, gap_m: float = 0.0) -> bool:
    """Whether two footprints come closer than `gap_m` at some height that both fill (separating axis theorem)."""
    if a.z_m[0] >= b.z_m[1] or b.z_m[0] >= a.z_m[1]:
        return False
    first, second = a.corners(gap_m), b.corners()
    for yaw in (a.yaw_rad, a.yaw_rad + np.pi / 2, b.yaw_rad, b.yaw_rad + np.pi / 2):
        axis = np.array([np.cos(yaw), np.sin(yaw)])
        p, q = first @ axis, second @ axis
        if p.max() <= q.min() or q.max() <= p.min():
            return False
    return True


def is_inside(footprint: Footprint, width_m: float, depth_m: float, margin_m: float = 0.0) -> bool:
    """Whether a footprint lies within a room centred at the origin, `margin_m` from its walls."""
    corners = np.abs(footprint.corners(margin_m))
    return bool((corners[:, 0] <= width_m / 2 + 1e-9).all() and (corners[:, 1] <= depth_m / 2 + 1e-9).all())


def is_free(footprint: Footprint, others: Sequence[Footprint], gap_m: float) -> bool:
    """Whether a footprint keeps `gap_m` from all other footprints."""
    reach = np.hypot(*footprint.size_m) / 2 + gap_m
    for other in others:
        distance = np.hypot(footprint.center_m[0] - other.center_m[0], footprint.center_m[1] - other.center_m[1])
        if distance < reach + np.hypot(*other.size_m) / 2 and overlap(footprint, other, gap_m):
            return False
    return True


def find_place_at_wall(rng: np.random.Generator, walls: Sequence[Wall], size_m: tuple[float, float, float], off_m: float,
               taken: Sequence[Footprint], gap_m: float, attempts: int = 60) -> Footprint | None:  # fmt: skip
    """A free place with the back `off_m` from a wall; None if no attempt succeeds. size_m: [x, y, z]."""
    for _ in range(attempts):
        wall = walls[int(rng.integers(len(walls)))]
        reach = wall.length_m / 2 - size_m[1] / 2 - _CORNER_GAP_M
        if reach <= 0:
            continue
        along = rng.choice([-reach, reach]) if rng.random() < _CORNER_SHARE else rng.uniform(-reach, reach)
        place = Footprint(wall.point(along, off_m + size_m[0] / 2), size_m[:2], wall.yaw_rad, (0.0, size_m[2]))
        if is_free(place, taken, gap_m):
            return place
    return None


def find_place_in_room(rng: np.random.Generator, room_m: tuple[float, float], size_m: tuple[float, float, float],
             taken: Sequence[Footprint], gap_m: float, attempts: int = 60) -> Footprint | None:  # fmt: skip
    """A free place parallel to the walls; None if no attempt succeeds. room_m: [x, y]; size_m: [x, y, z]."""
    for _ in range(attempts):
        yaw = float(rng.integers(4) * np.pi / 2)
        center = rng.uniform(-0.5, 0.5, 2) * room_m
        place = Footprint((float(center[0]), float(center[1])), size_m[:2], yaw, (0.0, size_m[2]))
        if is_inside(place, *room_m, gap_m) and is_free(place, taken, gap_m):
            return place
    return None


def footprint_relative_to(
    base: Footprint, offset_m: tuple[float, float], turn_rad: float, size_m: tuple[float, float, float]
) -> Footprint:
    """A footprint in the map, given by its offset and turn in the frame of `base`; it stands on the floor."""
    x, y = _rotation(base.yaw_rad) @ np.asarray(offset_m) + base.center_m
    return Footprint((float(x), float(y)), size_m[:2], base.yaw_rad + turn_rad, (0.0, size_m[2]))


def find_place_on_surface(rng: np.random.Generator, surface: Footprint, size_m: tuple[float, float, float], yaw_rad: float,
               taken: Sequence[Footprint], gap_m: float, attempts: int = 40) -> Footprint | None:  # fmt: skip
    """A free place on a level surface; None if no attempt succeeds.

    surface: z_m are the heights of the surface and of the board above it; size_m: [x, y, z].
    """
    low, high = surface.z_m
    if size_m[2] > high - low - _HEADROOM_MARGIN_M:
        return None
    turn = yaw_rad - surface.yaw_rad
    c, s = abs(np.cos(turn)), abs(np.sin(turn))
    half = np.array([c * size_m[0] + s * size_m[1], s * size_m[0] + c * size_m[1]]) / 2
    reach = np.asarray(surface.size_m) / 2 - half - _EDGE_MARGIN_M
    if (reach < 0).any():
        return None
    for _ in range(attempts):
        offset = rng.uniform(-reach, reach)
        place = footprint_relative_to(surface, (float(offset[0]), float(offset[1])), turn, size_m)
        place = replace(place, z_m=(low, low + size_m[2]))
        if is_free(place, taken, gap_m):
            return place
    return None


def _rotation(yaw_rad: float) -> Float64Array:
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[c, -s], [s, c]])
