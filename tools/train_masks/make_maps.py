"""Training views of maps without a depth sensor: what a keyframe's map shows when masks are asked for, and the truth.

    python -m train_masks.make_maps OUT --first 50000 --rooms 40 [--frames 80 --size 252]

Each room is driven through as a data-set scene is (one picture a second, 90 degrees of view, test frames left out), the
map is made from colour alone, and of every keyframe, when it joins and once more when the map is finished, the picture, the
rendered depth and alpha, the pose and the numbers of the objects are kept: OUT/SEED.npz. Rooms that are there already are
passed over.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

import numpy as np

from echoseg_ros.config import Config
from echoseg_ros.io.dataset_split import TEST_EVERY
from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.types import Camera, CameraFrame
from echoseg_ros.units import MapScale
from echoseg_sim.recordings.camera_path import plan_path
from echoseg_sim.recordings.sparse_model import Gauge, find_features, make_model
from echoseg_sim.rooms.render import RenderedView, render
from echoseg_sim.rooms.room import Room
from train_masks.rooms import training_room

_NS = 1_000_000_000


def main() -> None:
    """Write the rooms asked for that are not there yet."""
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
        except (ValueError, KeyError):  # no layout, or no way to drive
            traceback.print_exc(limit=1)
            continue
        np.savez(file.with_suffix(".part.npz"), **views)
        file.with_suffix(".part.npz").rename(file)
        print(f"{file}: {len(views['rgb'])} views", file=sys.stderr, flush=True)


def map_views(seed: int, frames: int, size_px: int) -> dict[str, np.ndarray]:
    """Arrays by name: rgb, depth (rendered), alpha, true_depth, ids, pose, scale.

    Of each keyframe there are two rows: as the map shows it when it joins, and when the map is finished. Lengths in
    metres; `scale` is what the pipeline would multiply them by, not knowing metres (MapScale).
    """
    room = training_room(seed)
    camera = Camera(size_px, size_px, *(size_px / 2,) * 4)
    poses = _poses(room, frames, seed)
    views = [render(room, camera, pose) for pose in poses]
    train = [k for k in range(len(poses)) if k % TEST_EVERY]
    mapper, scale = Mapper(Config()), MapScale("arbitrary")
    mapper.set_seed_points(_seeds(room, camera, poses, views, train, seed))
    rows: list[dict[str, np.ndarray]] = []
    before_s = -1.0
    for number, k in enumerate([*train, -1]):
        if k >= 0:
            frame = CameraFrame(round((k + 0.5) * _NS), number, camera, views[k].rgb, None, poses[k])
            joined = mapper.add_frame(frame)
        else:
            joined = mapper.finish()
        if not joined:
            continue
        mapper.optimise(round(20 * min(k - before_s, 2.0)) if k >= 0 else 20)
        before_s = k
        scale.add_median_depth(mapper.scene_depth or 1.0)
        rows += [_row(mapper, scale, keyframe, views) for keyframe in joined]
    rows += [_row(mapper, scale, keyframe, views) for keyframe in mapper.keyframes]
    camera_row = np.array([camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy])
    names = np.array([item.kind for item in room.objects])
    return {"camera": camera_row, "kinds": names, **{key: np.stack([row[key] for row in rows]) for key in rows[0]}}


def _row(mapper: Mapper, scale: MapScale, keyframe: Keyframe, views: list[RenderedView]) -> dict[str, np.ndarray]:
    """What the map shows of a keyframe now, and what there truly is."""
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


def _poses(room: Room, frames: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 3])
    wanted = [item.name for item in room.objects if item.sound is not None]
    path = plan_path(room, [str(rng.choice(wanted))], float(frames), seed)
    if path is None:
        raise ValueError(f"room of seed {seed}: no space for a robot to drive")
    step_s = path.times_s[1] - path.times_s[0]
    return path.poses[np.round((np.arange(frames) + 0.5) / step_s).astype(int)]


def _seeds(room: Room, camera: Camera, poses: np.ndarray, views: list, train: list[int], seed: int) -> np.ndarray:
    """[N, 3] the sparse points that come with a scene of the data set."""
    kept = poses[train]
    features = [find_features(views[k], camera, poses[k]) for k in train]
    gauge = Gauge(np.eye(4), 1.0)
    names = [f"{k}.png" for k in train]
    model = make_model(room.scene.geometry, camera, names, kept, features, gauge, np.random.default_rng(seed))
    return np.asarray(model.points.positions)


if __name__ == "__main__":
    main()
