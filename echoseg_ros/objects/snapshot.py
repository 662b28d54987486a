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
    points, rgb, uids = mapper.surface_sample(SURFACE_POINTS)
    assignment = instances.assignment(uids)
    return MapSnapshot(
        stamp_ns, instances.instances(mapper.gaussians), points, rgb, assignment, gaussians=len(mapper.gaussians.uids)
    )
