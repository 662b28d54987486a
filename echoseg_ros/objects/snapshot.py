"""The segmented map as an immutable value that other threads can read."""

from __future__ import annotations

import numpy as np

from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.types import MapSnapshot

# Enough for a look-up of a sound's direction everywhere on the map; more would cost time and change nothing.
SURFACE_POINTS = 20_000

EMPTY_SNAPSHOT = MapSnapshot(
    0, (), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.int32), gaussians=0
)


def take_snapshot(stamp_ns: int, mapper: Mapper, instances: InstanceMap) -> MapSnapshot:
    """Copies of the instances and of a sample of the surface, at most SURFACE_POINTS points."""
    gaussians = mapper.gaussians
    uids, means = gaussians.uids.cpu().numpy(), gaussians.means.detach().cpu().numpy()
    rgb = (gaussians.rgb.detach().clamp(0, 1) * 255).round().byte().cpu().numpy()
    found = instances.instances(uids, means, rgb)
    points, points_rgb, points_uids = mapper.surface_sample(SURFACE_POINTS)
    return MapSnapshot(stamp_ns, found, points, points_rgb, instances.assignment(points_uids), gaussians=len(uids))
