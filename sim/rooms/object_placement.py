"""Small objects put on floor and furniture, each at rest and clear of the others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from echoseg_ros.types import Box
from echoseg_sim.rooms import layout, small_objects
from echoseg_sim.rooms.furniture_placement import PlacedFurniture
from echoseg_sim.rooms.layout import Footprint
from echoseg_sim.rooms.mesh import Mesh, extent, placed
from echoseg_sim.rooms.palette import Palette

_GAP_M = 0.06  # between objects

# Where a kind is usually put; anything else may take it if these are full.
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
REPEATABLE_KINDS = ("phone", "radio", "alarm_clock", "speaker", "kettle", "fan", "toy")


@dataclass(frozen=True, eq=False)
class RoomObject:
    """A small object. box, mesh: in the map, the box tight; sound: the builtin it makes, None = silent."""

    name: str
    kind: str
    box: Box
    footprint: Footprint
    mesh: Mesh
    sound: str | None


def place_objects(palette: Palette, size: tuple[float, float, float], pieces: list[PlacedFurniture], clear: list[Footprint],
             instances: str) -> list[RoomObject]:  # fmt: skip
    """Objects on floor and furniture, each at rest and clear of the others."""
    taken = [piece.footprint for piece in pieces if piece.kind != "rug" and not piece.surfaces] + list(clear)
    floor_taken = [piece.footprint for piece in pieces] + list(clear)
    objects: list[RoomObject] = []
    for kind in _shopping_list(palette.rng, instances):
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
    """The thing at its place, called by its kind."""
    moved = placed(mesh, (*place.center_m, place.z_m[0]), place.yaw_rad)
    return RoomObject(kind, kind, place.box(), place, moved, small_objects.SOUNDS.get(kind))


def _shopping_list(rng: np.random.Generator, instances: str) -> list[str]:
    """Kinds to place, the important ones first; one of each sounding kind unless "multi" repeats one."""
    kinds = [
        str(kind)
        for kind in rng.permutation([kind for kind in small_objects.BUILDERS if kind not in small_objects.LARGE_KINDS])
    ]
    silent = [kind for kind in kinds if kind not in small_objects.SOUNDS]
    wanted = kinds[:13] + [str(kind) for kind in rng.choice(silent, 4)]
    if instances == "single":
        return wanted
    repeated = str(rng.choice(REPEATABLE_KINDS))
    return [repeated] * 3 + [kind for kind in wanted if kind != repeated]


def find_place(
    rng: np.random.Generator,
    kind: str,
    dims: tuple[float, float, float],
    size: tuple[float, float, float],
    pieces: list[PlacedFurniture],
    taken: list[Footprint],
    floor_taken: list[Footprint],
) -> Footprint | None:
    """Where a thing of a kind and outer dimensions may stand; first where it usually does."""
    usual = [str(k) for k in rng.permutation(USUAL_PLACES[kind])]
    others = [
        str(k)
        for k in rng.permutation(["table", "counter", "sideboard", "bookshelf", "coffee_table"])
        if k not in usual
    ]
    others += [k for k in ("vanity", "rack") if kind not in small_objects.LARGE_KINDS]
    for where in usual + others:
        if where == "floor":
            place = layout.find_place_at_wall(rng, layout.walls_of(*size[:2]), dims, 0.07, floor_taken, _GAP_M)
            if place is not None:
                return place
            continue
        surfaces = [surface for piece in pieces if piece.kind == where for surface in piece.surfaces]
        for index in rng.permutation(len(surfaces)):
            surface = surfaces[index]
            yaw = float(
                surface.yaw_rad
                + (rng.uniform(-0.4, 0.4) if where not in ("table", "coffee_table") else rng.uniform(-np.pi, np.pi))
            )
            place = layout.find_place_on_surface(rng, surface, dims, yaw, taken, _GAP_M)
            if place is not None:
                return place
    return None


def with_unique_names(objects: list[RoomObject]) -> list[RoomObject]:
    """Kinds that occur once keep their kind as name, others get a number."""
    kinds = [item.kind for item in objects]
    return [
        item if kinds.count(item.kind) == 1 else replace(item, name=f"{item.kind}_{1 + kinds[:index].count(item.kind)}")
        for index, item in enumerate(objects)
    ]
