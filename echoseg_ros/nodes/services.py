"""reset, save_map and load_map; and the files of a run.

A service is answered in the executor's one thread: messages wait in their queues meanwhile. The thread that owns the map
goes on; it is asked only for what must be done between two of its items, a copy of the map or its replacement.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from echoseg_ros.nodes.map_half import MapHalf
from echoseg_ros.nodes.node_base import Call, EchosegBase
from echoseg_ros.nodes.sound_half import SoundHalf
from echoseg_ros.nodes.verdict_half import VerdictHalf
from echoseg_ros.objects.map_snapshot import EMPTY_SNAPSHOT
from echoseg_ros.pipeline.map_stage import MapStage
from echoseg_ros.pipeline.worker import Worker
from echoseg_ros.report.results import MapState, RunCounters, RunInfo, audio_intensity, run_files
from echoseg_ros.report.source_audio import write_beams
from echoseg_ros.sound.labels.beamformer import BeamSignal

# Long enough for a keyframe in work.
PATIENCE_S = 120.0

Result = TypeVar("Result")


def in_thread_of(worker: Worker[Any], action: Callable[[], Result]) -> Result:
    """Let a worker do something between two items and wait for it.

    Raises what it raises, TimeoutError if it takes too long.
    """
    done = threading.Event()
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(action())
        except Exception as error:  # belongs to the caller
            errors.append(error)
        finally:
            done.set()

    worker.put(Call(run))
    if not done.wait(PATIENCE_S):
        raise TimeoutError(f"not done after {PATIENCE_S:.0f} s")
    if errors:
        raise errors[0]
    return results[0]


class MapServices:
    """The services of a node that has a map."""

    def __init__(
        self, node: EchosegBase, map_half: MapHalf, verdict_half: VerdictHalf, sound_half: SoundHalf | None
    ) -> None:
        self._node = node
        self._map_half = map_half
        self._verdict_half = verdict_half
        self._sound_half = sound_half
        node.serve("reset", partial(in_thread_of, map_half.worker, self._reset))
        node.serve("save_map", self._save)
        node.serve("load_map", self._load)

    def save_results(self, beams: Mapping[int, BeamSignal] | None = None) -> None:
        """Once the threads have ended: write the files of this run, if `results_dir` is set and something was received."""
        folder = self._results_folder()
        if folder is not None:
            self._write_results(folder, self._map_state())
            write_beams(folder, beams or {})

    def _results_folder(self) -> Path | None:
        folder = str(self._node.get_parameter("results_dir").value)
        return Path(folder) if folder and self._node.first_stamp_ns is not None else None

    def _map_state(self) -> MapState:
        return MapState.of(self._map_half.side, self._map_half.snapshot.stamp_ns)

    def _write_results(self, folder: Path, state: MapState) -> None:
        heard, start_ns = self._verdict_half, self._node.first_stamp_ns
        info = RunInfo(self._node.config, " ".join(sys.argv), self._map_half.device, start_ns or 0)
        with heard.lock:
            files = run_files(info, self._counters(), state, heard.judge, heard.verdict, heard.history)
        files.write(folder)

    def _counters(self) -> RunCounters:
        node, side = self._node, self._map_half.side
        frames = side.frames.counts
        queued_out = self._map_half.images_dropped
        received_s, dropped_s = self._sound_half.seconds() if self._sound_half else (0.0, 0.0)
        newest_ns = max((i.newest_ns for i in node.inputs.values() if i.newest_ns is not None), default=0)
        return RunCounters(
            recorded_s=max(0.0, (newest_ns - (node.first_stamp_ns or newest_ns)) / 1e9),
            busy_s={name: worker.busy_s for name, worker in node.workers.items()},
            frames_received=frames["received"] + queued_out,
            frames_dropped=frames["received"] - frames["assembled"] + queued_out,
            keyframes=side.keyframes,
            audio_received_s=received_s,
            audio_dropped_s=dropped_s,
            latencies_ms=list(self._verdict_half.latencies_ms),
        )

    def _map_path(self) -> Path:
        return Path(str(self._node.get_parameter("map_path").value)).expanduser().absolute()

    def _fresh_side(self) -> MapStage:
        """An empty map that knows the camera."""
        half = self._map_half
        fresh = half.new_side()
        if half.side.frames.camera is not None:
            fresh.add(half.side.frames.camera)
        if half.side.mapper.seeds is not None:
            fresh.mapper.add_seeds(half.side.mapper.seeds)
        return fresh

    def _reset(self) -> str:
        half = self._map_half
        half.side = self._fresh_side()
        half.show(EMPTY_SNAPSHOT)
        self._verdict_half.reset()
        return "map and sources forgotten"

    def _save(self) -> str:
        path = self._map_path()
        state = in_thread_of(self._map_half.worker, self._map_state)
        with self._verdict_half.lock:
            intensity = audio_intensity(self._verdict_half.judge, state.map.means, self._verdict_half.verdict)
        state.map.write(path, state.instance_ids, intensity)
        folder = self._results_folder()
        if folder is not None:
            self._write_results(folder, state)
        return f"{len(state.map)} Gaussians written to {path}" + (f", results to {folder}" if folder else "")

    def _load(self) -> str:
        half, path = self._map_half, self._map_path()
        fresh = self._fresh_side()
        fresh.mapper.load(path)
        in_thread_of(half.worker, partial(self._replace, fresh))
        return f"{half.snapshot.gaussians} Gaussians read from {path}; objects are found anew as they are seen"

    def _replace(self, fresh: MapStage) -> None:
        half = self._map_half
        half.side = fresh
        half.show(fresh.snapshot(half.snapshot.stamp_ns))
