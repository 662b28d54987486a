"""The proposals of the online map."""

from __future__ import annotations

import numpy as np

from echoseg_ros.types import Camera
from gpu_check.online import proposal_labels

CAMERA = Camera(48, 36, 45.0, 45.0, 24.0, 18.0)


def test_labels_are_thirty_proposals() -> None:
    labels = proposal_labels(CAMERA)
    assert labels.shape == (36, 48) and set(np.unique(labels)) == set(range(31))
