"""The ceiling, by its reflections: cameras on robots seldom see it."""

from __future__ import annotations

import numpy as np

from echoseg_ros.sound.localisation.lobe_matching import DirectionMaps, LobeFit
from echoseg_ros.sound.localisation.reflectors import Reflector
from echoseg_ros.types import Float64Array

# Gain of a ceiling, at least.
CEILING_GAIN = 0.1
# Heights above the floor that are tried, m.
CEILING_HEIGHTS_M = np.arange(2.2, 4.1, 0.1)


def find_ceiling(
    observed: DirectionMaps, position_m: Float64Array, reflectors: tuple[Reflector, ...]
) -> Reflector | None:
    """The ceiling whose mirror image of a sound at a position [3] explains most; None below CEILING_GAIN.

    Without it, reflections from the ceiling would be taken for a second sound. Needs the floor among the reflectors.
    """
    floor_m = next((r.offset_m for r in reflectors if r.normal[2] > 0.9), None)
    if floor_m is None:
        return None
    highest_m = max(float(position_m[2]), float(observed.positions_m[:, 2].max()))
    ceilings = [_ceiling_at(floor_m + h) for h in CEILING_HEIGHTS_M if floor_m + h > highest_m]
    predicted = [
        observed.predicted(position_m, (*reflectors, *extra)) for extra in [(), *((ceiling,) for ceiling in ceilings)]
    ]
    left = np.array([LobeFit(observed, [maps]).log_residual((0,)) for maps in predicted])
    best = int(np.argmin(left))
    return ceilings[best - 1] if left[0] - left[best] > CEILING_GAIN else None


def _ceiling_at(height_m: float) -> Reflector:
    """A level plane without bounds."""
    far_m = np.full(3, np.inf)
    return Reflector(np.array([0.0, 0.0, -1.0]), -height_m, np.eye(3), -far_m, far_m)
