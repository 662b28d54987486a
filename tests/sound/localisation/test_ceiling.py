"""The ceiling, found by its reflections."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reflecting_room import CEILING, FLOOR, INSTANCES_M, WALLS, direction_maps_of, mixed_evidence
from waves import ROOM_M

from echoseg_ros.sound.localisation.ceiling import find_ceiling


def test_the_ceiling_is_found_by_its_reflections() -> None:
    """The maps are the lobes of a sound, of its reflections in walls and floor, and of that in the ceiling."""
    position_m = INSTANCES_M[2]
    observed = direction_maps_of(mixed_evidence([position_m], [1.0]))
    below_ceiling = replace(observed, maps=observed.predicted(position_m, (*WALLS, FLOOR, CEILING)))
    ceiling = find_ceiling(below_ceiling, position_m, (*WALLS, FLOOR))
    assert ceiling is not None
    assert -ceiling.offset_m == pytest.approx(ROOM_M[2], abs=0.05)
    open_air = replace(observed, maps=observed.predicted(position_m, (*WALLS, FLOOR)))
    assert find_ceiling(open_air, position_m, (*WALLS, FLOOR)) is None
    assert find_ceiling(below_ceiling, position_m, WALLS) is None  # without a floor the height is unknown
