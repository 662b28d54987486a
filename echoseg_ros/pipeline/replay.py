"""A bag through the pipeline without ROS: as fast as possible and repeatable, or at the pace of the recording."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from echoseg_ros.config import Config, load_config
from echoseg_ros.errors import ArrayError, EchosegError
from echoseg_ros.io.bag import REQUIRED, BagReader, Problem
from echoseg_ros.io.bag_writer import ARRAY_FILE, SETTINGS_FILE
from echoseg_ros.io.files import read_json
from echoseg_ros.masks.factory import TOPIC
from echoseg_ros.pipeline.labelling_stage import LabellingStage
from echoseg_ros.pipeline.live import MAP, SOUND, LiveListener, LivePipeline
from echoseg_ros.pipeline.map_stage import MapStage
from echoseg_ros.pipeline.pipeline import Pipeline, PipelineItem, SoundBranch
from echoseg_ros.pipeline.run_counters import QueueLosses, RunCounters
from echoseg_ros.pipeline.sound_stage import SoundStage, SoundStatistics
from echoseg_ros.pipeline.timeline import Timeline
from echoseg_ros.pipeline.warmup import warm_up
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.types import (
    AudioChunk,
    AudioFormat,
    DepthData,
    Float64Array,
    ImageData,
    MapSnapshot,
    PoseData,
    Verdict,
)

logger = logging.getLogger(__name__)

# Every n-th frame is held out of the map to measure it, unless settings say otherwise.
HOLD_OUT_EVERY = 8


@dataclass(frozen=True)
class ReplayedRun:
    """The stages at the end of a recording, and what they concluded. skipped: causes of skipped messages, counted."""

    map_stage: MapStage
    sound: SoundBranch
    snapshot: MapSnapshot
    verdict: Verdict
    timeline: Timeline
    counters: RunCounters
    skipped: dict[str, int]


@dataclass(frozen=True)
class ReplayOptions:
    """device: of the map; use_depth: False ignores depth images; realtime: at the pace of the stamps, on two workers."""

    device: str = "cpu"
    use_depth: bool = True
    realtime: bool = False
    progress: bool = True


def bag_config(bag: Path) -> Config:
    """Defaults of a run of a bag: held-out views, and the settings that lie beside the recording.

    Raises ConfigError if those cannot be used.
    """
    beside = Path(bag) / SETTINGS_FILE
    config = Config().updated({"input.hold_out_every": HOLD_OUT_EVERY})
    return load_config(beside, base=config) if beside.exists() else config


def bag_array(bag: Path, config: Config) -> ArrayGeometry:
    """The array of `sound.array`, or with "auto" the array.yaml in the bag's folder. Raises ArrayError."""
    if config.sound.array != "auto":
        return load_array(config.sound.array)
    beside = Path(bag) / ARRAY_FILE
    if not beside.exists():
        raise ArrayError(f"{bag}: no array.yaml beside the bag; name one with --set sound.array=NAME or FILE")
    return load_array(str(beside))


def bag_T_map_world(bag: Path) -> Float64Array:
    """T_map_world [4, 4] of the bag's truth.json; identity for a bag without truth, whose poses are in the map."""
    truth = Path(bag) / "truth.json"
    return np.asarray(read_json(truth)["T_map_world"], dtype=float) if truth.exists() else np.eye(4)


def open_bag(bag: Path, config: Config) -> BagReader:
    """A reader that requires the topics that the settings need. Raises EchosegError if the bag cannot be used."""
    return BagReader(bag, require=(*REQUIRED, "masks") if config.masks.backend == TOPIC else REQUIRED)


def replay_bag(
    reader: BagReader, config: Config, array: ArrayGeometry, options: ReplayOptions | None = None
) -> ReplayedRun:
    """All messages of a bag through the pipeline.

    Raises EchosegError where the array does not fit the audio, or a stage cannot be made. A message that cannot be used
    is skipped; each cause is logged once.
    """
    options = options or ReplayOptions()
    if reader.audio_format is not None:  # an array that does not fit the audio ends the run before it has begun
        SoundStage(config, array).add(reader.audio_format)
    runner: _RealtimeReplay | _OfflineReplay
    runner = _RealtimeReplay(config, array, options) if options.realtime else _OfflineReplay(config, array, options)
    messages = tqdm(
        reader.messages(), desc="mapping and listening", unit=" messages", disable=not options.progress, mininterval=0.5
    )
    for item in messages:
        if isinstance(item, Problem):
            runner.skipped.add(item.text)
        else:
            runner.add(item)
    run = runner.finish(reader.duration_s)
    found = run.sound.sound_stage.statistics().calibration if run.sound.sound_stage else None
    if found is not None:
        logger.info("self-calibration: %s", found)
    return run


class _Skipped:
    """Counts messages that could not be used; logs each cause once."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, cause: str) -> None:
        key = cause.split(" at ")[0]
        if not self.counts[key]:
            logger.warning("%s (message skipped)", cause)
        self.counts[key] += 1


class _OfflineReplay:
    """One message after the other, in the order of the bag."""

    def __init__(self, config: Config, array: ArrayGeometry, options: ReplayOptions) -> None:
        self._pipeline = Pipeline(config, array, options.device, options.use_depth)
        self._timeline = Timeline()
        self._verdict = Verdict(0, 0)
        self._busy_s = {MAP: 0.0, SOUND: 0.0}
        self.skipped = _Skipped()

    def add(self, item: PipelineItem) -> None:
        start = time.perf_counter()
        try:
            for verdict in self._pipeline.add(item):
                self._believe(verdict)
        except EchosegError as error:
            self.skipped.add(str(error))
        self._report_problems()
        self._busy_s[SOUND if isinstance(item, AudioChunk) else MAP] += time.perf_counter() - start

    def finish(self, recorded_s: float) -> ReplayedRun:
        last = self._pipeline.finish()
        if last is not None:
            self._believe(last)
        map_stage, sound = self._pipeline.map_stage, self._pipeline.sound
        statistics = sound.sound_stage.statistics() if sound.sound_stage else SoundStatistics()
        counters = RunCounters.of(recorded_s, self._busy_s, map_stage.statistics(), statistics)
        return ReplayedRun(
            map_stage,
            sound,
            self._pipeline.snapshot,
            self._verdict,
            self._timeline,
            counters,
            dict(self.skipped.counts),
        )

    def _believe(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._timeline.add(verdict)

    def _report_problems(self) -> None:
        sound_stage = self._pipeline.sound.sound_stage
        for problems in (sound_stage.problems if sound_stage else deque[str](), self._pipeline.map_stage.problems):
            while problems:
                self.skipped.add(problems.popleft())


class _RealtimeReplay(LiveListener):
    """Messages at the pace of their stamps, on the two workers of the live pipeline, as in the node."""

    def __init__(self, config: Config, array: ArrayGeometry, options: ReplayOptions) -> None:
        warm_up(config, array, options.device)
        self._pipeline = LivePipeline(config, self, array, options.device, options.use_depth)
        self._start: tuple[float, int] | None = None
        self._sample_rate_hz = 1
        self._fatal: Exception | None = None
        self._latencies_ms: list[float] = []
        self.skipped = _Skipped()
        self._pipeline.start()

    def add(self, item: PipelineItem) -> None:
        self._wait_until(_available_ns(item, self._sample_rate_hz))
        if isinstance(item, AudioFormat):
            self._sample_rate_hz = item.sample_rate_hz
        self._pipeline.put(item)

    def finish(self, recorded_s: float) -> ReplayedRun:
        pipeline = self._pipeline
        pipeline.stop(drain=True)
        if self._fatal is not None:
            raise self._fatal
        pipeline.conclude()
        losses = QueueLosses(pipeline.dropped["images"], pipeline.dropped_audio_s)
        busy_s = {name: worker.busy_s for name, worker in pipeline.workers.items()}
        counters = RunCounters.of(
            recorded_s, busy_s, pipeline.map_statistics.get(), pipeline.sound_statistics.get(), losses,
            self._latencies_ms,
        )  # fmt: skip
        sound, timeline = pipeline.call_sound(lambda sound, timeline: (sound, timeline))
        map_stage = pipeline.call_map(lambda stage: stage)
        return ReplayedRun(
            map_stage, sound, pipeline.snapshot.get(), pipeline.verdict.get(), timeline, counters,
            dict(self.skipped.counts),
        )  # fmt: skip

    def verdict_made(self, verdict: Verdict, snapshot: MapSnapshot, labelling: LabellingStage | None) -> None:
        assert self._start is not None  # audio has a stamp
        now_ns = self._start[1] + (time.perf_counter() - self._start[0]) * 1e9
        self._latencies_ms.append((now_ns - verdict.window_end_ns) / 1e6)

    def problem_found(self, worker: str, text: str) -> None:
        self.skipped.add(text)

    def failed(self, worker: str, item: object, error: Exception) -> None:
        if isinstance(error, EchosegError):
            self.skipped.add(str(error))
        else:
            self._fatal = self._fatal or error

    def _wait_until(self, stamp_ns: int | None) -> None:
        if stamp_ns is None:
            return
        if self._start is None:
            self._start = (time.perf_counter(), stamp_ns)
        ahead_s = (stamp_ns - self._start[1]) / 1e9 - (time.perf_counter() - self._start[0])
        if ahead_s > 0:
            time.sleep(ahead_s)


def _available_ns(item: PipelineItem, sample_rate_hz: int) -> int | None:
    """When a live system would have the message: at its stamp, audio when its last sample is taken."""
    if isinstance(item, AudioChunk):
        return item.stamp_ns + int(len(item.samples) / sample_rate_hz * 1e9)
    return item.stamp_ns if isinstance(item, ImageData | DepthData | PoseData) else None
