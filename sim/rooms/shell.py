"""Shell of a room: floor, ceiling, walls with door, windows, pictures and skirting, and the lights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echoseg_ros.types import Float64Array
from echoseg_sim.rooms import furniture, layout
from echoseg_sim.rooms.layout import Footprint, Wall
from echoseg_sim.rooms.light import AreaLight
from echoseg_sim.rooms.mesh import Mesh, box, placed, quad
from echoseg_sim.rooms.palette import Palette

# Height of the window sills, m.
_SILL_M = 0.98
# Cell size of floor and walls, and of the ceiling, m.
_CELL_M = 0.07
_CEILING_CELL_M = 0.15
# Floor area above which a room has two windows, m^2.
_TWO_WINDOWS_M2 = 22
# Gap between a door, a window or a picture and the end of its wall, m.
_WALL_END_M = 0.15
# Attempts to find a free span of a wall.
_SPAN_ATTEMPTS = 30


@dataclass(frozen=True, eq=False)
class Shell:
    """An empty room. meshes: in the map; keep_clear: places without furniture; tall_clear: places without tall furniture."""

    walls: list[Wall]
    meshes: list[Mesh]
    lights: list[AreaLight]
    keep_clear: list[Footprint]
    tall_clear: list[Footprint]


def build_shell(palette: Palette, size_m: tuple[float, float, float]) -> Shell:
    """An empty room of a size [x, y, z], centred at the origin, with its floor at z = 0."""
    rng = palette.rng
    walls = layout.walls_of(*size_m[:2])
    order = rng.permutation(4)
    accent = order[rng.integers(4)]
    shell = Shell(walls, [], [], [], [])
    shell.meshes.extend(_surfaces(palette, size_m, walls, int(accent)))
    used: dict[int, list[tuple[float, float]]] = {i: [] for i in range(4)}
    _add_door(palette, shell, int(order[0]), used)
    for index in order[1 : 2 + (size_m[0] * size_m[1] > _TWO_WINDOWS_M2)]:
        _add_window(palette, shell, int(index), size_m[2], used)
    _add_pictures(palette, shell, used)
    _add_ceiling_lamp(palette, shell, size_m[2])
    return shell


def _surfaces(palette: Palette, size: tuple[float, float, float], walls: list[Wall], accent: int) -> list[Mesh]:
    x, y, z = size
    meshes = [
        quad((-x / 2, -y / 2, 0), (x, 0, 0), (0, y, 0), palette.floor, _CELL_M),
        quad((-x / 2, y / 2, z), (x, 0, 0), (0, -y, 0), palette.ceiling, _CEILING_CELL_M),
    ]
    skirting = palette.plastic((0.92, 0.92, 0.9))
    for index, wall in enumerate(walls):
        paint = palette.accent_wall if index == accent else palette.wall
        start, end = (np.array([*wall.point(s * wall.length_m / 2), 0.0]) for s in (-1, 1))
        meshes.append(quad(start, end - start, (0, 0, z), paint, _CELL_M))
        board = box((0.015, wall.length_m, 0.08), (0, 0, 0), skirting, {"-x": None, "-z": None})
        meshes.append(placed(board, (*wall.point(0, 0.0075), 0), wall.yaw_rad))
    return meshes


def _free_span(rng: np.random.Generator, wall: Wall, width_m: float, used: list[tuple[float, float]]) -> float | None:
    """Middle of a free span of a width along the wall, metres from the wall's middle; None if no attempt succeeds."""
    reach = wall.length_m / 2 - width_m / 2 - _WALL_END_M
    for _ in range(_SPAN_ATTEMPTS if reach > 0 else 0):
        middle = float(rng.uniform(-reach, reach))
        if all(middle + width_m / 2 < low or middle - width_m / 2 > high for low, high in used):
            return middle
    return None


def _add_door(palette: Palette, shell: Shell, index: int, used: dict[int, list[tuple[float, float]]]) -> None:
    wall = shell.walls[index]
    middle = _free_span(palette.rng, wall, 1.1, used[index])
    if middle is None:
        return
    shell.meshes.append(placed(furniture.room_door(palette), (*wall.point(middle), 0), wall.yaw_rad))
    used[index].append((middle - 0.6, middle + 0.6))
    shell.keep_clear.append(Footprint(wall.point(middle, 0.45), (0.9, 1.05), wall.yaw_rad, (0.0, 2.2)))


def _add_window(
    palette: Palette, shell: Shell, index: int, height_m: float, used: dict[int, list[tuple[float, float]]]
) -> None:
    wall, width = shell.walls[index], palette.rng.uniform(1.2, 1.7)
    tall = min(1.25, height_m - 0.35 - _SILL_M)
    middle = _free_span(palette.rng, wall, width + 0.8, used[index])
    if middle is None:
        return
    shell.meshes.append(placed(furniture.window(palette, width, tall), (*wall.point(middle), _SILL_M), wall.yaw_rad))
    used[index].append((middle - width / 2 - 0.4, middle + width / 2 + 0.4))
    shell.tall_clear.append(Footprint(wall.point(middle, 0.2), (0.4, width + 0.8), wall.yaw_rad, (0.0, height_m)))
    center = np.array([*wall.point(middle, 0.17), _SILL_M + tall / 2])
    along = np.array([-np.sin(wall.yaw_rad), np.cos(wall.yaw_rad), 0.0]) * width / 2
    shell.lights.append(AreaLight(center, along, np.array([0, 0, tall / 2]), np.array([0.92, 0.98, 1.08])))


def _add_pictures(palette: Palette, shell: Shell, used: dict[int, list[tuple[float, float]]]) -> None:
    for index, wall in enumerate(shell.walls):
        for _ in range(palette.rng.integers(1, 4)):
            width, height = palette.rng.uniform((0.35, 0.35), (0.8, 0.65))
            middle = _free_span(palette.rng, wall, width + 0.2, used[index])
            if middle is None:
                continue
            mesh = furniture.framed_picture(palette, float(width), float(height))
            shell.meshes.append(placed(mesh, (*wall.point(middle), palette.rng.uniform(1.45, 1.6)), wall.yaw_rad))
            used[index].append((middle - width / 2 - 0.1, middle + width / 2 + 0.1))
            # Tall furniture would hide the picture.
            shell.tall_clear.append(Footprint(wall.point(middle, 0.1), (0.2, float(width)), wall.yaw_rad, (1.4, 2.4)))


def _add_ceiling_lamp(palette: Palette, shell: Shell, height_m: float) -> None:
    position = palette.rng.uniform(-0.4, 0.4, 2)
    shell.meshes.append(placed(furniture.ceiling_lamp(palette), (*position, height_m)))
    center = np.array([*position, height_m - 0.12])
    half: Float64Array = np.eye(3) * 0.28
    shell.lights.append(AreaLight(center, half[1], half[0], np.array([6.5, 6.0, 5.2])))
