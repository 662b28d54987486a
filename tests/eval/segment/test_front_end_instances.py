"""Proposals made of the masks of the simulated 2D stage."""

from __future__ import annotations

import numpy as np
from drawn_scene import SCENE, SIZE, VIEWS

from echoseg_ros.eval.segment.front_end_instances import connected_proposals


def test_connected_pieces_are_the_proposals() -> None:
    union = np.isin(SCENE.object_ids(VIEWS[1]), [1, 2])
    union[0, 0] = True  # a speck
    proposal = connected_proposals(union, 7, 0.5)
    assert proposal.scores.tolist() == [0.5, 0.5]
    assert sorted(np.bincount(proposal.labels.ravel()).tolist()) == [900, 900, SIZE * SIZE - 1800]
    assert connected_proposals(np.zeros_like(union), 0, 1.0).labels.max() == 0
