"""How well what is seen goes with what is heard: the names of things against the names of the sound.

What a mask backend says a thing is ("kettle") is a text, and CLAP tells how well each of some texts fits a sound. The
likelihood of a sound in a thing is only known up to a factor, so that a score counts relative to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.types import Instance

# However sure a model is, it shifts the odds between two things by no more than this: sounds of a kind differ.
MAX_ODDS = 20.0


def instance_factors(instances: Sequence[Instance], shares: Mapping[str, float]) -> dict[int, float]:
    """By id, the factor on the probability that an instance makes a sound; {} where none has a name that was asked for.

    shares: of the texts that the sound was compared with, summing to 1. What a thing may be counts by its share of the
    votes; names that were not asked for, and things without one, get what a text gets by chance.
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
    """[K] by which the probability of each thing is to be multiplied before it is normalised: 1 on (geometric) average.

    The ratio of two scores, bounded so that none exceeds MAX_ODDS; equal scores say nothing.
    """
    if not len(scores):
        return np.zeros(0)
    logs = np.log(np.maximum(np.asarray(scores, float), 1e-6))
    bound = np.log(MAX_ODDS) / 2
    return np.exp(np.clip(logs - logs.mean(), -bound, bound))
