"""Ids of the instances of a snapshot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from echoseg_ros.objects.map_snapshot import instance_ids


def test_ids_are_those_of_the_published_instances() -> None:
    """Regression: files and clouds used ids by votes alone, without the filled holes of the instances."""
    instances: Any = (SimpleNamespace(id=3, uids=np.array([2, 5, 9])), SimpleNamespace(id=7, uids=np.array([4, 8, 11])))
    np.testing.assert_array_equal(instance_ids(np.array([2, 3, 4, 5, 11, 20]), instances), [3, -1, 7, 3, 7, -1])
    np.testing.assert_array_equal(instance_ids(np.zeros(0, np.int64), instances), [])
