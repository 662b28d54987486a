"""Scores of proposals in a small view with a known result."""

from __future__ import annotations

import numpy as np
import pytest

from train_masks.evaluate import scores_of


def test_scores_of_known_proposals() -> None:
    """Object 1 is found with an IoU of 0.8, object 2 is cut by the border, object 3 is missed, one proposal is false."""
    ids = np.zeros((60, 80), np.int32)
    ids[10:20, 10:20] = 1
    ids[0:10, 40:50] = 2
    ids[30:40, 30:40] = 3
    labels = np.zeros((60, 80), np.int32)
    labels[10:18, 10:20] = 1
    labels[0:10, 40:50] = 2
    labels[45:55, 60:70] = 3
    scores = scores_of(labels, ids)
    assert scores.best_iou == pytest.approx([0.8, 0.0]) and scores.sizes_px == [100, 100]
    assert scores.proposals_per_object == [1]
    # The proposal on the object at the border is not counted.
    assert (scores.right, scores.false, scores.counted) == (1, 1, 2)
