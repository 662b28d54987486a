"""START HERE: frames and audio in, sounding objects out.

The map side and the sound side can each be owned by a thread of their own (the nodes do that); they meet in the judge,
which takes a finished snapshot of the map. `Pipeline` runs all three in the order of the messages, which makes an
offline run a deterministic function of its bag.
"""

from __future__ import annotations

from echoseg_ros.config import Config
from echoseg_ros.judge import Judge
from echoseg_ros.map_side import CameraItem, MapSide
from echoseg_ros.objects.snapshot import EMPTY_SNAPSHOT
from echoseg_ros.sound.array import ArrayGeometry
from echoseg_ros.sound_side import SoundItem, SoundSide
from echoseg_ros.types import SoundEvidence, Verdict


class Pipeline:
    """All three, one message after the other."""

    def __init__(self, config: Config, array: ArrayGeometry, device: str = "cpu", use_depth: bool = True) -> None:
        self.map_side = MapSide(config, device, use_depth)
        self.sound_side = SoundSide(config, array)
        self.judge = Judge(config)
        self.snapshot = EMPTY_SNAPSHOT

    def add(self, item: CameraItem | SoundItem) -> list[Verdict]:
        """Take one message of any kind; return the verdict after each audio window it completed."""
        if isinstance(item, CameraItem):
            self.snapshot = ([self.snapshot] + self.map_side.add(item))[-1]
        if isinstance(item, SoundItem):
            array = self.sound_side.array
            verdicts = [self.hear(evidence) for evidence in self.sound_side.add(item)]
            if self.sound_side.array is not array:
                self.judge.rewind()  # what was heard with a head of the wrong size
            return verdicts
        return []

    def finish(self) -> Verdict | None:
        """At the end of a recording: the map is finished, and what sounds is decided once more on it."""
        self.snapshot = self.map_side.finish() or self.snapshot
        verdict = self.judge.conclude(self.snapshot)
        return None if verdict is None else self.sound_side.ear.name(verdict)

    def hear(self, evidence: SoundEvidence) -> Verdict:
        """What is believed after one more window, with a label for each source."""
        self.judge.heard_as(self.sound_side.ear.heard_as())
        return self.sound_side.ear.name(self.judge.add(evidence, self.snapshot))
