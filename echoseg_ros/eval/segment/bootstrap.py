"""Confidence intervals: percentile bootstrap over scenes, and exact intervals of a rate.

Own code, not scipy.stats.bootstrap: that refuses a single scene and changes the last digits of the stored figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

# Bootstrap samples.
DRAWS = 10_000
# Quantiles of a 95 % interval.
LOW_QUANTILE = 0.025
HIGH_QUANTILE = 0.975


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; count: number of scenes or cases."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def paired_difference(
    ours: Sequence[float], theirs: Sequence[float], draws: int = DRAWS, seed: int = 0
) -> Estimate | None:
    """Mean of ours - theirs over scenes in the same order, with the interval of the percentile bootstrap (Efron 1979).

    Pairs are drawn together, so the difficulty that a scene has for both does not widen the interval. None without
    scenes. Raises ValueError if the lengths differ.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} scenes: want pairs")
    return mean_estimate([a - b for a, b in zip(ours, theirs, strict=True)], draws, seed)


def mean_estimate(values: Sequence[float], draws: int = DRAWS, seed: int = 0) -> Estimate | None:
    """Mean over scenes with its bootstrap interval; None without scenes."""
    if not len(values):
        return None
    numbers = np.asarray(values, float)
    sample_means = numbers[np.random.default_rng(seed).integers(0, len(numbers), (draws, len(numbers)))].mean(axis=1)
    low, high = np.quantile(sample_means, [LOW_QUANTILE, HIGH_QUANTILE])
    return Estimate(float(numbers.mean()), float(low), float(high), len(numbers))


def rate_estimate(hits: int, count: int) -> Estimate | None:
    """Share of cases with its exact 95 % interval (Clopper & Pearson 1934); None without cases.

    Raises ValueError unless 0 <= hits <= count.
    """
    if not 0 <= hits <= count:
        raise ValueError(f"{hits} of {count} cases: want 0 to {count}")
    if count == 0:
        return None
    low = 0.0 if hits == 0 else float(beta.ppf(LOW_QUANTILE, hits, count - hits + 1))
    high = 1.0 if hits == count else float(beta.ppf(HIGH_QUANTILE, hits + 1, count - hits))
    return Estimate(hits / count, low, high, count)
