"""Placement of furniture in an empty room, along its walls and in its middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from echoseg_sim.rooms import furniture, layout
from echoseg_sim.rooms.furniture import FurnitureModel
from echoseg_sim.rooms.layout import Footprint
from echoseg_sim.rooms.mesh import Mesh, placed
from echoseg_sim.rooms.palette import Palette
from echoseg_sim.rooms.shell import Shell

# Gap between pieces of furniture, m.
AISLE_M = 0.08
# Gap between the back of a piece of furniture and its wall, m.
WALL_GAP_M = 0.03
# Height above which furniture must not stand in front of a window or a picture, m.
TALL_M = 0.95
# Floor area above which a room gets more furniture, m^2.
_ROOMY_M2 = 20.0
# Gap around a table in the middle of a room, m, and the attempts to find a place for it.
_TABLE_GAP_M = 0.65
_TABLE_ATTEMPTS = 200
# Gap between a piece of furniture beside another one and all others, m.
_SEATING_GAP_M = 0.02
# Gap between a sofa and the table in front of it, m.
_SOFA_GAP_M = 0.4
# Gap between a rug and the walls, m.
_RUG_GAP_M = 0.05
# Gap between a chair and its table, m.
_CHAIR_GAP_M = 0.03
# Offsets of chairs from the middle of a table's side, in parts of its width.
_CHAIR_OFFSETS = (-0.28, 0.28)


@dataclass(frozen=True, eq=False)
class PlacedFurniture:
    """A piece of furniture at its place. footprint, mesh: in the map; surfaces: footprints that objects can stand in."""

    name: str
    kind: str
    footprint: Footprint
    mesh: Mesh
    surfaces: tuple[Footprint, ...]


def furnish(palette: Palette, size: tuple[float, float, float], shell: Shell) -> list[PlacedFurniture]:
    """Furniture of a room of a size [x, y, z] in metres; empty if the required pieces do not fit."""
    rng, plan, taken = palette.rng, size[:2], list(shell.keep_clear)
    roomy = size[0] * size[1] > _ROOMY_M2
    wanted = ["counter", "bookshelf", "sofa", "sideboard"] + (["bookshelf", "armchair"] if roomy else [])
    pieces = wall_furniture(palette, shell, [furniture.FURNITURE[kind] for kind in wanted], taken)
    table = furniture.table(palette)
    place = find_table_place(rng, plan, shell, table, taken, _TABLE_GAP_M, _TABLE_ATTEMPTS)
    if place is None or {"counter", "bookshelf"} - {piece.kind for piece in pieces}:
        return []
    pieces.append(place_furniture(table, place, pieces))
    taken.append(place)
    add_seating(palette, plan, pieces, taken)
    return pieces


def wall_furniture(
    palette: Palette, shell: Shell, models: Sequence[Callable[[Palette], FurnitureModel]], taken: list[Footprint]
) -> list[PlacedFurniture]:
    """Furniture along the walls; a piece that does not fit is left out. taken: is extended by the places."""
    pieces: list[PlacedFurniture] = []
    for make_model in models:
        piece = make_model(palette)
        avoid = taken + (shell.tall_clear if piece.size_m[2] > TALL_M else [])
        place = layout.find_place_at_wall(palette.rng, shell.walls, piece.size_m, WALL_GAP_M, avoid, AISLE_M)
        if place is not None:
            pieces.append(place_furniture(piece, place, pieces))
            taken.append(place)
    return pieces


def find_table_place(
    rng: np.random.Generator,
    plan: tuple[float, float],
    shell: Shell,
    table: FurnitureModel,
    taken: list[Footprint],
    gap_m: float,
    attempts: int,
) -> Footprint | None:
    """A free place for a table in a room of width and depth `plan`, else at a wall; None if there is none."""
    place = layout.find_place_in_room(rng, plan, table.size_m, taken, gap_m, attempts)
    return place or layout.find_place_at_wall(rng, shell.walls, table.size_m, WALL_GAP_M, taken, AISLE_M)


def add_seating(
    palette: Palette, plan: tuple[float, float], pieces: list[PlacedFurniture], taken: list[Footprint]
) -> None:
    """Add chairs at the table, and a rug and a coffee table in front of the sofa, where they fit.

    plan: width and depth of the room; pieces, taken: are extended.
    """
    _add_chairs(palette, plan, pieces, taken)
    sofa = next((piece for piece in pieces if piece.kind == "sofa"), None)
    if sofa is None:
        return
    low, rug = furniture.coffee_table(palette), furniture.rug(palette)
    ahead = sofa.footprint.size_m[0] / 2 + _SOFA_GAP_M + low.size_m[0] / 2
    place_if_free(pieces, taken, low, layout.footprint_relative_to(sofa.footprint, (ahead, 0.0), 0.0, low.size_m), plan)
    carpet = layout.footprint_relative_to(sofa.footprint, (ahead, 0.0), 0.0, rug.size_m)
    if layout.is_inside(carpet, *plan, _RUG_GAP_M):
        pieces.append(place_furniture(rug, carpet, pieces))


def _add_chairs(
    palette: Palette, plan: tuple[float, float], pieces: list[PlacedFurniture], taken: list[Footprint]
) -> None:
    table = next((piece for piece in pieces if piece.kind == "table"), None)
    if table is None:
        return
    depth, width = table.footprint.size_m
    chair = furniture.chair(palette)
    for side in (-1, 1):
        for along in _CHAIR_OFFSETS:
            offset = (side * (depth / 2 + chair.size_m[0] / 2 + _CHAIR_GAP_M), along * width)
            place = layout.footprint_relative_to(table.footprint, offset, np.pi if side > 0 else 0.0, chair.size_m)
            place_if_free(pieces, taken, chair, place, plan)


def place_if_free(
    pieces: list[PlacedFurniture],
    taken: list[Footprint],
    piece: FurnitureModel,
    place: Footprint,
    plan: tuple[float, float],
) -> None:
    """Add a piece of furniture at a place if the place is inside the room and free."""
    if layout.is_inside(place, *plan, WALL_GAP_M) and layout.is_free(place, taken, _SEATING_GAP_M):
        pieces.append(place_furniture(piece, place, pieces))
        taken.append(place)


def place_furniture(piece: FurnitureModel, place: Footprint, pieces: list[PlacedFurniture]) -> PlacedFurniture:
    """The piece of furniture at a place, named by its kind and the count of its kind in `pieces`."""
    surfaces = tuple(
        replace(
            layout.footprint_relative_to(place, s.center_m, 0.0, (*s.size_m, 0.0)),
            z_m=(s.height_m, s.height_m + s.headroom_m),
        )
        for s in piece.surfaces
    )
    name = f"{piece.kind}_{1 + sum(other.kind == piece.kind for other in pieces)}"
    mesh = placed(piece.mesh, (*place.center_m, 0.0), place.yaw_rad)
    return PlacedFurniture(name, piece.kind, place, mesh, surfaces)
