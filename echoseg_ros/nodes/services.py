"""reset, save_map and load_map, done by the thread that owns the map; and the files of a run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from echoseg_ros.io.results import RunCounters, RunInfo, write_run
from echoseg_ros.nodes.base import Call, EchosegBase
from echoseg_ros.nodes.map_half import MapHalf
from echoseg_ros.nodes.sound_half import SoundHalf
from echoseg_ros.nodes.verdict_half import VerdictHalf
from echoseg_ros.objects.snapshot import EMPTY_SNAPSHOT
from echoseg_ros.pipeline import MapSide
from echoseg_ros.worker import Worker

# Long enough for a keyframe in work and the largest map to be written.
PATIENCE_S = 120.0


def in_thread_of(worker: Worker[Any], action: Callable[[], str]) -> str:
    """Let a worker do something between two items and wait for it.

    Raises what it raises, TimeoutError if it takes too long.
    """
    done = threading.Event()
    results: list[str] = []
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
        for name, action in (("reset", self._reset), ("save_map", self._save), ("load_map", self._load)):
            node.serve(name, partial(in_thread_of, map_half.worker, action))

    def save_results(self) -> bool:
        """Write the files of this run into `results_dir`; False where none is set or nothing was received."""
        folder = str(self._node.get_parameter("results_dir").value)
        if not folder or self._node.first_stamp_ns is None:
            return False
        info = RunInfo(self._node.config, " ".join(sys.argv), self._map_half.device, self._node.first_stamp_ns)
        with self._verdict_half.lock:
            heard = self._verdict_half
            write_run(
                Path(folder), info, self._counters(), self._map_half.side, heard.judge, heard.verdict, heard.history
            )
        return True

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

    def _fresh_side(self) -> MapSide:
        """An empty map that knows the camera."""
        half = self._map_half
        fresh = half.new_side()
        if half.side.frames.camera is not None:
            fresh.add(half.side.frames.camera)
        return fresh

    def _reset(self) -> str:
        half = self._map_half
        half.side = self._fresh_side()
        half.show(EMPTY_SNAPSHOT)
        self._verdict_half.reset()
        return "map and sources forgotten"

    def _save(self) -> str:
        side, path = self._map_half.side, self._map_path()
        gaussians = side.mapper.gaussians
        uids = gaussians.uids.cpu().numpy()
        with self._verdict_half.lock:
            means = gaussians.means.detach().cpu().numpy().astype(np.float32)
            intensity = self._verdict_half.judge.score(means)
        side.mapper.save(path, side.instances.assignment(uids), intensity)
        written = self.save_results()
        folder = self._node.get_parameter("results_dir").value
        return f"{len(uids)} Gaussians written to {path}" + (f", results to {folder}" if written else "")

    def _load(self) -> str:
        half, path = self._map_half, self._map_path()
        fresh = self._fresh_side()
        fresh.mapper.load(path)
        half.side = fresh
        half.show(fresh.snapshot(half.snapshot.stamp_ns))
        return f"{half.snapshot.gaussians} Gaussians read from {path}; objects are found anew as they are seen"
