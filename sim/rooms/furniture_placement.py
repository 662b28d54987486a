"""Furniture put into an empty room, along its walls and in its middle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from echoseg_sim.rooms import furniture, layout
from echoseg_sim.rooms.layout import Footprint
from echoseg_sim.rooms.mesh import Mesh, placed
from echoseg_sim.rooms.palette import Palette
from echoseg_sim.rooms.shell import Shell

AISLE_M = 0.08  # between pieces of furniture


@dataclass(frozen=True, eq=False)
class PlacedFurniture:
    """A piece of furniture in the map and the surfaces on it."""

    name: str
    kind: str
    footprint: Footprint
    mesh: Mesh
    surfaces: tuple[Footprint, ...]


def furnish(palette: Palette, size: tuple[float, float, float], shell: Shell) -> list[PlacedFurniture]:
    """Furniture along the walls and in the room; empty if the necessary pieces do not fit."""
    rng, plan, taken = palette.rng, size[:2], list(shell.keep_clear)
    pieces: list[PlacedFurniture] = []
    roomy = size[0] * size[1] > 20.0
    wanted = ["counter", "bookshelf", "sofa", "sideboard"] + (["bookshelf", "armchair"] if roomy else [])
    for kind in wanted:
        piece = furniture.FURNITURE[kind](palette)
        avoid = taken + (shell.tall_clear if piece.size_m[2] > 0.95 else [])
        place = layout.find_place_at_wall(rng, shell.walls, piece.size_m, 0.03, avoid, AISLE_M)
        if place is not None:
            pieces.append(place_furniture(piece, place, pieces))
            taken.append(place)
    table = furniture.table(palette)
    place = layout.find_place_in_room(rng, plan, table.size_m, taken, 0.65, 200) or layout.find_place_at_wall(
        rng, shell.walls, table.size_m, 0.03, taken, AISLE_M
    )
    if place is None or {"counter", "bookshelf"} - {piece.kind for piece in pieces}:
        return []
    pieces.append(place_furniture(table, place, pieces))
    taken.append(place)
    add_seating(palette, plan, pieces, taken)
    return pieces


def add_seating(
    palette: Palette, plan: tuple[float, float], pieces: list[PlacedFurniture], taken: list[Footprint]
) -> None:
    """Chairs at the table, a rug and a low table before the sofa."""
    _add_chairs(palette, plan, pieces, taken)
    sofa = next((piece for piece in pieces if piece.kind == "sofa"), None)
    if sofa is None:
        return
    low, rug = furniture.coffee_table(palette), furniture.rug(palette)
    ahead = sofa.footprint.size_m[0] / 2 + 0.4 + low.size_m[0] / 2
    place_if_free(pieces, taken, low, layout.footprint_relative_to(sofa.footprint, (ahead, 0.0), 0.0, low.size_m), plan)
    carpet = layout.footprint_relative_to(sofa.footprint, (ahead, 0.0), 0.0, rug.size_m)
    if layout.is_inside(carpet, *plan, 0.05):
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
        for along in (-0.28, 0.28):
            offset = (side * (depth / 2 + chair.size_m[0] / 2 + 0.03), along * width)
            place = layout.footprint_relative_to(table.footprint, offset, np.pi if side > 0 else 0.0, chair.size_m)
            place_if_free(pieces, taken, chair, place, plan)


def place_if_free(
    pieces: list[PlacedFurniture],
    taken: list[Footprint],
    piece: furniture.FurnitureModel,
    place: Footprint,
    plan: tuple[float, float],
) -> None:
    """Stand a piece there if it is inside the room and clear of the rest."""
    if layout.is_inside(place, *plan, 0.03) and layout.is_free(place, taken, 0.02):
        pieces.append(place_furniture(piece, place, pieces))
        taken.append(place)


def place_furniture(
    piece: furniture.FurnitureModel, place: Footprint, pieces: list[PlacedFurniture]
) -> PlacedFurniture:
    """The piece at its place, named by its kind and number."""
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
