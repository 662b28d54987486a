"""Planned viewpoints: the sounding object is out of view about as often as requested."""

from __future__ import annotations

import numpy as np
import pytest
from planned_scenes import planned_scene

from echoseg_sim.rooms.render import render


@pytest.mark.parametrize("number", [2, 3])
def test_the_object_is_out_of_view_about_as_often_as_requested(number: int) -> None:
    planned = planned_scene(number)
    views = [render(planned.room, planned.camera, pose).object_ids for pose in planned.poses[::8]]
    entity = 1 + planned.room.objects.index(planned.sounding)
    empty = [not (ids == entity).any() for ids in views]
    assert abs(np.mean(empty) - planned.spec.empty) < 0.1
