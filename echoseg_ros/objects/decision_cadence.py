"""When the next decision is due: a decision costs far more than evidence of a window, and seldom changes the verdict."""

from __future__ import annotations

from echoseg_ros.types import SoundEvidence, Verdict

# Longest period, in units of the shortest one; the period doubles while the same instances sound.
MAX_PERIODS = 4.0
# Activity from which a window is not part of a pause.
MIN_ACTIVITY = 0.05
# Length of a pause after which another source may sound: the shortest period holds again.
PAUSE_S = 1.0


class DecisionCadence:
    """When to decide again. Periods are of sensor time, so that a run does not depend on a clock.

    verdict: the last decided one, None before the first.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = self._period_s = every_s
        self.verdict: Verdict | None = None
        self._active_ns = 0

    def held_verdict(self, evidence: SoundEvidence) -> Verdict | None:
        """The last verdict if it holds for this window too, None if a decision is due; counts pauses."""
        if evidence.activity > MIN_ACTIVITY:
            if evidence.stamp_ns - self._active_ns > PAUSE_S * 1e9:
                self._period_s = self._every_s
            self._active_ns = evidence.stamp_ns
        if self.verdict is None or not 0 <= evidence.stamp_ns - self.verdict.stamp_ns < self._period_s * 1e9:
            return None
        return self.verdict

    def record(self, verdict: Verdict) -> None:
        """Keep a new verdict and choose the next period."""
        same = (
            self.verdict is not None and len(verdict.sounding) > 0 and _object_ids(self.verdict) == _object_ids(verdict)
        )
        self._period_s = min(2 * self._period_s, MAX_PERIODS * self._every_s) if same else self._every_s
        self.verdict = verdict


def _object_ids(verdict: Verdict) -> list[int | None]:
    return [source.object_id for source in verdict.sources]
