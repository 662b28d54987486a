"""Rendered training views, a few of each of many rooms: image, depth and object numbers.

    python -m train_masks.make_views OUT --first 51000 --rooms 300 [--views 14]

Light is baked in one room of five. The other rooms get light without shadows, bright from above and darker from the sides,
which is computed at once. Half of the views are square with a field of view of 90 degrees, as in the data set; the others
are 4:3 with 50 to 75 degrees, as of a robot's camera. Writes OUT/SEED.npz; rooms with an existing file are skipped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import look_at
from echoseg_ros.types import Camera, Float32Array, Float64Array
from echoseg_sim.rooms.floor_clearance import FloorClearance
from echoseg_sim.rooms.render import render
from echoseg_sim.rooms.room import Room
from echoseg_sim.rooms.scene import Geometry, Scene
from train_masks.rooms import training_room

# Light is baked in one room of this many.
_BAKED_EVERY = 5
# Least number of pixels on objects in a view, and the probability of a view with fewer.
_MIN_OBJECT_PX, _EMPTY_PROBABILITY = 60, 0.2
# Least median depth of a view, m.
_MIN_MEDIAN_DEPTH_M = 0.5
# Least distance of the camera from obstacles, m, and its lowest and highest height, m.
_CLEARANCE_M = 0.15
_HEIGHT_M = (0.7, 1.7)


class _LitRoom:
    """An owner of a scene for `render`."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene


def main() -> None:
    """Write the views of the requested rooms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=int, default=51_000)
    parser.add_argument("--rooms", type=int, default=300)
    parser.add_argument("--views", type=int, default=14)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.first, arguments.first + arguments.rooms):
        file = arguments.out / f"{seed}.npz"
        if file.exists():
            continue
        try:
            views = room_views(seed, arguments.views)
        except Exception as error:  # a room that fails is skipped
            print(f"{seed}: {error}", file=sys.stderr, flush=True)
            continue
        np.savez(file.with_suffix(".part.npz"), **views)  # type: ignore[arg-type]
        file.with_suffix(".part.npz").rename(file)


def room_views(seed: int, count: int) -> dict[str, NDArray[Any]]:
    """Arrays by name: kinds of the objects, and for the prefixes square_ and wide_ one row of each view.

    rgb: [H, W, 3]; depth: [H, W] metres; ids: [H, W] object numbers; pose: [4, 4] T_map_camera; focal: [1] px.
    """
    rng = np.random.default_rng([seed, 41])
    room = training_room(seed)
    lit = room if seed % _BAKED_EVERY == 0 else _with_approximate_light(room, rng)
    arrays: dict[str, NDArray[Any]] = {"kinds": np.array([item.kind for item in room.objects])}
    for shape in ("square", "wide"):
        rows: list[tuple[NDArray[Any], ...]] = []
        while len(rows) < count // 2:
            camera = _camera(shape, rng)
            pose = _pose(room, rng)
            view = render(lit, camera, pose)
            has_few_objects = (view.object_ids > 0).sum() < _MIN_OBJECT_PX
            if has_few_objects and rng.random() < 1 - _EMPTY_PROBABILITY:
                continue
            if np.median(view.depth_m) < _MIN_MEDIAN_DEPTH_M:
                continue
            focal = np.array([camera.fx])
            rows.append((view.rgb, view.depth_m.astype(np.float16), view.object_ids.astype(np.int8), pose, focal))
        for name, values in zip(("rgb", "depth", "ids", "pose", "focal"), zip(*rows), strict=True):
            arrays[f"{shape}_{name}"] = np.stack(values)
    return arrays


def _camera(shape: str, rng: np.random.Generator) -> Camera:
    if shape == "square":
        return Camera(252, 252, 126.0, 126.0, 126.0, 126.0)
    focal = 128 / np.tan(np.deg2rad(rng.uniform(50, 75)) / 2)
    return Camera(256, 192, focal, focal, 128.0, 96.0)


def _pose(room: Room, rng: np.random.Generator) -> Float64Array:
    """A random pose T_map_camera above the free floor, in most cases towards an object."""
    floor = FloorClearance(room.size_m, room.obstacles())
    free = floor.centers[floor.clearance_m > _CLEARANCE_M]
    eye = np.append(free[rng.integers(len(free))], rng.uniform(*_HEIGHT_M))
    near = sorted(room.objects, key=lambda item: float(np.linalg.norm(item.box.center_m - eye)))
    middle = near[min(int(rng.exponential(4.0)), len(near) - 1)].box.center_m
    target = middle + rng.normal(0, 0.35, 3) if rng.random() < 0.85 else eye + rng.normal(0, (1, 1, 0.25))
    return look_at(eye, target)


def _with_approximate_light(room: Room, rng: np.random.Generator) -> _LitRoom:
    """The room with random light that depends on normals and positions only."""
    geometry, textures = room.surfaces
    return _LitRoom(Scene(geometry, textures, _approximate_light(geometry, rng)))


def _approximate_light(geometry: Geometry, rng: np.random.Generator) -> Float32Array:
    """Linear irradiance [V, 3]: brightest along a random direction, with a few bright and dark regions."""
    axis = rng.normal(0, 1, 3) + [0, 0, 1.5]
    light = 0.75 + 0.3 * (geometry.normals @ (axis / np.linalg.norm(axis)))
    for _ in range(6):
        centre, reach = rng.uniform((-3, -3, 0), (3, 3, 2.5)), rng.uniform(0.3, 1.5)
        distance = np.linalg.norm(geometry.vertices - centre, axis=1)
        light = light + rng.uniform(-0.35, 0.35) * np.exp(-((distance / reach) ** 2))
    tint = rng.uniform(0.85, 1.15, 3)
    colored: Float32Array = (np.clip(light, 0.1, None)[:, None] * tint * rng.uniform(0.5, 0.9)).astype(np.float32)
    return colored


if __name__ == "__main__":
    main()
