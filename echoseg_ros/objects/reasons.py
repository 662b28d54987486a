"""Reasons an object is believed to sound, or is not: the windows and views that moved it most, and who was next to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import Float64Array, Instance, SoundSource, Verdict

# Reasons kept on each side, and candidates of a source that are explained.
MOST, CANDIDATES = 5, 4


@dataclass(frozen=True)
class Reasons:
    """What speaks for and against one object as the place of one source.

    object_id, probability: the object and how likely it is; rival_id, rival_probability: the likeliest other candidate
    (None = elsewhere); rank: 0 for the likeliest; windows: (stamp_ns, weight) of the audio windows that moved the sum
    most, positive for this object and against its rival, negative the other way round, as shares of all that moved it;
    views: (stamp_ns, weight) of the keyframes that said most about the object's shape (Instance.support), likewise
    shares.
    """

    source_id: int
    object_id: int
    probability: float
    rank: int
    rival_id: int | None
    rival_probability: float
    windows: tuple[tuple[int, float], ...]
    views: tuple[tuple[int, float], ...]


def explain(tracker: SourceEstimator, verdict: Verdict, instances: tuple[Instance, ...]) -> tuple[Reasons, ...]:
    """The likeliest objects of every source of a verdict, each with its reasons. Uses the evidence in memory."""
    by_id = {instance.id: instance for instance in instances}
    return tuple(
        _why(tracker, source, rank, by_id)
        for source in verdict.sources
        for rank, (object_id, _) in enumerate(source.candidates[: CANDIDATES + 1])
        if object_id in by_id
    )


def _why(tracker: SourceEstimator, source: SoundSource, rank: int, by_id: dict[int, Instance]) -> Reasons:
    object_id, probability = source.candidates[rank]
    assert object_id is not None
    rival_id, rival_probability = next(
        ((other, p) for other, p in source.candidates if other != object_id), (None, 0.0)
    )
    rival = by_id.get(rival_id) if rival_id is not None else None
    instance = by_id[object_id]
    # Elsewhere has no place of its own: a window is for the object by how far it stands out there at all.
    stamps_ns, gain = tracker.window_preferences(instance.position_m, None if rival is None else rival.position_m)
    return Reasons(
        source.id, object_id, float(probability), rank, rival_id, float(rival_probability),
        _strongest(stamps_ns, gain), _strongest(*_columns(instance.support)),
    )  # fmt: skip


def _columns(pairs: tuple[tuple[int, float], ...]) -> tuple[NDArray[np.int64], Float64Array]:
    return np.array([stamp for stamp, _ in pairs], np.int64), np.array([weight for _, weight in pairs], float)


def _strongest(stamps_ns: NDArray[np.int64], weights: Float64Array) -> tuple[tuple[int, float], ...]:
    """The MOST strongest reasons for and against, in order of time, as shares of the sum of all magnitudes."""
    total = float(np.abs(weights).sum())
    if total <= 0:
        return ()
    order = np.argsort(weights)
    kept = [k for k in order[-MOST:] if weights[k] > 0] + [k for k in order[:MOST] if weights[k] < 0]
    return tuple((int(stamps_ns[k]), float(weights[k]) / total) for k in sorted(kept, key=lambda k: int(stamps_ns[k])))
