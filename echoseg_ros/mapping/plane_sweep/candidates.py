"""Keyframes of a camera without a depth sensor wait here until later ones give them depth by parallax."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from echoseg_ros import geometry
from echoseg_ros.mapping.keyframes import Keyframe, Reason, reduced_keyframe
from echoseg_ros.mapping.plane_sweep.depth_from_motion import DepthEstimate, DepthFromMotion, Parallax
from echoseg_ros.types import Camera, Float64Array, FloatImage

# Keyframes held: sources and neighbours of the ones that wait. A keyframe that is still without depth when it leaves
# is lost: the camera only turned for that long.
WINDOW = 12
# The first keyframes wait until there are so many: one or two sources alone may agree on a wrong depth.
MIN_HELD = 4
# Wider images are swept at this width: depth gains little from more, time is gained threefold.
SWEPT_WIDTH_PX = 160
# A later view of the same place than this part of the usual step apart, seen the same way, adds nothing.
SAME_STEP, SAME_TURN_RAD = 0.05, 0.02
# Quantiles of the sparse points' depths that span the surfaces, and how much they are widened: points are few.
POINT_QUANTILES, POINT_MARGIN = (0.02, 0.98), 1.5
MIN_POINTS = 20


@dataclass
class _Held:
    """keyframe: small enough to sweep; full: as it was given."""

    keyframe: Keyframe
    full: Keyframe
    depth_range: tuple[float, float] | None
    estimate: DepthEstimate | None = None
    given: bool = False


class KeyframeCandidates:
    """Keyframes in, keyframes with depth out: in order, two keyframes later, so that views from both sides count.

    Each is swept once a later keyframe gives parallax, and given out once a later one's depth can confirm it. Bounded: never
    holds more than WINDOW keyframes. One thread.
    """

    def __init__(
        self, depth: DepthFromMotion | None = None, draw: Callable[[Keyframe], FloatImage | None] | None = None
    ) -> None:
        """draw: the depth [H, W] that the map shows in a keyframe's view (0 = none), which narrows its search."""
        self._depth = depth if depth is not None else DepthFromMotion()
        self._draw = draw
        self._held: list[_Held] = []
        self._waiting = ""

    @property
    def waiting(self) -> str:
        """Why the newest keyframes are still without depth; empty when nothing is amiss."""
        return self._waiting

    def clear(self) -> None:
        """Forget all keyframes."""
        self._held.clear()
        self._waiting = ""

    def add(self, keyframe: Keyframe, points: Float64Array | None = None) -> list[tuple[Keyframe, FloatImage]]:
        """Take a keyframe; returns those whose depth is known now, each with its confidence [H, W].

        points: [N, 3] sparse points of the map, which bound the depths. `depth_m` of what is returned has 0 where
        no other view confirms a depth; it is in the units of the poses.
        """
        if self._held and self._same_view(keyframe):
            self._waiting = f"{Parallax.NONE.value}; waiting"
            return []
        small = reduced_keyframe(keyframe, SWEPT_WIDTH_PX)
        self._held.append(_Held(small, keyframe, _depth_range(keyframe, points)))
        if len(self._held) < MIN_HELD:
            return []
        self._sweep(self._held[:-1])
        ready = self._give(self._held[:-2])
        del self._held[: max(len(self._held) - WINDOW, 0)]
        return ready

    def flush(self) -> list[tuple[Keyframe, FloatImage]]:
        """At the end of a recording: sweep the newest keyframe too and give out all that have depth."""
        self._sweep(self._held)
        return self._give(self._held)

    def _sweep(self, held: Iterable[_Held]) -> None:
        """Estimate the depth of those that have none yet."""
        self._waiting = ""
        everyone = [entry.keyframe for entry in self._held]
        for entry in held:
            if entry.estimate is not None:
                continue
            prior = self._draw(entry.keyframe) if self._draw is not None else None
            estimate = self._depth.estimate(entry.keyframe, everyone, prior, entry.depth_range)
            if estimate.status is Parallax.OK:
                entry.estimate = estimate
            else:
                self._waiting = f"{estimate.status.value}; waiting"

    def _give(self, held: Iterable[_Held]) -> list[tuple[Keyframe, FloatImage]]:
        """Those that have depth and were not given out yet, cross-checked with all that have depth."""
        known = [(entry.keyframe, entry.estimate) for entry in self._held if entry.estimate is not None]
        ready = []
        for entry in held:
            if entry.given or entry.estimate is None:
                continue
            checked = self._depth.consistent(entry.keyframe, entry.estimate, known)
            entry.given = True
            depth, confidence = (_enlarged(image, entry.full.camera) for image in (checked.depth, checked.confidence))
            ready.append((replace(entry.full, depth_m=depth, swept=True), confidence))
        return ready

    def _same_view(self, keyframe: Keyframe) -> bool:
        """Whether the camera stands where it took the newest keyframe (a standing robot must not fill the window)."""
        poses = np.stack([entry.keyframe.T_map_camera for entry in self._held])
        steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1)
        step = float(np.linalg.norm(keyframe.T_map_camera[:3, 3] - poses[-1, :3, 3]))
        turn_rad = float(
            np.arccos(np.clip((np.trace(poses[-1, :3, :3].T @ keyframe.T_map_camera[:3, :3]) - 1) / 2, -1, 1))
        )
        usual = float(np.median(steps)) if len(steps) else 0.0
        return step <= SAME_STEP * usual and turn_rad < SAME_TURN_RAD


def warm_up() -> None:
    """Compile the kernels (seconds the first time on a machine): a noisy wall, seen from four places."""
    camera = Camera(64, 48, 60.0, 60.0, 32.0, 24.0)
    wall = np.random.default_rng(0).integers(0, 255, (48, 96, 3), dtype=np.uint8)
    swept = KeyframeCandidates()
    for i in range(4):
        rgb = np.ascontiguousarray(wall[:, 4 * i : 4 * i + 64])
        T_map_camera = geometry.transform(np.eye(3), np.array([0.1 * i, 0.0, 0.0]))
        swept.add(Keyframe(i, i, camera, rgb, None, T_map_camera, i, Reason.MOVED))
    swept.flush()


def _enlarged(image: FloatImage, camera: Camera) -> FloatImage:
    """The nearest value for each of the camera's pixels: depths are never averaged across an edge."""
    rows = ((np.arange(camera.height) + 0.5) * image.shape[0] / camera.height).astype(int)
    columns = ((np.arange(camera.width) + 0.5) * image.shape[1] / camera.width).astype(int)
    return np.ascontiguousarray(image[np.ix_(rows, columns)])


def _depth_range(keyframe: Keyframe, points: Float64Array | None) -> tuple[float, float] | None:
    """(nearest, farthest) of the points [N, 3] that the keyframe sees, widened; None where they are too few."""
    if points is None or len(points) < MIN_POINTS:
        return None
    camera = keyframe.camera
    pixels, depth = geometry.project(
        camera, geometry.apply(geometry.inverse(keyframe.T_map_camera), np.asarray(points))
    )
    seen = (depth > 0) & (pixels >= 0).all(axis=-1) & (pixels < (camera.width, camera.height)).all(axis=-1)
    if seen.sum() < MIN_POINTS:
        return None
    nearest, farthest = np.quantile(depth[seen], POINT_QUANTILES)
    return float(nearest) / POINT_MARGIN, float(farthest) * POINT_MARGIN
