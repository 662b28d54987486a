"""`echoseg run`: a bag through the pipeline, without ROS."""

from __future__ import annotations

import argparse
from pathlib import Path

from echoseg_ros.cli.arguments import Commands, add_command, add_settings


def add_parser(commands: Commands) -> None:
    """Add the command."""
    run = add_command(commands, "run", _run, "a bag through the whole pipeline, without ROS")
    run.add_argument("bag", type=Path, metavar="BAG")
    run.add_argument("--out", type=Path, required=True, metavar="DIR")
    run.add_argument("--config", type=Path, metavar="F", help="YAML with settings, or a ROS parameter file")
    add_settings(run)
    run.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default %(default)s)")
    run.add_argument("--no-depth", action="store_true", help="ignore the bag's depth images: depth comes from parallax")
    run.add_argument(
        "--realtime",
        action="store_true",
        help="at the pace of the recording, dropping what the machine cannot keep up with",
    )


def _run(a: argparse.Namespace) -> None:
    from echoseg_ros.config import load_config, parse_override
    from echoseg_ros.pipeline.replay import ReplayOptions, bag_config
    from echoseg_ros.report.run_bag import run_bag
    from echoseg_ros.report.run_completion import complete_run_folder

    overrides = dict(parse_override(text) for text in a.set)
    config = load_config(a.config, overrides, bag_config(a.bag))
    options = ReplayOptions(a.device, use_depth=not a.no_depth, realtime=a.realtime, progress=not a.quiet)
    run_bag(a.bag, a.out, config, a.command, options)
    print(complete_run_folder(a.out, a.bag))
