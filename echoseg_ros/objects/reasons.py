"""Reasons of a verdict: for each likely instance of a source the windows and views that moved it most, and its rival."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import Float64Array, Instance, SoundSource, Verdict

# Reasons kept for and against an instance.
MAX_REASONS = 5
# Candidates of a source that are explained.
MAX_CANDIDATES = 4


@dataclass(frozen=True)
class Reasons:
    """Reasons for and against one instance as the origin of one source.

    object_id, probability: the instance and its probability; rank: 0 for the most probable one; rival_id,
    rival_probability: the most probable other candidate (None = elsewhere); windows: (stamp_ns, weight) of the audio
    windows with the largest influence, positive for the instance and against its rival, as shares of the total
    influence; views: (stamp_ns, weight) of the keyframes that say most about the instance (Instance.support), likewise.
    """

    source_id: int
    object_id: int
    probability: float
    rank: int
    rival_id: int | None
    rival_probability: float
    windows: tuple[tuple[int, float], ...]
    views: tuple[tuple[int, float], ...]


def explain(estimator: SourceEstimator, verdict: Verdict, instances: tuple[Instance, ...]) -> tuple[Reasons, ...]:
    """Reasons of the most probable instances of every source of a verdict, from the evidence in memory."""
    by_id = {instance.id: instance for instance in instances}
    return tuple(
        _reasons(estimator, source, rank, by_id)
        for source in verdict.sources
        for rank, (object_id, _) in enumerate(source.candidates[: MAX_CANDIDATES + 1])
        if object_id in by_id
    )


def _reasons(estimator: SourceEstimator, source: SoundSource, rank: int, by_id: dict[int, Instance]) -> Reasons:
    object_id, probability = source.candidates[rank]
    assert object_id is not None
    rival_id, rival_probability = next(
        ((other, p) for other, p in source.candidates if other != object_id), (None, 0.0)
    )
    rival = by_id.get(rival_id) if rival_id is not None else None
    instance = by_id[object_id]
    # Elsewhere has no position: a window speaks for the instance by its contrast at the instance alone.
    stamps_ns, gain = estimator.window_preferences(instance.position_m, None if rival is None else rival.position_m)
    return Reasons(
        source.id, object_id, float(probability), rank, rival_id, float(rival_probability),
        _strongest(stamps_ns, gain), _strongest(*_columns(instance.support)),
    )  # fmt: skip


def _columns(pairs: tuple[tuple[int, float], ...]) -> tuple[NDArray[np.int64], Float64Array]:
    return np.array([stamp for stamp, _ in pairs], np.int64), np.array([weight for _, weight in pairs], float)


def _strongest(stamps_ns: NDArray[np.int64], weights: Float64Array) -> tuple[tuple[int, float], ...]:
    """The MAX_REASONS strongest reasons on each side in order of time, as shares of the sum of all magnitudes."""
    total = float(np.abs(weights).sum())
    if total <= 0:
        return ()
    order = np.argsort(weights)
    kept = [k for k in order[-MAX_REASONS:] if weights[k] > 0] + [k for k in order[:MAX_REASONS] if weights[k] < 0]
    return tuple((int(stamps_ns[k]), float(weights[k]) / total) for k in sorted(kept, key=lambda k: int(stamps_ns[k])))
