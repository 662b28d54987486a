"""Surfaces of depth images."""

import numpy as np

from echoseg_ros.geometry import look_at, pixel_rays
from echoseg_ros.masks.surface import make_surface, merge_depth
from echoseg_ros.types import Camera, Float64Array, FloatImage

CAMERA = Camera(160, 120, 140.0, 140.0, 80.0, 60.0)


def plane_depth(T_map_camera: Float64Array, normal: Float64Array, offset_m: float) -> FloatImage:
    """[H, W] exact depth of the plane normal . p = offset in the map."""
    rays = pixel_rays(CAMERA) @ T_map_camera[:3, :3].T
    depth_m: FloatImage = ((offset_m - T_map_camera[:3, 3] @ normal) / (rays @ normal)).astype(np.float32)
    return depth_m


def test_points_and_normals_of_a_floor_are_exact() -> None:
    T_map_camera = look_at(np.array([0.3, -0.2, 1.2]), np.array([1.0, 1.0, 0.0]))
    surface = make_surface(CAMERA, plane_depth(T_map_camera, np.array([0.0, 0, 1]), 0.0), T_map_camera)
    inner = (slice(5, -5), slice(5, -5))
    np.testing.assert_allclose(surface.points[inner][..., 2], 0.0, atol=2e-3)
    assert (surface.normals[inner][..., 2] > 0.999).all()
    assert not surface.step_right[inner].any() and not surface.step_down[inner].any()


def test_noise_changes_normals_little() -> None:
    T_map_camera = look_at(np.array([0.0, 0.0, 1.4]), np.array([1.5, 0.0, 0.0]))
    depth = plane_depth(T_map_camera, np.array([0.0, 0, 1]), 0.0)
    depth += np.random.default_rng(1).normal(0, 0.0015, depth.shape) * depth**2
    up = make_surface(CAMERA, depth.astype(np.float32), T_map_camera).normals[5:-5, 5:-5, 2]
    assert np.quantile(up, 0.05) > np.cos(np.radians(15))


def test_a_step_of_five_centimetres_at_two_metres_is_an_edge() -> None:
    depth = np.full((120, 160), 2.0, np.float32)
    depth[:, 80:] = 2.05
    surface = make_surface(CAMERA, depth, np.eye(4))
    assert surface.step_right[5:-5, 79].all()
    assert surface.step_right[5:-5, 5:75].sum() == 0


def test_the_map_fills_holes_of_the_sensor_where_it_is_opaque() -> None:
    sensor = np.array([[1.0, 0.0, 0.0]], np.float32)
    rendered, alpha = np.array([[3.0, 2.0, 2.0]], np.float32), np.array([[1.0, 0.95, 0.3]], np.float32)
    np.testing.assert_array_equal(merge_depth(sensor, rendered, alpha), [[1.0, 2.0, 0.0]])
    np.testing.assert_array_equal(merge_depth(None, rendered, alpha), [[3.0, 2.0, 0.0]])
    assert merge_depth(None, None, None) is None
