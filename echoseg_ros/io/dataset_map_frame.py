"""The level map frame of a data-set scene: estimated from its train cameras, and a scene's truth in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from echoseg_ros.geometry import quaternion_xyzw, rotation_matrix, smallest_rotation, transform
from echoseg_ros.io.dataset import DatasetScene
from echoseg_ros.types import Float64Array

# Right axes that all point one way say nothing of the turn about them; these spread far enough.
_MIN_SPREAD = 0.05
_MAX_TILT_RAD = np.deg2rad(30.0)


def scene_T_map_world(scene: DatasetScene) -> Float64Array:
    """T_map_world [4, 4] of the scene's bag: levelled by its train frames."""
    return level_transform(np.stack([frame.T_world_camera for frame in scene.train]))


def level_transform(T_world_camera: Float64Array) -> Float64Array:
    """T_map_world [4, 4], the smallest rotation that takes the estimated up to +z, of camera poses [N, 4, 4].

    Up is where the cameras' tops point on the whole (their mean, again without those that are far off it). Robots look
    up and down but do not roll, so where their right axes spread out, up is what is most at right angles to all of them.
    """
    tops = -T_world_camera[:, :3, 1]
    up = _unit(tops.mean(axis=0))
    for _ in range(3):
        near = tops @ up >= np.median(tops @ up) - 1e-9
        up = _unit(tops[near].mean(axis=0))
    right = T_world_camera[:, :3, 0]
    spread, axes = np.linalg.eigh(right.T @ right / len(right))
    level = axes[:, 0] * np.sign(axes[:, 0] @ up)
    if spread[1] > _MIN_SPREAD and spread[0] < 0.2 * spread[1] and level @ up > np.cos(_MAX_TILT_RAD):
        up = level
    return transform(smallest_rotation(up, np.array([0.0, 0.0, 1.0])), np.zeros(3))


def truth_in_map(truth: Mapping[str, Any], T_map_world: Float64Array) -> dict[str, Any]:
    """A scene's truth.json with positions and boxes turned from the scene's world into the map; units stay."""
    turn = T_map_world[:3, :3]
    sources = [{**s, "position_m": (turn @ np.asarray(s["position_m"], float)).tolist()} for s in truth["sources"]]
    objects = {
        name: {
            **entry,
            "center_m": (turn @ np.asarray(entry["center_m"], float)).tolist(),
            "quaternion_xyzw": quaternion_xyzw(
                turn @ rotation_matrix(np.asarray(entry["quaternion_xyzw"], float))
            ).tolist(),
        }
        for name, entry in truth["objects"].items()
    }
    return {**truth, "sources": sources, "objects": objects, "T_map_world": T_map_world.tolist()}


def _unit(vector: Float64Array) -> Float64Array:
    return vector / np.linalg.norm(vector)
