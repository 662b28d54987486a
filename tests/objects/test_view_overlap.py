"""Shares of a view's blending weights: independent of the range, and small for Gaussians behind a surface."""

from __future__ import annotations

import numpy as np
from instance_scene import COUNT, A, B, C, InstanceScene, members

from echoseg_ros.types import MaskProposal


def test_near_views_do_not_outvote_far_ones() -> None:
    scene = InstanceScene()
    scene.add_view([*A, *B], weight=500.0)
    scene.add_view(A, weight=3.0)
    scene.add_view(A, weight=3.0)
    assert [members(i) for i in scene.instances()] == [set(A)]


def test_gaussians_seen_through_an_object_do_not_belong_to_it() -> None:
    """Regression: Gaussians behind an object joined it, because only views through the object judged them."""
    scene = InstanceScene()
    for stamp_ns in range(8):
        weights = np.zeros((COUNT, 2), np.float32)
        weights[list(A), 1], weights[list(B), 1], weights[list(C), 0] = 4.0, 0.3, 4.0
        proposal = MaskProposal(stamp_ns, np.zeros((2, 2), np.int32), np.ones(1, np.float32), "test")
        scene.map.update(scene.uids, weights, proposal)
    assert [members(i) for i in scene.instances()] == [set(A)]
