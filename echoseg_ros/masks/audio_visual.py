"""How well what is seen goes with what is heard: the names of things against the sound, by CLAP.

What a mask backend says a thing is ("kettle") is a text, and CLAP tells how well a text fits a sound. The likelihood of a
sound in a thing is only known up to a factor, so that a score counts relative to the others: see `factors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import LabelConfig
from echoseg_ros.sound.taggers.clap_model import ClapTagger
from echoseg_ros.types import Instance

# However sure a model is, it shifts the odds between two things by no more than this: sounds of a kind differ.
MAX_ODDS = 20.0


class AudioVisualScorer(Protocol):
    """Says how well each of several things goes with a sound."""

    def score(
        self, names: Sequence[tuple[tuple[str, float], ...]], signal: NDArray[np.floating], rate_hz: float
    ) -> NDArray[np.float32]:
        """[K] probabilities that each thing makes the mono signal [S], each in [0, 1], not exclusive of each other.

        names: [K] what each may be and how surely, as Instance.names; () = unknown.
        """
        ...


class ClapScorer:
    """CLAP's probabilities of the names, among `vocabulary`: all that things here may be called.

    Two things of one name get the same score, as they should; a thing without a name gets what a name gets by chance.
    Raises BackendError without package, model or names.
    """

    def __init__(self, folder: str, vocabulary: Sequence[str]) -> None:
        names = list(dict.fromkeys(vocabulary))
        self._chance = 1 / max(len(names), 1)
        self._tagger = ClapTagger(LabelConfig(tagger="clap", model_path=folder, classes=",".join(names)))

    def score(
        self, names: Sequence[tuple[tuple[str, float], ...]], signal: NDArray[np.floating], rate_hz: float
    ) -> NDArray[np.float32]:
        """See AudioVisualScorer."""
        shares = dict(self._tagger.tag(signal, rate_hz))
        return np.array([self._expected(votes, shares) for votes in names], np.float32)

    def _expected(self, votes: tuple[tuple[str, float], ...], shares: dict[str, float]) -> float:
        """Mean over what a thing may be; names that CLAP was not asked about count as chance."""
        known = sum(share * shares.get(name, self._chance) for name, share in votes)
        return known + (1 - sum(share for _, share in votes)) * self._chance


def factors(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """[K] by which the probability of each thing is to be multiplied before it is normalised: 1 on (geometric) average.

    The ratio of two scores, bounded so that none exceeds MAX_ODDS; equal scores say nothing.
    """
    if not len(scores):
        return np.zeros(0)
    logs = np.log(np.maximum(np.asarray(scores, float), 1e-6))
    bound = np.log(MAX_ODDS) / 2
    return np.exp(np.clip(logs - logs.mean(), -bound, bound))


def instance_factors(
    scorer: AudioVisualScorer, instances: Sequence[Instance], signal: NDArray[np.floating], rate_hz: float
) -> dict[int, float]:
    """By id, the factor on the probability that an instance makes a sound; {} where no instance has a name."""
    if not any(instance.names for instance in instances):
        return {}
    scores = scorer.score([instance.names for instance in instances], signal, rate_hz)
    return {instance.id: float(factor) for instance, factor in zip(instances, factors(scores))}
