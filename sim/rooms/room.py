"""Furnished rooms by seed: shell, furniture, objects and light.

The map frame is level, z up, its origin on the floor in the middle of the room; T_map_world is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from echoseg_ros.types import Float64Array
from echoseg_sim.rooms import home_rooms
from echoseg_sim.rooms.bathroom import set_tiles
from echoseg_sim.rooms.floor_clearance import FloorClearance
from echoseg_sim.rooms.furniture_placement import PlacedFurniture, furnish
from echoseg_sim.rooms.home_rooms import HomeRoom
from echoseg_sim.rooms.layout import Footprint
from echoseg_sim.rooms.light import bake_light
from echoseg_sim.rooms.object_placement import REPEATABLE_KINDS, REPEATED_COUNT, RoomObject, place_objects
from echoseg_sim.rooms.palette import Palette
from echoseg_sim.rooms.scene import Geometry, Scene, Textures, make_geometry
from echoseg_sim.rooms.shell import Shell, build_shell

# Least number of objects in a general room.
MIN_OBJECTS = 12
# Least number of kinds of objects in a general room.
MIN_KINDS = 7
# Attempts to find a layout that fits.
_LAYOUT_ATTEMPTS = 50
# Bounds of a general room's width, depth and height, m.
_SIZE_M = ((4.0, 3.5, 2.4), (7.0, 6.0, 2.8))
# Least area in which a robot's centre can move, of a general room and of a room of a home, m^2.
_MIN_DRIVABLE_M2 = 2.5
_MIN_DRIVABLE_HOME_M2 = 2.0
# Largest height of an object's bottom above the floor at which it is an obstacle for a robot, m.
_FLOOR_OBJECT_M = 0.02


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished room. size_m: [3] width, depth, height."""

    seed: int
    size_m: Float64Array
    objects: tuple[RoomObject, ...]
    furniture: tuple[PlacedFurniture, ...]
    shell: Shell

    @cached_property
    def scene(self) -> Scene:
        """The lit scene; computed at the first use, which takes seconds."""
        geometry, textures = self.surfaces
        return Scene(geometry, textures, bake_light(geometry, textures, self.shell.lights, self.seed))

    @property
    def geometry(self) -> Geometry:
        """The surfaces without light. Entities: 1..N = objects in their order, 0 = shell, negative = furniture."""
        return self.surfaces[0]

    @cached_property
    def surfaces(self) -> tuple[Geometry, Textures]:
        """Geometry and textures; see `geometry`."""
        meshes = [*self.shell.meshes, *(piece.mesh for piece in self.furniture), *(item.mesh for item in self.objects)]
        entities = [0] * len(self.shell.meshes)
        entities += [-1 - i for i in range(len(self.furniture))] + [1 + i for i in range(len(self.objects))]
        return make_geometry(meshes, entities)

    def object(self, name: str) -> RoomObject:
        """The object of a name. Raises KeyError with the known names if there is none."""
        for item in self.objects:
            if item.name == name:
                return item
        raise KeyError(f"no object {name!r}; there are {[item.name for item in self.objects]}")

    def obstacles(self) -> list[Footprint]:
        """Footprints that a robot must drive around."""
        pieces = [piece.footprint for piece in self.furniture if piece.kind != "rug"]
        return pieces + [item.footprint for item in self.objects if item.footprint.z_m[0] < _FLOOR_OBJECT_M]


def make_room(
    seed: int,
    instances: str = "single",
    size_m: tuple[float, float, float] | None = None,
    home: HomeRoom | None = None,
) -> Room:
    """A room as a function of its arguments.

    instances: "single" = one object of each sounding kind, "multi" = three of one sounding kind; size_m: [3], None = drawn
    at random; home: a room of a home instead of a general room, `instances` then has no effect. Raises ValueError if
    `instances` or the home's use is unknown, or no layout fits.
    """
    if instances not in ("single", "multi"):
        raise ValueError(f"instances = {instances!r}: want single or multi")
    if home is not None:
        return _make_home(seed, home, size_m)
    for attempt in range(_LAYOUT_ATTEMPTS):
        rng = np.random.default_rng([seed, attempt])
        size = size_m or _draw_size(rng)
        palette = Palette(rng)
        shell = build_shell(palette, size)
        pieces = furnish(palette, size, shell)
        objects = place_objects(palette, size, pieces, shell.keep_clear, instances)
        room = Room(seed, np.array(size), tuple(objects), tuple(pieces), shell)
        if (
            pieces
            and _has_enough_objects(objects, instances)
            and FloorClearance(room.size_m, room.obstacles()).drivable_area_m2() >= _MIN_DRIVABLE_M2
        ):
            return room
    raise ValueError(f"no furnished layout found for seed {seed}, size {size_m}: want at least 4 x 3.5 x 2.4 m")


def _draw_size(rng: np.random.Generator) -> tuple[float, float, float]:
    width, depth, height = rng.uniform(*_SIZE_M)
    return float(width), float(depth), float(height)


def _has_enough_objects(objects: list[RoomObject], instances: str) -> bool:
    kinds = [item.kind for item in objects]
    repeated = max((kinds.count(kind) for kind in REPEATABLE_KINDS), default=0)
    return (
        len(kinds) >= MIN_OBJECTS
        and len(set(kinds)) >= MIN_KINDS
        and (instances == "single" or repeated >= REPEATED_COUNT)
    )


def _make_home(seed: int, home: HomeRoom, size_m: tuple[float, float, float] | None) -> Room:
    """A room of a home. Its materials, which take the most time, are drawn once; its layout is drawn until one fits."""
    if home.use not in home_rooms.ROOM_TYPES:
        raise ValueError(f"room {home.use!r}: want one of {', '.join(home_rooms.ROOM_TYPES)}")
    palette = Palette(np.random.default_rng([seed, 401]))
    if home.use == "bathroom":
        set_tiles(palette)
    for _ in range(_LAYOUT_ATTEMPTS):
        size = size_m or home_rooms.draw_size(palette.rng, home.use)
        shell = build_shell(palette, size)
        pieces = home_rooms.furnish_home(palette, size, shell, home.use)
        objects = home_rooms.place_home_objects(palette, size, pieces, shell.keep_clear, home) if pieces else []
        room = Room(seed, np.array(size), tuple(objects), tuple(pieces), shell)
        if (
            home_rooms.has_enough_objects(objects, home.use)
            and FloorClearance(room.size_m, room.obstacles()).drivable_area_m2() >= _MIN_DRIVABLE_HOME_M2
        ):
            return room
    raise ValueError(f"no layout found for {home} of seed {seed}, size {size_m}: take another seed or a larger room")
