"""Keyframe candidates: keyframes of a camera without a depth sensor that wait until later views give them depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from echoseg_ros import geometry
from echoseg_ros.mapping.keyframes import Keyframe, KeyframeReason, pose_difference, reduced_keyframe
from echoseg_ros.mapping.plane_sweep.depth_from_motion import DepthEstimate, DepthFromMotion, ParallaxStatus
from echoseg_ros.types import Camera, Float64Array, FloatImage

# Most keyframes held. A candidate that still has no depth when it leaves is lost: the camera has only rotated since.
MAX_CANDIDATES = 12
# Keyframes held before the first sweep: one or two neighbour views may agree on a wrong depth.
MIN_CANDIDATES = 4
# Largest image width of the sweep, pixels. A wider one gains little depth accuracy and takes three times as long.
SWEPT_WIDTH_PX = 160
# Translation below which a keyframe repeats the newest one, as a share of the median step between candidates.
SAME_STEP = 0.05
# Rotation below which a keyframe repeats the newest one, rad.
SAME_TURN_RAD = 0.02
# Quantiles of the seed points' depths that bound the surfaces.
POINT_QUANTILES = (0.02, 0.98)
# Factor by which these bounds are widened, because the points are few.
POINT_MARGIN = 1.5
# Least number of seed points in view that bound the depths.
MIN_POINTS = 20


@dataclass
class _Candidate:
    """A keyframe held.

    small: reduced for the sweep; full: as it was added; depth_range: (nearest, farthest) surface by seed points, map
    units; estimate: its depth before the cross-check; released: whether it was returned already.
    """

    small: Keyframe
    full: Keyframe
    depth_range: tuple[float, float] | None
    estimate: DepthEstimate | None = None
    released: bool = False


class KeyframeCandidates:
    """Takes keyframes without depth and returns them with depth, in order, two keyframes later.

    A candidate is swept as soon as later keyframes give parallax, and returned when the depth of a later one can confirm
    its own. It never holds more than MAX_CANDIDATES keyframes. For one thread.
    """

    def __init__(
        self,
        depth: DepthFromMotion | None = None,
        render_depth: Callable[[Keyframe], FloatImage | None] | None = None,
    ) -> None:
        """render_depth: gives the map's depth [H, W] in a keyframe's view, 0 = none, which narrows the search."""
        self._depth = depth if depth is not None else DepthFromMotion()
        self._render_depth = render_depth
        self._candidates: list[_Candidate] = []
        self._waiting_reason = ""

    @property
    def waiting_reason(self) -> str:
        """Why the newest keyframes still have no depth; empty if nothing is wrong."""
        return self._waiting_reason

    def clear(self) -> None:
        """Remove all keyframes."""
        self._candidates.clear()
        self._waiting_reason = ""

    def add(self, keyframe: Keyframe, points: Float64Array | None = None) -> list[tuple[Keyframe, FloatImage]]:
        """Add a keyframe; returns the candidates that have depth now, each with its confidence [H, W] in 0..1.

        points: [N, 3] surface points in the map frame, which bound the depths. `depth_m` of a returned keyframe is in map
        units, 0 where no other view confirms a depth.
        """
        if self._candidates and self._repeats_newest(keyframe):
            self._waiting_reason = f"{ParallaxStatus.NONE.value}; waiting"
            return []
        small = reduced_keyframe(keyframe, SWEPT_WIDTH_PX)
        self._candidates.append(_Candidate(small, keyframe, _depth_range(keyframe, points)))
        if len(self._candidates) < MIN_CANDIDATES:
            return []
        self._sweep(self._candidates[:-1])
        ready = self._release(self._candidates[:-2])
        del self._candidates[: max(len(self._candidates) - MAX_CANDIDATES, 0)]
        return ready

    def flush(self) -> list[tuple[Keyframe, FloatImage]]:
        """At the end of a recording: sweep the newest keyframe too and return all candidates with depth."""
        self._sweep(self._candidates)
        return self._release(self._candidates)

    def _sweep(self, candidates: Iterable[_Candidate]) -> None:
        """Estimate the depth of the candidates that have none yet; sets the reason if one stays without."""
        self._waiting_reason = ""
        all_views = [candidate.small for candidate in self._candidates]
        for candidate in candidates:
            if candidate.estimate is not None:
                continue
            prior = self._render_depth(candidate.small) if self._render_depth is not None else None
            estimate = self._depth.estimate(candidate.small, all_views, prior, candidate.depth_range)
            if estimate.status is ParallaxStatus.OK:
                candidate.estimate = estimate
            else:
                self._waiting_reason = f"{estimate.status.value}; waiting"

    def _release(self, candidates: Iterable[_Candidate]) -> list[tuple[Keyframe, FloatImage]]:
        """Return the candidates with depth that were not returned yet, cross-checked with all that have depth."""
        estimates = [(other.small, other.estimate) for other in self._candidates if other.estimate is not None]
        ready = []
        for candidate in candidates:
            if candidate.released or candidate.estimate is None:
                continue
            checked = self._depth.cross_checked(candidate.small, candidate.estimate, estimates)
            candidate.released = True
            camera = candidate.full.camera
            depth, confidence = (_enlarged(image, camera) for image in (checked.depth, checked.confidence))
            ready.append((replace(candidate.full, depth_m=depth, has_swept_depth=True), confidence))
        return ready

    def _repeats_newest(self, keyframe: Keyframe) -> bool:
        """Whether the pose equals the newest one's, so that a standing robot does not fill the memory."""
        poses = np.stack([candidate.small.T_map_camera for candidate in self._candidates])
        steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1)
        step, turn_rad = pose_difference(poses[-1], keyframe.T_map_camera)
        median_step = float(np.median(steps)) if len(steps) else 0.0
        return step <= SAME_STEP * median_step and turn_rad < SAME_TURN_RAD


def warm_up() -> None:
    """Compile the kernels with four views of a noisy wall; takes seconds the first time on a machine."""
    camera = Camera(64, 48, 60.0, 60.0, 32.0, 24.0)
    wall = np.random.default_rng(0).integers(0, 255, (48, 96, 3), dtype=np.uint8)
    candidates = KeyframeCandidates()
    for i in range(4):
        rgb = np.ascontiguousarray(wall[:, 4 * i : 4 * i + 64])
        T_map_camera = geometry.transform(np.eye(3), np.array([0.1 * i, 0.0, 0.0]))
        candidates.add(Keyframe(i, i, camera, rgb, None, T_map_camera, i, KeyframeReason.MOVED))
    candidates.flush()


def _enlarged(image: FloatImage, camera: Camera) -> FloatImage:
    """The image at the camera's resolution, by nearest pixels: depths are never averaged across an edge."""
    rows = ((np.arange(camera.height) + 0.5) * image.shape[0] / camera.height).astype(int)
    columns = ((np.arange(camera.width) + 0.5) * image.shape[1] / camera.width).astype(int)
    return np.ascontiguousarray(image[np.ix_(rows, columns)])


def _depth_range(keyframe: Keyframe, points: Float64Array | None) -> tuple[float, float] | None:
    """(nearest, farthest) depth of the points [N, 3] in the keyframe's view, widened; None if there are too few."""
    if points is None or len(points) < MIN_POINTS:
        return None
    camera = keyframe.camera
    pixels, depth = geometry.project(
        camera, geometry.apply(geometry.inverse(keyframe.T_map_camera), np.asarray(points))
    )
    visible = (depth > 0) & (pixels >= 0).all(axis=-1) & (pixels < (camera.width, camera.height)).all(axis=-1)
    if visible.sum() < MIN_POINTS:
        return None
    nearest, farthest = np.quantile(depth[visible], POINT_QUANTILES)
    return float(nearest) / POINT_MARGIN, float(farthest) * POINT_MARGIN
