"""The stages of the pipeline on two workers: queues, drops, rewind, reset.

The map's worker runs the map stage, the sound's worker the sound branch. Results cross from one to the other in the cells
`snapshot` and `verdict`, counters in `map_statistics` and `sound_statistics`. A listener is told of every result, in the
thread that made it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError
from echoseg_ros.objects.map_snapshot import EMPTY_SNAPSHOT
from echoseg_ros.pipeline.labelling_stage import LabellingStage
from echoseg_ros.pipeline.latest import Latest
from echoseg_ros.pipeline.map_stage import CameraItem, MapStage, MapStatistics
from echoseg_ros.pipeline.pipeline import PipelineItem, SoundBranch
from echoseg_ros.pipeline.sound_stage import SoundItem, SoundStatistics
from echoseg_ros.pipeline.timeline import Timeline
from echoseg_ros.pipeline.worker import Worker
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import (
    AudioChunk,
    AudioFormat,
    DepthData,
    ImageData,
    MapSnapshot,
    MaskImage,
    SoundEvidence,
    Verdict,
)

Result = TypeVar("Result")

MAP, SOUND = "map", "sound"
# Images, depth images and masks that may wait for the map: 1.5 s of a 10 Hz camera with depth, as long as a keyframe takes.
MAP_QUEUE = 30
# Audio messages that may wait for the sound: 20 s of messages of 0.1 s, since audio must not be lost.
SOUND_QUEUE = 200
# Priority step of the map's thread: a map may be late, audio may not.
MAP_NICENESS = 5
# Longest wait for the queues at the end of a recording, in seconds.
DRAIN_TIMEOUT_S = 60.0


class LiveListener:
    """What a live pipeline tells; every method is called in the thread of the worker concerned and does nothing here."""

    def snapshot_made(self, snapshot: MapSnapshot, map_stage: MapStage, verdict: Verdict) -> None:
        """The map's worker has a new snapshot; verdict: the newest one."""

    def evidence_made(self, evidence: SoundEvidence) -> None:
        """The sound's worker has the evidence of one more window."""

    def verdict_made(self, verdict: Verdict, snapshot: MapSnapshot, labelling: LabellingStage | None) -> None:
        """The sound's worker has a verdict, decided on the snapshot."""

    def cleared(self, verdict: Verdict) -> None:
        """The evidence was reset; the verdict is empty."""

    def problem_found(self, worker: str, text: str) -> None:
        """Input that a stage could use only in part, or not at all."""

    def failed(self, worker: str, item: object, error: Exception) -> None:
        """A worker could not handle an item (None: in spare time)."""


class LivePipeline:
    """Stages with a worker each for map and sound.

    device: None for a pipeline without a map, which makes evidence only; array: None while it is not known (`use_array`)
    or where evidence of other nodes is put in. Poses go to both workers. `put` never blocks; `dropped` counts what was
    lost in the queues: images, depths, masks, audio messages, evidence.
    """

    def __init__(self, config: Config, listener: LiveListener, array: ArrayGeometry | None, device: str | None,
                 use_depth: bool = True) -> None:  # fmt: skip
        self.config = config
        self.device = device
        self.snapshot = Latest(EMPTY_SNAPSHOT)
        self.verdict = Latest(Verdict(0, 0))
        self.map_statistics = Latest(MapStatistics())
        self.sound_statistics = Latest(SoundStatistics())
        self.dropped: Counter[str] = Counter()
        self.dropped_audio_s = 0.0
        self._listener = listener
        self._sample_rate_hz = 0
        self._map_stage = None if device is None else MapStage(config, device, use_depth, live=True)
        self._sound = SoundBranch(config, array, live=True)
        self._timeline = Timeline()
        self._lock = threading.Lock()
        self.workers: dict[str, Worker[Any]] = {}
        if self._map_stage is not None:
            self.workers[MAP] = Worker[Any](
                MAP, self._handle_map_item, MAP_QUEUE, _is_droppable, self._report_map_error, MAP_NICENESS,
                self._use_spare_time,
            )  # fmt: skip
        self.workers[SOUND] = Worker[Any](
            SOUND, self._handle_sound_item, SOUND_QUEUE, _is_droppable, self._report_sound_error
        )

    def start(self) -> None:
        """Start the workers."""
        for worker in self.workers.values():
            worker.start()

    def stop(self, drain: bool = False) -> None:
        """End the workers; drain: handle everything queued before."""
        for worker in self.workers.values():
            if drain:
                worker.drain(DRAIN_TIMEOUT_S)
        for worker in self.workers.values():
            worker.stop()
        self._sound.stop()

    def put(self, item: PipelineItem | SoundEvidence) -> None:
        """Queue a message for the stages that use it, and count what is dropped for it."""
        if isinstance(item, AudioFormat):
            self._sample_rate_hz = item.sample_rate_hz
        if isinstance(item, CameraItem) and MAP in self.workers:
            self._count_drop(self.workers[MAP].put(item))
        if isinstance(item, SoundItem | SoundEvidence):
            self._count_drop(self.workers[SOUND].put(item))

    def use_array(self, array: ArrayGeometry) -> None:
        """Hear with this array from the next message on."""
        self.workers[SOUND].put(array)

    def rewind(self) -> None:
        """On a backward time jump: clear poses, waiting frames and evidence behind what is queued; the map stays."""
        if self._map_stage is not None:
            self.workers[MAP].put(_REWIND)
        self.workers[SOUND].put(_REWIND)

    def reset(self) -> None:
        """Empty the map, the evidence and the timeline. Raises TimeoutError if a worker does not answer."""
        self.call_map(lambda stage: self._use_map(stage.emptied(), EMPTY_SNAPSHOT))
        self.workers[SOUND].call(self._clear_sound)

    def load_map(self, path: Path) -> None:
        """Continue from the map in a PLY file; its instances are found anew. Raises EchosegError, TimeoutError."""
        stamp_ns = self.snapshot.get().stamp_ns
        fresh = self.call_map(MapStage.emptied)  # the caller's until the worker takes it: mapping continues meanwhile
        fresh.mapper.load(path)
        self.call_map(lambda _: self._use_map(fresh, fresh.snapshot(stamp_ns)))

    def call_map(self, action: Callable[[MapStage], Result]) -> Result:
        """Run an action on the map stage in its worker, between two messages, and return its result.

        Raises EchosegError for a pipeline without a map, and TimeoutError.
        """
        self._the_map_stage()  # raises without a map
        return self.workers[MAP].call(lambda: action(self._the_map_stage()))

    def call_sound(self, action: Callable[[SoundBranch, Timeline], Result]) -> Result:
        """Run an action on the sound branch and the timeline in their worker, and return its result."""
        return self.workers[SOUND].call(lambda: action(self._sound, self._timeline))

    def conclude(self) -> None:
        """After `stop`, at the end of a recording: finish the map and decide once more on it."""
        self.snapshot.set(self._the_map_stage().finish() or self.snapshot.get())
        verdict = self._sound.conclude(self.snapshot.get())
        if verdict is not None:
            self.verdict.set(verdict)
            self._timeline.add(verdict)
        self._publish_statistics()

    def _handle_map_item(self, item: CameraItem | object) -> None:
        stage = self._the_map_stage()
        if item is _REWIND:
            stage.rewind()
        elif isinstance(item, CameraItem):
            for snapshot in stage.add(item):
                self.snapshot.set(snapshot)
                self._listener.snapshot_made(snapshot, stage, self.verdict.get())
            while stage.problems:
                self._listener.problem_found(MAP, stage.problems.popleft())
        self.map_statistics.set(stage.statistics())

    def _handle_sound_item(self, item: SoundItem | SoundEvidence | ArrayGeometry | object) -> None:
        if item is _REWIND:
            self._sound.rewind()
        elif isinstance(item, ArrayGeometry):
            self._sound.use_array(item)
        elif isinstance(item, SoundEvidence):
            snapshot = self.snapshot.get()
            self._add_verdict(self._sound.decide(item, snapshot), snapshot)
        elif isinstance(item, SoundItem):
            self._hear(item)

    def _hear(self, item: SoundItem) -> None:
        snapshot = None if self._map_stage is None else self.snapshot.get()
        for heard in self._sound.hear(item, snapshot):
            self._listener.evidence_made(heard.evidence)
            if heard.verdict is not None and snapshot is not None:
                self._add_verdict(heard.verdict, snapshot)
        if (stage := self._sound.sound_stage) is not None:
            while stage.problems:
                self._listener.problem_found(SOUND, stage.problems.popleft())
            self.sound_statistics.set(stage.statistics())

    def _add_verdict(self, verdict: Verdict, snapshot: MapSnapshot) -> None:
        self.verdict.set(verdict)
        self._timeline.add(verdict)
        self._listener.verdict_made(verdict, snapshot, self._sound.labelling_stage)

    def _use_map(self, stage: MapStage, snapshot: MapSnapshot) -> None:
        self._map_stage = stage
        self.snapshot.set(snapshot)
        self.map_statistics.set(stage.statistics())
        self._listener.snapshot_made(snapshot, stage, self.verdict.get())

    def _clear_sound(self) -> None:
        self._sound.forget_sources()
        last = self.verdict.get()
        self.verdict.set(Verdict(last.stamp_ns, last.window_end_ns))
        self._timeline = Timeline()
        self._listener.cleared(self.verdict.get())

    def _use_spare_time(self) -> float:
        return self._the_map_stage().use_spare_time()

    def _report_map_error(self, item: object, error: Exception) -> None:
        self.map_statistics.set(self._the_map_stage().statistics())
        self._listener.failed(MAP, item, error)

    def _report_sound_error(self, item: object, error: Exception) -> None:
        self._listener.failed(SOUND, item, error)

    def _count_drop(self, lost: object) -> None:
        if lost is None:
            return
        with self._lock:
            self.dropped[_kind(lost)] += 1
            if isinstance(lost, AudioChunk) and self._sample_rate_hz:
                self.dropped_audio_s += len(lost.samples) / self._sample_rate_hz

    def _publish_statistics(self) -> None:
        self.map_statistics.set(self._the_map_stage().statistics())
        if self._sound.sound_stage is not None:
            self.sound_statistics.set(self._sound.sound_stage.statistics())

    def _the_map_stage(self) -> MapStage:
        if self._map_stage is None:
            raise EchosegError("this pipeline has no map")
        return self._map_stage


# Queued between the last message of one time and the first of an earlier one.
_REWIND = object()
_DROPPABLE = {
    ImageData: "images",
    DepthData: "depths",
    MaskImage: "masks",
    AudioChunk: "audio",
    SoundEvidence: "evidence",
}


def _is_droppable(item: object) -> bool:
    return type(item) in _DROPPABLE


def _kind(item: object) -> str:
    return _DROPPABLE[type(item)]
