"""START HERE: frames and audio in, sounding objects out.

The map side and the sound side can each be owned by a thread of their own (the nodes do that); they meet in the judge,
which takes a finished snapshot of the map. `Pipeline` runs all three in the order of the messages, which makes an
offline run a deterministic function of its bag.
"""

from __future__ import annotations

from echoseg_ros.config import Config
from echoseg_ros.objects.map_snapshot import EMPTY_SNAPSHOT
from echoseg_ros.pipeline.decision_stage import DecisionStage
from echoseg_ros.pipeline.map_stage import CameraItem, MapStage
from echoseg_ros.pipeline.sound_stage import SoundItem, SoundStage
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import SoundEvidence, Verdict


class Pipeline:
    """All three, one message after the other."""

    def __init__(self, config: Config, array: ArrayGeometry, device: str = "cpu", use_depth: bool = True) -> None:
        self.map_stage = MapStage(config, device, use_depth)
        self.sound_stage = SoundStage(config, array)
        self.judge = DecisionStage(config)
        self.snapshot = EMPTY_SNAPSHOT

    def add(self, item: CameraItem | SoundItem) -> list[Verdict]:
        """Take one message of any kind; return the verdict after each audio window it completed."""
        if isinstance(item, CameraItem):
            self.snapshot = ([self.snapshot] + self.map_stage.add(item))[-1]
        if isinstance(item, SoundItem):
            array = self.sound_stage.array
            verdicts = [self.hear(evidence) for evidence in self.sound_stage.add(item)]
            if self.sound_stage.array is not array:
                self.judge.rewind()  # what was heard with a head of the wrong size
            return verdicts
        return []

    def finish(self) -> Verdict | None:
        """At the end of a recording: the map is finished, and what sounds is decided once more on it."""
        self.snapshot = self.map_stage.finish() or self.snapshot
        verdict = self.judge.conclude(self.snapshot)
        return None if verdict is None else self.sound_stage.ear.name(verdict)

    def hear(self, evidence: SoundEvidence) -> Verdict:
        """What is believed after one more window, with a label for each source."""
        self.judge.heard_as(self.sound_stage.ear.heard_as())
        return self.sound_stage.ear.name(self.judge.add(evidence, self.snapshot))
