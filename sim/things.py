"""The small objects of a room: each builder returns a mesh that stands on z = 0 with its front to +x, sizes as in a shop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from echoseg_sim import decals
from echoseg_sim.mesh import Material, Mesh, arc, ball, box, disc, grid, lathe, merge, placed, tipped, tube
from echoseg_sim.palette import Palette

Builder = Callable[[Palette], Mesh]

_DARK = (0.13, 0.13, 0.15)
_WHITE = (0.93, 0.93, 0.91)


def _alarm_clock(palette: Palette) -> Mesh:
    radius, color = palette.rng.uniform(0.065, 0.08), palette.vivid()
    body, metal = palette.plastic(color), palette.metal()
    center = radius + 0.02
    drum = tipped(lathe([(0, -0.035), (radius, -0.035), (radius, 0.035), (radius - 0.01, 0.035)], body))
    face = disc(radius - 0.01, palette.decal(decals.clock(palette.rng), 2 * radius - 0.02, 2 * radius - 0.02))
    parts = [placed(drum, (0, 0, center)), placed(face, (0.034, 0, center))]
    for side in (-1, 1):
        parts.append(lathe([(0.032, 0), (0.028, 0.018), (0.012, 0.028), (0, 0.03)], metal, (0, side * 0.045, center + radius - 0.005)))
        parts.append(tube([(0, side * 0.06, 0), (0, side * 0.04, 0.05)], 0.008, metal))
    top = center + radius
    parts.append(tube([(0, -0.045, top), (0, -0.03, top + 0.045), (0, 0.03, top + 0.045), (0, 0.045, top)], 0.005, metal))
    return merge(parts)


def _radio(palette: Palette) -> Mesh:
    width, height, depth = palette.rng.uniform(0.27, 0.34), palette.rng.uniform(0.16, 0.19), 0.11
    color = palette.vivid() if palette.rng.random() < 0.6 else (0.55, 0.37, 0.22)
    front = palette.decal(decals.radio(palette.rng, color), width, height)
    body = box((depth, width, height), (0, 0, 0.01), palette.plastic(color), {"+x": front})
    metal = palette.metal(0.8)
    foot = [box((0.08, 0.03, 0.01), (0, side * width * 0.35, 0), palette.plastic(_DARK)) for side in (-1, 1)]
    handle = placed(tube(arc((0, 0, height + 0.01), (width * 0.4, 0.05), 0, np.pi), 0.007, metal), yaw_rad=np.pi / 2)
    return merge([body, *foot, handle])


def _kettle(palette: Palette) -> Mesh:
    metal = palette.metal() if palette.rng.random() < 0.5 else palette.plastic(palette.vivid())
    dark = palette.plastic(_DARK)
    base = lathe([(0, 0), (0.085, 0), (0.085, 0.02), (0.07, 0.025)], dark)
    body = lathe([(0.075, 0.025), (0.088, 0.05), (0.085, 0.12), (0.062, 0.19), (0.055, 0.2)], metal)
    lid = lathe([(0.057, 0.2), (0.04, 0.215), (0.012, 0.22), (0.012, 0.238), (0, 0.24)], dark)
    spout = tube([(0.07, 0, 0.12), (0.1, 0, 0.15), (0.125, 0, 0.19)], 0.016, metal, 12)
    handle = tube([(-0.055, 0, 0.2), (-0.1, 0, 0.205), (-0.125, 0, 0.17), (-0.12, 0, 0.1), (-0.085, 0, 0.06)], 0.011, dark)
    return merge([base, body, lid, spout, handle])


def _mug(palette: Palette) -> Mesh:
    radius, height = palette.rng.uniform(0.042, 0.052), palette.rng.uniform(0.1, 0.125)
    color, accent = palette.pale(), palette.vivid()
    outside = palette.decal(decals.bands(palette.rng, color, accent), 2 * np.pi * radius, height + radius)
    cup = lathe([(0, 0), (radius, 0), (radius, height), (radius - 0.004, height)], outside)
    inside = lathe([(radius - 0.004, height), (radius - 0.006, 0.02), (0, 0.02)], palette.plastic(accent))
    coffee = lathe([(radius - 0.005, height * 0.75), (0, height * 0.75)], palette.plastic((0.25, 0.15, 0.09)))
    handle = tube(arc((radius - 0.004, 0, height * 0.5), (0.032, height * 0.33), -np.pi / 2, np.pi / 2), 0.006, palette.plastic(color))
    return merge([cup, inside, coffee, placed(handle, yaw_rad=palette.rng.uniform(1.0, 5.3))])


def _microwave(palette: Palette) -> Mesh:
    width, height, depth = palette.rng.uniform(0.43, 0.48), palette.rng.uniform(0.25, 0.28), 0.33
    color = _WHITE if palette.rng.random() < 0.5 else (0.62, 0.63, 0.65)
    front = palette.decal(decals.microwave(palette.rng, color), width, height)
    body = box((depth, width, height), (0, 0, 0.012), palette.plastic(color), {"+x": front})
    feet = [box((0.03, 0.03, 0.012), (x, y, 0), palette.plastic(_DARK)) for x in (-0.12, 0.12) for y in (-width / 2 + 0.05, width / 2 - 0.05)]
    edge = 0.215 * width
    bar = tube([(depth / 2 + z, edge, h * height) for z, h in ((0, 0.15), (0.025, 0.2), (0.025, 0.85), (0, 0.9))], 0.007, palette.metal())
    return merge([body, *feet, bar])


def _coffee_maker(palette: Palette) -> Mesh:
    color = palette.vivid() if palette.rng.random() < 0.5 else _DARK
    shell, dark = palette.plastic(color), palette.plastic((0.2, 0.16, 0.14))
    panel = palette.decal(decals.coffee_panel(palette.rng, color), 0.19, 0.085)
    base = box((0.25, 0.19, 0.035), (0, 0, 0), shell)
    tower = box((0.09, 0.19, 0.22), (-0.08, 0, 0.035), shell)
    head = box((0.25, 0.19, 0.085), (0, 0, 0.255), shell, {"+x": panel})
    jug = lathe([(0.045, 0), (0.068, 0.03), (0.068, 0.08), (0.045, 0.13), (0.048, 0.145), (0, 0.15)], dark, (0.045, 0, 0.04))
    rim = lathe([(0.071, 0), (0.071, 0.014)], palette.metal(), (0.045, 0, 0.105))
    handle = placed(tube(arc((0.06, 0, 0.075), (0.05, 0.045), -np.pi / 2, np.pi / 2), 0.008, shell), (0.045, 0, 0.04), 0.9)
    return merge([base, tower, head, jug, rim, handle])


def _phone(palette: Palette) -> Mesh:
    color = palette.vivid() if palette.rng.random() < 0.7 else _WHITE
    shell = palette.plastic(color)
    keys = palette.decal(decals.keypad(palette.rng, color), 0.2, 0.17)
    slab = _wedge(0.17, 0.2, 0.035, 0.085, shell, keys)
    rest = [box((0.035, 0.05, 0.03), (x, -0.062, 0.06 - 0.1 * x), shell) for x in (-0.055, 0.055)]
    grip = tube([(-0.09, -0.062, 0.105), (-0.04, -0.062, 0.125), (0.04, -0.062, 0.12), (0.09, -0.062, 0.09)], 0.018, shell, 10)
    ends = [ball(0.03, (-0.085, -0.062, 0.104), shell, 14), ball(0.03, (0.085, -0.062, 0.088), shell, 14)]
    return merge([slab, *rest, grip, *ends])


def _wedge(depth: float, width: float, front_m: float, back_m: float, side: Material, top: Material) -> Mesh:
    """A box whose top slopes down to the front."""
    body = box((depth, width, 1.0), (0, 0, 0), side, {"+z": top, "-x": side})
    vertices = body.vertices.copy()
    height = back_m + (front_m - back_m) * (vertices[:, 0] / depth + 0.5)
    vertices[:, 2] *= height
    uvs = body.uvs
    top_id = [material is top for material in body.materials].index(True)
    turned = np.unique(body.triangles[body.material_ids == top_id])
    uvs = uvs.copy()
    uvs[turned] = np.stack([vertices[turned, 1] + width / 2, -vertices[turned, 0] + depth / 2], axis=1)
    normals = body.normals.copy()
    normals[turned] = np.array([back_m - front_m, 0, depth]) / np.hypot(back_m - front_m, depth)
    return Mesh(vertices, normals, uvs, body.triangles, body.material_ids, body.materials)


def _speaker(palette: Palette) -> Mesh:
    width, height, depth = palette.rng.uniform(0.17, 0.21), palette.rng.uniform(0.28, 0.34), palette.rng.uniform(0.19, 0.24)
    wood = palette.other_wood if palette.rng.random() < 0.6 else palette.plastic(palette.vivid())
    front = palette.decal(decals.speaker(palette.rng, (0.26, 0.26, 0.28)), width, height)
    return box((depth, width, height), (0, 0, 0), wood, {"+x": front}, 0.04)


def _plant(palette: Palette) -> Mesh:
    size = palette.rng.uniform(0.85, 1.2)
    color = (0.74, 0.42, 0.28) if palette.rng.random() < 0.5 else palette.pale()
    side = palette.decal(decals.bands(palette.rng, color, palette.vivid()), 0.55, 0.2)
    pot = lathe([(0, 0), (0.065, 0), (0.085, 0.12), (0.09, 0.14), (0.082, 0.14)], side)
    soil = lathe([(0.083, 0.128), (0, 0.132)], palette.plastic((0.25, 0.17, 0.11)))
    leaves = []
    for index in range(18):
        green = palette.plastic((palette.rng.uniform(0.18, 0.36), palette.rng.uniform(0.42, 0.62), palette.rng.uniform(0.15, 0.3)))
        leaves.append(placed(_leaf(palette, green), (0, 0, 0.13), index * 2.4 + palette.rng.uniform(-0.3, 0.3)))
    return placed(merge([pot, soil, *leaves]), scale=(size, size, size))


def _leaf(palette: Palette, green: Material) -> Mesh:
    """A bent strip, seen from both sides."""
    reach, rise, width = palette.rng.uniform(0.06, 0.14), palette.rng.uniform(0.1, 0.24), palette.rng.uniform(0.022, 0.034)
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
    sides = {name: palette.decal(decals.parcel(palette.rng, palette.card), w, h)
             for name, w, h in (("+x", size[1], size[2]), ("-y", size[0], size[2]), ("+z", size[0], size[1]))}  # fmt: skip
    return box(size, (0, 0, 0), card, {**sides, "-x": sides["+x"], "+y": sides["-y"]})


def _bottle(palette: Palette) -> Mesh:
    radius, height = palette.rng.uniform(0.038, 0.046), palette.rng.uniform(0.26, 0.31)
    glass, cap = palette.plastic(palette.vivid()), palette.plastic(palette.vivid())
    label = palette.decal(decals.label(palette.rng, palette.pale(), palette.vivid()), np.pi * radius, height * 0.3)
    neck = height * 0.62
    body = lathe([(0, 0), (radius, 0), (radius, neck), (radius * 0.8, neck + 0.025), (0.015, neck + 0.06), (0.014, height - 0.02)], glass)
    paper = lathe([(radius + 0.001, 0), (radius + 0.001, height * 0.3)], label, (0, 0, height * 0.18))
    top = lathe([(0.017, height - 0.025), (0.017, height), (0, height)], cap)
    return merge([body, paper, top])


def _fan(palette: Palette) -> Mesh:
    radius = palette.rng.uniform(0.13, 0.16)
    body, blade, wire = palette.plastic(palette.pale()), palette.plastic(palette.vivid()), palette.metal()
    hub = radius + 0.11
    base = lathe([(0, 0), (0.09, 0), (0.085, 0.02), (0.025, 0.04), (0.018, hub - 0.03), (0, hub)], body)
    motor = placed(tipped(lathe([(0, -0.1), (0.045, -0.08), (0.05, -0.01), (0.03, 0.0), (0, 0)], body)), (0, 0, hub))
    cap = placed(tipped(lathe([(0.03, 0.05), (0.02, 0.062), (0, 0.065)], body)), (0, 0, hub))
    parts = [base, motor, cap]
    for x, ring in ((-0.005, radius), (0.03, radius), (0.055, radius * 0.75), (0.06, radius * 0.4)):
        circle = arc((0, 0, 0), (ring, ring), 0, 2 * np.pi, 33)
        parts.append(placed(tube(circle, 0.004, wire, 6), (x, 0, hub), np.pi / 2))
    for angle in np.arange(16) * np.pi / 8:
        c, s = np.cos(angle), np.sin(angle)
        spoke = [(-0.005, radius * c, radius * s), (0.03, radius * c, radius * s), (0.055, 0.75 * radius * c, 0.75 * radius * s), (0.06, 0, 0)]
        parts.append(placed(tube(spoke, 0.0025, wire, 5), (0, 0, hub)))
    for turn in np.arange(4) * np.pi / 2:
        parts.append(placed(_blade(radius * 0.9, turn, blade), (0.015, 0, hub)))
    return merge(parts)


def _blade(radius: float, turn: float, material: Material) -> Mesh:
    r, a = np.meshgrid(np.linspace(0.02, radius, 5), turn + np.linspace(-0.55, 0.55, 5))
    points = np.stack([0.02 * np.sin(2.2 * (a - turn)), r * np.cos(a), r * np.sin(a)], axis=-1)
    normals = np.broadcast_to(np.array([1.0, 0, 0]), points.shape)
    front = grid(points, normals, np.stack([r, a * 0.1], axis=-1), material)
    back = grid(points - [0.002, 0, 0], -normals, np.stack([r, a * 0.1], axis=-1), material)
    return merge([front, back])


def _lamp(palette: Palette) -> Mesh:
    height = palette.rng.uniform(0.34, 0.44)
    shade_color = (0.95, 0.88, 0.72) if palette.rng.random() < 0.6 else palette.vivid()
    foot = palette.plastic(palette.vivid()) if palette.rng.random() < 0.5 else palette.metal()
    stem = lathe([(0, 0), (0.07, 0), (0.068, 0.015), (0.02, 0.03), (0.035, height * 0.28), (0.014, height * 0.5), (0.01, height - 0.05)], foot)
    shade = palette.decal(decals.bands(palette.rng, shade_color, palette.pale()), 0.6, height * 0.45)
    rim, low = 0.075, height * 0.55
    outer = lathe([(0.125, low), (rim, height)], shade)
    inner = lathe([(rim - 0.003, height), (0.122, low)], palette.plastic((0.96, 0.92, 0.82)))
    return merge([stem, outer, inner])


def _bowl(palette: Palette) -> Mesh:
    radius = palette.rng.uniform(0.11, 0.145)
    side = palette.decal(decals.bands(palette.rng, palette.pale(), palette.vivid()), 2 * np.pi * radius / 3, 0.13)
    outside = lathe([(0, 0), (0.05, 0), (0.05, 0.01), (radius * 0.8, 0.045), (radius, 0.085), (radius - 0.006, 0.085)], side)
    inside = lathe([(radius - 0.006, 0.085), (radius * 0.75, 0.05), (0.04, 0.018), (0, 0.018)], palette.plastic(palette.vivid()))
    fruit = []
    for turn in range(4):
        color = [(0.85, 0.2, 0.15), (0.95, 0.6, 0.15), (0.65, 0.75, 0.2), (0.9, 0.8, 0.25)][turn]
        reach = radius * 0.42
        fruit.append(ball(0.042, (reach * np.cos(turn * 1.57), reach * np.sin(turn * 1.57), 0.075), palette.plastic(color), 16))
    return merge([outside, inside, *fruit])


def _books(palette: Palette) -> Mesh:
    upright = palette.rng.random() < 0.5
    parts, offset = [], 0.0
    pages = palette.plastic((0.93, 0.9, 0.82))
    for _ in range(palette.rng.integers(4, 7)):
        thick, tall, deep = palette.rng.uniform(0.022, 0.045), palette.rng.uniform(0.2, 0.26), palette.rng.uniform(0.14, 0.18)
        color = palette.vivid()
        cover = palette.plastic(color)
        title = decals.book(palette.rng, color, palette.pale())
        if upright:
            spine = palette.decal(np.ascontiguousarray(np.rot90(title)), thick, tall)
            volume = box((deep, thick, tall), (-deep / 2, offset + thick / 2, 0), cover, {"+x": spine, "+z": pages, "-x": pages})
        else:
            faces = {"+x": palette.decal(title, tall, thick), "+z": palette.decal(title, deep, tall), "+y": pages, "-y": pages, "-x": pages}
            volume = placed(box((deep, tall, thick), (0, 0, offset), cover, faces), yaw_rad=palette.rng.uniform(-0.15, 0.15))
        parts.append(volume)
        offset += thick + 0.0005
    return merge(parts)


def _toy(palette: Palette) -> Mesh:
    """A robot of blocks."""
    color, second = palette.vivid(), palette.vivid()
    skin, trim = palette.plastic(color), palette.plastic(second)
    face = palette.decal(decals.toy_face(palette.rng, second), 0.12, 0.1)
    parts = [box((0.075, 0.045, 0.075), (0, side * 0.035, 0), trim) for side in (-1, 1)]
    parts.append(box((0.1, 0.14, 0.12), (0, 0, 0.075), skin))
    parts.append(box((0.09, 0.12, 0.1), (0, 0, 0.205), trim, {"+x": face}))
    parts.append(lathe([(0.03, 0.195), (0.03, 0.205)], palette.metal()))
    parts.append(placed(disc(0.035, palette.decal(decals.clock(palette.rng), 0.07, 0.07)), (0.0505, 0, 0.135)))
    for side in (-1, 1):
        parts.append(tube([(0, side * 0.07, 0.175), (0.03, side * 0.1, 0.14), (0.06, side * 0.1, 0.1)], 0.016, trim, 10))
        parts.append(ball(0.02, (0.06, side * 0.1, 0.095), skin, 12))
    parts.append(tube([(0, 0, 0.305), (0, 0, 0.34)], 0.004, palette.metal()))
    parts.append(ball(0.014, (0, 0, 0.345), skin, 10))
    return merge(parts)


BUILDERS: dict[str, Builder] = {
    "alarm_clock": _alarm_clock, "radio": _radio, "kettle": _kettle, "mug": _mug, "microwave": _microwave,
    "coffee_maker": _coffee_maker, "phone": _phone, "speaker": _speaker, "plant": _plant, "box": _box, "bottle": _bottle,
    "fan": _fan, "lamp": _lamp, "bowl": _bowl, "books": _books, "toy": _toy,
}  # fmt: skip

# What a kind sounds like when it sounds; the other kinds are silent.
SOUNDS: dict[str, str] = {
    "alarm_clock": "beeps", "radio": "speech", "kettle": "noise", "microwave": "tone", "coffee_maker": "pink",
    "phone": "beeps", "speaker": "speech", "fan": "pink", "toy": "chirp",
}  # fmt: skip


def build(kind: str, palette: Palette) -> Mesh:
    """A mesh of that kind, centred over the origin, standing on z = 0."""
    mesh = BUILDERS[kind](palette)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    return placed(mesh, (-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]))
