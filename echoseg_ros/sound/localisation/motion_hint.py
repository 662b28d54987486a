"""What the robot could do to find out where a sound is, when what it heard so far leaves it open.

Two things stay open: the distance, while the array has not moved across the line of sight; and which of several places
it is that reach the microphones alike (the mirror image of a flat array, the cone of a pair). An array cannot tell two
places apart along the line between their directions, so it has to be turned until it can: about the vertical if that
line is level, tilted if it is upright.
"""

from __future__ import annotations

import numpy as np

from echoseg_ros.types import Float64Array, MotionHint

# Another place is worth a motion from this share of the probability on.
MIN_ALTERNATIVE = 0.15
# The distance is open when its standard deviation is more than this share of it, and more than this.
OPEN_SHARE, OPEN_M = 0.25, 0.3
# Beyond 30 degrees of parallax a distance is known well (arXiv 2007.11079); nobody drives farther for it than this.
PARALLAX_RAD, MAX_MOVE_M = np.radians(30), 1.5
TURN_RAD, TILT_RAD = np.radians(60), np.radians(25)
_UP = np.array([0.0, 0.0, 1.0])


def motion_hint(
    position_m: Float64Array,
    covariance_m2: Float64Array,
    alternatives: tuple[tuple[float, Float64Array], ...],
    from_m: Float64Array,
) -> MotionHint | None:
    """The motion that would resolve what is open, None where nothing is.

    position_m [3], covariance_m2 [3, 3]: of the likeliest place; alternatives: (probability, place [3]) of all, the
    likeliest first; from_m: [3] where the array is. All in the map, metres.
    """
    others = [place for probability, place in alternatives[1:] if probability >= MIN_ALTERNATIVE]
    if others:
        return _told_apart(position_m, others[0], from_m)
    sight = position_m - from_m
    range_m = max(float(np.linalg.norm(sight)), 1e-6)
    along = sight / range_m
    sigma_m = max(float(along @ covariance_m2 @ along), 0.0) ** 0.5
    if sigma_m <= max(OPEN_M, OPEN_SHARE * range_m):
        return None
    return _sideways(along, range_m, from_m)


def _told_apart(place_m: Float64Array, other_m: Float64Array, from_m: Float64Array) -> MotionHint:
    """Turn or tilt such that the two places' directions no longer mirror each other."""
    first, second = (_unit(place - from_m) for place in (place_m, other_m))
    across = _unit(first - second)
    if abs(across[2]) < np.cos(np.pi / 4):
        text = f"two places sound alike: turn by {np.degrees(TURN_RAD):.0f} degrees to tell them apart"
        return MotionHint("turn", from_m, TURN_RAD * _UP, text)
    level = first + second - (first + second)[2] * _UP
    axis = np.cross(_UP, _unit(level if np.linalg.norm(level) > 1e-6 else np.array([1.0, 0.0, 0.0])))
    text = f"above or below sounds alike: tilt by {np.degrees(TILT_RAD):.0f} degrees to tell them apart"
    return MotionHint("tilt", from_m, TILT_RAD * axis, text)


def _sideways(along: Float64Array, range_m: float, from_m: Float64Array) -> MotionHint:
    """Move level and across the line of sight."""
    across = np.cross(along, _UP)
    across = _unit(across) if np.linalg.norm(across) > 0.1 else np.array([1.0, 0.0, 0.0])
    distance_m = min(range_m * float(np.tan(PARALLAX_RAD)), MAX_MOVE_M)
    text = f"the distance is open: move {distance_m:.1f} m sideways"
    return MotionHint("move", from_m, distance_m * across, text)


def _unit(vector: Float64Array) -> Float64Array:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
