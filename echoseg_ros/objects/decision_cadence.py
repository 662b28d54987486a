"""How often it is decided what sounds: that costs far more than hearing a window, and seldom says anything new."""

from __future__ import annotations

from echoseg_ros.types import SoundEvidence, Verdict

# While the same things sound it is decided more and more seldom, at last so many times the shortest period.
CALM_TIMES = 4.0
# A window this active is not a pause; what is heard after a pause of this length may be something else.
ACTIVE, PAUSE_S = 0.05, 1.0


class Cadence:
    """When to decide anew. Periods are of sensor time, so that a run does not depend on a clock.

    verdict: the last one decided, None before the first.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = self._period_s = every_s
        self.verdict: Verdict | None = None
        self._active_ns = 0

    def verdict_for(self, evidence: SoundEvidence) -> Verdict | None:
        """The last verdict if it holds for this window too, None if it is time to decide."""
        if evidence.activity > ACTIVE:
            if evidence.stamp_ns - self._active_ns > PAUSE_S * 1e9:
                self._period_s = self._every_s
            self._active_ns = evidence.stamp_ns
        if self.verdict is None or not 0 <= evidence.stamp_ns - self.verdict.stamp_ns < self._period_s * 1e9:
            return None
        return self.verdict

    def decided(self, verdict: Verdict) -> None:
        """Take note of a new verdict."""
        same = self.verdict is not None and len(verdict.sounding) > 0 and _named(self.verdict) == _named(verdict)
        self._period_s = min(2 * self._period_s, CALM_TIMES * self._every_s) if same else self._every_s
        self.verdict = verdict


def _named(verdict: Verdict) -> list[int | None]:
    return [source.object_id for source in verdict.sources]
