"""Rooms of the sound benchmark: a box with tables, objects, and a robot's path through it.

Nothing is rendered: the map is ideal, with points on the surfaces and one instance for each object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from echoseg_ros.geometry import transform
from echoseg_ros.types import Box, Float64Array, Instance, MapSnapshot

# Mean size of the room, metres, and largest deviation from it.
SIZE_M = np.array([6.0, 5.0, 2.7])
SIZE_SPREAD_M = np.array([0.4, 0.4, 0.1])
# Objects of a room.
OBJECT_COUNT = 14
# Objects on each piece of furniture; the rest stand on the floor.
OBJECTS_ON_TABLE = (3, 3, 2, 2)
# Smallest and largest edge of an object, metres.
OBJECT_SIZE_M = (0.1, 0.35)
# Least distance between the centres of an object on the floor and any other object, metres.
MIN_DISTANCE_M = 0.45
# Least distance of the centre of an object on the floor from walls, and from the robot's path, metres.
WALL_CLEARANCE_M = 0.25
PATH_CLEARANCE_M = 0.35
# Least gap between an object on the floor and a table, metres.
TABLE_CLEARANCE_M = 0.05
# Points of the map on each kind of surface.
SURFACE_POINTS = {"floor": 6000, "walls": 6000, "tables": 4000, "objects": 4000}
POINTS_PER_INSTANCE = 300
# Standard deviation of the points from the surfaces, metres.
POINT_NOISE_M = 0.005
# Height up to which walls are mapped, metres: the camera does not see what is above.
MAPPED_WALL_M = 2.2
# Mean height of the array, metres.
ARRAY_HEIGHT_M = 1.0
# Angular speed of the path about the middle of the room.
ANGULAR_SPEED_RAD_PER_S = 0.14
# Largest pitch and roll of the array.
TILT_RAD = 0.025
# Poses of the longest path of a room.
LONGEST_PATH = 120
_UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])


@dataclass(frozen=True)
class AlignedBox:
    """A box along the map's axes. low_m, high_m: [3] its lowest and highest corner, metres."""

    low_m: Float64Array
    high_m: Float64Array

    @property
    def center_m(self) -> Float64Array:
        """[3] its centre."""
        return (self.low_m + self.high_m) / 2

    @property
    def size_m(self) -> Float64Array:
        """[3] its edge lengths."""
        return self.high_m - self.low_m


@dataclass(frozen=True)
class SoundRoom:
    """A room with a corner at the map's origin.

    size_m: [3]; sound_positions_m: [OBJECT_COUNT, 3] position of the source in each object; poses: [P, 4, 4] T_map_array,
    x ahead, z up; snapshot: the map.
    """

    size_m: Float64Array
    tables: tuple[AlignedBox, ...]
    objects: tuple[AlignedBox, ...]
    sound_positions_m: Float64Array
    poses: Float64Array
    snapshot: MapSnapshot


def make_room(seed: int, poses: int) -> SoundRoom:
    """The room of a seed. poses: length of the path, up to LONGEST_PATH; it changes nothing else of the room."""
    rng = np.random.default_rng([seed, 41])
    size_m = SIZE_M + SIZE_SPREAD_M * rng.uniform(-1, 1, 3)
    tables = _tables(rng, size_m)
    path_seed = int(rng.integers(2**31))
    # Objects keep clear of the longest path, so that the room does not depend on the length of the path.
    longest = _robot_path(np.random.default_rng(path_seed), size_m, LONGEST_PATH)
    objects = _place_objects(rng, size_m, tables, longest[:, :2, 3])
    sound_positions_m = np.stack([box.center_m + box.size_m * rng.uniform(-0.25, 0.25, 3) for box in objects])
    snapshot = _snapshot(rng, size_m, tables, objects)
    return SoundRoom(size_m, tables, objects, sound_positions_m, longest[:poses], snapshot)


def _tables(rng: np.random.Generator, size_m: Float64Array) -> tuple[AlignedBox, ...]:
    """Two tables along the long walls, a sideboard and a shelf at the short ones."""
    x, y, _ = size_m
    near, far = rng.uniform(0.5, x - 2.5, 2)
    side, shelf = rng.uniform(0.9, y - 2.4, 2)
    return (
        AlignedBox(np.array([near, 0.03, 0.0]), np.array([near + 1.9, 0.73, 0.74])),
        AlignedBox(np.array([far, y - 0.73, 0.0]), np.array([far + 1.8, y - 0.03, 0.76])),
        AlignedBox(np.array([x - 0.48, side, 0.0]), np.array([x - 0.03, side + 1.4, 0.9])),
        AlignedBox(np.array([0.03, shelf, 0.0]), np.array([0.38, shelf + 1.3, 1.3])),
    )


def _place_objects(
    rng: np.random.Generator, size_m: Float64Array, tables: tuple[AlignedBox, ...], path_m: Float64Array
) -> tuple[AlignedBox, ...]:
    """Objects in a row on each table and at random free places on the floor."""
    objects: list[AlignedBox] = []
    for table, count in zip(tables, OBJECTS_ON_TABLE, strict=True):
        along = int(np.argmax(table.size_m[:2]))
        for place in range(count):
            footprint = rng.uniform(*OBJECT_SIZE_M, 3)
            middle = table.center_m.copy()
            slot_m = table.size_m[along] / count
            middle[along] = table.low_m[along] + slot_m * (place + 0.5 + rng.uniform(-0.08, 0.08))
            objects.append(_standing_box(middle, footprint, float(table.high_m[2])))
    while len(objects) < OBJECT_COUNT:
        middle = rng.uniform(WALL_CLEARANCE_M, size_m - WALL_CLEARANCE_M)
        candidate = _standing_box(middle, rng.uniform(*OBJECT_SIZE_M, 3), 0.0)
        clear = all(_gap_m(candidate, table) > TABLE_CLEARANCE_M for table in tables)
        clear &= all(float(np.linalg.norm(candidate.center_m - other.center_m)) > MIN_DISTANCE_M for other in objects)
        if clear and float(np.linalg.norm(path_m - middle[:2], axis=1).min()) > PATH_CLEARANCE_M:
            objects.append(candidate)
    return tuple(objects)


def _standing_box(middle_m: Float64Array, size_m: Float64Array, on_m: float) -> AlignedBox:
    low = np.append(middle_m[:2] - size_m[:2] / 2, on_m)
    return AlignedBox(low, low + size_m)


def _gap_m(a: AlignedBox, b: AlignedBox) -> float:
    """Horizontal gap between two boxes, metres; negative where they overlap."""
    return float(np.max(np.maximum(a.low_m - b.high_m, b.low_m - a.high_m)[:2]))


def _robot_path(rng: np.random.Generator, size_m: Float64Array, poses: int) -> Float64Array:
    """[P, 4, 4] varying ovals around the room with changing heading; one pose a second."""
    t = np.arange(poses)
    turn = rng.choice([-1.0, 1.0])
    angle = rng.uniform(0, 2 * np.pi) + turn * ANGULAR_SPEED_RAD_PER_S * t
    wander = 0.8 + 0.2 * np.sin(2 * np.pi * t / rng.uniform(17, 23) + rng.uniform(0, 6))
    radius = wander[:, None] * size_m[:2] * [0.28, 0.25]
    xy = size_m[:2] / 2 + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    z = ARRAY_HEIGHT_M + 0.04 * np.sin(2 * np.pi * t / rng.uniform(8, 12) + rng.uniform(0, 6))
    yaw = angle + turn * np.pi / 2 + 1.0 * np.sin(2 * np.pi * t / rng.uniform(6, 9) + rng.uniform(0, 6))
    pitch, roll = TILT_RAD * np.sin(2 * np.pi * t[:, None] / rng.uniform(4, 9, 2) + rng.uniform(0, 6, 2)).T
    turned = Rotation.from_euler("ZYX", np.stack([yaw, pitch, roll], axis=1)).as_matrix()
    return np.stack([transform(R, p) for R, p in zip(turned, np.column_stack([xy, z]), strict=True)])


def _snapshot(
    rng: np.random.Generator, size_m: Float64Array, tables: tuple[AlignedBox, ...], objects: tuple[AlignedBox, ...]
) -> MapSnapshot:
    """The map of the room: surface points and an instance for each object."""
    x, y, _ = size_m
    floor = AlignedBox(np.zeros(3), np.array([x, y, 0.0]))
    walls = [AlignedBox(np.zeros(3), np.array([x, 0.0, MAPPED_WALL_M])), AlignedBox(np.zeros(3), np.array([0.0, y, MAPPED_WALL_M])),
             AlignedBox(np.array([0.0, y, 0.0]), np.array([x, y, MAPPED_WALL_M])),
             AlignedBox(np.array([x, 0.0, 0.0]), np.array([x, y, MAPPED_WALL_M]))]  # fmt: skip
    parts = [rng.uniform(floor.low_m, floor.high_m, (SURFACE_POINTS["floor"], 3))]
    parts += [rng.uniform(wall.low_m, wall.high_m, (SURFACE_POINTS["walls"] // len(walls), 3)) for wall in walls]
    parts += [_on_faces(rng, table, SURFACE_POINTS["tables"] // len(tables)) for table in tables]
    counts = np.bincount(np.arange(SURFACE_POINTS["objects"]) % len(objects))
    on_objects = [_on_faces(rng, box, int(count)) for box, count in zip(objects, counts, strict=True)]
    exact = np.concatenate(parts + on_objects)
    points = (exact + POINT_NOISE_M * rng.standard_normal(exact.shape)).astype(np.float32)
    rgb = rng.integers(60, 200, points.shape, dtype=np.uint8)
    owner = np.full(len(points), -1, dtype=np.int32)
    owner[-SURFACE_POINTS["objects"] :] = np.repeat(np.arange(len(objects)), counts)
    instances = tuple(_instance(rng, number, box) for number, box in enumerate(objects))
    return MapSnapshot(0, instances, points, rgb, owner, len(points))


def _on_faces(rng: np.random.Generator, box: AlignedBox, count: int) -> Float64Array:
    """[count, 3] points on the faces of a box, in proportion to their area, none on the bottom."""
    a, b, c = box.size_m
    areas = np.array([b * c, b * c, a * c, a * c, a * b])
    face = rng.choice(5, count, p=areas / areas.sum())
    unit = rng.random((count, 3))
    axis = np.array([0, 0, 1, 1, 2])[face]
    unit[np.arange(count), axis] = np.array([0.0, 1.0, 0.0, 1.0, 1.0])[face]
    return box.low_m + unit * box.size_m


def _instance(rng: np.random.Generator, number: int, aligned: AlignedBox) -> Instance:
    points: NDArray[np.float32] = (
        _on_faces(rng, aligned, POINTS_PER_INSTANCE) + POINT_NOISE_M * rng.standard_normal((POINTS_PER_INSTANCE, 3))
    ).astype(np.float32)
    uids = np.arange(POINTS_PER_INSTANCE, dtype=np.int64) + number * POINTS_PER_INSTANCE
    box = Box(aligned.center_m, aligned.size_m, _UPRIGHT)
    rgb = np.full((POINTS_PER_INSTANCE, 3), 128, dtype=np.uint8)
    return Instance(number, uids, points, rgb, aligned.center_m, box, views=10, confidence=0.9)
