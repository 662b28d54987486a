"""An instance map of Gaussians on a line, whose weights in each view are given directly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from echoseg_ros.config import InstanceConfig
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.types import Float64Array, Instance, MaskProposal

# Number of Gaussians.
COUNT = 200
# Rows of the Gaussians of three objects; A and B touch.
A, B, C = range(0, 40), range(40, 80), range(100, 140)
ALL = range(COUNT)


def positions(count: int = COUNT) -> Float64Array:
    """[count, 3] centres, 5 mm apart along x, metres."""
    rng = np.random.default_rng(0)
    return np.column_stack([np.arange(count) * 0.005, rng.uniform(0, 0.1, count), rng.uniform(0, 0.1, count)])


class InstanceScene:
    """An instance map and the Gaussians that its views show."""

    def __init__(self, **config: Any) -> None:
        self.map = InstanceMap(InstanceConfig(**config))
        self.uids = np.arange(COUNT, dtype=np.int64)
        self.means = positions().astype(np.float32)
        self.rgb = np.zeros((COUNT, 3), np.uint8)
        self.stamp_ns = 0

    def add_view(
        self,
        *proposals: Iterable[int],
        judged: Iterable[int] = ALL,
        scores: Sequence[float] | None = None,
        weight: float = 3.0,
    ) -> tuple[Instance, ...]:
        """Add a view and return the instances after it.

        Each judged Gaussian gets `weight` in the proposal that contains it, else in the background.
        """
        weights = np.zeros((len(self.uids), len(proposals) + 1), np.float32)
        weights[list(judged), 0] = weight
        for k, members in enumerate(proposals, start=1):
            weights[list(members), 0] = 0
            weights[list(members), k] = weight
        trust = np.ones(len(proposals), np.float32) if scores is None else np.asarray(scores, np.float32)
        self.map.update(self.uids, weights, MaskProposal(self.stamp_ns, np.zeros((2, 2), np.int32), trust, "test"))
        self.stamp_ns += 1
        return self.instances()

    def instances(self) -> tuple[Instance, ...]:
        """The instances of the map as it is now."""
        self.map.refresh(self.uids, self.means, self.rgb)
        return self.map.instances


def members(instance: Instance) -> set[int]:
    """The uids of its Gaussians."""
    return set(instance.uids.tolist())
