"""Depth of a keyframe by a plane sweep over the keyframes around it, for a camera without a depth sensor.

A plane sweep over inverse depth (Collins 1996) with correlation as the similarity, smoothed semi-globally (Hirschmueller
2008), then a cross-check with the depths of other views. Depths are in map units; every threshold is relative to depths,
baselines or pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

import numpy as np
import torch

from echoseg_ros.geometry import inverse
from echoseg_ros.mapping.keyframes import BRIGHTNESS_WEIGHTS, Keyframe
from echoseg_ros.mapping.plane_sweep import agreement, semi_global, sweep_kernels
from echoseg_ros.mapping.plane_sweep.neighbour_views import baseline, best_neighbours, nearby_neighbours, relative_pose
from echoseg_ros.mapping.plane_sweep.pose_adjustment import adjusted_poses, warps
from echoseg_ros.types import Camera, Float64Array, FloatImage

# Most neighbour views of a sweep.
NEIGHBOURS = 6
# Shift of a surface between adjacent planes in the image of a neighbour at the median baseline, pixels.
STEP_PX = 1.5
# Least and largest number of planes of the fine sweep.
FINE_PLANES = (24, 96)
# Least and largest number of planes of the rough sweep, at half resolution, when no depth is known.
ROUGH_PLANES = (24, 128)
# Nearest depth of the rough sweep, in median baselines; it starts at infinity.
NEAREST_BASELINES = 1.0
# Similarity (ZNCC) above which a depth of the rough sweep is used.
MIN_ROUGH_SIMILARITY = 0.7
# Least share of the pixels with such a depth.
MIN_ROUGH_SHARE = 0.02
# Quantiles of the known inverse depths that bound the fine sweep.
RANGE_QUANTILES = (0.01, 0.99)
# Factor on the lower bound of inverse depth.
WIDEN_FAR = 0.8
# Factor on the upper bound of inverse depth.
WIDEN_NEAR = 1.25
# Least shift of a surface against infinity that counts as parallax, pixels at half resolution.
MIN_SHIFT_PX = 1.0
# Share of the image that a known depth must cover to replace the rough sweep.
MIN_PRIOR_SHARE = 0.5
# Most surface points that score the neighbour views (approximately).
SURFACE_POINTS = 500
# Smoothing penalty of a step by one plane, in units of 1 - ZNCC.
SMALL_STEP_PENALTY = 0.08
# Smoothing penalty of a step by more planes, in units of 1 - ZNCC.
LARGE_STEP_PENALTY = 0.5
# Difference of brightness (0..1) that halves the large penalty.
EDGE_CONTRAST = 0.05
# Relative difference up to which the depths of two views agree.
AGREEMENT_TOLERANCE = 0.08
# Number of other views that must agree.
MIN_CONFIRMATIONS = 1
# Least confidence of a depth that takes part in the cross-check.
MIN_CONFIDENCE = 0.02
# Margin over all other planes that gives full confidence (1 - ZNCC for each path).
CLEAR_MARGIN = 0.12


class ParallaxStatus(Enum):
    """Whether the views of a sweep have parallax."""

    OK = "depth from parallax"
    NONE = "no parallax: the camera has not moved enough for depth"


@dataclass(frozen=True)
class DepthEstimate:
    """Depth of a view by plane sweep.

    depth: [H, W] float32 along the optical axis, map units, 0 = none; confidence: [H, W] float32 in 0..1.
    """

    depth: FloatImage
    confidence: FloatImage
    status: ParallaxStatus

    @staticmethod
    def none(camera: Camera) -> DepthEstimate:
        """The estimate of a view without parallax."""
        empty = np.zeros((camera.height, camera.width), np.float32)
        return DepthEstimate(empty, empty, ParallaxStatus.NONE)


class RoughSurface(NamedTuple):
    """Roughly known surface. points_camera: [N, 3] in the camera frame; inverse_range: (least, largest) inverse depth."""

    points_camera: Float64Array
    inverse_range: tuple[float, float]


class DepthFromMotion:
    """Estimates depth images of keyframes; keeps no state between calls. Independent of the number of threads."""

    def __init__(self, max_neighbours: int = NEIGHBOURS) -> None:
        self._max_neighbours = max_neighbours

    def estimate(
        self,
        keyframe: Keyframe,
        others: Sequence[Keyframe],
        prior: FloatImage | None = None,
        depth_range: tuple[float, float] | None = None,
    ) -> DepthEstimate:
        """Estimate the depth of one keyframe from others, taken before or after it.

        prior: [H, W] known depth, such as that of the map, 0 = none; depth_range: (nearest, farthest) surface. Both are in
        map units and only narrow the search. Raises ValueError for a depth_range without 0 < nearest < farthest.
        """
        others = [other for other in others if other.id != keyframe.id and other.camera == keyframe.camera]
        unit = _median_baseline(keyframe, others)
        if unit <= 0:
            return DepthEstimate.none(keyframe.camera)
        # In units of the median baseline, the computation does not depend on the map unit.
        others = [_relative_to(other, keyframe.T_map_camera, unit) for other in others]
        estimate = self._in_baselines(
            _relative_to(keyframe, keyframe.T_map_camera, unit), others,
            None if prior is None else prior.astype(float) / unit,
            None if depth_range is None else _inverse_range(depth_range, unit),
        )  # fmt: skip
        return replace(estimate, depth=(estimate.depth * unit).astype(np.float32))

    def _in_baselines(
        self,
        keyframe: Keyframe,
        others: Sequence[Keyframe],
        prior: Float64Array | None,
        inverse_range: tuple[float, float] | None,
    ) -> DepthEstimate:
        """The result of estimate() with all lengths in median baselines; inverse_range: (least, largest) inverse depth."""
        surface = _surface_of_depth(keyframe.camera, prior)
        if surface is None:
            surface = self._rough_surface(keyframe, others, inverse_range)
        if surface is None:
            return DepthEstimate.none(keyframe.camera)
        neighbours = best_neighbours(keyframe, others, surface.points_camera, self._max_neighbours)
        if not neighbours:
            return DepthEstimate.none(keyframe.camera)
        return _fine_depth(keyframe, neighbours, surface.inverse_range if inverse_range is None else inverse_range)

    def _rough_surface(
        self, keyframe: Keyframe, others: Sequence[Keyframe], inverse_range: tuple[float, float] | None
    ) -> RoughSurface | None:
        """The surface by a sweep at half resolution; None without parallax."""
        neighbours = nearby_neighbours(keyframe, others, self._max_neighbours)
        if not neighbours:
            return None
        camera = _half(keyframe.camera)
        median_baseline = float(np.median([baseline(keyframe, other) for other in neighbours]))
        nearest = 1.0 / (NEAREST_BASELINES * median_baseline) if inverse_range is None else inverse_range[1]
        # The planes start at infinity for any range: a surface that matches there has no parallax.
        planes = _planes(camera, median_baseline, 0.0, nearest, ROUGH_PLANES)
        grey, images = _grey(keyframe, camera), np.stack([_grey(other, camera) for other in neighbours])
        poses = [relative_pose(keyframe, other) for other in neighbours]
        plane, similarity, _ = _swept_planes(camera, grey, images, poses, planes)
        similar = similarity > MIN_ROUGH_SIMILARITY
        shift_px = plane * (camera.fx * median_baseline * (planes[1] - planes[0]))
        if similar.mean() < MIN_ROUGH_SHARE or np.median(shift_px[similar]) < MIN_SHIFT_PX:
            return None
        valid = similar & (shift_px >= MIN_SHIFT_PX) & (plane < len(planes) - 1)
        inverse_depth = np.where(valid, np.interp(plane, np.arange(len(planes)), planes), 0)
        return _surface(camera, inverse_depth)

    def cross_checked(
        self, keyframe: Keyframe, estimate: DepthEstimate, neighbours: Sequence[tuple[Keyframe, DepthEstimate]]
    ) -> DepthEstimate:
        """The estimate where at least MIN_CONFIRMATIONS other views agree, averaged over them; 0 elsewhere."""
        others = [(other, theirs) for other, theirs in neighbours if other.id != keyframe.id and theirs.depth.any()]
        if len(others) < MIN_CONFIRMATIONS:
            empty = np.zeros_like(estimate.depth)
            return DepthEstimate(empty, empty, estimate.status)
        camera = keyframe.camera
        poses = [relative_pose(keyframe, other) for other, _ in others]
        backs = np.stack([_depth_row(camera, inverse(pose)) for pose in poses])
        mean, confirmations, contradictions = agreement.count_agreement(
            _trusted_inverse(estimate), estimate.confidence,
            np.stack([_trusted_inverse(theirs) for _, theirs in others]),
            np.stack([theirs.confidence for _, theirs in others]),
            warps(camera, poses), backs.astype(np.float32), np.float32(AGREEMENT_TOLERANCE),
        )  # fmt: skip
        confirmed = (confirmations >= MIN_CONFIRMATIONS) & (confirmations > contradictions)
        depth = np.where(confirmed, 1 / np.where(confirmed, mean, 1), 0).astype(np.float32)
        share = confirmations / np.maximum(confirmations + contradictions + 1, 1)
        confidence = np.where(confirmed, np.sqrt(estimate.confidence * share), 0).astype(np.float32)
        return DepthEstimate(depth, confidence, estimate.status)


def _fine_depth(
    keyframe: Keyframe, neighbours: Sequence[Keyframe], inverse_range: tuple[float, float]
) -> DepthEstimate:
    """The depth by a sweep at full resolution, after one at half resolution has corrected the neighbours' poses."""
    camera = keyframe.camera
    poses = [relative_pose(keyframe, other) for other in neighbours]
    median_baseline = float(np.median([baseline(keyframe, other) for other in neighbours]))
    poses = _adjusted_poses(keyframe, neighbours, poses, _half(camera), median_baseline, inverse_range)
    planes = _planes(camera, median_baseline, *inverse_range, FINE_PLANES)
    grey, images = _grey(keyframe, camera), np.stack([_grey(other, camera) for other in neighbours])
    plane, similarity, margin = _swept_planes(camera, grey, images, poses, planes)
    inside = (plane > 0) & (plane < len(planes) - 1)
    inverse_depth = np.interp(plane, np.arange(len(planes)), planes)
    depth = np.where(inside & (inverse_depth > 0), 1 / np.maximum(inverse_depth, 1e-30), 0)
    confidence = np.clip(similarity, 0, 1) * np.clip(margin / CLEAR_MARGIN, 0, 1)
    return DepthEstimate(
        depth.astype(np.float32), np.where(depth > 0, confidence, 0).astype(np.float32), ParallaxStatus.OK
    )


def _adjusted_poses(
    keyframe: Keyframe, neighbours: Sequence[Keyframe], poses: Sequence[Float64Array], camera: Camera, median_baseline: float,
    inverse_range: tuple[float, float],
) -> list[Float64Array]:  # fmt: skip
    """The neighbours' poses, rotated to fit the images where a sweep at this camera's resolution gives a reliable depth."""
    planes = _planes(camera, median_baseline, *inverse_range, FINE_PLANES)
    grey, images = _grey(keyframe, camera), np.stack([_grey(other, camera) for other in neighbours])
    plane, similarity, _ = _swept_planes(camera, grey, images, poses, planes)
    reliable = (plane > 0) & (plane < len(planes) - 1) & (similarity > MIN_ROUGH_SIMILARITY)
    inverse_depth = np.where(reliable, np.interp(plane, np.arange(len(planes)), planes), 0).astype(np.float32)
    return adjusted_poses(camera, grey, images, poses, inverse_depth, planes[1] - planes[0])


def _swept_planes(
    camera: Camera, grey: FloatImage, images: FloatImage, poses: Sequence[Float64Array], planes: Float64Array
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """(plane, similarity, margin), [H, W] each, of a sweep; grey: [H, W]; images: [S, H, W]; poses: T_neighbour_keyframe."""
    cost = sweep_kernels.sweep(grey, images, warps(camera, poses), planes.astype(np.float32))
    total = semi_global.aggregate(cost, grey, SMALL_STEP_PENALTY, LARGE_STEP_PENALTY, EDGE_CONTRAST)
    return semi_global.select_planes(cost, total)


def _planes(camera: Camera, median_baseline: float, low: float, high: float, count: tuple[int, int]) -> Float64Array:
    """Inverse depths [P], evenly spaced from low to high; count: least and largest P."""
    shift_px = camera.fx * median_baseline * (high - low)
    return np.linspace(low, high, int(np.clip(np.ceil(shift_px / STEP_PX) + 1, *count)))


def _surface_of_depth(camera: Camera, prior: Float64Array | None) -> RoughSurface | None:
    """The surface of a depth image [H, W], 0 = none; None if it covers too little."""
    if prior is None or (prior > 0).mean() < MIN_PRIOR_SHARE:
        return None
    return _surface(camera, np.where(prior > 0, 1 / np.where(prior > 0, prior, 1), 0))


def _surface(camera: Camera, inverse_depth: Float64Array) -> RoughSurface | None:
    """A sample of the surface of an inverse depth image [H, W], 0 = none; None without any depth."""
    rows, columns = np.nonzero(inverse_depth)
    if len(rows) == 0:
        return None
    stride = max(len(rows) // SURFACE_POINTS, 1)
    rows, columns = rows[::stride], columns[::stride]
    values = inverse_depth[rows, columns].astype(float)
    rays = np.stack(
        [(columns + 0.5 - camera.cx) / camera.fx, (rows + 0.5 - camera.cy) / camera.fy, np.ones(len(rows))], axis=-1
    )
    far, near = np.quantile(values, RANGE_QUANTILES)
    return RoughSurface(rays / values[:, None], (float(far) * WIDEN_FAR, float(near) * WIDEN_NEAR))


def _inverse_range(depth_range: tuple[float, float], unit: float) -> tuple[float, float]:
    """(least, largest) inverse depth, 1/unit, of (nearest, farthest) depth in map units."""
    nearest, farthest = depth_range
    if not 0 < nearest < farthest:
        raise ValueError(f"depth_range {depth_range}: want 0 < nearest < farthest")
    return unit / farthest, unit / nearest


def _median_baseline(keyframe: Keyframe, others: Sequence[Keyframe]) -> float:
    """The median of the baselines above 0, map units; 0 if there is none."""
    lengths = [length for length in (baseline(keyframe, other) for other in others) if length > 0]
    return float(np.median(lengths)) if lengths else 0.0


def _relative_to(keyframe: Keyframe, T_map_origin: Float64Array, unit: float) -> Keyframe:
    """The keyframe with its pose relative to an origin, in multiples of `unit`."""
    pose = inverse(T_map_origin) @ keyframe.T_map_camera
    pose[:3, 3] /= unit
    return replace(keyframe, T_map_camera=pose)


def _depth_row(camera: Camera, T_keyframe_other: Float64Array) -> Float64Array:
    """Row b [4]: a pixel (x, y) of the other view at depth d has depth d (b0 x + b1 y + b2) + b3 in the keyframe."""
    row = T_keyframe_other[2, :3] @ np.linalg.inv(camera.matrix)
    return np.append(row, T_keyframe_other[2, 3])


def _trusted_inverse(estimate: DepthEstimate) -> FloatImage:
    """Inverse depth [H, W] where the confidence suffices, else 0."""
    trusted = (estimate.depth > 0) & (estimate.confidence >= MIN_CONFIDENCE)
    return np.where(trusted, 1 / np.where(trusted, estimate.depth, 1), 0).astype(np.float32)


def _half(camera: Camera) -> Camera:
    return camera.resized(camera.width // 2, camera.height // 2)


def _grey(keyframe: Keyframe, camera: Camera) -> FloatImage:
    """Brightness [H, W] in 0..1 at a camera's resolution, averaged over areas."""
    weights = np.array(BRIGHTNESS_WEIGHTS, np.float32)
    grey: FloatImage = keyframe.rgb.astype(np.float32) @ weights / np.float32(255)
    if grey.shape == (camera.height, camera.width):
        return grey
    image = torch.from_numpy(grey)[None, None]
    reduced = torch.nn.functional.interpolate(image, size=(camera.height, camera.width), mode="area")
    reduced_grey: FloatImage = reduced[0, 0].numpy()
    return reduced_grey
