"""The transform tree: chains of fixed and moving edges, in closed form."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from echoseg_ros.errors import PoseError
from echoseg_ros.geometry import inverse, quaternion_xyzw, transform
from echoseg_ros.io.transform_tree import TransformTree
from echoseg_ros.types import Float64Array

T_MAP_ODOM = transform(Rotation.from_euler("z", 30, degrees=True).as_matrix(), np.array([1.0, 2.0, 0.0]))
T_BASE_CAMERA = transform(Rotation.from_euler("x", -90, degrees=True).as_matrix(), np.array([0.1, 0.0, 0.8]))


def odom_base(t_s: float) -> Float64Array:
    return transform(Rotation.from_euler("z", 0.2 * t_s).as_matrix(), np.array([0.5 * t_s, 0.0, 0.0]))


def message(parent: str, child: str, T_parent_child: Float64Array, t_s: float = 0.0) -> SimpleNamespace:
    seconds, nanoseconds = divmod(round(t_s * 1e9), 10**9)
    header = SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=nanoseconds), frame_id=parent)
    translation = SimpleNamespace(**dict(zip("xyz", T_parent_child[:3, 3], strict=True)))
    rotation = SimpleNamespace(**dict(zip("xyzw", quaternion_xyzw(T_parent_child[:3, :3]), strict=True)))
    body = SimpleNamespace(translation=translation, rotation=rotation)
    return SimpleNamespace(transforms=[SimpleNamespace(header=header, child_frame_id=child, transform=body)])


@pytest.fixture
def tree() -> TransformTree:
    tree = TransformTree()
    tree.add(message("base", "camera", T_BASE_CAMERA), fixed=True)
    tree.add(message("base", "microphones", np.eye(4)), fixed=True)
    for t_s in (1.0, 1.2, 1.4):
        tree.add(message("odom", "base", odom_base(t_s), t_s), fixed=False)
    for t_s in (1.0, 1.3):
        tree.add(message("map", "odom", T_MAP_ODOM, t_s), fixed=False)
    return tree


def test_the_chain_is_multiplied_at_the_newest_common_time(tree: TransformTree) -> None:
    latest = tree.latest("map", "camera")
    assert latest is not None
    stamp_ns, T_map_camera = latest
    assert stamp_ns == 1_300_000_000
    truth = T_MAP_ODOM @ odom_base(1.3) @ T_BASE_CAMERA
    np.testing.assert_allclose(T_map_camera, truth, atol=1e-9)
    T_camera_map = tree.at("camera", "map", 1_300_000_000)
    assert T_camera_map is not None
    np.testing.assert_allclose(T_camera_map, inverse(truth), atol=1e-9)


def test_only_rigidly_connected_frames_have_a_fixed_transform(tree: TransformTree) -> None:
    T_camera_microphones = tree.fixed("camera", "microphones")
    assert T_camera_microphones is not None
    np.testing.assert_allclose(T_camera_microphones, inverse(T_BASE_CAMERA), atol=1e-12)
    assert tree.fixed("map", "camera") is None
    assert tree.latest("map", "somewhere") is None
    assert tree.at("map", "camera", 3_000_000_000) is None


def test_an_earlier_stamp_clears_the_edge(tree: TransformTree) -> None:
    for child, parent in (("base", "odom"), ("odom", "map")):
        for t_s in (0.1, 0.2):
            tree.add(message(parent, child, np.eye(4), t_s), fixed=False)
    latest = tree.latest("map", "camera")
    assert latest is not None
    stamp_ns, T_map_camera = latest
    assert stamp_ns == 200_000_000
    np.testing.assert_allclose(T_map_camera, T_BASE_CAMERA, atol=1e-12)


def test_a_transform_that_is_not_finite_is_refused(tree: TransformTree) -> None:
    broken = np.eye(4)
    broken[0, 3] = np.nan
    with pytest.raises(PoseError):
        tree.add(message("map", "odom", broken, 2.0), fixed=False)
