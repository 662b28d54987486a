"""Furnished rooms by seed: walls, furniture, small objects that rest on it, and the light.

The map frame is level, z up, its origin on the floor in the middle of the room; T_map_world is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from echoseg_ros.types import Array, Box
from echoseg_sim import furniture, layout, things
from echoseg_sim.layout import Footprint
from echoseg_sim.light import bake
from echoseg_sim.mesh import Mesh, extent, placed
from echoseg_sim.palette import Palette
from echoseg_sim.scene import Scene, make_geometry
from echoseg_sim.shell import Shell, build_shell
from echoseg_sim.space import FreeSpace

MIN_OBJECTS, MIN_KINDS = 12, 7
_GAP_M = 0.06  # between objects
_AISLE_M = 0.08  # between pieces of furniture
_LAYOUT_ATTEMPTS = 50
_MIN_FREE_M2 = 2.5  # for a robot's middle, so that it can go around things

# Where a kind is usually put; anything else may take it if these are full.
_USUAL = {
    "microwave": ("counter", "sideboard", "table"), "kettle": ("counter", "table", "sideboard"),
    "coffee_maker": ("counter", "sideboard", "table"), "mug": ("table", "counter", "coffee_table"),
    "bottle": ("table", "counter", "bookshelf"), "bowl": ("table", "coffee_table", "counter"),
    "books": ("bookshelf", "coffee_table", "sideboard"), "alarm_clock": ("bookshelf", "sideboard", "table"),
    "radio": ("sideboard", "bookshelf", "counter", "table"),
    "phone": ("sideboard", "table", "bookshelf", "coffee_table"),
    "speaker": ("bookshelf", "sideboard", "floor"), "plant": ("floor", "sideboard", "table", "bookshelf"),
    "box": ("floor", "bookshelf"), "fan": ("floor", "table", "sideboard", "counter"),
    "lamp": ("sideboard", "table", "bookshelf"), "toy": ("floor", "bookshelf", "coffee_table", "sideboard"),
}  # fmt: skip
_REPEATED = ("phone", "radio", "alarm_clock", "speaker", "kettle", "fan", "toy")


@dataclass(frozen=True, eq=False)
class RoomObject:
    """A small object. box, mesh: in the map, the box tight; sound: the builtin it makes, None = silent."""

    name: str
    kind: str
    box: Box
    footprint: Footprint
    mesh: Mesh
    sound: str | None


@dataclass(frozen=True, eq=False)
class FurniturePiece:
    """A piece of furniture in the map and the surfaces on it."""

    name: str
    kind: str
    footprint: Footprint
    mesh: Mesh
    surfaces: tuple[Footprint, ...]


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished room. size_m: [3]."""

    seed: int
    size_m: Array
    objects: tuple[RoomObject, ...]
    furniture: tuple[FurniturePiece, ...]
    shell: Shell

    @cached_property
    def scene(self) -> Scene:
        """The lit scene, made on first use (seconds); its entities are 1..N = objects, 0 = shell, -1.. = furniture."""
        meshes = [*self.shell.meshes, *(piece.mesh for piece in self.furniture), *(item.mesh for item in self.objects)]
        entities = [0] * len(self.shell.meshes)
        entities += [-1 - i for i in range(len(self.furniture))] + [1 + i for i in range(len(self.objects))]
        geometry, textures = make_geometry(meshes, entities)
        return Scene(geometry, textures, bake(geometry, textures, self.shell.lights, self.seed))

    def object(self, name: str) -> RoomObject:
        """The object of that name. Raises KeyError with the names there are."""
        for item in self.objects:
            if item.name == name:
                return item
        raise KeyError(f"no object {name!r}; there are {[item.name for item in self.objects]}")

    def obstacles(self) -> list[Footprint]:
        """What a robot must drive around."""
        pieces = [piece.footprint for piece in self.furniture if piece.kind != "rug"]
        return pieces + [item.footprint for item in self.objects if item.footprint.z_m[0] < 0.02]


def make_room(seed: int, instances: str = "single", size_m: tuple[float, float, float] | None = None) -> Room:
    """A room as a pure function of its arguments.

    instances: "single" = one object of each sounding kind, "multi" = three of one of them; size_m overrides the drawn
    size. Raises ValueError if `instances` is neither, or no layout fits a given size.
    """
    if instances not in ("single", "multi"):
        raise ValueError(f"instances = {instances!r}: want single or multi")
    for attempt in range(_LAYOUT_ATTEMPTS):
        rng = np.random.default_rng([seed, attempt])
        size = size_m or _drawn_size(rng)
        palette = Palette(rng)
        shell = build_shell(palette, size)
        pieces = _furnish(palette, size, shell)
        objects = _scatter(palette, size, pieces, shell.keep_clear, instances)
        room = Room(seed, np.array(size), tuple(objects), tuple(pieces), shell)
        if (
            pieces
            and _is_full(objects, instances)
            and FreeSpace(room.size_m, room.obstacles()).area_m2() >= _MIN_FREE_M2
        ):
            return room
    raise ValueError(f"no furnished layout found for seed {seed}, size {size_m}: want at least 4 x 3.5 x 2.4 m")


def _drawn_size(rng: np.random.Generator) -> tuple[float, float, float]:
    width, depth, height = rng.uniform((4.0, 3.5, 2.4), (7.0, 6.0, 2.8))
    return float(width), float(depth), float(height)


def _is_full(objects: list[RoomObject], instances: str) -> bool:
    kinds = [item.kind for item in objects]
    repeated = max((kinds.count(kind) for kind in _REPEATED), default=0)
    return len(kinds) >= MIN_OBJECTS and len(set(kinds)) >= MIN_KINDS and (instances == "single" or repeated >= 3)


def _furnish(palette: Palette, size: tuple[float, float, float], shell: Shell) -> list[FurniturePiece]:
    """Furniture along the walls and in the room; empty if the necessary pieces do not fit."""
    rng, plan, taken = palette.rng, size[:2], list(shell.keep_clear)
    pieces: list[FurniturePiece] = []
    roomy = size[0] * size[1] > 20.0
    wanted = ["counter", "bookshelf", "sofa", "sideboard"] + (["bookshelf", "armchair"] if roomy else [])
    for kind in wanted:
        piece = furniture.FURNITURE[kind](palette)
        avoid = taken + (shell.tall_clear if piece.size_m[2] > 0.95 else [])
        place = layout.along_wall(rng, shell.walls, piece.size_m, 0.03, avoid, _AISLE_M)
        if place is not None:
            pieces.append(_stand(piece, place, pieces))
            taken.append(place)
    table = furniture.table(palette)
    place = layout.anywhere(rng, plan, table.size_m, taken, 0.65, 200) or layout.along_wall(
        rng, shell.walls, table.size_m, 0.03, taken, _AISLE_M
    )
    if place is None or {"counter", "bookshelf"} - {piece.kind for piece in pieces}:
        return []
    pieces.append(_stand(table, place, pieces))
    taken.append(place)
    _add_around(palette, plan, pieces, taken)
    return pieces


def _add_around(
    palette: Palette, plan: tuple[float, float], pieces: list[FurniturePiece], taken: list[Footprint]
) -> None:
    """Chairs at the table, a rug and a low table before the sofa."""
    table = next(piece for piece in pieces if piece.kind == "table")
    depth, width = table.footprint.size_m
    chair = furniture.chair(palette)
    for side in (-1, 1):
        for along in (-0.28, 0.28):
            offset = (side * (depth / 2 + chair.size_m[0] / 2 + 0.03), along * width)
            _try(
                pieces,
                taken,
                chair,
                layout.relative(table.footprint, offset, np.pi if side > 0 else 0.0, chair.size_m),
                plan,
            )
    sofa = next((piece for piece in pieces if piece.kind == "sofa"), None)
    if sofa is None:
        return
    low, rug = furniture.coffee_table(palette), furniture.rug(palette)
    ahead = sofa.footprint.size_m[0] / 2 + 0.4 + low.size_m[0] / 2
    _try(pieces, taken, low, layout.relative(sofa.footprint, (ahead, 0.0), 0.0, low.size_m), plan)
    carpet = layout.relative(sofa.footprint, (ahead, 0.0), 0.0, rug.size_m)
    if layout.is_inside(carpet, *plan, 0.05):
        pieces.append(_stand(rug, carpet, pieces))


def _try(
    pieces: list[FurniturePiece],
    taken: list[Footprint],
    piece: furniture.Piece,
    place: Footprint,
    plan: tuple[float, float],
) -> None:
    if layout.is_inside(place, *plan, 0.03) and layout.is_free(place, taken, 0.02):
        pieces.append(_stand(piece, place, pieces))
        taken.append(place)


def _stand(piece: furniture.Piece, place: Footprint, pieces: list[FurniturePiece]) -> FurniturePiece:
    surfaces = tuple(
        replace(layout.relative(place, s.center_m, 0.0, (*s.size_m, 0.0)), z_m=(s.height_m, s.height_m + s.headroom_m))
        for s in piece.supports
    )
    name = f"{piece.kind}_{1 + sum(other.kind == piece.kind for other in pieces)}"
    mesh = placed(piece.mesh, (*place.center_m, 0.0), place.yaw_rad)
    return FurniturePiece(name, piece.kind, place, mesh, surfaces)


def _scatter(palette: Palette, size: tuple[float, float, float], pieces: list[FurniturePiece], clear: list[Footprint],
             instances: str) -> list[RoomObject]:  # fmt: skip
    """Objects on floor and furniture, each at rest and clear of the others."""
    taken = [piece.footprint for piece in pieces if piece.kind != "rug" and not piece.surfaces] + list(clear)
    floor_taken = [piece.footprint for piece in pieces] + list(clear)
    objects: list[RoomObject] = []
    for kind in _shopping_list(palette.rng, instances):
        mesh = things.build(kind, palette)
        low, high = extent(mesh)
        dims = (float(high[0] - low[0]), float(high[1] - low[1]), float(high[2]))
        standing = [item.footprint for item in objects]
        place = _find_place(palette.rng, kind, dims, size, pieces, taken + standing, floor_taken + standing)
        if place is None:
            continue
        moved = placed(mesh, (*place.center_m, place.z_m[0]), place.yaw_rad)
        objects.append(RoomObject(kind, kind, place.box(), place, moved, things.SOUNDS.get(kind)))
    return _named(objects)


def _shopping_list(rng: np.random.Generator, instances: str) -> list[str]:
    """Kinds to place, the important ones first; one of each sounding kind unless "multi" repeats one."""
    kinds = [str(kind) for kind in rng.permutation(list(things.BUILDERS))]
    silent = [kind for kind in kinds if kind not in things.SOUNDS]
    wanted = kinds[:13] + [str(kind) for kind in rng.choice(silent, 4)]
    if instances == "single":
        return wanted
    repeated = str(rng.choice(_REPEATED))
    return [repeated] * 3 + [kind for kind in wanted if kind != repeated]


def _find_place(
    rng: np.random.Generator,
    kind: str,
    dims: tuple[float, float, float],
    size: tuple[float, float, float],
    pieces: list[FurniturePiece],
    taken: list[Footprint],
    floor_taken: list[Footprint],
) -> Footprint | None:
    """Where a thing of a kind and outer dimensions may stand; first where it usually does."""
    usual = [str(k) for k in rng.permutation(_USUAL[kind])]
    others = [
        str(k)
        for k in rng.permutation(["table", "counter", "sideboard", "bookshelf", "coffee_table"])
        if k not in usual
    ]
    for where in usual + others:
        if where == "floor":
            place = layout.along_wall(rng, layout.walls_of(*size[:2]), dims, 0.07, floor_taken, _GAP_M)
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
            place = layout.on_surface(rng, surface, dims, yaw, taken, _GAP_M)
            if place is not None:
                return place
    return None


def _named(objects: list[RoomObject]) -> list[RoomObject]:
    """Kinds that occur once keep their kind as name, others get a number."""
    kinds = [item.kind for item in objects]
    return [
        item if kinds.count(item.kind) == 1 else replace(item, name=f"{item.kind}_{1 + kinds[:index].count(item.kind)}")
        for index, item in enumerate(objects)
    ]
