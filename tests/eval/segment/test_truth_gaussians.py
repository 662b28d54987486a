"""True objects of Gaussians by the majority of their weights."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.eval.segment.truth_gaussians import UNSEEN, chosen_object, gaussian_iou, majority_objects


def test_truth_of_gaussians_is_the_majority_of_their_weight() -> None:
    weights = np.array([[0.0, 3, 1], [2, 1, 1], [0.1, 0.2, 0], [1, 0, 9], [5, 1, 0]], np.float32)
    true_objects = majority_objects(weights)
    assert true_objects.tolist() == [1, 0, UNSEEN, 2, 0]
    chosen = np.array([True, False, True, False, False])
    assert gaussian_iou(chosen, true_objects, [1]) == pytest.approx(
        0.5
    )  # a Gaussian that no view shows counts as wrong
    assert gaussian_iou(chosen, true_objects, [3]) is None
    assert chosen_object(chosen, true_objects) == 1
    assert chosen_object(np.zeros(5, bool), true_objects) is None
    assert chosen_object(np.array([False, False, True, False, False]), true_objects) == 0
