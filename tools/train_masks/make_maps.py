"""Training views of maps without a depth sensor: depth and alpha of the map at its keyframes, and the truth.

    python -m train_masks.make_maps OUT --first 50000 --rooms 40 [--frames 80 --size 252]

A camera moves through each room as in a data-set scene: one view a second, a field of view of 90 degrees, test frames left
out. The map is made from colour alone. Each keyframe is stored when it joins the map and again when the map is finished:
image, rendered depth and alpha, pose and object numbers. Writes OUT/SEED.npz; rooms with an existing file are skipped.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import Config
from echoseg_ros.io.dataset_split import TEST_EVERY
from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.types import Camera, CameraFrame, Float64Array
from echoseg_ros.units import MapScale
from echoseg_sim.recordings.camera_path import plan_path
from echoseg_sim.recordings.sparse_model import Gauge, find_features, make_model
from echoseg_sim.rooms.render import RenderedView, render
from echoseg_sim.rooms.room import Room
from train_masks.rooms import training_room

# Nanoseconds in a second.
_NS = 1_000_000_000
# Optimisation steps for each second between keyframes, the seconds that count at most, and the steps at the end.
_STEPS_PER_S, _MAX_STEP_S, _FINAL_STEPS = 20, 2.0, 20


def main() -> None:
    """Write the views of the requested rooms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=int, default=50_000)
    parser.add_argument("--rooms", type=int, default=40)
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--size", type=int, default=252)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.first, arguments.first + arguments.rooms):
        file = arguments.out / f"{seed}.npz"
        if file.exists():
            continue
        try:
            views = map_views(seed, arguments.frames, arguments.size)
        except (ValueError, KeyError):  # no layout, or no path
            traceback.print_exc(limit=1)
            continue
        np.savez(file.with_suffix(".part.npz"), **views)  # type: ignore[arg-type]
        file.with_suffix(".part.npz").rename(file)
        print(f"{file}: {len(views['rgb'])} views", file=sys.stderr, flush=True)


def map_views(seed: int, frames: int, size_px: int) -> dict[str, NDArray[Any]]:
    """Arrays by name: camera [6], kinds of the objects, and rgb, depth (rendered), alpha, true_depth, ids, pose, scale.

    The last seven have two rows for each keyframe: when it joins the map, and when the map is finished. Lengths are metres;
    `scale` is the factor to nominal metres that the pipeline estimates (MapScale).
    """
    room = training_room(seed)
    camera = Camera(size_px, size_px, *(size_px / 2,) * 4)
    poses = _poses(room, frames, seed)
    views = [render(room, camera, pose) for pose in poses]
    train = [k for k in range(len(poses)) if k % TEST_EVERY]
    mapper, scale = Mapper(Config()), MapScale("arbitrary")
    mapper.set_seed_points(_seeds(room, camera, poses, views, train, seed))
    rows: list[dict[str, NDArray[Any]]] = []
    before_s = -1.0
    for number, k in enumerate([*train, -1]):
        if k >= 0:
            frame = CameraFrame(round((k + 0.5) * _NS), number, camera, views[k].rgb, None, poses[k])
            joined = mapper.add_frame(frame)
        else:
            joined = mapper.finish()
        if not joined:
            continue
        mapper.optimise(round(_STEPS_PER_S * min(k - before_s, _MAX_STEP_S)) if k >= 0 else _FINAL_STEPS)
        before_s = k
        scale.add_median_depth(mapper.scene_depth or 1.0)
        rows += [_row(mapper, scale, keyframe, views) for keyframe in joined]
    rows += [_row(mapper, scale, keyframe, views) for keyframe in mapper.keyframes]
    camera_row = np.array([camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy])
    names = np.array([item.kind for item in room.objects])
    return {"camera": camera_row, "kinds": names, **{key: np.stack([row[key] for row in rows]) for key in rows[0]}}


def _row(mapper: Mapper, scale: MapScale, keyframe: Keyframe, views: list[RenderedView]) -> dict[str, NDArray[Any]]:
    """The map's view at a keyframe, and the truth."""
    view = views[int(keyframe.stamp_ns / _NS)]
    drawn = mapper.render(keyframe.camera, keyframe.T_map_camera)
    return {
        "rgb": keyframe.rgb,
        "depth": drawn.depth.numpy().astype(np.float16),
        "alpha": (drawn.alpha.numpy().clip(0, 1) * 255).astype(np.uint8),
        "true_depth": view.depth_m.astype(np.float16),
        "ids": view.object_ids.astype(np.int8),
        "pose": keyframe.T_map_camera,
        "scale": np.array(scale.metres_per_unit or 1.0),
    }


def _poses(room: Room, frames: int, seed: int) -> Float64Array:
    """Poses T_map_camera [F, 4, 4], one a second. Raises ValueError if a robot cannot drive in the room."""
    rng = np.random.default_rng([seed, 3])
    wanted = [item.name for item in room.objects if item.sound is not None]
    path = plan_path(room, [str(rng.choice(wanted))], float(frames), seed)
    if path is None:
        raise ValueError(f"room of seed {seed}: no space for a robot to drive")
    step_s = path.times_s[1] - path.times_s[0]
    poses: Float64Array = path.poses[np.round((np.arange(frames) + 0.5) / step_s).astype(int)]
    return poses


def _seeds(
    room: Room, camera: Camera, poses: Float64Array, views: list[RenderedView], train: list[int], seed: int
) -> Float64Array:
    """Sparse points [N, 3] like those of a data-set scene."""
    kept = poses[train]
    features = [find_features(views[k], camera, poses[k]) for k in train]
    gauge = Gauge(np.eye(4), 1.0)
    names = [f"{k}.png" for k in train]
    model = make_model(room.scene.geometry, camera, names, kept, features, gauge, np.random.default_rng(seed))
    return np.asarray(model.points.positions)


if __name__ == "__main__":
    main()
