"""The segmented map as an immutable value that other threads can read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.votes import locate
from echoseg_ros.types import Instance, MapSnapshot
from echoseg_ros.units import scaled_instance

# Enough for a look-up of a sound's direction everywhere on the map; more would cost time and change nothing.
SURFACE_POINTS = 20_000

EMPTY_SNAPSHOT = MapSnapshot(
    0, (), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.int32), 0, None
)


def take_snapshot(
    stamp_ns: int, mapper: Mapper, instances: InstanceMap, metres_per_unit: float | None = 1.0
) -> MapSnapshot:
    """Copies of the instances and of a sample of the surface, at most SURFACE_POINTS points, in the map's units."""
    scale = metres_per_unit or 1.0
    gaussians = mapper.gaussians
    uids, means = gaussians.uids.cpu().numpy(), gaussians.means.detach().cpu().numpy()
    rgb = (gaussians.rgb.detach().clamp(0, 1) * 255).round().byte().cpu().numpy()
    found = instances.instances(uids, means * np.float32(scale), rgb)
    found = tuple(scaled_instance(instance, 1 / scale) for instance in found)
    points, points_rgb, points_uids = mapper.surface_sample(SURFACE_POINTS)
    return MapSnapshot(stamp_ns, found, points, points_rgb, ids_of(points_uids, found), len(uids), metres_per_unit)


def ids_of(uids: NDArray[np.int64], instances: tuple[Instance, ...]) -> NDArray[np.int32]:
    """[N] id of the instance that each Gaussian belongs to, -1 for none. uids: [N] strictly increasing."""
    ids = np.full(len(uids), -1, np.int32)
    for instance in instances:
        known, rows = locate(uids, instance.uids)
        ids[rows[known]] = instance.id
    return ids
