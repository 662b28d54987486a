"""Agreement of sight and sound: names of instances against names of the sound.

A mask backend names an instance by a text ("kettle"), and CLAP scores texts against a sound. The likelihood of a sound in
an instance is known up to a factor only, so a score counts relative to the scores of the other instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Instance

# Largest change of the odds between two instances, however sure the model is: sounds of one kind differ.
MAX_ODDS = 20.0


def instance_factors(instances: Sequence[Instance], shares: Mapping[str, float]) -> dict[int, float]:
    """By id, the factor on the probability that an instance makes a sound; {} if no instance has one of the texts as name.

    shares: of the texts that the sound was compared with, summing to 1. A name counts by its share of the votes; other
    names, and instances without a name, get the share of a text by chance.
    """
    if not any(name in shares for instance in instances for name, _ in instance.names):
        return {}
    chance = 1 / len(shares)
    scores = [
        sum(vote * shares.get(name, chance) for name, vote in instance.names)
        + (1 - sum(vote for _, vote in instance.names)) * chance
        for instance in instances
    ]
    return {instance.id: float(f) for instance, f in zip(instances, factors(np.array(scores)), strict=True)}


def factors(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """[K] factors on the probability of each instance before normalisation, with geometric mean 1.

    Ratios of the scores, bounded so that no ratio exceeds MAX_ODDS; equal scores change nothing.
    """
    if not len(scores):
        return np.zeros(0)
    logs = np.log(np.maximum(np.asarray(scores, float), 1e-6))
    bound = np.log(MAX_ODDS) / 2
    ratios: NDArray[np.float64] = np.exp(np.clip(logs - logs.mean(), -bound, bound))
    return ratios
