"""The level map frame of a data-set scene, estimated from its train cameras, and the truth of a scene in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from echoseg_ros.geometry import quaternion_xyzw, rotation_matrix, smallest_rotation, transform
from echoseg_ros.io.dataset import DatasetScene
from echoseg_ros.types import Float64Array

# Least middle eigenvalue of the scatter of the cameras' right axes for these to determine the vertical.
_MIN_AXIS_SPREAD = 0.05
# Largest ratio of the smallest to the middle eigenvalue for the right axes to lie in a plane.
_MAX_PLANE_RATIO = 0.2
# Largest angle between the vertical from the right axes and the vertical from the tops of the cameras.
_MAX_TILT_RAD = np.deg2rad(30.0)


def scene_T_map_world(scene: DatasetScene) -> Float64Array:
    """T_map_world [4, 4] of the bag of a scene: level by its train frames."""
    return level_transform(np.stack([frame.T_world_camera for frame in scene.train]))


def level_transform(T_world_camera: Float64Array) -> Float64Array:
    """T_map_world [4, 4] of camera poses [N, 4, 4]: the smallest rotation that takes the estimated vertical to +z.

    The vertical is the mean of the tops of the cameras (image up), repeated three times without the farther half. Robots
    pitch but do not roll: where the right axes of the cameras spread in a plane, its normal is the vertical.
    """
    tops = -T_world_camera[:, :3, 1]
    up = _unit(tops.mean(axis=0))
    for _ in range(3):
        is_near = tops @ up >= np.median(tops @ up) - 1e-9
        up = _unit(tops[is_near].mean(axis=0))
    rights = T_world_camera[:, :3, 0]
    spread, axes = np.linalg.eigh(rights.T @ rights / len(rights))
    normal = axes[:, 0] * np.sign(axes[:, 0] @ up)
    if (
        spread[1] > _MIN_AXIS_SPREAD
        and spread[0] < _MAX_PLANE_RATIO * spread[1]
        and normal @ up > np.cos(_MAX_TILT_RAD)
    ):
        up = normal
    return transform(smallest_rotation(up, np.array([0.0, 0.0, 1.0])), np.zeros(3))


def truth_in_map(truth: Mapping[str, Any], T_map_world: Float64Array) -> dict[str, Any]:
    """The content of a scene's truth.json with positions and boxes in the map; the units are unchanged."""
    R_map_world = T_map_world[:3, :3]
    sources = [
        {**s, "position_m": (R_map_world @ np.asarray(s["position_m"], float)).tolist()} for s in truth["sources"]
    ]
    objects = {
        name: {
            **entry,
            "center_m": (R_map_world @ np.asarray(entry["center_m"], float)).tolist(),
            "quaternion_xyzw": quaternion_xyzw(
                R_map_world @ rotation_matrix(np.asarray(entry["quaternion_xyzw"], float))
            ).tolist(),
        }
        for name, entry in truth["objects"].items()
    }
    return {**truth, "sources": sources, "objects": objects, "T_map_world": T_map_world.tolist()}


def _unit(vector: Float64Array) -> Float64Array:
    unit: Float64Array = vector / np.linalg.norm(vector)
    return unit
