"""Finds the planes of a surface that carry objects: supports (floors, table tops, shelves) and walls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.masks.connected_labels import label_components
from echoseg_ros.masks.surface import Surface
from echoseg_ros.types import Float64Array, FloatImage

# Least vertical component of the normal of a level surface (within 25 degrees).
_MIN_LEVEL_COSINE = 0.90
# Largest vertical component of the normal of an upright surface (within 20 degrees).
_MAX_UPRIGHT_COSINE = 0.34
# Least length of a level patch that is a support, metres; the tops of objects are shorter.
_MIN_SUPPORT_LENGTH_M = 0.65
# Least length of a support that continues outside the image, metres.
_MIN_CUT_SUPPORT_LENGTH_M = 0.45
# Least length of a support from which objects rise, metres.
_MIN_LOADED_SUPPORT_LENGTH_M = 0.25
# Least area of a support, square metres.
_MIN_SUPPORT_AREA_M2 = 0.03
# Least size of a support in the image, pixels.
_MIN_SUPPORT_PX = 150
# Objects rise from a patch if pixels lie this high above it (least, most), metres, ...
_RISE_M = (0.015, 0.15)
# ... at least this far within its outline, metres, ...
_FOOTPRINT_INSET_M = 0.02
# ... and make up this share of the patch's pixels.
_MIN_RISING_SHARE = 0.05
# A support's plane ends this far outside its patch, metres: walls and other objects cross its height there.
_FOOTPRINT_MARGIN_M = 0.03
# Greatest height of flat objects (papers, mats) that count as their support, metres: other objects stand on them.
_MAX_FLAT_M = 0.03
# Least area of such a flat object, square metres.
_MIN_FLAT_AREA_M2 = 0.008
# Greatest slope of a support (rise over run); gravity is known to a few degrees.
_MAX_TILT = 0.06
# Pixels this near to a support's plane, plus the allowance for noise, belong to it, metres.
_PLANE_BAND_M = 0.010
# Allowance for noise, standard deviations of the depth.
_BAND_DEVIATIONS = 2.0
# Pixels this near to a wall's plane, plus the allowance for noise, belong to it, metres.
_WALL_BAND_M = 0.025
# Least area of a wall, square metres.
_MIN_WALL_AREA_M2 = 0.3
# Least extent of a wall along it or upwards, metres.
_MIN_WALL_LENGTH_M = 0.95
# Walls that are searched for, largest first.
_MAX_WALLS = 6
# Greatest angle between the normal of a pixel and that of its wall, radians.
_MAX_WALL_TURN_RAD = 0.4
# Bins of the histogram of azimuths over the full turn.
_AZIMUTH_BINS = 72
# Width of the bins of the histogram of walls' offsets, metres.
_OFFSET_BIN_M = 0.04
# Pixels of a level patch to which its plane is fitted, about.
_FIT_PX = 800
# Walls are fitted to every second row and column.
_WALL_STRIDE = 2


@dataclass(frozen=True)
class Planes:
    """Pixels that show planes. support, wall: [H, W]."""

    support: NDArray[np.bool_]
    wall: NDArray[np.bool_]


def find_planes(surface: Surface, pixel_area: FloatImage) -> Planes:
    """The supports and walls of a surface. pixel_area: [H, W] area of the surface in each pixel, square metres."""
    wall = _walls(surface, pixel_area)
    support = _supports(surface, pixel_area, wall)
    return Planes(support, wall & ~support)


def pixel_areas(surface: Surface, pixel_rad2: float) -> FloatImage:
    """[H, W] area of the surface in each pixel, square metres. pixel_rad2: solid angle of the central pixel, 1 / (fx fy)."""
    cosine = np.abs(np.einsum("ijk,ijk->ij", surface.normals, surface.rays))
    return np.where(surface.valid, surface.depth_m**2 * pixel_rad2 / np.maximum(cosine, 0.1), 0)


def extent_xy(xy: FloatImage) -> tuple[float, float]:
    """Longer and shorter side, metres, of the smallest rectangle around points [N, 2]."""
    _, size, _ = cv2.minAreaRect(np.ascontiguousarray(xy, np.float32))
    return max(size), min(size)


def _supports(surface: Surface, area: FloatImage, wall: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[H, W] pixels of floors, table tops, seats and shelves."""
    level = surface.valid & (surface.normals[..., 2] > _MIN_LEVEL_COSINE)
    labels, count = label_components(level, ~surface.step_right, ~surface.step_down)
    size_px = np.bincount(labels.ravel(), minlength=count + 1)
    size_m2 = np.bincount(labels.ravel(), weights=area.ravel(), minlength=count + 1)
    big = (size_px >= _MIN_SUPPORT_PX) & (size_m2 >= _MIN_SUPPORT_AREA_M2)
    big[0] = False
    support = np.zeros(level.shape, bool)
    band_m = _PLANE_BAND_M + _BAND_DEVIATIONS * surface.noise_m * np.abs(surface.rays[..., 2])
    for label in np.flatnonzero(big):
        patch = labels == label
        length_m = extent_xy(surface.points[patch][::4, :2])[0]
        if length_m < _MIN_LOADED_SUPPORT_LENGTH_M:
            continue
        height_m = surface.points[..., 2] - _level_plane(surface, patch)
        if _is_support(surface, patch, length_m, height_m, wall):
            support |= _support_band(surface, area, patch, height_m, level, band_m)
    return support


def _is_support(
    surface: Surface, patch: NDArray[np.bool_], length_m: float, height_m: FloatImage, wall: NDArray[np.bool_]
) -> bool:
    """Whether a level patch is a support and not the top of an object."""
    if length_m >= _MIN_SUPPORT_LENGTH_M:
        return True
    if length_m >= _MIN_CUT_SUPPORT_LENGTH_M and _reaches_border(patch, surface.valid):
        return True
    return _has_objects_on_it(surface, patch, height_m, wall)


def _reaches_border(patch: NDArray[np.bool_], valid: NDArray[np.bool_]) -> bool:
    """Whether a patch reaches the border of the image or of the valid depth."""
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    top, bottom, left, right = rows[0] + 2, rows[-1] - 2, columns[0] + 2, columns[-1] - 2
    return bool(patch[:top].any() or patch[bottom:].any() or patch[:, :left].any() or patch[:, right:].any())


def _has_objects_on_it(
    surface: Surface, patch: NDArray[np.bool_], height_m: FloatImage, wall: NDArray[np.bool_]
) -> bool:
    """Whether objects other than walls rise from within a patch; nothing rises from the top of a box."""
    rising = surface.valid & ~wall & (height_m > _RISE_M[0]) & (height_m < _RISE_M[1])
    inside = _in_footprint(surface, patch, rising, -_FOOTPRINT_INSET_M)
    return bool(inside.sum() > _MIN_RISING_SHARE * patch.sum())


def _support_band(
    surface: Surface,
    area: FloatImage,
    patch: NDArray[np.bool_],
    height_m: FloatImage,
    level: NDArray[np.bool_],
    band_m: FloatImage,
) -> NDArray[np.bool_]:
    """[H, W] pixels of a support: near its plane and within its outline, or level and near its plane."""
    near = surface.valid & (np.abs(height_m) < band_m)
    flat = level & (height_m > 0) & (height_m < _MAX_FLAT_M)
    inside = _in_footprint(surface, patch, near | flat, _FOOTPRINT_MARGIN_M)
    count, labels = cv2.connectedComponents((inside & flat).astype(np.uint8), connectivity=4)
    large = np.bincount(labels.ravel(), weights=area.ravel(), minlength=count) >= _MIN_FLAT_AREA_M2
    large[0] = False
    return np.asarray((near & (level | inside)) | large[labels])


def _in_footprint(
    surface: Surface, patch: NDArray[np.bool_], candidates: NDArray[np.bool_], margin_m: float
) -> NDArray[np.bool_]:
    """[H, W] candidates whose x and y lie within the convex outline of a patch, moved outwards by a margin."""
    middle = surface.points[patch].mean(axis=0)[:2]
    hull = cv2.convexHull(np.ascontiguousarray(surface.points[patch][::2, :2] - middle))[:, 0]
    edges = np.roll(hull, -1, axis=0) - hull
    length = np.linalg.norm(edges, axis=1)
    hull, edges, length = hull[length > 1e-4], edges[length > 1e-4], length[length > 1e-4]
    outward = np.column_stack([edges[:, 1], -edges[:, 0]]) / length[:, None]
    outward *= np.sign(np.einsum("ij,ij->i", outward, hull) + 1e-12)[:, None]
    offsets = np.einsum("ij,ij->i", outward, hull) + margin_m
    rows, columns = np.nonzero(candidates)
    inside = ((surface.points[rows, columns, :2] - middle) @ outward.T <= offsets).all(axis=1)
    result = np.zeros(candidates.shape, bool)
    result[rows[inside], columns[inside]] = True
    return result


def _level_plane(surface: Surface, patch: NDArray[np.bool_]) -> FloatImage:
    """[H, W] height of the plane z = a x + b y + c through a patch at each pixel's x and y, fitted without outliers."""
    points = surface.points[patch].astype(float)
    points = points[:: 1 + len(points) // _FIT_PX]
    centre = points.mean(axis=0)
    centre[2] = np.median(points[:, 2])
    offset = points - centre
    slope, shift = np.zeros(2), 0.0
    for _ in range(3):
        residual = offset[:, 2] - offset[:, :2] @ slope - shift
        near = np.abs(residual) < max(0.015, 2.0 * float(np.median(np.abs(residual))))
        design = np.column_stack([offset[near, :2], np.ones(near.sum())])
        normal = design.T @ design + 1e-6 * np.eye(3)
        solution = np.linalg.solve(normal, design.T @ offset[near, 2])
        slope, shift = np.clip(solution[:2], -_MAX_TILT, _MAX_TILT), float(solution[2])
    a, b = (np.float32(value) for value in slope)
    level = np.float32(centre[2] + shift - centre[:2] @ slope)
    height_m: FloatImage = surface.points[..., 0] * a + surface.points[..., 1] * b + level
    return height_m


def _walls(surface: Surface, area: FloatImage) -> NDArray[np.bool_]:
    """[H, W] pixels of large upright planes, found one by one, largest first, by votes over azimuth and offset."""
    upright = np.zeros(surface.valid.shape, bool)
    upright[::_WALL_STRIDE, ::_WALL_STRIDE] = True
    upright &= surface.valid & (np.abs(surface.normals[..., 2]) < _MAX_UPRIGHT_COSINE)
    points, normals, rays = surface.points[upright], surface.normals[upright], surface.rays[upright, :2]
    noise_m, weight = surface.noise_m[upright], area[upright] * _WALL_STRIDE**2
    azimuth = np.arctan2(normals[:, 1], normals[:, 0])
    wall = np.zeros(surface.valid.shape, bool)
    for _ in range(_MAX_WALLS):
        plane = _best_wall(points, azimuth, weight)
        if plane is None:
            break
        normal, offset_m = plane
        inlier = np.abs(points[:, :2] @ normal - offset_m) < _wall_band_m(noise_m, rays, normal)
        strong = inlier & (np.abs(_angle_difference(azimuth, np.arctan2(normal[1], normal[0]))) < _MAX_WALL_TURN_RAD)
        if weight[strong].sum() < _MIN_WALL_AREA_M2:
            break
        weight = np.where(inlier, 0, weight)
        if _wall_length_m(points[strong], normal) >= _MIN_WALL_LENGTH_M:
            distance_m = np.abs(surface.points[..., :2] @ normal - offset_m)
            wall |= surface.valid & (distance_m < _wall_band_m(surface.noise_m, surface.rays[..., :2], normal))
    return wall


def _wall_band_m(noise_m: FloatImage, rays_xy: FloatImage, normal: Float64Array) -> NDArray[np.floating[Any]]:
    """[N] or [H, W] distance from a wall's plane, metres, within which pixels belong to it."""
    return _WALL_BAND_M + _BAND_DEVIATIONS * noise_m * np.abs(rays_xy @ normal)


def _angle_difference(azimuth: FloatImage, reference: float) -> FloatImage:
    """Azimuths less a reference, in [-pi, pi), radians."""
    return (azimuth - reference + np.pi) % (2 * np.pi) - np.pi


def _wall_length_m(points: FloatImage, normal: Float64Array) -> float:
    """Extent of a wall's points [N, 3] along the wall or upwards, the larger one, without the outermost 2 %."""
    along = np.column_stack([points[:, :2] @ np.array([-normal[1], normal[0]]), points[:, 2]])
    return float(np.ptp(np.quantile(along, [0.02, 0.98], axis=0), axis=0).max())


def _best_wall(points: FloatImage, azimuth: FloatImage, weight: FloatImage) -> tuple[Float64Array, float] | None:
    """Unit normal [2] and offset, metres, of the upright plane with the largest area; None if no area is left."""
    width = 2 * np.pi / _AZIMUTH_BINS
    bins = np.bincount(((azimuth + np.pi) / width).astype(int) % _AZIMUTH_BINS, weight, _AZIMUTH_BINS)
    smooth = bins + np.roll(bins, 1) + np.roll(bins, -1)
    if smooth.max() <= 0:
        return None
    peak = (np.argmax(smooth) + 0.5) * width - np.pi
    turn = _angle_difference(azimuth, peak)
    near = (np.abs(turn) < _MAX_WALL_TURN_RAD) & (weight > 0)
    angle = peak + float(np.average(turn[near], weights=weight[near]))
    for _ in range(2):
        normal = np.array([np.cos(angle), np.sin(angle)])
        distance = points[near, :2] @ normal
        low = float(distance.min())
        histogram = np.bincount(((distance - low) / _OFFSET_BIN_M).astype(int), weight[near])
        pairs = histogram + np.append(histogram[1:], 0)
        offset_m = low + (int(np.argmax(pairs)) + 1) * _OFFSET_BIN_M
        close = np.abs(distance - offset_m) < 1.5 * _OFFSET_BIN_M
        xy = points[near][close, :2] - points[near][close, :2].mean(axis=0)
        direction = np.linalg.eigh(xy.T @ xy)[1][:, 0]
        direction = direction if direction @ normal > 0 else -direction
        if direction @ normal > 0.9:
            angle = float(np.arctan2(direction[1], direction[0]))
            normal = direction
        offset_m = float(np.median(points[near][close, :2] @ normal))
    return normal, offset_m
