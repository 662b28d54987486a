"""Services reset, save_map and load_map; and the files of a run.

A service is answered in the executor's one thread: messages wait in their queues meanwhile. The workers continue; they
are asked only for what must be done between two messages.
"""

from __future__ import annotations

import sys
from pathlib import Path

from echoseg_ros.nodes.node_base import EchosegBase
from echoseg_ros.nodes.outputs import NodeOutputs
from echoseg_ros.pipeline.live import LivePipeline
from echoseg_ros.pipeline.pipeline import SoundBranch
from echoseg_ros.pipeline.run_counters import QueueLosses, RunCounters
from echoseg_ros.report.results import MapState, RunInfo, audio_intensity, run_files
from echoseg_ros.report.source_audio import write_beams
from echoseg_ros.sound.labels.beamformer import BeamSignal


class MapServices:
    """The services of a node that has a map."""

    def __init__(self, node: EchosegBase, live: LivePipeline, outputs: NodeOutputs) -> None:
        self._node = node
        self._live = live
        self._outputs = outputs
        node.serve("reset", self._reset)
        node.serve("save_map", self._save)
        node.serve("load_map", self._load)

    def save_results(self) -> None:
        """At the end: write the files of this run, if `results_dir` is set and something was received."""
        folder = self._results_folder()
        if folder is not None:
            self._write_results(folder, self._map_state())
            write_beams(folder, self._live.call_sound(lambda sound, _: self._signals(sound)))

    def _results_folder(self) -> Path | None:
        folder = str(self._node.get_parameter("results_dir").value)
        return Path(folder) if folder and self._node.first_stamp_ns is not None else None

    def _map_state(self) -> MapState:
        stamp_ns = self._live.snapshot.get().stamp_ns
        return self._live.call_map(lambda stage: MapState.of(stage, stamp_ns))

    def _signals(self, sound: SoundBranch) -> dict[int, BeamSignal]:
        return {} if sound.labelling_stage is None else sound.labelling_stage.signals(self._live.verdict.get())

    def _write_results(self, folder: Path, state: MapState) -> None:
        device = self._live.device or "cpu"
        info = RunInfo(self._node.config, " ".join(sys.argv), device, self._node.first_stamp_ns or 0)
        counters, verdict = self._counters(), self._live.verdict.get()
        files = self._live.call_sound(
            lambda sound, timeline: run_files(info, counters, state, sound.decision_stage, verdict, timeline)
        )
        files.write(folder)

    def _counters(self) -> RunCounters:
        node, live = self._node, self._live
        newest_ns = max((i.newest_ns for i in node.inputs.values() if i.newest_ns is not None), default=0)
        return RunCounters.of(
            max(0.0, (newest_ns - (node.first_stamp_ns or newest_ns)) / 1e9),
            {name: worker.busy_s for name, worker in live.workers.items()},
            live.map_statistics.get(),
            live.sound_statistics.get(),
            QueueLosses(live.dropped["images"], live.dropped_audio_s),
            self._outputs.latencies.values_ms(),
        )

    def _map_path(self) -> Path:
        return Path(str(self._node.get_parameter("map_path").value)).expanduser().absolute()

    def _reset(self) -> str:
        self._live.reset()
        return "map and sources forgotten"

    def _save(self) -> str:
        path = self._map_path()
        state, verdict = self._map_state(), self._live.verdict.get()
        intensity = self._live.call_sound(
            lambda sound, _: audio_intensity(sound.decision_stage, state.map.means, verdict)
        )
        state.map.write(path, state.instance_ids, intensity)
        folder = self._results_folder()
        if folder is not None:
            self._write_results(folder, state)
        return f"{len(state.map)} Gaussians written to {path}" + (f", results to {folder}" if folder else "")

    def _load(self) -> str:
        path = self._map_path()
        self._live.load_map(path)
        gaussians = self._live.snapshot.get().gaussians
        return f"{gaussians} Gaussians read from {path}; their instances are found anew as they are seen"
