"""A bag through the pipeline without ROS: as fast as it goes and repeatable, or against a clock."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from echoseg_ros.config import Config, load_config
from echoseg_ros.errors import ArrayError, EchosegError
from echoseg_ros.io.bag import REQUIRED, BagReader, Problem
from echoseg_ros.io.bag_writer import SETTINGS_FILE
from echoseg_ros.io.files import read_json
from echoseg_ros.masks.factory import TOPIC
from echoseg_ros.pipeline.map_stage import CameraItem
from echoseg_ros.pipeline.pipeline import Pipeline
from echoseg_ros.pipeline.sound_stage import SoundItem
from echoseg_ros.pipeline.timeline import Timeline
from echoseg_ros.pipeline.warmup import warm_up
from echoseg_ros.pipeline.worker import Worker
from echoseg_ros.report.results import RunCounters, RunInfo, write_run
from echoseg_ros.report.source_audio import write_beams
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.types import AudioChunk, AudioFormat, DepthData, Float64Array, ImageData, PoseData, Verdict

logger = logging.getLogger(__name__)

# Images that may wait for the map, and audio messages for the sound, before the oldest goes.
IMAGE_QUEUE = 20
AUDIO_QUEUE = 200
# Of the frames every so many-th is kept out of the map, to judge it by, unless settings say otherwise.
HOLD_OUT_EVERY = 8


@dataclass
class Skipped:
    """Messages that could not be used: each cause is said once, all are counted."""

    counts: Counter[str]

    def add(self, cause: str) -> None:
        """Count a cause and say it the first time."""
        key = cause.split(" at ")[0]
        if not self.counts[key]:
            logger.warning("%s (message skipped)", cause)
        self.counts[key] += 1


def bag_config(bag: Path) -> Config:
    """What a run of a bag starts from: the defaults, held-out views, and the settings that lie beside the recording.

    Raises ConfigError if those cannot be used.
    """
    beside = Path(bag) / SETTINGS_FILE
    config = Config().updated({"input.hold_out_every": HOLD_OUT_EVERY})
    return load_config(beside, base=config) if beside.exists() else config


def bag_array(bag: Path, config: Config) -> ArrayGeometry:
    """The array of `sound.array`, or with "auto" the array.yaml that lies in the bag. Raises ArrayError."""
    if config.sound.array != "auto":
        return load_array(config.sound.array)
    beside = Path(bag) / "array.yaml"
    if not beside.exists():
        raise ArrayError(f"{bag}: no array.yaml beside the bag; name one with --set sound.array=NAME or FILE")
    return load_array(str(beside))


def bag_T_map_world(bag: Path) -> Float64Array:
    """T_map_world [4, 4] of the bag's truth.json; identity for a bag without truth, whose poses are in the map."""
    truth = Path(bag) / "truth.json"
    return np.asarray(read_json(truth)["T_map_world"], dtype=float) if truth.exists() else np.eye(4)


def run_bag(
    bag: Path,
    out: Path,
    config: Config,
    command: str,
    device: str = "cpu",
    use_depth: bool = True,
    realtime: bool = False,
    progress: bool = True,
) -> None:
    """Read a bag from end to end and write the run's files into `out`. Raises EchosegError if the bag cannot be used."""
    reader = BagReader(bag, require=(*REQUIRED, "masks") if config.masks.backend == TOPIC else REQUIRED)
    pipeline = Pipeline(config, bag_array(bag, config), device, use_depth)
    if reader.audio_format is not None:  # an array that does not fit the audio ends the run before it has begun
        pipeline.add(reader.audio_format)
    runner = replay_bag(reader, pipeline, realtime, progress)
    info = RunInfo(config, command, device, reader.start_ns, bag_T_map_world(bag))
    counters = runner.counters(reader.duration_s)
    write_run(out, info, counters, pipeline.map_stage, pipeline.judge, runner.verdict, runner.history)
    write_beams(out, pipeline.sound_stage.ear.beams(runner.verdict))


def replay_bag(reader: BagReader, pipeline: Pipeline, realtime: bool = False, progress: bool = True) -> OfflineRun:
    """All messages of a bag through a pipeline, which keeps the map; returns what the run counted and concluded."""
    runner = _RealtimeRun(pipeline) if realtime else OfflineRun(pipeline)
    items = tqdm(
        reader.messages(), desc="mapping and listening", unit=" messages", disable=not progress, mininterval=0.5
    )
    for item in items:
        if isinstance(item, Problem):
            runner.skipped.add(item.text)
        else:
            runner.add(item)
    runner.finish()
    return runner


class OfflineRun:
    """One message after the other, in the order of the bag."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.history = Timeline()
        self.verdict = Verdict(0, 0)
        self.skipped = Skipped(Counter())
        self.latencies_ms: list[float] = []
        self.dropped_images = 0
        self._busy_s = {"map": 0.0, "sound": 0.0}

    def add(self, item: CameraItem | SoundItem) -> None:
        start = time.perf_counter()
        try:
            for verdict in self.pipeline.add(item):
                self._believe(verdict)
        except EchosegError as error:
            self.skipped.add(str(error))
        self._report_problems()
        worker = "sound" if isinstance(item, AudioChunk) else "map"
        self._busy_s[worker] += time.perf_counter() - start

    def _believe(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.history.add(verdict)

    def _report_problems(self) -> None:
        for problems in (self.pipeline.sound_stage.problems, self.pipeline.map_stage.problems):
            while problems:
                self.skipped.add(problems.popleft())

    def finish(self) -> None:
        last = self.pipeline.finish()
        if last is not None:
            self._believe(last)
        found = self.pipeline.sound_stage.calibration.newest
        if found is not None:
            logger.info("self-calibration: %s", found)

    def busy_s(self) -> dict[str, float]:
        return self._busy_s

    def counters(self, recorded_s: float) -> RunCounters:
        frames, stream = self.pipeline.map_stage.frames.counts, self.pipeline.sound_stage.stream
        return RunCounters(
            recorded_s=recorded_s,
            busy_s=self.busy_s(),
            frames_received=frames["received"] + self.dropped_images,
            frames_dropped=frames["received"] - frames["assembled"] + self.dropped_images,
            keyframes=self.pipeline.map_stage.keyframes,
            audio_received_s=stream.received_s if stream else 0.0,
            audio_dropped_s=stream.dropped_s if stream else 0.0,
            latencies_ms=self.latencies_ms,
        )


class _RealtimeRun(OfflineRun):
    """Messages come at the pace of their stamps; the map and the sound each have a thread, as in the node."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self._start: tuple[float, int] | None = None
        self._sample_rate_hz = 1
        self._fatal: Exception | None = None
        warm_up(pipeline.map_stage.config, pipeline.sound_stage.array, pipeline.map_stage.device)
        pipeline.map_stage.live = True
        pipeline.sound_stage.ear.go_live()
        self._map = Worker[CameraItem](
            "map", self._map_item, IMAGE_QUEUE, _is_image, self._skip, spare=pipeline.map_stage.use_spare_time
        )
        self._sound = Worker[SoundItem]("sound", self._sound_item, AUDIO_QUEUE, _is_audio, self._skip)
        self._map.start()
        self._sound.start()

    def add(self, item: CameraItem | SoundItem) -> None:
        self._wait_until(_available_ns(item, self._sample_rate_hz))
        if isinstance(item, AudioFormat):
            self._sample_rate_hz = item.sample_rate_hz
        if isinstance(item, CameraItem):
            self._map.put(item)
        if isinstance(item, SoundItem):
            self._sound.put(item)

    def finish(self) -> None:
        self._map.drain()
        self._sound.drain()
        self._map.stop()
        self._sound.stop()
        self.pipeline.sound_stage.ear.stop()
        if self._fatal is not None:
            raise self._fatal
        self.dropped_images = self._map.dropped
        super().finish()

    def busy_s(self) -> dict[str, float]:
        return {"map": self._map.busy_s, "sound": self._sound.busy_s}

    def _wait_until(self, stamp_ns: int | None) -> None:
        if stamp_ns is None:
            return
        if self._start is None:
            self._start = (time.perf_counter(), stamp_ns)
        ahead_s = (stamp_ns - self._start[1]) / 1e9 - (time.perf_counter() - self._start[0])
        if ahead_s > 0:
            time.sleep(ahead_s)

    def _map_item(self, item: CameraItem) -> None:
        self.pipeline.snapshot = ([self.pipeline.snapshot] + self.pipeline.map_stage.add(item))[-1]

    def _sound_item(self, item: SoundItem) -> None:
        for evidence in self.pipeline.sound_stage.add(item):
            verdict = self.pipeline.hear(evidence)
            self._believe(verdict)
            assert self._start is not None  # audio has a stamp
            now_ns = self._start[1] + (time.perf_counter() - self._start[0]) * 1e9
            self.latencies_ms.append((now_ns - verdict.window_end_ns) / 1e6)
        self._report_problems()

    def _skip(self, error: Exception) -> None:
        if isinstance(error, EchosegError):
            self.skipped.add(str(error))
        else:
            self._fatal = self._fatal or error


def _available_ns(item: CameraItem | SoundItem, sample_rate_hz: int) -> int | None:
    """When a live system would have the message: at its stamp, audio when its last sample is taken."""
    if isinstance(item, AudioChunk):
        return item.stamp_ns + int(len(item.samples) / sample_rate_hz * 1e9)
    return item.stamp_ns if isinstance(item, ImageData | DepthData | PoseData) else None


def _is_image(item: CameraItem) -> bool:
    return isinstance(item, ImageData)


def _is_audio(item: SoundItem) -> bool:
    return isinstance(item, AudioChunk)
