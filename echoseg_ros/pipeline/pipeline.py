"""START HERE: camera and audio messages in, sounding objects out.

Four stages: the map stage makes snapshots of the segmented map; the sound stage makes evidence of directions; the
decision stage assigns sources to instances of the newest snapshot; the labelling stage says what sources sound like.
`Pipeline` runs them in the order of the messages, which makes an offline run a deterministic function of its bag.
`LivePipeline` (live.py) runs the same stages on two workers: the map stage on one, the `SoundBranch` on the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from echoseg_ros.config import Config
from echoseg_ros.objects.map_snapshot import EMPTY_SNAPSHOT
from echoseg_ros.pipeline.decision_stage import DecisionStage
from echoseg_ros.pipeline.labelling_stage import LabellingStage
from echoseg_ros.pipeline.map_stage import CameraItem, MapStage
from echoseg_ros.pipeline.sound_stage import SoundItem, SoundStage
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import MapSnapshot, SoundEvidence, Verdict

PipelineItem = CameraItem | SoundItem


@dataclass(frozen=True)
class Heard:
    """What one audio window led to. verdict: None where there is no map to decide on."""

    evidence: SoundEvidence
    verdict: Verdict | None


class Pipeline:
    """All stages, one message after the other."""

    def __init__(self, config: Config, array: ArrayGeometry, device: str = "cpu", use_depth: bool = True) -> None:
        self.map_stage = MapStage(config, device, use_depth)
        self.sound = SoundBranch(config, array)
        self.snapshot = EMPTY_SNAPSHOT

    def add(self, item: PipelineItem) -> list[Verdict]:
        """Take one message; return the verdict after each audio window it completed. Raises EchosegError.

        Poses belong to both the map and the sound.
        """
        if isinstance(item, CameraItem):
            self.snapshot = [self.snapshot, *self.map_stage.add(item)][-1]
        if isinstance(item, SoundItem):
            return [heard.verdict for heard in self.sound.hear(item, self.snapshot) if heard.verdict is not None]
        return []

    def finish(self) -> Verdict | None:
        """At the end of a recording: finish the map and decide once more on it."""
        self.snapshot = self.map_stage.finish() or self.snapshot
        return self.sound.conclude(self.snapshot)


class SoundBranch:
    """Sound stage, decision stage and labelling stage in order.

    Without an array (None: not known yet, or evidence comes from other nodes) only `decide` has an effect. seconds: time
    spent in each stage, by `clock`.
    """

    def __init__(self, config: Config, array: ArrayGeometry | None, live: bool = False,
                 clock: Callable[[], float] = time.perf_counter) -> None:  # fmt: skip
        self._config, self._live, self._clock = config, live, clock
        self.seconds = {"sound": 0.0, "decision": 0.0, "labelling": 0.0}
        self.sound_stage: SoundStage | None = None
        self.decision_stage = DecisionStage(config)
        self.labelling_stage: LabellingStage | None = None
        if array is not None:
            self.use_array(array)

    def use_array(self, array: ArrayGeometry) -> None:
        """Start to hear with an array. Raises BackendError if the tagger of the settings is not available."""
        self.sound_stage = SoundStage(self._config, array)
        self.labelling_stage = LabellingStage(self._config, self.sound_stage.array, self._live)

    def hear(self, item: SoundItem, snapshot: MapSnapshot | None) -> list[Heard]:
        """Take one message; return what each audio window it completed led to. Raises EchosegError."""
        if self.sound_stage is None or self.labelling_stage is None:
            return []
        if self.sound_stage.restarts_with(item):
            self.labelling_stage.rewind()
        array = self.sound_stage.array
        with self._timed("sound"):
            found = self.sound_stage.add(item)
        with self._timed("labelling"):
            for one in found:
                self.labelling_stage.add(one.window)
        heard = []
        for one in found:
            verdict = None if snapshot is None else self.decide(one.evidence, snapshot)
            heard.append(Heard(one.evidence, verdict))
        if self.sound_stage.array is not array:
            self.decision_stage.rewind()  # the evidence of a head with the wrong radius is wrong
        return heard

    def decide(self, evidence: SoundEvidence, snapshot: MapSnapshot) -> Verdict:
        """The labelled verdict after one more window, of this array or of another node's."""
        shares = {} if self.labelling_stage is None else self.labelling_stage.name_shares()
        with self._timed("decision"):
            verdict = self.decision_stage.add(evidence, snapshot, shares)
        return self._labelled(verdict)

    def conclude(self, snapshot: MapSnapshot) -> Verdict | None:
        """The last verdict of a recording, on the finished map; None if there was nothing to decide."""
        verdict = self.decision_stage.conclude(snapshot)
        return None if verdict is None else self._labelled(verdict)

    def rewind(self) -> None:
        """On a backward time jump: clear poses, audio and evidence."""
        if self.sound_stage is not None:
            self.sound_stage.rewind()
        if self.labelling_stage is not None:
            self.labelling_stage.rewind()
        self.decision_stage.rewind()

    def forget_sources(self) -> None:
        """Clear the evidence and the labels of the sources, whose ids start again."""
        self.decision_stage.rewind()
        if self.labelling_stage is not None:
            self.labelling_stage.rewind()

    def stop(self) -> None:
        """End the thread of the labelling stage."""
        if self.labelling_stage is not None:
            self.labelling_stage.stop()

    def _labelled(self, verdict: Verdict) -> Verdict:
        if self.labelling_stage is None:
            return verdict
        with self._timed("labelling"):
            return self.labelling_stage.label(verdict)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = self._clock()
        yield
        self.seconds[stage] += self._clock() - start
