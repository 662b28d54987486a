"""When the next decision is due."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from echoseg_ros.objects.decision_cadence import MAX_PERIODS, DecisionCadence
from echoseg_ros.types import Box, Float64Array, Instance, SoundEvidence, SoundingObject, SoundSource, Verdict

_S = 1_000_000_000


def _evidence(at_s: float, activity: float = 1.0) -> SoundEvidence:
    empty = np.zeros((0, 3), np.float32)
    return SoundEvidence(
        round(at_s * _S), 0.5, np.eye(4), empty, np.zeros((1, 0), np.float32), np.zeros((1, 2)), activity, 0.0
    )


def _verdict(at_s: float, object_id: int | None) -> Verdict:
    source = SoundSource(0, np.zeros(3), np.eye(3), 1.0, object_id, ((object_id, 1.0),), ())
    box = Box(np.zeros(3), np.ones(3), np.array([0, 0, 0, 1.0]))
    instance = Instance(
        object_id or 0, np.zeros(0, np.int64), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(3),
        box, 2, 1.0,
    )  # fmt: skip
    sounding = () if object_id is None else (SoundingObject(instance, source, 1.0, ""),)
    return Verdict(round(at_s * _S), round(at_s * _S), (source,), sounding)


def _decisions(
    cadence: DecisionCadence,
    times_s: Float64Array,
    object_at: Callable[[float], int | None],
    activity_at: Callable[[float], float] = lambda t: 1.0,
) -> list[float]:
    decided_s = []
    for t in times_s:
        if cadence.held_verdict(_evidence(t, activity_at(t))) is None:
            decided_s.append(float(t))
            cadence.record(_verdict(t, object_at(t)))
    return decided_s


def test_the_period_grows_while_verdicts_stay_the_same() -> None:
    decided_s = _decisions(DecisionCadence(1.0), np.arange(0, 30, 0.25), lambda t: 7)
    assert decided_s[:5] == [0.0, 1.0, 3.0, 7.0, 11.0]
    assert np.diff(decided_s).max() == MAX_PERIODS


def test_the_period_is_shortest_while_instances_change_or_are_unknown() -> None:
    assert np.diff(_decisions(DecisionCadence(1.0), np.arange(0, 12, 0.25), lambda t: int(t) % 5)).max() == 1.0
    assert np.diff(_decisions(DecisionCadence(1.0), np.arange(0, 12, 0.25), lambda t: None)).max() == 1.0


def test_a_sound_after_a_pause_is_decided_within_the_shortest_period() -> None:
    decided_s = _decisions(
        DecisionCadence(1.0), np.arange(0, 30, 0.25), lambda t: 7, lambda t: 0.0 if 12.0 < t < 14.0 else 1.0
    )
    assert 14.0 in decided_s


def test_a_decision_is_due_after_a_backward_time_jump() -> None:
    cadence = DecisionCadence(1.0)
    cadence.record(_verdict(100.0, 7))
    assert cadence.held_verdict(_evidence(100.5)) is not None
    assert cadence.held_verdict(_evidence(3.0)) is None
