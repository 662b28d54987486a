"""A bag through the pipeline into the files of a run."""

from __future__ import annotations

from pathlib import Path

from echoseg_ros.config import Config
from echoseg_ros.pipeline.replay import ReplayOptions, bag_array, bag_T_map_world, open_bag, replay_bag
from echoseg_ros.report.results import RunInfo, write_run
from echoseg_ros.report.source_audio import write_beams


def run_bag(bag: Path, out: Path, config: Config, command: str, options: ReplayOptions | None = None) -> None:
    """Read a bag from end to end and write the run's files into `out`. Raises EchosegError if the bag cannot be used."""
    options = options or ReplayOptions()
    reader = open_bag(bag, config)
    run = replay_bag(reader, config, bag_array(bag, config), options)
    info = RunInfo(config, command, options.device, reader.start_ns, bag_T_map_world(bag))
    write_run(out, info, run)
    if run.sound.labelling_stage is not None:
        write_beams(out, run.sound.labelling_stage.signals(run.verdict))
