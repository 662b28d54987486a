"""One instance in the making: the views that proposed it, the views that say most about it, its published value."""

from __future__ import annotations

from dataclasses import dataclass, field

from echoseg_ros.types import Instance

# Views kept to explain an instance: those that said most.
SUPPORT_VIEWS = 12


@dataclass
class InstanceCandidate:
    """State of one instance of the instance map.

    seen_in: stamps of the views that proposed it; misses: views in a row that showed it and did not propose it; age: views
    since it was opened; support: weight by stamp of the views that said most, positive for and negative against it;
    instance: the published value, None while unconfirmed; stale: its votes have changed since.
    """

    id: int
    seen_in: set[int] = field(default_factory=set)
    misses: int = 0
    age: int = 0
    instance: Instance | None = None
    stale: bool = True
    support: dict[int, float] = field(default_factory=dict)

    @property
    def views(self) -> int:
        """Number of views that proposed it."""
        return len(self.seen_in)

    def add_support(self, stamp_ns: int, weight: float) -> None:
        """Add the weight of a view, for (positive) or against it."""
        self.support[stamp_ns] = self.support.get(stamp_ns, 0.0) + weight
        if len(self.support) > SUPPORT_VIEWS:
            del self.support[min(self.support, key=lambda stamp: abs(self.support[stamp]))]

    def sorted_support(self) -> tuple[tuple[int, float], ...]:
        """(stamp_ns, weight) in order of time."""
        return tuple(sorted(self.support.items()))
