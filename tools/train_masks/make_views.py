"""Training views rendered alone, many rooms and few views of each: picture, depth, numbers of the objects.

    python -m train_masks.make_views OUT --first 51000 --rooms 300 [--views 14]

Light is baked in one room of five; the others get cheap light (bright above, darker to the sides, no shadows), which costs
nothing. Half of the views are square with 90 degrees of view, as in the data set, half are 4:3 with 50 to 75 degrees, as
of a robot's camera. OUT/SEED.npz; rooms that are there already are passed over.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from echoseg_ros.geometry import look_at
from echoseg_ros.types import Camera
from echoseg_sim.rooms.floor_clearance import FloorClearance
from echoseg_sim.rooms.render import render
from echoseg_sim.rooms.room import Room
from echoseg_sim.rooms.scene import Geometry, Scene, make_geometry
from train_masks.rooms import training_room

_BAKED_EVERY = 5


class _Lit:
    """A scene that `render` takes."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene


def main() -> None:
    """Write the rooms asked for that are not there yet."""
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
        except Exception as error:  # a room that cannot be made is no loss
            print(f"{seed}: {error}", file=sys.stderr, flush=True)
            continue
        np.savez(file.with_suffix(".part.npz"), **views)
        file.with_suffix(".part.npz").rename(file)


def room_views(seed: int, count: int) -> dict[str, np.ndarray]:
    """Arrays by name: for square_ and wide_ views rgb, depth, ids, pose and camera, one row a view; kinds of the objects."""
    rng = np.random.default_rng([seed, 41])
    room = training_room(seed)
    lit = room if seed % _BAKED_EVERY == 0 else _cheaply_lit(room, rng)
    arrays: dict[str, np.ndarray] = {"kinds": np.array([item.kind for item in room.objects])}
    for shape in ("square", "wide"):
        rows = []
        while len(rows) < count // 2:
            camera = _camera(shape, rng)
            pose = _pose(room, rng)
            view = render(lit, camera, pose)
            if (view.object_ids > 0).sum() < 60 and rng.random() < 0.8 or np.median(view.depth_m) < 0.5:
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


def _pose(room: Room, rng: np.random.Generator) -> np.ndarray:
    """From somewhere in the free floor, mostly towards an object, sometimes anywhere."""
    space = FloorClearance(room.size_m, room.obstacles())
    free = space.centers[space.clearance_m > 0.15]
    eye = np.append(free[rng.integers(len(free))], rng.uniform(0.7, 1.7))
    near = sorted(room.objects, key=lambda item: float(np.linalg.norm(item.box.center_m - eye)))
    middle = near[min(int(rng.exponential(4.0)), len(near) - 1)].box.center_m
    target = middle + rng.normal(0, 0.35, 3) if rng.random() < 0.85 else eye + rng.normal(0, (1, 1, 0.25))
    return look_at(eye, target)


def _cheaply_lit(room: Room, rng: np.random.Generator) -> _Lit:
    """The room's scene with light from the directions of the normals and a few soft blobs in space."""
    meshes = [*room.shell.meshes, *(piece.mesh for piece in room.furniture), *(item.mesh for item in room.objects)]
    entities = [0] * len(room.shell.meshes)
    entities += [-1 - i for i in range(len(room.furniture))] + [1 + i for i in range(len(room.objects))]
    geometry, textures = make_geometry(meshes, entities)
    return _Lit(Scene(geometry, textures, _cheap_light(geometry, rng)))


def _cheap_light(geometry: Geometry, rng: np.random.Generator) -> np.ndarray:
    axis = rng.normal(0, 1, 3) + [0, 0, 1.5]
    light = 0.75 + 0.3 * (geometry.normals @ (axis / np.linalg.norm(axis)))
    for _ in range(6):
        centre, reach = rng.uniform((-3, -3, 0), (3, 3, 2.5)), rng.uniform(0.3, 1.5)
        distance = np.linalg.norm(geometry.vertices - centre, axis=1)
        light = light + rng.uniform(-0.35, 0.35) * np.exp(-((distance / reach) ** 2))
    tint = rng.uniform(0.85, 1.15, 3)
    return (np.clip(light, 0.1, None)[:, None] * tint * rng.uniform(0.5, 0.9)).astype(np.float32)


if __name__ == "__main__":
    main()
