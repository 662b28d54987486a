"""Rigid transforms, pinhole projection, oriented boxes and pose interpolation, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, Delaunay, HalfspaceIntersection, QhullError
from scipy.spatial.transform import Rotation

from echoseg_ros.errors import PoseError, TimeError
from echoseg_ros.types import Box, Camera, Float64Array


def transform(rotation: Float64Array, translation: Float64Array) -> Float64Array:
    """T_a_b [4, 4] from the rotation R_a_b [3, 3] and the origin of b in a [3]."""
    T_a_b = np.eye(4)
    T_a_b[:3, :3] = rotation
    T_a_b[:3, 3] = translation
    return T_a_b


def transform_from_quaternion(position_m: Float64Array, quaternion_xyzw: Float64Array) -> Float64Array:
    """T_a_b [4, 4] from a position [3] and a quaternion [4] in x, y, z, w order.

    Raises PoseError if a number is not finite or the length of the quaternion differs from 1 by more than 0.01.
    """
    values = np.concatenate([np.asarray(position_m, dtype=float), np.asarray(quaternion_xyzw, dtype=float)])
    if values.shape != (7,) or not np.isfinite(values).all():
        raise PoseError(f"pose holds {values.tolist()}: want seven finite numbers x y z qx qy qz qw")
    norm = float(np.linalg.norm(values[3:]))
    if abs(norm - 1.0) > 0.01:
        raise PoseError(f"quaternion {values[3:].tolist()} has length {norm:.3f}: want 1")
    return transform(Rotation.from_quat(values[3:]).as_matrix(), values[:3])


def quaternion_xyzw(rotation: Float64Array) -> Float64Array:
    """[4] quaternion in x, y, z, w order (w >= 0) of a rotation matrix [3, 3]."""
    q: Float64Array = Rotation.from_matrix(rotation).as_quat()
    return q if q[3] >= 0 else -q


def rotation_matrix(quaternion_xyzw: Float64Array) -> Float64Array:
    """[3, 3] rotation matrix of a quaternion [4] in x, y, z, w order."""
    matrix: Float64Array = Rotation.from_quat(quaternion_xyzw).as_matrix()
    return matrix


def inverse(T_a_b: Float64Array) -> Float64Array:
    """T_b_a [4, 4] of a rigid transform T_a_b [4, 4]."""
    rotation = T_a_b[:3, :3].T
    return transform(rotation, -rotation @ T_a_b[:3, 3])


def apply(T_a_b: Float64Array, points_b: Float64Array) -> Float64Array:
    """points_a [..., 3] of points_b [..., 3]."""
    points_a: Float64Array = points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3]
    return points_a


def smallest_rotation(a: Float64Array, b: Float64Array) -> Float64Array:
    """[3, 3] rotation about a x b that takes direction a [3] to direction b [3]; about any axis if they are opposite."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    axis, cosine = np.cross(a, b), float(a @ b)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:
        if cosine > 0:
            return np.eye(3)
        other = np.eye(3)[np.argmin(np.abs(a))]
        axis = np.cross(a, other)
        half_turn: Float64Array = Rotation.from_rotvec(np.pi * axis / np.linalg.norm(axis)).as_matrix()
        return half_turn
    rotation: Float64Array = Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)).as_matrix()
    return rotation


def look_at(eye: Float64Array, target: Float64Array, up: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> Float64Array:
    """T_map_camera [4, 4] of a camera at `eye` [3] that looks at `target` [3]; `up` points to the top of the image."""
    forward = np.asarray(target, dtype=float) - eye
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    right = right / np.linalg.norm(right)
    return transform(np.stack([right, np.cross(forward, right), forward], axis=1), np.asarray(eye, dtype=float))


def project(camera: Camera, points_camera: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Pixels [..., 2] and depths [...] of points [..., 3] in the camera frame; a depth <= 0 is behind the camera."""
    depth = points_camera[..., 2]
    positive_depth = np.where(depth > 1e-9, depth, np.inf)
    u = camera.fx * points_camera[..., 0] / positive_depth + camera.cx
    v = camera.fy * points_camera[..., 1] / positive_depth + camera.cy
    return np.stack([u, v], axis=-1), depth


def pixel_rays(camera: Camera) -> Float64Array:
    """[H, W, 3] rays through the centres of the pixels in the camera frame, with z = 1."""
    u = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    v = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    x, y = np.meshgrid(u, v)
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def backproject(camera: Camera, depth_m: NDArray[np.floating[Any]]) -> Float64Array:
    """[H, W, 3] points in the camera frame of a depth image [H, W]; a depth of 0 gives the origin."""
    points_camera: Float64Array = pixel_rays(camera) * np.asarray(depth_m, dtype=float)[..., None]
    return points_camera


def box_corners(box: Box) -> Float64Array:
    """[8, 3] corners of a box in the map; x changes fastest, then y, then z."""
    signs = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], dtype=float)
    corners: Float64Array = signs * (np.asarray(box.size_m) / 2) @ rotation_matrix(box.quaternion_xyzw).T + box.center_m
    return corners


def is_in_convex_hull(point_m: Float64Array, points_m: Float64Array) -> bool:
    """Whether a point [3] lies in the convex hull of points [n, 3]; False if these lie in a plane."""
    try:
        return bool(Delaunay(points_m).find_simplex(point_m) >= 0)
    except (QhullError, ValueError):
        return False


def box_iou(a: Box, b: Box) -> float:
    """Volume of the intersection over volume of the union of two oriented boxes, exact by half spaces; 0 for a flat box."""
    volume_a, volume_b = float(np.prod(a.size_m)), float(np.prod(b.size_m))
    if volume_a <= 0 or volume_b <= 0:
        return 0.0
    halfspaces = np.concatenate([_halfspaces(a), _halfspaces(b)])
    inside = _chebyshev_centre(halfspaces)
    if inside is None:
        return 0.0
    intersection = ConvexHull(HalfspaceIntersection(halfspaces, inside).intersections).volume
    return float(np.clip(intersection / (volume_a + volume_b - intersection), 0.0, 1.0))


def _halfspaces(box: Box) -> Float64Array:
    """[6, 4] rows (n, -n.p) of the faces of a box: n.x - n.p <= 0 inside."""
    normals = rotation_matrix(box.quaternion_xyzw).T
    normals = np.concatenate([normals, -normals])
    half = np.tile(np.asarray(box.size_m) / 2, 2)
    return np.column_stack([normals, -(normals @ box.center_m) - half])


def _chebyshev_centre(halfspaces: Float64Array) -> Float64Array | None:
    """[3] centre of the largest ball in the half spaces; None if they have no common volume."""
    result = linprog(
        [0, 0, 0, -1],
        A_ub=np.column_stack([halfspaces[:, :3], np.ones(len(halfspaces))]),
        b_ub=-halfspaces[:, 3],
        bounds=[(None, None)] * 3 + [(0, None)],
    )
    if not result.success or result.x[3] <= 1e-9:
        return None
    return np.asarray(result.x[:3])


class PoseTrack:
    """The latest poses of a frame, interpolated at any time between them.

    Positions are interpolated linearly, rotations at constant angular velocity. Poses older than `keep_s` are removed.
    """

    def __init__(self, max_gap_s: float = 0.5, keep_s: float = 60.0) -> None:
        self._max_gap_ns = int(max_gap_s * 1e9)
        self._keep_ns = int(keep_s * 1e9)
        self._stamps_ns: list[int] = []
        self._poses: list[Float64Array] = []

    def __len__(self) -> int:
        return len(self._stamps_ns)

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest pose, None before the first."""
        return self._stamps_ns[-1] if self._stamps_ns else None

    def add(self, stamp_ns: int, T_map_frame: Float64Array) -> None:
        """Append a pose [4, 4]; one with the newest stamp replaces it. Raises PoseError (not finite), TimeError (older)."""
        if not np.isfinite(T_map_frame).all():
            raise PoseError(f"pose at {stamp_ns / 1e9:.3f} s is not finite")
        if self._stamps_ns and stamp_ns < self._stamps_ns[-1]:
            raise TimeError(f"pose stamp {stamp_ns / 1e9:.3f} s is before the newest {self._stamps_ns[-1] / 1e9:.3f} s")
        if self._stamps_ns and stamp_ns == self._stamps_ns[-1]:
            self._poses[-1] = T_map_frame
            return
        self._stamps_ns.append(stamp_ns)
        self._poses.append(T_map_frame)
        while self._stamps_ns[0] < stamp_ns - self._keep_ns:
            del self._stamps_ns[0], self._poses[0]

    def at(self, stamp_ns: int) -> Float64Array | None:
        """T_map_frame [4, 4] at a time; None outside of the track or in a gap longer than `max_gap_s`."""
        i = int(np.searchsorted(self._stamps_ns, stamp_ns))
        if i < len(self._stamps_ns) and self._stamps_ns[i] == stamp_ns:
            return self._poses[i]
        if i == 0 or i == len(self._stamps_ns):
            return None
        before_ns, after_ns = self._stamps_ns[i - 1], self._stamps_ns[i]
        if after_ns - before_ns > self._max_gap_ns:
            return None
        return interpolate(self._poses[i - 1], self._poses[i], (stamp_ns - before_ns) / (after_ns - before_ns))

    def clear(self) -> None:
        """Remove all poses, as after a backward time jump."""
        self._stamps_ns.clear()
        self._poses.clear()


def interpolate(T_map_a: Float64Array, T_map_b: Float64Array, fraction: float) -> Float64Array:
    """Pose [4, 4] at a fraction in [0, 1] of the motion from a to b."""
    rotation = T_map_a[:3, :3] @ _partial_rotation(T_map_a[:3, :3].T @ T_map_b[:3, :3], fraction)
    return transform(rotation, (1 - fraction) * T_map_a[:3, 3] + fraction * T_map_b[:3, 3])


def _partial_rotation(rotation: Float64Array, fraction: float) -> Float64Array:
    """[3, 3] rotation about the same axis by a fraction of the angle, by Rodrigues' formula.

    Poses are interpolated thousands of times a second; scipy's Rotation takes ten times as long.
    """
    skew = 0.5 * (rotation - rotation.T)  # sine of the angle times the cross-product matrix of the axis
    sine = float(np.sqrt(skew[0, 1] ** 2 + skew[0, 2] ** 2 + skew[1, 2] ** 2))
    if sine < 1e-6:  # near 0 and 180 degrees the skew part does not give the axis
        return np.asarray(Rotation.from_rotvec(fraction * Rotation.from_matrix(rotation).as_rotvec()).as_matrix())
    angle = fraction * np.arctan2(sine, 0.5 * (np.trace(rotation) - 1))
    cross = skew / sine
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
