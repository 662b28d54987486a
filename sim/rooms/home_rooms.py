"""The rooms of a home: bathroom, kitchen and living room, each with what belongs into it and what sounds there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echoseg_sim.rooms import bathroom, furniture, layout, small_objects
from echoseg_sim.rooms.furniture_placement import AISLE_M, PlacedFurniture, add_seating, place_furniture
from echoseg_sim.rooms.layout import Footprint
from echoseg_sim.rooms.mesh import extent
from echoseg_sim.rooms.object_placement import RoomObject, find_place, place_object, with_unique_names
from echoseg_sim.rooms.palette import Palette
from echoseg_sim.rooms.shell import Shell

PAIR_M = (0.85, 1.15)  # "a metre apart", middle to middle
_PAIR_ATTEMPTS = 60
# A camera at 1.2 m sees what sounds badly on the lowest or above the highest board.
_SOUNDING_HEIGHT_M = (0.25, 1.5)
_FLOOR_KINDS = ("washing_machine", "fan", "speaker")


@dataclass(frozen=True)
class HomeRoom:
    """Which room of a home, and what sounds in it.

    use: a key of PLANS; kind: of the sounding object, "" = drawn from those that suit the room; count: how many of the
    kind there are; pair: the first two of them stand about a metre apart.
    """

    use: str
    kind: str = ""
    count: int = 1
    pair: bool = False


@dataclass(frozen=True)
class RoomType:
    """What a kind of room is. low_m, high_m: bounds of its size; along_walls: furniture, the important pieces first;

    needed: pieces it is nothing without; table: whether one stands in it, with chairs; sounding, silent: kinds of
    things; repeated: silent kinds of which there are more.
    """

    low_m: tuple[float, float, float]
    high_m: tuple[float, float, float]
    wall_furniture: tuple[str, ...]
    required_furniture: frozenset[str]
    table: bool
    sounding: tuple[str, ...]
    silent: tuple[str, ...]
    repeated: tuple[str, ...]
    min_objects: int


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
_PIECES = {**furniture.FURNITURE, **bathroom.BATHROOM}


def draw_size(rng: np.random.Generator, use: str) -> tuple[float, float, float]:
    """Width, depth and height in metres of a room of that use."""
    width, depth, height = rng.uniform(ROOM_TYPES[use].low_m, ROOM_TYPES[use].high_m)
    return float(width), float(depth), float(height)


def furnish_home(palette: Palette, size: tuple[float, float, float], shell: Shell, use: str) -> list[PlacedFurniture]:
    """The furniture of such a room; empty if what it needs does not fit."""
    plan, rng, taken = ROOM_TYPES[use], palette.rng, list(shell.keep_clear)
    pieces: list[PlacedFurniture] = []
    for kind in plan.wall_furniture:
        piece = _PIECES[kind](palette)
        avoid = taken + (shell.tall_clear if piece.size_m[2] > 0.95 else [])
        place = layout.find_place_at_wall(rng, shell.walls, piece.size_m, 0.03, avoid, AISLE_M)
        if place is not None:
            pieces.append(place_furniture(piece, place, pieces))
            taken.append(place)
    if plan.required_furniture - {piece.kind for piece in pieces}:
        return []
    if plan.table:
        table = furniture.table(palette)
        place = layout.find_place_in_room(rng, size[:2], table.size_m, taken, 0.6, 100) or layout.find_place_at_wall(
            rng, shell.walls, table.size_m, 0.03, taken, AISLE_M
        )
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
    """The things in such a room, those of the sounding kind first; empty if one of these finds no place."""
    rng, plan = palette.rng, ROOM_TYPES[home.use]
    taken = [piece.footprint for piece in pieces if piece.kind != "rug" and not piece.surfaces] + list(clear)
    floor_taken = [piece.footprint for piece in pieces if piece.kind != "rug"] + list(clear)
    kind = home.kind or str(rng.choice(plan.sounding))
    objects: list[RoomObject] = []
    for number, wanted in enumerate([kind] * home.count + _others(rng, plan, kind)):
        mesh = small_objects.build_mesh(wanted, palette)
        low, high = extent(mesh)
        dims = (float(high[0] - low[0]), float(high[1] - low[1]), float(high[2]))
        standing = [item.footprint for item in objects]
        place = None
        for _ in range(_PAIR_ATTEMPTS if number < home.count else 1):
            found = find_place(rng, wanted, dims, size, pieces, taken + standing, floor_taken + standing)
            if found is None or number >= home.count or _suits(found, wanted, number, standing, home.pair):
                place = found
                break
        if place is not None:
            objects.append(place_object(wanted, mesh, place))
        elif number < home.count:
            return []
    return with_unique_names(objects)


def has_enough_objects(objects: list[RoomObject], use: str) -> bool:
    """Whether the room holds as many things as one of its use does."""
    return len(objects) >= ROOM_TYPES[use].min_objects


def _suits(place: Footprint, kind: str, number: int, standing: list[Footprint], pair: bool) -> bool:
    """Whether the sounding kind may stand there: at a height that is seen, the second of a pair a metre from the first."""
    middle_m = sum(place.z_m) / 2
    if not _SOUNDING_HEIGHT_M[0] < middle_m < _SOUNDING_HEIGHT_M[1] and kind not in _FLOOR_KINDS:
        return False
    if not (pair and number == 1):
        return True
    first = np.array([*standing[0].center_m, sum(standing[0].z_m) / 2])
    apart_m = float(np.linalg.norm(first - [*place.center_m, middle_m]))
    return PAIR_M[0] <= apart_m <= PAIR_M[1]


def _others(rng: np.random.Generator, plan: RoomType, kind: str) -> list[str]:
    """What else there is, large things first: one of each other sounding kind that suits, and silent things."""
    sounding = [k for k in plan.sounding if k != kind]
    large = [k for k in sounding if k in small_objects.LARGE_KINDS]
    rest = [str(k) for k in rng.permutation([k for k in (*sounding, *plan.silent) if k not in large])]
    return [*large, *rest, *(k for k in plan.repeated if k != kind)]
