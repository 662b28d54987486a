"""Snapshots of the segmented map: immutable values that other threads can read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.votes import find_rows
from echoseg_ros.types import Instance, MapSnapshot
from echoseg_ros.units import scaled_instance

# Most surface points of a snapshot: enough to look up the direction of a sound everywhere on the map.
SURFACE_POINTS = 20_000

EMPTY_SNAPSHOT = MapSnapshot(
    0, (), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.int32), 0, None
)


def take_snapshot(
    stamp_ns: int, mapper: Mapper, instances: InstanceMap, metres_per_unit: float | None = 1.0
) -> MapSnapshot:
    """Refresh the instances and copy them with a sample of at most SURFACE_POINTS surface points, in the map's units."""
    scale = metres_per_unit or 1.0
    gaussians = mapper.gaussians
    uids, means = gaussians.uids.cpu().numpy(), gaussians.means.detach().cpu().numpy()
    rgb = (gaussians.rgb.detach().clamp(0, 1) * 255).round().byte().cpu().numpy()
    instances.refresh(uids, means * np.float32(scale), rgb)
    found = tuple(scaled_instance(instance, 1 / scale) for instance in instances.instances)
    points, points_rgb, points_uids = mapper.surface_sample(SURFACE_POINTS)
    return MapSnapshot(
        stamp_ns, found, points, points_rgb, instance_ids(points_uids, found), len(uids), metres_per_unit
    )


def instance_ids(uids: NDArray[np.int64], instances: tuple[Instance, ...]) -> NDArray[np.int32]:
    """[N] id of the instance that each Gaussian belongs to, -1 for none. uids: [N] strictly increasing."""
    ids = np.full(len(uids), -1, np.int32)
    for instance in instances:
        known, rows = find_rows(uids, instance.uids)
        ids[rows[known]] = instance.id
    return ids
