"""Placement of objects on floor and furniture, each at rest and clear of the others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from echoseg_ros.types import Box
from echoseg_sim.rooms import layout, small_objects
from echoseg_sim.rooms.furniture_placement import PlacedFurniture
from echoseg_sim.rooms.layout import Footprint
from echoseg_sim.rooms.mesh import Mesh, extent, placed
from echoseg_sim.rooms.palette import Palette

# Gap between objects, m.
_GAP_M = 0.06
# Gap between an object on the floor and its wall, m.
_WALL_GAP_M = 0.07
# Largest turn of an object on furniture at a wall against the furniture, rad; on tables, any turn is possible.
_MAX_TURN_RAD = 0.4
# Number of different kinds in a general room, and of further silent objects.
_KINDS, _MORE_SILENT = 13, 4
# Objects of the repeated kind in a room with several of one kind.
REPEATED_COUNT = 3

# Furniture that a kind usually stands on; the remaining furniture is tried afterwards.
USUAL_PLACES = {
    "microwave": ("counter", "sideboard", "table"), "kettle": ("counter", "table", "sideboard"),
    "coffee_maker": ("counter", "sideboard", "table"), "mug": ("table", "counter", "coffee_table"),
    "bottle": ("table", "counter", "bookshelf"), "bowl": ("table", "coffee_table", "counter"),
    "books": ("bookshelf", "coffee_table", "sideboard"), "alarm_clock": ("bookshelf", "sideboard", "table"),
    "radio": ("sideboard", "bookshelf", "counter", "table"),
    "phone": ("sideboard", "table", "bookshelf", "coffee_table"),
    "speaker": ("bookshelf", "sideboard", "floor"), "plant": ("floor", "sideboard", "table", "bookshelf"),
    "box": ("floor", "bookshelf"), "fan": ("floor", "table", "sideboard", "counter"),
    "lamp": ("sideboard", "table", "bookshelf"), "toy": ("floor", "bookshelf", "coffee_table", "sideboard"),
    "washing_machine": ("floor",),
}  # fmt: skip
# Kinds that a room can have several objects of.
REPEATABLE_KINDS = ("phone", "radio", "alarm_clock", "speaker", "kettle", "fan", "toy")


@dataclass(frozen=True, eq=False)
class RoomObject:
    """An object in a room. box: tight, in the map; mesh: in the map; sound: its built-in sound, None = silent."""

    name: str
    kind: str
    box: Box
    footprint: Footprint
    mesh: Mesh
    sound: str | None


def place_objects(palette: Palette, size: tuple[float, float, float], pieces: list[PlacedFurniture], clear: list[Footprint],
             instances: str) -> list[RoomObject]:  # fmt: skip
    """Objects on floor and furniture, in a random choice of kinds.

    size: of the room, [x, y, z] in metres; clear: footprints that stay free; instances: "single" or "multi".
    """
    taken = [piece.footprint for piece in pieces if piece.kind != "rug" and not piece.surfaces] + list(clear)
    floor_taken = [piece.footprint for piece in pieces] + list(clear)
    objects: list[RoomObject] = []
    for kind in _kinds_to_place(palette.rng, instances):
        mesh = small_objects.build_mesh(kind, palette)
        low, high = extent(mesh)
        dims = (float(high[0] - low[0]), float(high[1] - low[1]), float(high[2]))
        standing = [item.footprint for item in objects]
        place = find_place(palette.rng, kind, dims, size, pieces, taken + standing, floor_taken + standing)
        if place is None:
            continue
        objects.append(place_object(kind, mesh, place))
    return with_unique_names(objects)


def place_object(kind: str, mesh: Mesh, place: Footprint) -> RoomObject:
    """The object of a kind at a place; its kind is its name."""
    mesh = placed(mesh, (*place.center_m, place.z_m[0]), place.yaw_rad)
    return RoomObject(kind, kind, place.box(), place, mesh, small_objects.SOUNDS.get(kind))


def _kinds_to_place(rng: np.random.Generator, instances: str) -> list[str]:
    """Kinds to place in their order; one of each sounding kind, with "multi" three of one, which come first."""
    kinds = [
        str(kind)
        for kind in rng.permutation([kind for kind in small_objects.BUILDERS if kind not in small_objects.LARGE_KINDS])
    ]
    silent = [kind for kind in kinds if kind not in small_objects.SOUNDS]
    wanted = kinds[:_KINDS] + [str(kind) for kind in rng.choice(silent, _MORE_SILENT)]
    if instances == "single":
        return wanted
    repeated = str(rng.choice(REPEATABLE_KINDS))
    return [repeated] * REPEATED_COUNT + [kind for kind in wanted if kind != repeated]


def find_place(
    rng: np.random.Generator,
    kind: str,
    dims: tuple[float, float, float],
    size: tuple[float, float, float],
    pieces: list[PlacedFurniture],
    taken: list[Footprint],
    floor_taken: list[Footprint],
) -> Footprint | None:
    """A free place for an object of a kind and of dimensions [x, y, z] in metres; None if there is none.

    Furniture that the kind usually stands on is tried first. taken: occupied footprints; floor_taken: on the floor.
    """
    usual = [str(k) for k in rng.permutation(USUAL_PLACES[kind])]
    others = [
        str(k)
        for k in rng.permutation(["table", "counter", "sideboard", "bookshelf", "coffee_table"])
        if k not in usual
    ]
    others += [k for k in ("vanity", "rack") if kind not in small_objects.LARGE_KINDS]
    for where in usual + others:
        if where == "floor":
            place = layout.find_place_at_wall(rng, layout.walls_of(*size[:2]), dims, _WALL_GAP_M, floor_taken, _GAP_M)
            if place is not None:
                return place
            continue
        surfaces = [surface for piece in pieces if piece.kind == where for surface in piece.surfaces]
        for index in rng.permutation(len(surfaces)):
            surface = surfaces[index]
            max_turn_rad = np.pi if where in ("table", "coffee_table") else _MAX_TURN_RAD
            yaw = float(surface.yaw_rad + rng.uniform(-max_turn_rad, max_turn_rad))
            place = layout.find_place_on_surface(rng, surface, dims, yaw, taken, _GAP_M)
            if place is not None:
                return place
    return None


def with_unique_names(objects: list[RoomObject]) -> list[RoomObject]:
    """The objects with unique names: the kind, followed by a number if there are several of the kind."""
    kinds = [item.kind for item in objects]
    return [
        item if kinds.count(item.kind) == 1 else replace(item, name=f"{item.kind}_{1 + kinds[:index].count(item.kind)}")
        for index, item in enumerate(objects)
    ]
