"""Poses that jump: a localisation that slips must not be smeared into the map."""

from __future__ import annotations

from echoseg_ros.mapping.keyframes import pose_difference
from echoseg_ros.types import CameraFrame, Float64Array

# No robot crosses the scene's median depth in half a second (2 m: 4 m/s), nor turns faster than this.
MAX_SPEED, MAX_TURN_RAD_PER_S = 2.0, 4.0
# Smaller steps are noise of the stamps, not jumps.
MIN_STEP, MIN_TURN_RAD = 0.08, 0.2
# A pose that stays where it jumped to for this long is believed: the localisation has found itself again.
BELIEVED_AFTER_S = 2.0


class PoseJumps:
    """Compares each frame's pose with the last believed one. Free of scale."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """The next pose is believed whatever it is."""
        self._last: CameraFrame | None = None  # the last frame whose pose was believed
        self._landed: CameraFrame | None = None  # the first one after a jump
        self._newest: CameraFrame | None = None  # the last one that follows from it

    def consider(self, frame: CameraFrame, scene_depth: float | None) -> str | None:
        """Why the frame must stay out of the map; None if its pose follows from the ones before.

        scene_depth: how far away things are, in map units; before it is known no step is too far.
        """
        if self._last is None or self._follows(frame, scene_depth):
            self._believe(frame)
            return None
        if self._landed is None or self._newest is None or _jumped(self._newest, frame, scene_depth):
            self._landed = frame
        self._newest = frame
        if (frame.stamp_ns - self._landed.stamp_ns) / 1e9 >= BELIEVED_AFTER_S:
            self._believe(frame)
            return None
        moved, turned_rad = pose_difference(self._last.T_map_camera, frame.T_map_camera)
        elapsed_s = (frame.stamp_ns - self._last.stamp_ns) / 1e9
        return (
            f"pose jump: {moved:.2f} map units and {turned_rad:.2f} rad in {elapsed_s:.2f} s; "
            f"kept out of the map until it comes back or stays for {BELIEVED_AFTER_S:g} s"
        )

    def _believe(self, frame: CameraFrame) -> None:
        self._last, self._landed, self._newest = frame, None, None

    def _follows(self, frame: CameraFrame, scene_depth: float | None) -> bool:
        """Whether the robot can have come here; after a jump it must also be nearer to where it was than to where it landed."""
        assert self._last is not None
        if _jumped(self._last, frame, scene_depth):
            return False
        if self._landed is None:
            return True
        back, on = (_moved(there.T_map_camera, frame.T_map_camera, scene_depth) for there in (self._last, self._landed))
        return sum(back) < sum(on)


def _jumped(before: CameraFrame, frame: CameraFrame, scene_depth: float | None) -> bool:
    elapsed_s = max((frame.stamp_ns - before.stamp_ns) / 1e9, 1e-3)
    moved, turned_rad = _moved(before.T_map_camera, frame.T_map_camera, scene_depth)
    too_far = moved > max(MIN_STEP, MAX_SPEED * elapsed_s)
    return too_far or turned_rad > max(MIN_TURN_RAD, MAX_TURN_RAD_PER_S * elapsed_s)


def _moved(T_map_a: Float64Array, T_map_b: Float64Array, scene_depth: float | None) -> tuple[float, float]:
    """(distance as a share of the scene's depth, angle in radians)."""
    moved, turned_rad = pose_difference(T_map_a, T_map_b)
    return (moved / scene_depth if scene_depth else 0.0), turned_rad
