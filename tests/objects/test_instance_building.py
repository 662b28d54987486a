"""Published values of instances: they follow the map and are bounded in size."""

from __future__ import annotations

import numpy as np
from instance_scene import A, C, InstanceScene, members

from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.types import MaskProposal
from echoseg_ros.units import NOMINAL_ERROR


def test_an_instance_follows_the_map_when_no_view_shows_it() -> None:
    """Regression: instances without new votes kept positions in the old scale after a change of the nominal metres."""
    scene = InstanceScene()
    scene.add_view(A)
    old, _ = scene.add_view(A, C), scene.add_view(C, judged=C)
    scene.means[list(A)] += 0.5
    moved, still = scene.instances()
    np.testing.assert_array_equal(moved.points_map, scene.means[list(A)])
    np.testing.assert_allclose(moved.position_m, old[0].position_m + 0.5, atol=1e-5)
    np.testing.assert_allclose(moved.box.center_m, old[0].box.center_m + 0.5, atol=1e-5)
    assert members(still) == set(C)


def test_an_instance_loses_pruned_gaussians_when_no_view_shows_it() -> None:
    scene = InstanceScene()
    scene.add_view(A)
    scene.add_view(A)
    scene.add_view(judged=C)
    scene.uids, scene.means, scene.rgb = scene.uids[15:], scene.means[15:], scene.rgb[15:]
    assert [members(i) for i in scene.instances()] == [set(A[15:])]


def test_instances_may_be_larger_in_nominal_metres() -> None:
    """Regression: a washing machine in a small bathroom, 1.4 m high in nominal metres, was dropped as furniture."""
    points = np.random.default_rng(0).uniform(0, 1.4, (200, 3)).astype(np.float32)
    uids, rgb = np.arange(200), np.zeros((200, 3), np.uint8)
    found = []
    for error in (1.0, NOMINAL_ERROR):
        instances = InstanceMap(size_error=error)
        for stamp_ns in range(3):
            weights = np.tile(np.array([[0, 4.0]], np.float32), (200, 1))
            instances.update(
                uids, weights, MaskProposal(stamp_ns, np.zeros((2, 2), np.int32), np.ones(1, np.float32), "test")
            )
        instances.refresh(uids, points, rgb)
        found.append(len(instances.instances))
    assert found == [0, 1]
