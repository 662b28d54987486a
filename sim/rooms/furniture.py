"""Models of furniture: meshes that stand on z = 0, back at -x, front to +x, and the surfaces that objects can stand on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from echoseg_sim.rooms import decals, textures
from echoseg_sim.rooms.mesh import Material, Mesh, box, extent, lathe, merge, placed, tube, with_texture_upright
from echoseg_sim.rooms.palette import Palette

# Cell size of furniture, m.
CELL_M = 0.05


@dataclass(frozen=True)
class SupportSurface:
    """A level rectangle that objects can stand on, in the furniture's frame.

    center_m, size_m: [x, y]; height_m: of the surface; headroom_m: free height above it.
    """

    center_m: tuple[float, float]
    size_m: tuple[float, float]
    height_m: float
    headroom_m: float = 2.0


@dataclass(frozen=True, eq=False)
class FurnitureModel:
    """A piece of furniture in its own frame; its footprint is centred at the origin. size_m: [x, y, z]."""

    kind: str
    mesh: Mesh
    size_m: tuple[float, float, float]
    surfaces: tuple[SupportSurface, ...]


def make_furniture(kind: str, parts: list[Mesh], surfaces: list[SupportSurface]) -> FurnitureModel:
    """A piece of furniture of parts and surfaces in a common frame; both are centred over the origin."""
    mesh = merge(parts)
    low, high = extent(mesh)
    middle = (low + high) / 2
    centred = placed(mesh, (-middle[0], -middle[1], 0))
    shifted = [
        SupportSurface((s.center_m[0] - middle[0], s.center_m[1] - middle[1]), s.size_m, s.height_m, s.headroom_m)
        for s in surfaces
    ]
    size = high - low
    return FurnitureModel(kind, centred, (float(size[0]), float(size[1]), float(high[2])), tuple(shifted))


def _legs(size: tuple[float, float], height_m: float, thick_m: float, material: Material) -> list[Mesh]:
    x, y = size[0] / 2 - thick_m, size[1] / 2 - thick_m
    return [
        box((thick_m, thick_m, height_m), (sx * x, sy * y, 0), material, cell_m=CELL_M)
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]


def table(palette: Palette) -> FurnitureModel:
    """A dining table."""
    size = (palette.rng.uniform(0.75, 0.9), palette.rng.uniform(1.2, 1.5))
    height, wood = palette.rng.uniform(0.72, 0.76), palette.wood
    top = box((*size, 0.035), (0, 0, height - 0.035), wood, cell_m=0.03)
    apron = [box((0.02, size[1] - 0.2, 0.08), (s * (size[0] / 2 - 0.08), 0, height - 0.115), wood) for s in (-1, 1)]
    return make_furniture(
        "table", [top, *apron, *_legs(size, height - 0.035, 0.06, wood)], [SupportSurface((0, 0), size, height)]
    )


def coffee_table(palette: Palette) -> FurnitureModel:
    """A low table."""
    size, height = (palette.rng.uniform(0.5, 0.6), palette.rng.uniform(0.85, 1.1)), palette.rng.uniform(0.4, 0.46)
    top = box((*size, 0.04), (0, 0, height - 0.04), palette.other_wood, cell_m=0.03)
    legs = _legs(size, height - 0.04, 0.05, palette.metal(0.5))
    return make_furniture("coffee_table", [top, *legs], [SupportSurface((0, 0), size, height)])


def counter(palette: Palette) -> FurnitureModel:
    """A kitchen counter: plinth, doors with handles, worktop, tiled splash-back."""
    doors = int(palette.rng.integers(3, 5))
    width, depth = 0.6 * doors, 0.6
    front = palette.decal(decals.door(palette.rng, palette.lacquer.image), 0.58, 0.74)
    front = Material(front.image, front.tile_m, palette.lacquer.tint)
    parts = [
        box((depth - 0.08, width, 0.1), (-0.04, 0, 0), palette.plastic((0.2, 0.2, 0.22))),
        box((depth - 0.04, width, 0.76), (-0.02, 0, 0.1), palette.lacquer),
        box((depth, width, 0.04), (0, 0, 0.86), palette.worktop, cell_m=0.03),
        box((0.02, width, 0.5), (-depth / 2 + 0.01, 0, 0.9), palette.splash),
    ]
    for index in range(doors):
        y = -width / 2 + 0.6 * (index + 0.5)
        parts.append(box((0.018, 0.58, 0.74), (depth / 2 - 0.031, y, 0.11), palette.lacquer, {"+x": front}))
        parts.append(
            tube(
                [
                    (depth / 2 - 0.02, y - 0.1, 0.8),
                    (depth / 2, y - 0.09, 0.8),
                    (depth / 2, y + 0.09, 0.8),
                    (depth / 2 - 0.02, y + 0.1, 0.8),
                ],
                0.006,
                palette.metal(),
            )
        )
    return make_furniture("counter", parts, [SupportSurface((0.02, 0), (depth - 0.06, width), 0.9)])


def bookshelf(palette: Palette) -> FurnitureModel:
    """An open bookshelf with five boards, some of them with a row of books."""
    width, depth, height = palette.rng.uniform(0.85, 1.15), 0.34, palette.rng.uniform(1.65, 1.9)
    wood, thick, levels = palette.other_wood, 0.025, 5
    gap = (height - 0.06 - thick) / (levels - 1)
    parts = [box((depth, thick, height), (0, s * (width - thick) / 2, 0), wood, cell_m=CELL_M) for s in (-1, 1)]
    parts.append(box((0.012, width - 2 * thick, height - 0.06), (-depth / 2 + 0.006, 0, 0.06), palette.wood))
    parts.append(box((depth - 0.04, width - 2 * thick, 0.06), (-0.02, 0, 0), wood))
    surfaces = []
    for level in range(levels):
        z = 0.06 + gap * level
        parts.append(box((depth - 0.012, width - 2 * thick, thick), (0.006, 0, z), wood, cell_m=0.03))
        room = gap - thick if level < levels - 1 else 0.6
        inner = width - 2 * thick
        row = 0.0
        if 0 < level < levels - 1 and palette.rng.random() < 0.65:
            side = float(palette.rng.choice([-1, 1]))
            books, row = _book_row(palette, inner * palette.rng.uniform(0.2, 0.45), gap - thick)
            parts.append(placed(books, (0, side * (inner - row) / 2, z + thick)))
            row *= side
        surfaces.append(SupportSurface((0.01, -row / 2), (depth - 0.03, inner - abs(row)), z + thick, room))
    return make_furniture("bookshelf", parts, surfaces)


def _book_row(palette: Palette, width_m: float, height_m: float) -> tuple[Mesh, float]:
    """Books side by side, centred over the origin, and the width of the row in metres."""
    volumes, offset = [], 0.0
    pages = palette.plastic((0.92, 0.89, 0.8))
    while offset < width_m:
        thick, tall, deep = (
            palette.rng.uniform(0.02, 0.05),
            palette.rng.uniform(0.6, 0.9) * height_m,
            palette.rng.uniform(0.16, 0.22),
        )
        color, title = palette.cover()
        spine = palette.decal(title, tall, thick)
        volume = box(
            (deep, thick, tall), (-0.02, offset + thick / 2, 0), palette.plastic(color), {"+x": spine, "+z": pages}
        )
        volumes.append(with_texture_upright(volume, spine))
        offset += thick + 0.001
    return placed(merge(volumes), (0, -offset / 2, 0)), offset


def sideboard(palette: Palette) -> FurnitureModel:
    """A low cupboard with panelled doors."""
    doors = int(palette.rng.integers(2, 4))
    width, depth, height = 0.48 * doors, 0.42, palette.rng.uniform(0.72, 0.86)
    body = palette.wood if palette.rng.random() < 0.6 else palette.plastic(palette.muted())
    front = Material(decals.door(palette.rng, body.image), (0.44, height - 0.14), body.tint)
    parts = [
        *_legs((depth, width), 0.08, 0.05, palette.other_wood),
        box((depth - 0.02, width, height - 0.11), (-0.01, 0, 0.08), body, cell_m=CELL_M),
        box((depth, width + 0.02, 0.03), (0, 0, height - 0.03), palette.other_wood, cell_m=0.03),
    ]
    for index in range(doors):
        y = -width / 2 + 0.48 * (index + 0.5)
        parts.append(box((0.015, 0.44, height - 0.14), (depth / 2 - 0.0125, y, 0.095), body, {"+x": front}))
        parts.append(
            lathe([(0, -0.012), (0.014, 0), (0, 0.012)], palette.metal(), (depth / 2 + 0.002, y + 0.17, height * 0.55))
        )
    return make_furniture("sideboard", parts, [SupportSurface((0, 0), (depth, width), height)])


def _seat(palette: Palette, kind: str, width: float) -> FurnitureModel:
    depth, cloth = 0.85, palette.upholstery
    parts = [
        box((depth, width, 0.16), (0, 0, 0.08), cloth),
        box((0.24, width, 0.6), (-depth / 2 + 0.12, 0, 0.2), cloth),
        *[box((depth, 0.2, 0.36), (0, s * (width / 2 - 0.1), 0.24), cloth) for s in (-1, 1)],
        *_legs((depth, width), 0.08, 0.06, palette.other_wood),
    ]
    seats = max(1, round((width - 0.4) / 0.65))
    each = (width - 0.4) / seats
    for index in range(seats):
        y = -(width - 0.4) / 2 + each * (index + 0.5)
        parts.append(box((0.6, each - 0.002, 0.17), (0.115, y, 0.24), cloth, cell_m=CELL_M))
        parts.append(box((0.14, each - 0.004, 0.36), (-depth / 2 + 0.31, y, 0.41), cloth, cell_m=CELL_M))
    pillow = placed(
        box((0.12, 0.4, 0.38), (0, 0, 0), palette.cushion, cell_m=CELL_M), (-0.02, -(width / 2 - 0.42), 0.41), 0.25
    )
    return make_furniture(kind, [*parts, pillow], [])


def sofa(palette: Palette) -> FurnitureModel:
    """A sofa for two or three persons, with a cushion."""
    return _seat(palette, "sofa", palette.rng.uniform(1.6, 2.1))


def armchair(palette: Palette) -> FurnitureModel:
    """An armchair with a cushion."""
    return _seat(palette, "armchair", 0.95)


def chair(palette: Palette) -> FurnitureModel:
    """A plain wooden chair."""
    wood = palette.other_wood
    parts = [box((0.42, 0.42, 0.03), (0, 0, 0.43), wood, cell_m=CELL_M)]
    parts += [
        box((0.035, 0.035, 0.43 if x > 0 else 0.9), (x, y, 0), wood) for x in (-0.19, 0.19) for y in (-0.19, 0.19)
    ]
    parts += [box((0.02, 0.35, 0.06), (-0.19, 0, z), wood) for z in (0.58, 0.7, 0.82)]
    parts.append(box((0.36, 0.36, 0.03), (0.01, 0, 0.46), palette.cushion, cell_m=CELL_M))
    return make_furniture("chair", parts, [])


def rug(palette: Palette) -> FurnitureModel:
    """A patterned rug, one centimetre thick."""
    size = (palette.rng.uniform(1.2, 1.5), palette.rng.uniform(1.7, 2.1))
    pattern = palette.decal(textures.rug(palette.rng, palette.muted(), palette.vivid(), palette.pale()), *size)
    side = palette.plastic(palette.muted())
    return make_furniture("rug", [box((*size, 0.01), (0, 0, 0), side, {"+z": pattern, "-z": None})], [])


def window(palette: Palette, width_m: float, height_m: float) -> Mesh:
    """A window with frame, sill and curtains; back at x = 0, bottom at z = 0."""
    view = Material(textures.outdoors(palette.rng), (width_m, height_m), emission=1.5)
    white, cloth = palette.plastic((0.93, 0.93, 0.92)), palette.curtain
    frame = [box((0.05, 0.05, height_m), (0.025, s * (width_m / 2 - 0.025), 0), white) for s in (-1, 0, 1)]
    frame += [box((0.05, width_m, 0.05), (0.025, 0, z), white) for z in (0, height_m - 0.05)]
    pane = box((0.012, width_m, height_m), (0.006, 0, 0), white, {"+x": view})
    sill = box((0.14, width_m + 0.1, 0.03), (0.07, 0, -0.03), white)
    drapes = [_drape(cloth, height_m + 0.35, s * (width_m / 2 + 0.14)) for s in (-1, 1)]
    rod = tube(
        [(0.09, -width_m / 2 - 0.35, height_m + 0.12), (0.09, width_m / 2 + 0.35, height_m + 0.12)],
        0.012,
        palette.metal(0.6),
    )
    return merge([*frame, pane, sill, *drapes, rod])


def _drape(cloth: Material, height_m: float, y: float) -> Mesh:
    folds = box((0.05, 0.28, height_m), (0, 0, -0.25), cloth, cell_m=0.02)
    vertices = folds.vertices.copy()
    vertices[:, 0] += 0.09 + 0.018 * np.sin(vertices[:, 1] * 2 * np.pi / 0.09)
    slope = 0.6 * np.cos(vertices[:, 1] * 2 * np.pi / 0.09)
    normals = folds.normals.copy()
    facing = np.abs(normals[:, 0]) > 0.5
    normals[facing, 1] -= (slope * np.sign(normals[:, 0]))[facing]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return placed(Mesh(vertices, normals, folds.uvs, folds.triangles, folds.material_ids, folds.materials), (0, y, 0))


def room_door(palette: Palette) -> Mesh:
    """A panelled door with its frame; back at x = 0."""
    leaf = Material(decals.door(palette.rng, palette.wood.image), (0.86, 2.0), (1.0, 1.0, 1.0))
    white = palette.plastic((0.92, 0.92, 0.9))
    parts = [box((0.04, 0.86, 2.0), (0.02, 0, 0), palette.wood, {"+x": leaf})]
    parts += [box((0.055, 0.08, 2.08), (0.0275, s * 0.47, 0), white) for s in (-1, 1)]
    parts.append(box((0.055, 0.86, 0.08), (0.0275, 0, 2.0), white))
    parts.append(tube([(0.04, 0.36, 1.02), (0.08, 0.36, 1.02), (0.085, 0.25, 1.02)], 0.01, palette.metal()))
    return merge(parts)


def framed_picture(palette: Palette, width_m: float, height_m: float) -> Mesh:
    """A picture in a frame; back at x = 0, bottom at z = 0."""
    motif = palette.decal(textures.picture(palette.rng), width_m, height_m)
    edge = palette.other_wood if palette.rng.random() < 0.5 else palette.plastic((0.15, 0.15, 0.16))
    parts = [box((0.012, width_m, height_m), (0.006, 0, 0), edge, {"+x": motif})]
    parts += [box((0.025, 0.03, height_m + 0.06), (0.0125, s * (width_m / 2 + 0.015), -0.03), edge) for s in (-1, 1)]
    parts += [box((0.025, width_m, 0.03), (0.0125, 0, z), edge) for z in (-0.03, height_m)]
    return merge(parts)


def ceiling_lamp(palette: Palette) -> Mesh:
    """A round ceiling lamp; its top is at z = 0."""
    glow = Material(palette.ceiling.image, (0.5, 0.5), (1.0, 0.97, 0.9), emission=2.0)
    return lathe([(0, -0.09), (0.14, -0.075), (0.2, -0.03), (0.2, 0)], glow)


# Models of furniture by kind.
FURNITURE: dict[str, Callable[[Palette], FurnitureModel]] = {
    "table": table, "coffee_table": coffee_table, "counter": counter, "bookshelf": bookshelf, "sideboard": sideboard,
    "sofa": sofa, "armchair": armchair, "chair": chair, "rug": rug,
}  # fmt: skip
