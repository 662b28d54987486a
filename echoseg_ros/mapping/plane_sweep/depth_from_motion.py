"""Depth of a keyframe from the keyframes around it, for a camera without a depth sensor.

A plane sweep over inverse depth (Collins 1996) with correlation as the likeness, smoothed semi-globally (Hirschmueller
2008), and a check that other views' depths say the same. Free of scale: depths come in the units of the poses, and every
threshold is relative to depths, baselines or pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import torch

from echoseg_ros.geometry import inverse
from echoseg_ros.mapping.keyframes import Keyframe
from echoseg_ros.mapping.plane_sweep import agreement, semi_global, sweep_kernels
from echoseg_ros.mapping.plane_sweep.pose_adjustment import adjusted_poses, warps
from echoseg_ros.mapping.plane_sweep.source_views import baseline, best_sources, nearby_sources, relative_pose
from echoseg_ros.types import Camera, Float64Array, FloatImage

# Views that a keyframe is compared with.
SOURCES = 6
# Neighbouring planes lie this far apart in the image of a source at the median baseline.
STEP_PX = 1.5
PLANES = (24, 96)
# The first, rough sweep at half resolution, where no depth is known: from infinity to this many baselines.
NEAREST_BASELINES = 1.0
ROUGH_PLANES = (24, 128)
# Rough depths likelier than this count; with fewer than this share of the pixels there is nothing to go by.
ROUGH_LIKENESS = 0.7
ROUGH_SHARE = 0.02
# The range of the fine sweep: quantiles of what is known, widened by these factors of inverse depth.
QUANTILES = (0.01, 0.99)
WIDEN_FAR, WIDEN_NEAR = 0.8, 1.25
# A surface that moves less than this against infinity (pixels, rough resolution) has no parallax.
MIN_SHIFT_PX = 1.0
# Penalties of the smoothing, in units of 1 - ZNCC, and the step of brightness that halves the one for a jump.
SMALL_STEP, LARGE_STEP, CONTRAST = 0.08, 0.5, 0.05
# Depths of other views within this of each other agree, and this many others must. Asking for two leaves much
# of what only two views show unmapped, and what remains is not more right.
AGREEMENT, MIN_VIEWS = 0.08, 1
# Less confident depths are neither given out nor asked.
MIN_CONFIDENCE = 0.02
# A lead over any other plane of this (1 - ZNCC per path) is clear.
CLEAR_LEAD = 0.12


class Parallax(Enum):
    """Whether the other views show the surfaces from somewhere else."""

    OK = "depth from parallax"
    NONE = "no parallax: the camera has not moved enough for depth"


@dataclass(frozen=True)
class DepthEstimate:
    """What the views say. depth: [H, W] float32 along the optical axis in map units, 0 = none; confidence: [H, W] 0..1."""

    depth: FloatImage
    confidence: FloatImage
    status: Parallax

    @staticmethod
    def none(camera: Camera) -> DepthEstimate:
        """No depth for want of parallax."""
        empty = np.zeros((camera.height, camera.width), np.float32)
        return DepthEstimate(empty, empty, Parallax.NONE)


class DepthFromMotion:
    """Depth images of keyframes; keeps nothing between calls. Deterministic, whatever the number of threads."""

    def __init__(self, sources: int = SOURCES) -> None:
        self._sources = sources

    def estimate(
        self,
        keyframe: Keyframe,
        others: Sequence[Keyframe],
        prior: FloatImage | None = None,
        depth_range: tuple[float, float] | None = None,
    ) -> DepthEstimate:
        """Depth of one keyframe from others, taken before or after it.

        prior: [H, W] depth that is believed already (a drawn map), 0 = none; depth_range: (nearest, farthest) surface,
        map units. Both only narrow the search.
        """
        others = [other for other in others if other.id != keyframe.id and other.camera == keyframe.camera]
        unit = _unit(keyframe, others)
        if unit <= 0:
            return DepthEstimate.none(keyframe.camera)
        # In units of the usual baseline the same figures come out of the same images, whatever the poses' unit.
        others = [_in_units(other, keyframe.T_map_camera, unit) for other in others]
        found = self._in_baselines(
            _in_units(keyframe, keyframe.T_map_camera, unit), others,
            None if prior is None else prior.astype(float) / unit,
            None if depth_range is None else _inverse_range(depth_range, unit),
        )  # fmt: skip
        return replace(found, depth=(found.depth * unit).astype(np.float32))

    def _in_baselines(
        self,
        keyframe: Keyframe,
        others: Sequence[Keyframe],
        prior: Float64Array | None,
        span: tuple[float, float] | None,
    ) -> DepthEstimate:
        """What estimate() says, all lengths in baselines; span: (least, largest) inverse depth if known."""
        known = _known(keyframe.camera, prior)
        if known is None:
            known = self._rough(keyframe, others, span)
        if known is None:
            return DepthEstimate.none(keyframe.camera)
        points, found_span = known
        chosen = best_sources(keyframe, others, points, self._sources)
        if not chosen:
            return DepthEstimate.none(keyframe.camera)
        return _swept(keyframe, chosen, found_span if span is None else span)

    def _rough(
        self, keyframe: Keyframe, others: Sequence[Keyframe], span: tuple[float, float] | None
    ) -> tuple[Float64Array, tuple[float, float]] | None:
        """(points [N, 3] in the camera, (least, largest) inverse depth) from a sweep at half resolution; None without parallax."""
        sources = nearby_sources(keyframe, others, self._sources)
        if not sources:
            return None
        camera = _half(keyframe.camera)
        usual = float(np.median([baseline(keyframe, other) for other in sources]))
        nearest = 1.0 / (NEAREST_BASELINES * usual) if span is None else span[1]
        # From infinity, whatever the range: what matches there does not move.
        planes = _planes(camera, usual, 0.0, nearest, ROUGH_PLANES)
        grey, images = _grey(keyframe, camera), np.stack([_grey(other, camera) for other in sources])
        poses = [relative_pose(keyframe, other) for other in sources]
        plane, likeness, _ = _volume(camera, grey, images, poses, planes)
        likely = likeness > ROUGH_LIKENESS
        shift_px = plane * (camera.fx * usual * (planes[1] - planes[0]))
        if likely.mean() < ROUGH_SHARE or np.median(shift_px[likely]) < MIN_SHIFT_PX:
            return None
        found = likely & (shift_px >= MIN_SHIFT_PX) & (plane < len(planes) - 1)
        inverse_depth = np.where(found, np.interp(plane, np.arange(len(planes)), planes), 0)
        return _summary(camera, inverse_depth)

    def consistent(
        self, keyframe: Keyframe, estimate: DepthEstimate, neighbours: Sequence[tuple[Keyframe, DepthEstimate]]
    ) -> DepthEstimate:
        """What at least MIN_VIEWS other views see alike, averaged over them; all else is 0."""
        known = [(other, theirs) for other, theirs in neighbours if other.id != keyframe.id and theirs.depth.any()]
        if len(known) < MIN_VIEWS:
            empty = np.zeros_like(estimate.depth)
            return DepthEstimate(empty, empty, estimate.status)
        camera = keyframe.camera
        poses = [relative_pose(keyframe, other) for other, _ in known]
        backs = np.stack([_depth_row(camera, inverse(pose)) for pose in poses])
        mean, votes, against = agreement.agree(
            _trusted_inverse(estimate), estimate.confidence,
            np.stack([_trusted_inverse(theirs) for _, theirs in known]), np.stack([e.confidence for _, e in known]),
            warps(camera, poses), backs.astype(np.float32), np.float32(AGREEMENT),
        )  # fmt: skip
        confirmed = (votes >= MIN_VIEWS) & (votes > against)
        depth = np.where(confirmed, 1 / np.where(confirmed, mean, 1), 0).astype(np.float32)
        share = votes / np.maximum(votes + against + 1, 1)
        confidence = np.where(confirmed, np.sqrt(estimate.confidence * share), 0).astype(np.float32)
        return DepthEstimate(depth, confidence, estimate.status)


def _swept(keyframe: Keyframe, sources: Sequence[Keyframe], span: tuple[float, float]) -> DepthEstimate:
    """The fine sweep over a span of inverse depth, after one at half resolution has corrected the sources' poses."""
    camera = keyframe.camera
    poses = [relative_pose(keyframe, other) for other in sources]
    usual = float(np.median([baseline(keyframe, other) for other in sources]))
    poses = _adjusted(keyframe, sources, poses, _half(camera), usual, span)
    planes = _planes(camera, usual, *span, PLANES)
    grey, images = _grey(keyframe, camera), np.stack([_grey(other, camera) for other in sources])
    plane, likeness, lead = _volume(camera, grey, images, poses, planes)
    inside = (plane > 0) & (plane < len(planes) - 1)
    inverse_depth = np.interp(plane, np.arange(len(planes)), planes)
    depth = np.where(inside & (inverse_depth > 0), 1 / np.maximum(inverse_depth, 1e-30), 0)
    confidence = np.clip(likeness, 0, 1) * np.clip(lead / CLEAR_LEAD, 0, 1)
    return DepthEstimate(depth.astype(np.float32), np.where(depth > 0, confidence, 0).astype(np.float32), Parallax.OK)


def _adjusted(
    keyframe: Keyframe, sources: Sequence[Keyframe], poses: Sequence[Float64Array], camera: Camera, usual: float,
    span: tuple[float, float],
) -> list[Float64Array]:  # fmt: skip
    """The sources' poses, turned so that the images fit where a sweep at this camera's resolution is sure of the depth."""
    planes = _planes(camera, usual, *span, PLANES)
    grey, images = _grey(keyframe, camera), np.stack([_grey(other, camera) for other in sources])
    plane, likeness, _ = _volume(camera, grey, images, poses, planes)
    found = (plane > 0) & (plane < len(planes) - 1) & (likeness > ROUGH_LIKENESS)
    inverse_depth = np.where(found, np.interp(plane, np.arange(len(planes)), planes), 0).astype(np.float32)
    return adjusted_poses(camera, grey, images, poses, inverse_depth, planes[1] - planes[0])


def _volume(
    camera: Camera, grey: FloatImage, images: FloatImage, poses: Sequence[Float64Array], planes: Float64Array
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """(plane, likeness, lead [H, W]) of a sweep; grey: [H, W], images: [S, H, W], poses: T_source_keyframe of each."""
    cost = sweep_kernels.sweep(grey, images, warps(camera, poses), planes.astype(np.float32))
    total = semi_global.aggregate(cost, grey, SMALL_STEP, LARGE_STEP, CONTRAST)
    return semi_global.pick(cost, total)


def _planes(camera: Camera, usual_baseline: float, low: float, high: float, count: tuple[int, int]) -> Float64Array:
    """Inverse depths [P], evenly from low to high."""
    shift_px = camera.fx * usual_baseline * (high - low)
    return np.linspace(low, high, int(np.clip(np.ceil(shift_px / STEP_PX) + 1, *count)))


def _known(camera: Camera, prior: Float64Array | None) -> tuple[Float64Array, tuple[float, float]] | None:
    """What a depth image says of points and span; None where it covers less than half."""
    if prior is None or (prior > 0).mean() < 0.5:
        return None
    return _summary(camera, np.where(prior > 0, 1 / np.where(prior > 0, prior, 1), 0))


def _summary(camera: Camera, inverse_depth: Float64Array) -> tuple[Float64Array, tuple[float, float]] | None:
    """(points [N, 3] in the camera, (least, largest) inverse depth, widened) of an image [H, W], 0 = none."""
    rows, columns = np.nonzero(inverse_depth)
    if len(rows) == 0:
        return None
    every = max(len(rows) // 500, 1)
    rows, columns = rows[::every], columns[::every]
    values = inverse_depth[rows, columns].astype(float)
    rays = np.stack(
        [(columns + 0.5 - camera.cx) / camera.fx, (rows + 0.5 - camera.cy) / camera.fy, np.ones(len(rows))], axis=-1
    )
    far, near = np.quantile(values, QUANTILES)
    return rays / values[:, None], (float(far) * WIDEN_FAR, float(near) * WIDEN_NEAR)


def _inverse_range(depth_range: tuple[float, float], unit: float) -> tuple[float, float]:
    nearest, farthest = depth_range
    if not 0 < nearest < farthest:
        raise ValueError(f"depth_range {depth_range}: want 0 < nearest < farthest")
    return unit / farthest, unit / nearest


def _unit(keyframe: Keyframe, others: Sequence[Keyframe]) -> float:
    """The usual baseline, map units; 0 where no camera stands elsewhere."""
    lengths = [length for length in (baseline(keyframe, other) for other in others) if length > 0]
    return float(np.median(lengths)) if lengths else 0.0


def _in_units(keyframe: Keyframe, T_map_origin: Float64Array, unit: float) -> Keyframe:
    """The keyframe with its pose relative to an origin, in lengths of `unit`."""
    pose = inverse(T_map_origin) @ keyframe.T_map_camera
    pose[:3, 3] /= unit
    return replace(keyframe, T_map_camera=pose)


def _depth_row(camera: Camera, T_keyframe_other: Float64Array) -> Float64Array:
    """[4]: depth in the keyframe of pixel (x, y) of the other at depth d is d (b0 x + b1 y + b2) + b3."""
    row = T_keyframe_other[2, :3] @ np.linalg.inv(camera.matrix)
    return np.append(row, T_keyframe_other[2, 3])


def _trusted_inverse(estimate: DepthEstimate) -> FloatImage:
    trusted = (estimate.depth > 0) & (estimate.confidence >= MIN_CONFIDENCE)
    return np.where(trusted, 1 / np.where(trusted, estimate.depth, 1), 0).astype(np.float32)


def _half(camera: Camera) -> Camera:
    return camera.resized(camera.width // 2, camera.height // 2)


def _grey(keyframe: Keyframe, camera: Camera) -> FloatImage:
    """[H, W] brightness 0..1 at a camera's resolution (Rec. 601 weights), averaged over areas."""
    grey = keyframe.rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
    if grey.shape == (camera.height, camera.width):
        return grey
    image = torch.from_numpy(grey)[None, None]
    return torch.nn.functional.interpolate(image, size=(camera.height, camera.width), mode="area")[0, 0].numpy()
