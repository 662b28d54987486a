"""Objects of a room by kind: their meshes, which stand on z = 0 with the front to +x, and their sounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from echoseg_sim.rooms import appliances, decals
from echoseg_sim.rooms.mesh import (
    Material,
    Mesh,
    arc,
    ball,
    box,
    disc,
    grid,
    lathe,
    merge,
    placed,
    tube,
    with_texture_upright,
)
from echoseg_sim.rooms.palette import Palette

# Makes the mesh of an object.
Builder = Callable[[Palette], Mesh]


def _mug(palette: Palette) -> Mesh:
    radius, height = palette.rng.uniform(0.042, 0.052), palette.rng.uniform(0.1, 0.125)
    color, accent = palette.pale(), palette.vivid()
    outside = palette.decal(decals.bands(palette.rng, color, accent), 2 * np.pi * radius, height + radius)
    cup = lathe([(0, 0), (radius, 0), (radius, height), (radius - 0.004, height)], outside)
    inside = lathe([(radius - 0.004, height), (radius - 0.006, 0.02), (0, 0.02)], palette.plastic(accent))
    coffee = lathe([(radius - 0.005, height * 0.75), (0, height * 0.75)], palette.plastic((0.25, 0.15, 0.09)))
    handle = tube(
        arc((radius - 0.004, 0, height * 0.5), (0.032, height * 0.33), -np.pi / 2, np.pi / 2),
        0.006,
        palette.plastic(color),
    )
    return merge([cup, inside, coffee, placed(handle, yaw_rad=palette.rng.uniform(1.0, 5.3))])


def _plant(palette: Palette) -> Mesh:
    size = palette.rng.uniform(0.85, 1.2)
    color = (0.74, 0.42, 0.28) if palette.rng.random() < 0.5 else palette.pale()
    side = palette.decal(decals.bands(palette.rng, color, palette.vivid()), 0.55, 0.2)
    pot = lathe([(0, 0), (0.065, 0), (0.085, 0.12), (0.09, 0.14), (0.082, 0.14)], side)
    soil = lathe([(0.083, 0.128), (0, 0.132)], palette.plastic((0.25, 0.17, 0.11)))
    leaves = []
    for index in range(18):
        green = palette.plastic(
            (palette.rng.uniform(0.18, 0.36), palette.rng.uniform(0.42, 0.62), palette.rng.uniform(0.15, 0.3))
        )
        leaves.append(placed(_leaf(palette, green), (0, 0, 0.13), index * 2.4 + palette.rng.uniform(-0.3, 0.3)))
    return placed(merge([pot, soil, *leaves]), scale=(size, size, size))


def _leaf(palette: Palette, green: Material) -> Mesh:
    """A leaf: a bent strip with two sides."""
    reach, rise, width = (
        palette.rng.uniform(0.06, 0.14),
        palette.rng.uniform(0.1, 0.24),
        palette.rng.uniform(0.022, 0.034),
    )
    t = np.linspace(0, 1, 7)
    middle = np.stack([reach * t**1.5, 0 * t, rise * (t - 0.45 * t**3) / 0.8], axis=1)
    half = width * np.sin(np.pi * np.clip(t * 0.9 + 0.08, 0, 1)) ** 0.8
    points = middle[:, None] + np.array([0, 1.0, 0]) * (half[:, None, None] * np.array([1.0, 0, -1.0])[None, :, None])
    tangent = np.gradient(middle, axis=0)
    normal = np.stack([-tangent[:, 2], 0 * t, tangent[:, 0]], axis=1)
    normal = np.repeat((normal / np.linalg.norm(normal, axis=1, keepdims=True))[:, None], 3, axis=1)
    uvs = np.repeat(np.stack([t, t], axis=1)[:, None], 3, axis=1) * 0.2
    upper = grid(points + 0.0008 * normal, normal, uvs, green)
    lower = grid(points - 0.0008 * normal, -normal, uvs, green)
    return merge([upper, lower])


def _box(palette: Palette) -> Mesh:
    size = palette.rng.uniform((0.2, 0.24, 0.14), (0.3, 0.38, 0.28))
    card = palette.decal(palette.card, 0.25, 0.25)
    faces = (("+x", size[1], size[2]), ("-y", size[0], size[2]), ("+z", size[0], size[1]))
    sides = {name: palette.decal(decals.parcel(palette.rng, palette.card), w, h) for name, w, h in faces}
    return box(size, (0, 0, 0), card, {**sides, "-x": sides["+x"], "+y": sides["-y"]})


def _bottle(palette: Palette) -> Mesh:
    radius, height = palette.rng.uniform(0.038, 0.046), palette.rng.uniform(0.26, 0.31)
    glass, cap = palette.plastic(palette.vivid()), palette.plastic(palette.vivid())
    label = palette.decal(decals.label(palette.rng, palette.pale(), palette.vivid()), np.pi * radius, height * 0.3)
    neck = height * 0.62
    body = lathe(
        [
            (0, 0),
            (radius, 0),
            (radius, neck),
            (radius * 0.8, neck + 0.025),
            (0.015, neck + 0.06),
            (0.014, height - 0.02),
        ],
        glass,
    )
    paper = lathe([(radius + 0.001, 0), (radius + 0.001, height * 0.3)], label, (0, 0, height * 0.18))
    top = lathe([(0.017, height - 0.025), (0.017, height), (0, height)], cap)
    return merge([body, paper, top])


def _lamp(palette: Palette) -> Mesh:
    height = palette.rng.uniform(0.34, 0.44)
    shade_color = (0.95, 0.88, 0.72) if palette.rng.random() < 0.6 else palette.vivid()
    foot = palette.plastic(palette.vivid()) if palette.rng.random() < 0.5 else palette.metal()
    stem = lathe(
        [
            (0, 0),
            (0.07, 0),
            (0.068, 0.015),
            (0.02, 0.03),
            (0.035, height * 0.28),
            (0.014, height * 0.5),
            (0.01, height - 0.05),
        ],
        foot,
    )
    shade = palette.decal(decals.bands(palette.rng, shade_color, palette.pale()), 0.6, height * 0.45)
    rim, low = 0.075, height * 0.55
    outer = lathe([(0.125, low), (rim, height)], shade)
    inner = lathe([(rim - 0.003, height), (0.122, low)], palette.plastic((0.96, 0.92, 0.82)))
    return merge([stem, outer, inner])


def _bowl(palette: Palette) -> Mesh:
    radius = palette.rng.uniform(0.11, 0.145)
    side = palette.decal(decals.bands(palette.rng, palette.pale(), palette.vivid()), 2 * np.pi * radius / 3, 0.13)
    outside = lathe(
        [(0, 0), (0.05, 0), (0.05, 0.01), (radius * 0.8, 0.045), (radius, 0.085), (radius - 0.006, 0.085)], side
    )
    inside = lathe(
        [(radius - 0.006, 0.085), (radius * 0.75, 0.05), (0.04, 0.018), (0, 0.018)], palette.plastic(palette.vivid())
    )
    fruit = []
    for turn in range(4):
        color = [(0.85, 0.2, 0.15), (0.95, 0.6, 0.15), (0.65, 0.75, 0.2), (0.9, 0.8, 0.25)][turn]
        reach = radius * 0.42
        fruit.append(
            ball(0.042, (reach * np.cos(turn * 1.57), reach * np.sin(turn * 1.57), 0.075), palette.plastic(color), 16)
        )
    return merge([outside, inside, *fruit])


def _books(palette: Palette) -> Mesh:
    upright = palette.rng.random() < 0.5
    parts, offset = [], 0.0
    pages = palette.plastic((0.93, 0.9, 0.82))
    for _ in range(palette.rng.integers(4, 7)):
        thick, tall, deep = (
            palette.rng.uniform(0.022, 0.045),
            palette.rng.uniform(0.2, 0.26),
            palette.rng.uniform(0.14, 0.18),
        )
        color, title = palette.cover()
        cover = palette.plastic(color)
        if upright:
            spine = palette.decal(title, tall, thick)
            faces = {"+x": spine, "+z": pages, "-x": pages}
            volume = with_texture_upright(
                box((deep, thick, tall), (-deep / 2, offset + thick / 2, 0), cover, faces), spine
            )
        else:
            faces = {"+x": palette.decal(title, tall, thick), "+z": palette.decal(title, deep, tall)}
            faces |= dict.fromkeys(("+y", "-y", "-x"), pages)
            volume = placed(
                box((deep, tall, thick), (0, 0, offset), cover, faces), yaw_rad=palette.rng.uniform(-0.15, 0.15)
            )
        parts.append(volume)
        offset += thick + 0.0005
    return merge(parts)


def _toy(palette: Palette) -> Mesh:
    """A toy robot made of blocks."""
    color, second = palette.vivid(), palette.vivid()
    skin, trim = palette.plastic(color), palette.plastic(second)
    face = palette.decal(decals.toy_face(palette.rng, second), 0.12, 0.1)
    parts = [box((0.075, 0.045, 0.075), (0, side * 0.035, 0), trim) for side in (-1, 1)]
    parts.append(box((0.1, 0.14, 0.12), (0, 0, 0.075), skin))
    parts.append(box((0.09, 0.12, 0.1), (0, 0, 0.205), trim, {"+x": face}))
    parts.append(lathe([(0.03, 0.195), (0.03, 0.205)], palette.metal()))
    parts.append(placed(disc(0.035, palette.decal(decals.clock(palette.rng), 0.07, 0.07)), (0.0505, 0, 0.135)))
    for side in (-1, 1):
        parts.append(
            tube([(0, side * 0.07, 0.175), (0.03, side * 0.1, 0.14), (0.06, side * 0.1, 0.1)], 0.016, trim, 10)
        )
        parts.append(ball(0.02, (0.06, side * 0.1, 0.095), skin, 12))
    parts.append(tube([(0, 0, 0.305), (0, 0, 0.34)], 0.004, palette.metal()))
    parts.append(ball(0.014, (0, 0, 0.345), skin, 10))
    return merge(parts)


# Makers of the meshes by kind.
BUILDERS: dict[str, Builder] = {
    "alarm_clock": appliances.alarm_clock,
    "radio": appliances.radio,
    "kettle": appliances.kettle,
    "mug": _mug,
    "microwave": appliances.microwave,
    "coffee_maker": appliances.coffee_maker,
    "phone": appliances.phone,
    "speaker": appliances.speaker,
    "plant": _plant,
    "box": _box,
    "bottle": _bottle,
    "fan": appliances.fan,
    "lamp": _lamp,
    "bowl": _bowl,
    "books": _books,
    "toy": _toy,
    "washing_machine": appliances.washing_machine,
}
# Kinds as large as furniture; only rooms of a home have them, general rooms do not.
LARGE_KINDS = ("washing_machine",)

# Built-in sound of each kind that can sound; the other kinds are silent.
SOUNDS: dict[str, str] = {
    "alarm_clock": "beeps", "radio": "speech", "kettle": "noise", "microwave": "tone", "coffee_maker": "pink",
    "phone": "beeps", "speaker": "speech", "fan": "pink", "toy": "chirp",
    "washing_machine": "noise",
}  # fmt: skip


def build_mesh(kind: str, palette: Palette) -> Mesh:
    """Mesh of an object of a kind, centred over the origin, on z = 0. Raises KeyError if the kind is unknown."""
    mesh = BUILDERS[kind](palette)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    return placed(mesh, (-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]))
