"""What is believed: evidence of directions and the objects of the map become sources and what makes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import Config
from echoseg_ros.objects.decision_cadence import Cadence
from echoseg_ros.objects.instance_choice import InstanceChooser
from echoseg_ros.objects.reasons import Why, explain
from echoseg_ros.sound.localisation.back_projection import MAX_WINDOWS
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import MapSnapshot, SoundEvidence, Verdict, starts_again
from echoseg_ros.units import MapScale, scaled_evidence, scaled_snapshot, scaled_verdict


class DecisionStage:
    """Evidence and the newest snapshot in, verdicts out. Owned by the thread of the sound."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rewind()

    def rewind(self) -> None:
        """Forget what was heard: it belongs to another time."""
        self.tracker = SourceEstimator(self.config.sources)
        self.chooser = InstanceChooser(self.config.choice)
        self._newest_ns: int | None = None
        self._cadence = Cadence(self.config.sources.every_s)
        self._unheard: deque[SoundEvidence] = deque(maxlen=MAX_WINDOWS)
        self._metres_per_unit = MapScale(self.config.input.pose_units).metres_per_unit

    def add(self, evidence: SoundEvidence, snapshot: MapSnapshot) -> Verdict:
        """What is believed after one more window."""
        if starts_again(evidence.stamp_ns, self._newest_ns):
            self.rewind()
        self._newest_ns = evidence.stamp_ns
        window_end_ns = evidence.stamp_ns + int(evidence.duration_s * 5e8)
        self._unheard.append(evidence)
        self._rescale(snapshot.metres_per_unit)
        if self._metres_per_unit is None:  # sounds wait for the first sight of a world without metres
            return Verdict(evidence.stamp_ns, window_end_ns)
        has_metres = self.config.input.pose_units == "metres"
        while self._unheard:
            self.tracker.add(scaled_evidence(self._unheard.popleft(), self._metres_per_unit, has_metres))
        if (held := self._cadence.verdict_for(evidence)) is not None:
            return replace(held, stamp_ns=evidence.stamp_ns, window_end_ns=window_end_ns)
        verdict = self._decide(evidence.stamp_ns, window_end_ns, snapshot)
        self._cadence.decided(verdict)
        return verdict

    def heard_as(self, names: Mapping[int, Mapping[str, float]]) -> None:
        """What each source sounds like, by its id: shares of names, for `choice.audio_visual`."""
        self.chooser.heard_as = names

    def conclude(self, snapshot: MapSnapshot) -> Verdict | None:
        """What is believed in the end, on the finished map; None if nothing was decided before."""
        self._rescale(snapshot.metres_per_unit)
        last = self._cadence.verdict
        if last is None or self._newest_ns is None:
            return None
        late_ns = last.window_end_ns - last.stamp_ns
        return self._decide(self._newest_ns, self._newest_ns + late_ns, snapshot)

    def _decide(self, stamp_ns: int, window_end_ns: int, snapshot: MapSnapshot) -> Verdict:
        metres = self._metres_per_unit or 1.0
        verdict = self.chooser.decide(self.tracker, scaled_snapshot(snapshot, metres), stamp_ns, window_end_ns)
        return scaled_verdict(verdict, 1 / metres)

    def _rescale(self, metres_per_unit: float | None) -> None:
        """What was heard lies in nominal metres; it moves when the map finds that these are others."""
        if metres_per_unit is None or metres_per_unit == self._metres_per_unit:
            return
        if self._metres_per_unit is not None:
            self.tracker.rescale(metres_per_unit / self._metres_per_unit)
            self.chooser.rescale(metres_per_unit / self._metres_per_unit)
        self._metres_per_unit = metres_per_unit

    def explain(self, verdict: Verdict, snapshot: MapSnapshot) -> tuple[Why, ...]:
        """Why the newest verdict is what it is (objects.explain), from the evidence in memory."""
        factor = self._metres_per_unit or 1.0
        return explain(self.tracker, scaled_verdict(verdict, factor), scaled_snapshot(snapshot, factor).instances)

    def score(self, points_map: NDArray[np.floating]) -> NDArray[np.float32]:
        """[P] in [0, 1]: how much of what was heard comes from the direction of each map point [P, 3]."""
        return self.tracker.score(points_map * np.float32(self._metres_per_unit or 1.0))
