"""The decision stage: evidence of directions and a snapshot of the map in, verdicts out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import Config
from echoseg_ros.objects.decision_cadence import DecisionCadence
from echoseg_ros.objects.instance_choice import InstanceChooser
from echoseg_ros.objects.reasons import Reasons, explain
from echoseg_ros.sound.localisation.evidence_memory import MAX_WINDOWS
from echoseg_ros.sound.localisation.source_estimator import SourceEstimator
from echoseg_ros.types import MapSnapshot, SoundEvidence, Verdict, is_backward_jump
from echoseg_ros.units import MapScale, scaled_evidence, scaled_snapshot, scaled_verdict

# Shares of names by source id: what each source sounds like, for `choice.audio_visual`.
NameShares = Mapping[int, Mapping[str, float]]


class DecisionStage:
    """Evidence memory, sources and the choice of instances, in (nominal) metres. Owned by the sound's worker."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rewind()

    def rewind(self) -> None:
        """Clear the evidence, which belongs to another time or another array."""
        self.estimator = SourceEstimator(self.config.sources)
        self.chooser = InstanceChooser(self.config.choice)
        self._cadence = DecisionCadence(self.config.sources.every_s)
        self._newest: SoundEvidence | None = None
        self._has_evidence = False
        self._name_shares: NameShares = {}
        # Evidence that came before the map had a scale.
        self._without_scale: deque[SoundEvidence] = deque(maxlen=MAX_WINDOWS)
        self._metres_per_unit = MapScale(self.config.input.pose_units).metres_per_unit

    def add(self, evidence: SoundEvidence, snapshot: MapSnapshot, name_shares: NameShares | None = None) -> Verdict:
        """The verdict after one more window: a new one when a decision is due, else the last one with a new stamp."""
        self._name_shares = name_shares or {}
        self.remember(evidence, snapshot)  # clears the shares on a backward time jump
        window_end_ns = _end_ns(evidence)
        if self._metres_per_unit is None:
            return Verdict(evidence.stamp_ns, window_end_ns)
        if (held := self._cadence.held_verdict(evidence)) is not None:
            return replace(held, stamp_ns=evidence.stamp_ns, window_end_ns=window_end_ns)
        verdict = self._decide(evidence.stamp_ns, window_end_ns, snapshot)
        self._cadence.record(verdict)
        return verdict

    def remember(self, evidence: SoundEvidence, snapshot: MapSnapshot) -> None:
        """Add one window to the evidence memory without a decision."""
        if is_backward_jump(evidence.stamp_ns, None if self._newest is None else self._newest.stamp_ns):
            self.rewind()
        self._newest = evidence
        self._without_scale.append(evidence)
        self._rescale(snapshot.metres_per_unit)
        if self._metres_per_unit is None:
            return
        has_metres = self.config.input.pose_units == "metres"
        self._has_evidence = True
        while self._without_scale:
            self.estimator.add(scaled_evidence(self._without_scale.popleft(), self._metres_per_unit, has_metres))

    def conclude(self, snapshot: MapSnapshot) -> Verdict | None:
        """The last verdict of a recording, on the finished map; None without any evidence on a map with a scale."""
        self._rescale(snapshot.metres_per_unit)
        if self._newest is None or not self._has_evidence:
            return None
        return self._decide(self._newest.stamp_ns, _end_ns(self._newest), snapshot)

    def explain(self, verdict: Verdict, snapshot: MapSnapshot) -> tuple[Reasons, ...]:
        """Reasons of the newest verdict (objects.reasons), from the evidence in memory."""
        factor = self._metres_per_unit or 1.0
        return explain(self.estimator, scaled_verdict(verdict, factor), scaled_snapshot(snapshot, factor).instances)

    def score(self, points_map: NDArray[np.floating]) -> NDArray[np.float32]:
        """[P] in [0, 1]: share of the evidence that points to each map point [P, 3]."""
        return self.estimator.score(points_map * np.float32(self._metres_per_unit or 1.0))

    def _decide(self, stamp_ns: int, window_end_ns: int, snapshot: MapSnapshot) -> Verdict:
        metres = self._metres_per_unit or 1.0
        scaled = scaled_snapshot(snapshot, metres)
        verdict = self.chooser.decide(self.estimator, scaled, stamp_ns, window_end_ns, self._name_shares)
        return scaled_verdict(verdict, 1 / metres)

    def _rescale(self, metres_per_unit: float | None) -> None:
        """Move the evidence, which is in nominal metres, when the map finds another scale."""
        if metres_per_unit is None or metres_per_unit == self._metres_per_unit:
            return
        if self._metres_per_unit is not None:
            self.estimator.rescale(metres_per_unit / self._metres_per_unit)
            self.chooser.rescale(metres_per_unit / self._metres_per_unit)
        self._metres_per_unit = metres_per_unit


def _end_ns(evidence: SoundEvidence) -> int:
    return evidence.stamp_ns + int(evidence.duration_s * 5e8)
