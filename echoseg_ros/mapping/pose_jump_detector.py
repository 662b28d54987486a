"""Detection of pose jumps, so that frames of a lost localisation do not smear the map."""

from __future__ import annotations

from echoseg_ros.mapping.keyframes import pose_difference
from echoseg_ros.types import CameraFrame, Float64Array

# Fastest plausible motion, median scene depths per second (at 2 m depth: 4 m/s).
MAX_SPEED = 2.0
# Fastest plausible rotation, rad/s.
MAX_TURN_RAD_PER_S = 4.0
# Translation that is never a jump, as a share of the scene's depth: stamps are noisy.
MIN_STEP = 0.08
# Rotation that is never a jump, rad.
MIN_TURN_RAD = 0.2
# Time for which the poses must stay where they jumped to before they are trusted again, s.
TRUSTED_AFTER_S = 2.0


class PoseJumpDetector:
    """Compares the pose of each frame with the last trusted one. Independent of the map's unit."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all poses; the next one is trusted."""
        self._trusted: CameraFrame | None = None  # newest frame with a trusted pose
        self._jumped_to: CameraFrame | None = None  # first frame after a jump
        self._newest: CameraFrame | None = None  # newest frame that continues from _jumped_to

    def check(self, frame: CameraFrame, scene_depth: float | None) -> str | None:
        """Take the next frame; returns the problem if its pose jumped and it must not enter the map, else None.

        scene_depth: median depth of the scene, map units; None if unknown: then only rotations are checked.
        """
        if self._trusted is None or self._follows_trusted(self._trusted, frame, scene_depth):
            self._trust(frame)
            return None
        if self._jumped_to is None or self._newest is None or _is_jump(self._newest, frame, scene_depth):
            self._jumped_to = frame
        self._newest = frame
        if (frame.stamp_ns - self._jumped_to.stamp_ns) / 1e9 >= TRUSTED_AFTER_S:
            self._trust(frame)
            return None
        moved, turned_rad = pose_difference(self._trusted.T_map_camera, frame.T_map_camera)
        elapsed_s = (frame.stamp_ns - self._trusted.stamp_ns) / 1e9
        return (
            f"pose jump: {moved:.2f} map units and {turned_rad:.2f} rad in {elapsed_s:.2f} s; "
            f"kept out of the map until it comes back or stays for {TRUSTED_AFTER_S:g} s"
        )

    def _trust(self, frame: CameraFrame) -> None:
        self._trusted, self._jumped_to, self._newest = frame, None, None

    def _follows_trusted(self, trusted: CameraFrame, frame: CameraFrame, scene_depth: float | None) -> bool:
        """Whether the camera can have come here from the trusted pose.

        After a jump, the frame must also be nearer to the trusted pose than to the pose after the jump.
        """
        if _is_jump(trusted, frame, scene_depth):
            return False
        if self._jumped_to is None:
            return True
        from_trusted = _relative_difference(trusted.T_map_camera, frame.T_map_camera, scene_depth)
        from_jump = _relative_difference(self._jumped_to.T_map_camera, frame.T_map_camera, scene_depth)
        return sum(from_trusted) < sum(from_jump)


def _is_jump(before: CameraFrame, frame: CameraFrame, scene_depth: float | None) -> bool:
    elapsed_s = max((frame.stamp_ns - before.stamp_ns) / 1e9, 1e-3)
    moved, turned_rad = _relative_difference(before.T_map_camera, frame.T_map_camera, scene_depth)
    too_far = moved > max(MIN_STEP, MAX_SPEED * elapsed_s)
    return too_far or turned_rad > max(MIN_TURN_RAD, MAX_TURN_RAD_PER_S * elapsed_s)


def _relative_difference(
    T_map_a: Float64Array, T_map_b: Float64Array, scene_depth: float | None
) -> tuple[float, float]:
    """(distance as a share of the scene's depth, 0 if that is unknown; angle in rad) between two poses."""
    moved, turned_rad = pose_difference(T_map_a, T_map_b)
    return (moved / scene_depth if scene_depth else 0.0), turned_rad
