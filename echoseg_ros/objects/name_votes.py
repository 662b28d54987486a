"""Names of the instances: votes of the views by the names that mask backends give their proposals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Instance, MaskProposal

# Share of a proposal that an instance must own to be named by it.
_MIN_SHARE = 0.5


class NameVotes:
    """For each instance and each name, the sum of the scores of the proposals with that name."""

    def __init__(self) -> None:
        self._votes: dict[int, dict[str, float]] = {}

    def add(self, ids: NDArray[np.integer], weights: NDArray[np.float32], proposal: MaskProposal) -> None:
        """Add one view, after its votes for instances.

        ids: [N] instance of each Gaussian, -1 for none; weights: [N, K + 1] of lift_proposal for the same Gaussians.
        Proposals without names add nothing.
        """
        owned = ids >= 0
        for k, name in enumerate(proposal.names):
            weight = weights[:, k + 1]
            if not name or not weight[owned].any():
                continue
            by_id = np.bincount(ids[owned], weights=weight[owned])
            best = int(by_id.argmax())
            if by_id[best] >= _MIN_SHARE * float(weight.sum()):
                self._votes.setdefault(best, defaultdict(float))[name] += float(proposal.scores[k])

    def of(self, instance_id: int) -> tuple[tuple[str, float], ...]:
        """(name, share of the votes), most voted first; () for an instance without a name."""
        votes = self._votes.get(instance_id, {})
        total = sum(votes.values())
        if total <= 0:
            return ()
        return tuple((name, votes[name] / total) for name in sorted(votes, key=lambda name: (-votes[name], name)))

    def named(self, instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
        """The instances with their names."""
        if not self._votes:
            return instances
        return tuple(replace(instance, names=self.of(instance.id)) for instance in instances)
