"""Share of the image that an object fills, by rays and by rendering."""

from __future__ import annotations

import numpy as np
from planned_scenes import planned_scene

from echoseg_sim.recordings.object_visibility import image_share
from echoseg_sim.rooms.render import render


def test_share_by_rays_is_the_rendered_share() -> None:
    planned = planned_scene(2)
    entity = 1 + planned.room.objects.index(planned.sounding)
    poses = planned.poses[1:40:3]
    by_rays = image_share(planned.room.geometry, entity, planned.sounding.box, planned.camera, poses)
    rendered = [(render(planned.room, planned.camera, pose).object_ids == entity).mean() for pose in poses]
    np.testing.assert_allclose(by_rays, rendered, atol=0.002, rtol=0.1)
    assert (np.array(rendered) == 0).any() and np.max(rendered) > 0.005
