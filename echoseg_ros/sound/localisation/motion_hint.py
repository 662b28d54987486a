"""Motion hint: the motion of the robot that decides what the evidence leaves open about a source.

Two questions can stay open: the range, while the array has not moved across the line of sight; and which of several
places sounds, if they are alike for the microphones (the mirror image of a flat array, the cone of a pair). An array
cannot separate two places along the line between their directions. It must be turned until it can: about the vertical
if that line is level, tilted if the line is upright.
"""

from __future__ import annotations

import numpy as np

from echoseg_ros.types import Float64Array, MotionHint

# Probability from which on an alternative place is worth a motion.
MIN_ALTERNATIVE = 0.15
# The range is open if its standard deviation exceeds both this share of the range and this length, m.
OPEN_SHARE = 0.25
OPEN_M = 0.3
# Parallax that determines a range well (arXiv 2007.11079), rad.
PARALLAX_RAD = np.radians(30)
# Longest motion that is suggested, m.
MAX_MOVE_M = 1.5
# Angle of a suggested turn and of a suggested tilt, rad.
TURN_RAD = np.radians(60)
TILT_RAD = np.radians(25)
_UP = np.array([0.0, 0.0, 1.0])


def motion_hint(
    position_m: Float64Array,
    covariance_m2: Float64Array,
    alternatives: tuple[tuple[float, Float64Array], ...],
    array_position_m: Float64Array,
) -> MotionHint | None:
    """The motion that decides the open question, None without one.

    position_m [3], covariance_m2 [3, 3]: of the likeliest place; alternatives: (probability, place [3]) of all places, the
    likeliest first; array_position_m: [3]. All in the map, metres.
    """
    others = [place for probability, place in alternatives[1:] if probability >= MIN_ALTERNATIVE]
    if others:
        return _turn_or_tilt(position_m, others[0], array_position_m)
    sight = position_m - array_position_m
    range_m = max(float(np.linalg.norm(sight)), 1e-6)
    along = sight / range_m
    sigma_m = max(float(along @ covariance_m2 @ along), 0.0) ** 0.5
    if sigma_m <= max(OPEN_M, OPEN_SHARE * range_m):
        return None
    return _move_sideways(along, range_m, array_position_m)


def _turn_or_tilt(place_m: Float64Array, other_m: Float64Array, array_position_m: Float64Array) -> MotionHint:
    """Turn or tilt by which the directions of the two places stop being mirror images."""
    first, second = (_unit(place - array_position_m) for place in (place_m, other_m))
    across = _unit(first - second)
    if abs(across[2]) < np.cos(np.pi / 4):
        text = f"two places sound alike: turn by {np.degrees(TURN_RAD):.0f} degrees to tell them apart"
        return MotionHint("turn", array_position_m, TURN_RAD * _UP, text)
    level = first + second - (first + second)[2] * _UP
    axis = np.cross(_UP, _unit(level if np.linalg.norm(level) > 1e-6 else np.array([1.0, 0.0, 0.0])))
    text = f"above or below sounds alike: tilt by {np.degrees(TILT_RAD):.0f} degrees to tell them apart"
    return MotionHint("tilt", array_position_m, TILT_RAD * axis, text)


def _move_sideways(along: Float64Array, range_m: float, array_position_m: Float64Array) -> MotionHint:
    """Move horizontally, across the line of sight."""
    across = np.cross(along, _UP)
    across = _unit(across) if np.linalg.norm(across) > 0.1 else np.array([1.0, 0.0, 0.0])
    distance_m = min(range_m * float(np.tan(PARALLAX_RAD)), MAX_MOVE_M)
    text = f"the distance is open: move {distance_m:.1f} m sideways"
    return MotionHint("move", array_position_m, distance_m * across, text)


def _unit(vector: Float64Array) -> Float64Array:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
