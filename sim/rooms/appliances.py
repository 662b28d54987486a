"""Meshes of objects that can sound. Each stands on z = 0 with its front to +x and has the size of a real one."""

from __future__ import annotations

import numpy as np

from echoseg_sim.rooms import decals
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
    with_top_forward,
)
from echoseg_sim.rooms.palette import Palette

# Colours of housings, sRGB.
_DARK = (0.13, 0.13, 0.15)
_WHITE = (0.93, 0.93, 0.91)


def alarm_clock(palette: Palette) -> Mesh:
    """A twin-bell alarm clock."""
    radius, color = palette.rng.uniform(0.065, 0.08), palette.vivid()
    body, metal = palette.plastic(color), palette.metal()
    center = radius + 0.02
    drum = with_top_forward(lathe([(0, -0.035), (radius, -0.035), (radius, 0.035), (radius - 0.01, 0.035)], body))
    face = disc(radius - 0.01, palette.decal(decals.clock(palette.rng), 2 * radius - 0.02, 2 * radius - 0.02))
    parts = [placed(drum, (0, 0, center)), placed(face, (0.034, 0, center))]
    for side in (-1, 1):
        parts.append(
            lathe(
                [(0.032, 0), (0.028, 0.018), (0.012, 0.028), (0, 0.03)],
                metal,
                (0, side * 0.045, center + radius - 0.005),
            )
        )
        parts.append(tube([(0, side * 0.06, 0), (0, side * 0.04, 0.05)], 0.008, metal))
    top = center + radius
    parts.append(
        tube([(0, -0.045, top), (0, -0.03, top + 0.045), (0, 0.03, top + 0.045), (0, 0.045, top)], 0.005, metal)
    )
    return merge(parts)


def radio(palette: Palette) -> Mesh:
    """A portable radio with a handle."""
    width, height, depth = palette.rng.uniform(0.27, 0.34), palette.rng.uniform(0.16, 0.19), 0.11
    color = palette.vivid() if palette.rng.random() < 0.6 else (0.55, 0.37, 0.22)
    front = palette.decal(decals.radio(palette.rng, color), width, height)
    body = box((depth, width, height), (0, 0, 0.01), palette.plastic(color), {"+x": front})
    metal = palette.metal(0.8)
    foot = [box((0.08, 0.03, 0.01), (0, side * width * 0.35, 0), palette.plastic(_DARK)) for side in (-1, 1)]
    handle = placed(tube(arc((0, 0, height + 0.01), (width * 0.4, 0.05), 0, np.pi), 0.007, metal), yaw_rad=np.pi / 2)
    return merge([body, *foot, handle])


def kettle(palette: Palette) -> Mesh:
    """An electric kettle on its base."""
    metal = palette.metal() if palette.rng.random() < 0.5 else palette.plastic(palette.vivid())
    dark = palette.plastic(_DARK)
    base = lathe([(0, 0), (0.085, 0), (0.085, 0.02), (0.07, 0.025)], dark)
    body = lathe([(0.075, 0.025), (0.088, 0.05), (0.085, 0.12), (0.062, 0.19), (0.055, 0.2)], metal)
    lid = lathe([(0.057, 0.2), (0.04, 0.215), (0.012, 0.22), (0.012, 0.238), (0, 0.24)], dark)
    spout = tube([(0.07, 0, 0.12), (0.1, 0, 0.15), (0.125, 0, 0.19)], 0.016, metal, 12)
    handle = tube(
        [(-0.055, 0, 0.2), (-0.1, 0, 0.205), (-0.125, 0, 0.17), (-0.12, 0, 0.1), (-0.085, 0, 0.06)], 0.011, dark
    )
    return merge([base, body, lid, spout, handle])


def microwave(palette: Palette) -> Mesh:
    """A microwave oven."""
    width, height, depth = palette.rng.uniform(0.43, 0.48), palette.rng.uniform(0.25, 0.28), 0.33
    color = _WHITE if palette.rng.random() < 0.5 else (0.62, 0.63, 0.65)
    front = palette.decal(decals.microwave(palette.rng, color), width, height)
    body = box((depth, width, height), (0, 0, 0.012), palette.plastic(color), {"+x": front})
    feet = [
        box((0.03, 0.03, 0.012), (x, y, 0), palette.plastic(_DARK))
        for x in (-0.12, 0.12)
        for y in (-width / 2 + 0.05, width / 2 - 0.05)
    ]
    edge = 0.215 * width
    bar = tube(
        [(depth / 2 + z, edge, h * height) for z, h in ((0, 0.15), (0.025, 0.2), (0.025, 0.85), (0, 0.9))],
        0.007,
        palette.metal(),
    )
    return merge([body, *feet, bar])


def coffee_maker(palette: Palette) -> Mesh:
    """A filter coffee maker with its jug."""
    color = palette.vivid() if palette.rng.random() < 0.5 else _DARK
    shell, dark = palette.plastic(color), palette.plastic((0.2, 0.16, 0.14))
    panel = palette.decal(decals.coffee_panel(palette.rng, color), 0.19, 0.085)
    base = box((0.25, 0.19, 0.035), (0, 0, 0), shell)
    tower = box((0.09, 0.19, 0.22), (-0.08, 0, 0.035), shell)
    head = box((0.25, 0.19, 0.085), (0, 0, 0.255), shell, {"+x": panel})
    jug = lathe(
        [(0.045, 0), (0.068, 0.03), (0.068, 0.08), (0.045, 0.13), (0.048, 0.145), (0, 0.15)], dark, (0.045, 0, 0.04)
    )
    rim = lathe([(0.071, 0), (0.071, 0.014)], palette.metal(), (0.045, 0, 0.105))
    handle = placed(
        tube(arc((0.06, 0, 0.075), (0.05, 0.045), -np.pi / 2, np.pi / 2), 0.008, shell), (0.045, 0, 0.04), 0.9
    )
    return merge([base, tower, head, jug, rim, handle])


def phone(palette: Palette) -> Mesh:
    """A desk telephone."""
    color = palette.vivid() if palette.rng.random() < 0.7 else _WHITE
    shell = palette.plastic(color)
    keys = palette.decal(decals.keypad(palette.rng, color), 0.2, 0.17)
    slab = _wedge(0.17, 0.2, 0.035, 0.085, shell, keys)
    rest = [box((0.035, 0.05, 0.03), (x, -0.062, 0.06 - 0.1 * x), shell) for x in (-0.055, 0.055)]
    grip = tube(
        [(-0.09, -0.062, 0.105), (-0.04, -0.062, 0.125), (0.04, -0.062, 0.12), (0.09, -0.062, 0.09)], 0.018, shell, 10
    )
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


def speaker(palette: Palette) -> Mesh:
    """A bookshelf loudspeaker."""
    width, height, depth = (
        palette.rng.uniform(0.17, 0.21),
        palette.rng.uniform(0.28, 0.34),
        palette.rng.uniform(0.19, 0.24),
    )
    wood = palette.other_wood if palette.rng.random() < 0.6 else palette.plastic(palette.vivid())
    front = palette.decal(decals.speaker(palette.rng, (0.26, 0.26, 0.28)), width, height)
    return box((depth, width, height), (0, 0, 0), wood, {"+x": front}, 0.04)


def fan(palette: Palette) -> Mesh:
    """A table fan with its cage."""
    radius = palette.rng.uniform(0.13, 0.16)
    body, blade, wire = palette.plastic(palette.pale()), palette.plastic(palette.vivid()), palette.metal()
    hub = radius + 0.11
    base = lathe([(0, 0), (0.09, 0), (0.085, 0.02), (0.025, 0.04), (0.018, hub - 0.03), (0, hub)], body)
    motor = placed(
        with_top_forward(lathe([(0, -0.1), (0.045, -0.08), (0.05, -0.01), (0.03, 0.0), (0, 0)], body)), (0, 0, hub)
    )
    cap = placed(with_top_forward(lathe([(0.03, 0.05), (0.02, 0.062), (0, 0.065)], body)), (0, 0, hub))
    parts = [base, motor, cap]
    for x, ring in ((-0.005, radius), (0.03, radius), (0.055, radius * 0.75), (0.06, radius * 0.4)):
        circle = arc((0, 0, 0), (ring, ring), 0, 2 * np.pi, 33)
        parts.append(placed(tube(circle, 0.004, wire, 6), (x, 0, hub), np.pi / 2))
    for angle in np.arange(16) * np.pi / 8:
        c, s = np.cos(angle), np.sin(angle)
        spoke = [
            (-0.005, radius * c, radius * s),
            (0.03, radius * c, radius * s),
            (0.055, 0.75 * radius * c, 0.75 * radius * s),
            (0.06, 0, 0),
        ]
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


def washing_machine(palette: Palette) -> Mesh:
    """A front-loading washing machine, 0.6 m wide and 0.85 m high."""
    width, depth, height = 0.6, palette.rng.uniform(0.52, 0.6), 0.85
    color = _WHITE if palette.rng.random() < 0.7 else (0.55, 0.56, 0.59)
    shell, dark = palette.plastic(color), palette.plastic(_DARK)
    front = palette.decal(decals.washer_panel(palette.rng, color), width, height - 0.02)
    body = box((depth, width, height - 0.02), (0, 0, 0.02), shell, {"+x": front})
    feet = [box((0.06, 0.06, 0.02), (s * (depth / 2 - 0.06), t * 0.24, 0), dark) for s in (-1, 1) for t in (-1, 1)]
    # Door: a protruding ring and a dark glass that bulges in its middle.
    ring = lathe([(0.2, 0), (0.2, 0.02), (0.185, 0.032), (0.15, 0.034), (0.145, 0.02)], palette.metal(), segments=40)
    glass = lathe([(0.147, 0.018), (0.11, 0.045), (0.05, 0.058), (0, 0.06)], palette.plastic((0.17, 0.2, 0.23)))
    door = placed(with_top_forward(merge([ring, glass])), (depth / 2, 0, 0.42))
    return merge([body, *feet, door])
