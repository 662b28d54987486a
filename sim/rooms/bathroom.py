"""Models of a bathroom's furniture, in the frame of furniture.py: on z = 0, back at -x, front to +x."""

from __future__ import annotations

from collections.abc import Callable

from echoseg_sim.rooms import decals, textures
from echoseg_sim.rooms.furniture import CELL_M, FurnitureModel, SupportSurface, make_furniture
from echoseg_sim.rooms.mesh import Material, Mesh, box, lathe, merge, placed, tube
from echoseg_sim.rooms.palette import Palette

# Colour of enamel, sRGB.
_ENAMEL = (0.94, 0.95, 0.95)


def vanity(palette: Palette) -> FurnitureModel:
    """A cabinet with a basin in its middle and a surface for objects on each side."""
    width, depth, height = palette.rng.uniform(1.15, 1.5), 0.5, palette.rng.uniform(0.8, 0.86)
    body, enamel, metal = palette.lacquer, palette.plastic(_ENAMEL), palette.metal()
    front = Material(decals.door(palette.rng, body.image), (width / 2 - 0.02, height - 0.2), body.tint)
    parts = [
        box((depth - 0.08, width, 0.1), (-0.04, 0, 0), palette.plastic((0.2, 0.2, 0.22))),
        box((depth - 0.02, width, height - 0.14), (-0.01, 0, 0.1), body, cell_m=CELL_M),
        box((depth, width, 0.04), (0, 0, height - 0.04), palette.worktop, cell_m=0.03),
        box((0.02, width, 0.12), (-depth / 2 + 0.01, 0, height), palette.splash),
    ]
    for side in (-1, 1):
        door = box(
            (0.018, width / 2 - 0.02, height - 0.2), (depth / 2 - 0.015, side * width / 4, 0.12), body, {"+x": front}
        )
        knob = lathe([(0, -0.012), (0.014, 0), (0, 0.012)], metal, (depth / 2, side * 0.06, height * 0.55))
        parts += [door, knob]
    outside = [(0.1, 0), (0.17, 0.03), (0.2, 0.09), (0.195, 0.095)]
    inside = [(0.193, 0.095), (0.16, 0.045), (0.09, 0.02), (0, 0.018)]
    parts.append(lathe(outside, enamel, (0.02, 0, height), 36))
    parts.append(lathe(inside, enamel, (0.02, 0, height), 36))
    rise = [(-0.2, 0, height), (-0.2, 0, height + 0.22), (-0.14, 0, height + 0.26), (-0.08, 0, height + 0.22)]
    parts.append(tube(rise, 0.013, metal, 10))
    free = width / 2 - 0.23
    sides = [SupportSurface((0.01, side * (0.23 + free / 2)), (depth - 0.06, free), height) for side in (-1, 1)]
    return make_furniture("vanity", parts, sides)


def tub(palette: Palette) -> FurnitureModel:
    """A bath tub in its casing, open at the top."""
    length, width, height, rim = palette.rng.uniform(1.5, 1.7), 0.72, palette.rng.uniform(0.54, 0.6), 0.07
    enamel = palette.plastic(_ENAMEL)
    tile = palette.splash if palette.rng.random() < 0.5 else enamel
    parts = [box((0.03, length, height - 0.03), (s * (width / 2 - 0.015), 0, 0), tile, cell_m=CELL_M) for s in (-1, 1)]
    parts += [box((width - 0.06, 0.03, height - 0.03), (0, s * (length / 2 - 0.015), 0), tile) for s in (-1, 1)]
    parts += [box((rim, length, 0.03), (s * (width - rim) / 2, 0, height - 0.03), enamel) for s in (-1, 1)]
    parts += [box((width - 2 * rim, rim, 0.03), (0, s * (length - rim) / 2, height - 0.03), enamel) for s in (-1, 1)]
    inner = (width - 2 * rim, length - 2 * rim)
    parts += [box((0.012, inner[1], height - 0.15), (s * inner[0] / 2, 0, 0.12), enamel) for s in (-1, 1)]
    parts += [box((inner[0], 0.012, height - 0.15), (0, s * inner[1] / 2, 0.12), enamel) for s in (-1, 1)]
    parts.append(box((*inner, 0.02), (0, 0, 0.12), enamel, cell_m=CELL_M))
    spout = [(-width / 2 + 0.03, 0, height), (-width / 2 + 0.03, 0, height + 0.1), (-width / 2 + 0.14, 0, height + 0.1)]
    parts.append(tube(spout, 0.014, palette.metal(), 10))
    return make_furniture("tub", parts, [])


def toilet(palette: Palette) -> FurnitureModel:
    """A toilet: a bowl with a closed lid in front of its cistern."""
    enamel, seat = palette.plastic(_ENAMEL), palette.plastic(_ENAMEL if palette.rng.random() < 0.6 else palette.muted())
    foot = lathe([(0.13, 0), (0.11, 0.05), (0.12, 0.2), (0.185, 0.38), (0.19, 0.4)], enamel, segments=36)
    lid = lathe([(0.19, 0.4), (0.195, 0.41), (0.19, 0.43), (0, 0.435)], seat, segments=36)
    parts = [
        placed(foot, (0.08, 0, 0), scale=(1.25, 1, 1)),
        placed(lid, (0.08, 0, 0), scale=(1.25, 1, 1)),
        box((0.18, 0.38, 0.36), (-0.24, 0, 0.42), enamel, cell_m=CELL_M),
        box((0.2, 0.4, 0.03), (-0.24, 0, 0.78), enamel),
        box((0.12, 0.2, 0.42), (-0.22, 0, 0), enamel),
        lathe([(0.025, 0), (0.025, 0.012), (0, 0.014)], palette.metal(), (-0.24, 0, 0.81)),
    ]
    return make_furniture("toilet", parts, [])


def rack(palette: Palette) -> FurnitureModel:
    """A rack with four boards between thin posts, folded towels on the third one."""
    width, depth, height, levels = palette.rng.uniform(0.7, 0.9), 0.36, palette.rng.uniform(1.3, 1.5), 4
    post, board = palette.metal(0.8), palette.wood if palette.rng.random() < 0.6 else palette.other_wood
    gap = (height - 0.1 - 0.02) / (levels - 1)
    parts: list[Mesh] = [
        box((0.025, 0.025, height), (x * (depth - 0.025) / 2, y * (width - 0.025) / 2, 0), post)
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    surfaces = []
    for level in range(levels):
        z = 0.1 + gap * level
        parts.append(box((depth, width - 0.05, 0.02), (0, 0, z), board, cell_m=0.03))
        room = gap - 0.02 if level < levels - 1 else 0.8
        if level == levels - 2:
            side = float(palette.rng.choice([-1, 1]))
            parts.append(placed(_towels(palette), (0, side * (width / 2 - 0.19), z + 0.02)))
            surfaces.append(SupportSurface((0, -side * 0.16), (depth - 0.03, width - 0.4), z + 0.02, room))
            continue
        surfaces.append(SupportSurface((0, 0), (depth - 0.03, width - 0.1), z + 0.02, room))
    return make_furniture("rack", parts, surfaces)


def _towels(palette: Palette) -> Mesh:
    cloths = [palette.curtain, palette.cushion, palette.upholstery]
    order = palette.rng.permutation(len(cloths))
    return merge([box((0.27, 0.28 - 0.01 * i, 0.055), (0, 0, 0.056 * i), cloths[k]) for i, k in enumerate(order)])


def set_tiles(palette: Palette) -> None:
    """Replace floor and walls of a palette by tiles."""
    rng = palette.rng
    grout = (0.6, 0.6, 0.6)
    tone = float(rng.uniform(0.35, 0.65))
    palette.floor = Material(textures.tiles(rng, (tone, tone, 1.03 * tone), grout, 4, 0.05), (1.2, 1.2))
    palette.wall = Material(textures.tiles(rng, palette.pale(), (0.75, 0.75, 0.74)), (0.8, 0.8))
    palette.accent_wall = Material(textures.tiles(rng, palette.muted(), (0.75, 0.75, 0.74)), (0.8, 0.8))


# Models of a bathroom's furniture by kind.
BATHROOM: dict[str, Callable[[Palette], FurnitureModel]] = {
    "vanity": vanity,
    "tub": tub,
    "toilet": toilet,
    "rack": rack,
}
