"""Rooms for the benchmark of the sound: a box with tables, 14 things on them, and a robot's way through it.

Nothing is rendered: the map is what a good mapper would hold, points on the surfaces and one instance a thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from echoseg_ros.geometry import transform
from echoseg_ros.types import Box, Float64Array, Instance, MapSnapshot

SIZE_M, SIZE_SPREAD_M = np.array([6.0, 5.0, 2.7]), np.array([0.4, 0.4, 0.1])
# Things on each piece of furniture, the rest stand on the floor.
THINGS, THINGS_ON = 14, (3, 3, 2, 2)
THING_SIZE_M = (0.1, 0.35)
# Between the centres of two things, and of a thing on the floor from walls, tables and the robot's way.
APART_M, FROM_WALL_M, FROM_PATH_M = 0.45, 0.25, 0.35
SURFACE_POINTS = {"floor": 6000, "walls": 6000, "tables": 4000, "things": 4000}
POINTS_PER_INSTANCE = 300
POINT_NOISE_M = 0.005
# A robot that sees does not see what is above its camera's view.
MAPPED_WALL_M = 2.2
HEIGHT_M, SPEED_RAD = 1.0, 0.14
TILT_RAD = 0.025
_UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Slab:
    """A level box by its lowest and highest corner, [3] each, metres in the map."""

    low_m: Float64Array
    high_m: Float64Array

    @property
    def center_m(self) -> Float64Array:
        """[3] its middle."""
        return (self.low_m + self.high_m) / 2

    @property
    def size_m(self) -> Float64Array:
        """[3] its edges."""
        return self.high_m - self.low_m


@dataclass(frozen=True)
class SoundRoom:
    """One corner is the map's origin. size_m: [3]; sounding_m: [14, 3] where each thing sounds from, if it does."""

    size_m: Float64Array
    tables: tuple[Slab, ...]
    things: tuple[Slab, ...]
    sounding_m: Float64Array
    poses: Float64Array  # [P, 4, 4] T_map_array: x ahead, z up
    snapshot: MapSnapshot


def make_room(seed: int, poses: int) -> SoundRoom:
    """The room of that seed; `poses` changes the way through it, and nothing else."""
    rng = np.random.default_rng([seed, 41])
    size_m = SIZE_M + SIZE_SPREAD_M * rng.uniform(-1, 1, 3)
    tables = _tables(rng, size_m)
    path_seed = int(rng.integers(2**31))
    # Things keep clear of the longest way, so that a shorter one finds the same room.
    longest = _way(np.random.default_rng(path_seed), size_m, 120)
    things = _things(rng, size_m, tables, longest[:, :2, 3])
    sounding_m = np.stack([thing.center_m + thing.size_m * rng.uniform(-0.25, 0.25, 3) for thing in things])
    snapshot = _snapshot(rng, size_m, tables, things)
    return SoundRoom(size_m, tables, things, sounding_m, longest[:poses], snapshot)


def _tables(rng: np.random.Generator, size_m: Float64Array) -> tuple[Slab, ...]:
    """Two tables along the long walls, a sideboard and a shelf at the others."""
    x, y, _ = size_m
    near, far = rng.uniform(0.5, x - 2.5, 2)
    side, shelf = rng.uniform(0.9, y - 2.4, 2)
    return (
        Slab(np.array([near, 0.03, 0.0]), np.array([near + 1.9, 0.73, 0.74])),
        Slab(np.array([far, y - 0.73, 0.0]), np.array([far + 1.8, y - 0.03, 0.76])),
        Slab(np.array([x - 0.48, side, 0.0]), np.array([x - 0.03, side + 1.4, 0.9])),
        Slab(np.array([0.03, shelf, 0.0]), np.array([0.38, shelf + 1.3, 1.3])),
    )


def _things(
    rng: np.random.Generator, size_m: Float64Array, tables: tuple[Slab, ...], path_m: Float64Array
) -> tuple[Slab, ...]:
    """Some in a row on each table, the others anywhere on the floor, none too near to another one."""
    things: list[Slab] = []
    for table, count in zip(tables, THINGS_ON, strict=True):
        along = int(np.argmax(table.size_m[:2]))
        for place in range(count):
            footprint = rng.uniform(*THING_SIZE_M, 3)
            middle = table.center_m.copy()
            slot_m = table.size_m[along] / count
            middle[along] = table.low_m[along] + slot_m * (place + 0.5 + rng.uniform(-0.08, 0.08))
            things.append(_standing(middle, footprint, float(table.high_m[2])))
    while len(things) < THINGS:
        middle = rng.uniform(FROM_WALL_M, size_m - FROM_WALL_M)
        thing = _standing(middle, rng.uniform(*THING_SIZE_M, 3), 0.0)
        clear = all(_gap_m(thing, table) > 0.05 for table in tables)
        clear &= all(float(np.linalg.norm(thing.center_m - other.center_m)) > APART_M for other in things)
        if clear and float(np.linalg.norm(path_m - middle[:2], axis=1).min()) > FROM_PATH_M:
            things.append(thing)
    return tuple(things)


def _standing(middle_m: Float64Array, size_m: Float64Array, on_m: float) -> Slab:
    low = np.append(middle_m[:2] - size_m[:2] / 2, on_m)
    return Slab(low, low + size_m)


def _gap_m(a: Slab, b: Slab) -> float:
    """How far two slabs are apart seen from above, negative where they overlap."""
    return float(np.max(np.maximum(a.low_m - b.high_m, b.low_m - a.high_m)[:2]))


def _way(rng: np.random.Generator, size_m: Float64Array, poses: int) -> Float64Array:
    """[P, 4, 4] round and round the room in wandering ovals, looking about; one pose a second."""
    t = np.arange(poses)
    turn = rng.choice([-1.0, 1.0])
    angle = rng.uniform(0, 2 * np.pi) + turn * SPEED_RAD * t
    wander = 0.8 + 0.2 * np.sin(2 * np.pi * t / rng.uniform(17, 23) + rng.uniform(0, 6))
    radius = wander[:, None] * size_m[:2] * [0.28, 0.25]
    xy = size_m[:2] / 2 + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    z = HEIGHT_M + 0.04 * np.sin(2 * np.pi * t / rng.uniform(8, 12) + rng.uniform(0, 6))
    yaw = angle + turn * np.pi / 2 + 1.0 * np.sin(2 * np.pi * t / rng.uniform(6, 9) + rng.uniform(0, 6))
    pitch, roll = TILT_RAD * np.sin(2 * np.pi * t[:, None] / rng.uniform(4, 9, 2) + rng.uniform(0, 6, 2)).T
    turned = Rotation.from_euler("ZYX", np.stack([yaw, pitch, roll], axis=1)).as_matrix()
    return np.stack([transform(R, p) for R, p in zip(turned, np.column_stack([xy, z]), strict=True)])


def _snapshot(
    rng: np.random.Generator, size_m: Float64Array, tables: tuple[Slab, ...], things: tuple[Slab, ...]
) -> MapSnapshot:
    """The map of the room: 20,000 surface points and an instance for each thing."""
    x, y, _ = size_m
    floor = Slab(np.zeros(3), np.array([x, y, 0.0]))
    walls = [Slab(np.zeros(3), np.array([x, 0.0, MAPPED_WALL_M])), Slab(np.zeros(3), np.array([0.0, y, MAPPED_WALL_M])),
             Slab(np.array([0.0, y, 0.0]), np.array([x, y, MAPPED_WALL_M])),
             Slab(np.array([x, 0.0, 0.0]), np.array([x, y, MAPPED_WALL_M]))]  # fmt: skip
    parts = [rng.uniform(floor.low_m, floor.high_m, (SURFACE_POINTS["floor"], 3))]
    parts += [rng.uniform(wall.low_m, wall.high_m, (SURFACE_POINTS["walls"] // len(walls), 3)) for wall in walls]
    parts += [_on_faces(rng, table, SURFACE_POINTS["tables"] // len(tables)) for table in tables]
    counts = np.bincount(np.arange(SURFACE_POINTS["things"]) % len(things))
    on_things = [_on_faces(rng, thing, int(count)) for thing, count in zip(things, counts, strict=True)]
    exact = np.concatenate(parts + on_things)
    points = (exact + POINT_NOISE_M * rng.standard_normal(exact.shape)).astype(np.float32)
    rgb = rng.integers(60, 200, points.shape, dtype=np.uint8)
    owner = np.full(len(points), -1, dtype=np.int32)
    owner[-SURFACE_POINTS["things"] :] = np.repeat(np.arange(len(things)), counts)
    instances = tuple(_instance(rng, number, thing) for number, thing in enumerate(things))
    return MapSnapshot(0, instances, points, rgb, owner, len(points))


def _on_faces(rng: np.random.Generator, slab: Slab, count: int) -> Float64Array:
    """[count, 3] points on a slab's faces, by their area; none on the one it stands on."""
    a, b, c = slab.size_m
    areas = np.array([b * c, b * c, a * c, a * c, a * b])
    face = rng.choice(5, count, p=areas / areas.sum())
    unit = rng.random((count, 3))
    axis = np.array([0, 0, 1, 1, 2])[face]
    unit[np.arange(count), axis] = np.array([0.0, 1.0, 0.0, 1.0, 1.0])[face]
    return slab.low_m + unit * slab.size_m


def _instance(rng: np.random.Generator, number: int, thing: Slab) -> Instance:
    points: NDArray[np.float32] = (
        _on_faces(rng, thing, POINTS_PER_INSTANCE) + POINT_NOISE_M * rng.standard_normal((POINTS_PER_INSTANCE, 3))
    ).astype(np.float32)
    uids = np.arange(POINTS_PER_INSTANCE, dtype=np.int64) + number * POINTS_PER_INSTANCE
    box = Box(thing.center_m, thing.size_m, _UPRIGHT)
    rgb = np.full((POINTS_PER_INSTANCE, 3), 128, dtype=np.uint8)
    return Instance(number, uids, points, rgb, thing.center_m, box, views=10, confidence=0.9)
