"""Rooms of a home: bathroom, kitchen and living room, with their usual furniture and objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echoseg_sim.rooms import bathroom, furniture, small_objects
from echoseg_sim.rooms.furniture_placement import (
    PlacedFurniture,
    add_seating,
    find_table_place,
    place_furniture,
    wall_furniture,
)
from echoseg_sim.rooms.layout import Footprint
from echoseg_sim.rooms.mesh import extent
from echoseg_sim.rooms.object_placement import RoomObject, find_place, place_object, with_unique_names
from echoseg_sim.rooms.palette import Palette
from echoseg_sim.rooms.shell import Shell

# Distance between the centres of a pair of sounding objects, m.
PAIR_M = (0.85, 1.15)
# Attempts to find a suitable place for a sounding object.
_PLACE_ATTEMPTS = 60
# Heights of a sounding object's centre at which a camera at 1.2 m sees it well, m.
SOUNDING_HEIGHT_M = (0.25, 1.5)
# Gap around a table in the middle of a room, m, and the attempts to find a place for it.
_TABLE_GAP_M = 0.6
_TABLE_ATTEMPTS = 100
# Kinds that may sound on the floor.
_FLOOR_KINDS = ("washing_machine", "fan", "speaker")


@dataclass(frozen=True)
class HomeRoom:
    """A room of a home and its sounding object.

    use: a key of ROOM_TYPES; kind: of the sounding object, "" = one that suits the room, drawn at random; count: number of
    objects of the kind; pair: the first two of them stand about a metre apart.
    """

    use: str
    kind: str = ""
    count: int = 1
    pair: bool = False


@dataclass(frozen=True)
class RoomType:
    """Contents of a type of room.

    low_m, high_m: bounds of its size; wall_furniture: kinds of furniture along the walls, the important ones first;
    required_furniture: kinds that every such room has; has_table: with chairs; sounding, silent: kinds of objects;
    repeated: silent kinds that are added once more; min_objects: least number of objects.
    """

    low_m: tuple[float, float, float]
    high_m: tuple[float, float, float]
    wall_furniture: tuple[str, ...]
    required_furniture: frozenset[str]
    has_table: bool
    sounding: tuple[str, ...]
    silent: tuple[str, ...]
    repeated: tuple[str, ...]
    min_objects: int


# Types of rooms of a home by use.
ROOM_TYPES = {
    "bathroom": RoomType(
        (3.4, 3.0, 2.4), (4.6, 3.9, 2.6), ("vanity", "tub", "toilet", "rack", "sideboard"), frozenset({"vanity"}), False,
        ("washing_machine", "radio", "fan", "alarm_clock", "phone"),
        ("bottle", "mug", "plant", "box", "bowl", "toy"), ("bottle", "bottle", "mug", "box"), 9,
    ),
    "kitchen": RoomType(
        (3.8, 3.4, 2.4), (5.4, 4.8, 2.8), ("counter", "counter", "sideboard"), frozenset({"counter"}), True,
        ("microwave", "coffee_maker", "washing_machine", "radio", "kettle", "phone"),
        ("mug", "bottle", "bowl", "plant", "box", "books"), ("mug", "bottle", "bowl", "bottle"), 11,
    ),
    "living_room": RoomType(
        (4.4, 3.8, 2.4), (6.4, 5.4, 2.8), ("sofa", "sideboard", "bookshelf", "armchair", "bookshelf"),
        frozenset({"sofa", "sideboard"}), True,
        ("phone", "radio", "alarm_clock", "fan", "speaker", "toy", "coffee_maker"),
        ("lamp", "plant", "books", "bowl", "mug", "box", "bottle"), ("books", "plant", "lamp", "box"), 12,
    ),
}  # fmt: skip
# Models of furniture by kind.
_FURNITURE = {**furniture.FURNITURE, **bathroom.BATHROOM}


def draw_size(rng: np.random.Generator, use: str) -> tuple[float, float, float]:
    """Random width, depth and height in metres of a room of a use."""
    width, depth, height = rng.uniform(ROOM_TYPES[use].low_m, ROOM_TYPES[use].high_m)
    return float(width), float(depth), float(height)


def furnish_home(palette: Palette, size: tuple[float, float, float], shell: Shell, use: str) -> list[PlacedFurniture]:
    """Furniture of a room of a use; empty if the required furniture does not fit."""
    room_type, rng, taken = ROOM_TYPES[use], palette.rng, list(shell.keep_clear)
    pieces = wall_furniture(palette, shell, [_FURNITURE[kind] for kind in room_type.wall_furniture], taken)
    if room_type.required_furniture - {piece.kind for piece in pieces}:
        return []
    if room_type.has_table:
        table = furniture.table(palette)
        place = find_table_place(rng, size[:2], shell, table, taken, _TABLE_GAP_M, _TABLE_ATTEMPTS)
        if place is not None:
            pieces.append(place_furniture(table, place, pieces))
            taken.append(place)
        add_seating(palette, size[:2], pieces, taken)
    return pieces


def place_home_objects(
    palette: Palette,
    size: tuple[float, float, float],
    pieces: list[PlacedFurniture],
    clear: list[Footprint],
    home: HomeRoom,
) -> list[RoomObject]:
    """Objects of a room of a home, those of the sounding kind first; empty if one of these finds no place.

    size: of the room, [x, y, z] in metres; clear: footprints that stay free.
    """
    rng, room_type = palette.rng, ROOM_TYPES[home.use]
    taken = [piece.footprint for piece in pieces if piece.kind != "rug" and not piece.surfaces] + list(clear)
    floor_taken = [piece.footprint for piece in pieces if piece.kind != "rug"] + list(clear)
    kind = home.kind or str(rng.choice(room_type.sounding))
    objects: list[RoomObject] = []
    for number, wanted in enumerate([kind] * home.count + _other_kinds(rng, room_type, kind)):
        mesh = small_objects.build_mesh(wanted, palette)
        low, high = extent(mesh)
        dims = (float(high[0] - low[0]), float(high[1] - low[1]), float(high[2]))
        standing = [item.footprint for item in objects]
        place = None
        for _ in range(_PLACE_ATTEMPTS if number < home.count else 1):
            found = find_place(rng, wanted, dims, size, pieces, taken + standing, floor_taken + standing)
            if (
                found is None
                or number >= home.count
                or _suits_sounding_object(found, wanted, number, standing, home.pair)
            ):
                place = found
                break
        if place is not None:
            objects.append(place_object(wanted, mesh, place))
        elif number < home.count:
            return []
    return with_unique_names(objects)


def has_enough_objects(objects: list[RoomObject], use: str) -> bool:
    """Whether a room of a use has the least number of objects."""
    return len(objects) >= ROOM_TYPES[use].min_objects


def _suits_sounding_object(place: Footprint, kind: str, number: int, standing: list[Footprint], pair: bool) -> bool:
    """Whether a sounding object may stand at a place: at a visible height, the second of a pair a metre from the first.

    standing: footprints of the objects placed before; number: of the object among those of its kind.
    """
    middle_m = sum(place.z_m) / 2
    if not SOUNDING_HEIGHT_M[0] < middle_m < SOUNDING_HEIGHT_M[1] and kind not in _FLOOR_KINDS:
        return False
    if not (pair and number == 1):
        return True
    first = np.array([*standing[0].center_m, sum(standing[0].z_m) / 2])
    distance_m = float(np.linalg.norm(first - [*place.center_m, middle_m]))
    return PAIR_M[0] <= distance_m <= PAIR_M[1]


def _other_kinds(rng: np.random.Generator, room_type: RoomType, kind: str) -> list[str]:
    """Kinds of the other objects, large ones first: each other sounding kind of the type of room, and silent kinds."""
    sounding = [k for k in room_type.sounding if k != kind]
    large = [k for k in sounding if k in small_objects.LARGE_KINDS]
    rest = [str(k) for k in rng.permutation([k for k in (*sounding, *room_type.silent) if k not in large])]
    return [*large, *rest, *(k for k in room_type.repeated if k != kind)]
