"""`echoseg demo`: a recording is simulated and replayed over ROS 2 into the real node; its outputs are shown."""

from __future__ import annotations

import argparse
from pathlib import Path

from echoseg_ros.cli.arguments import Commands, add_acoustics, add_command, positive, require_extras


def add_parser(commands: Commands) -> None:
    """Add the command."""
    demo = add_command(commands, "demo", _demo, "simulate, replay over ROS 2 into a live node, and show what it found")
    demo.add_argument("--out", type=Path, default=Path("results/demo"), help="(default %(default)s)")
    demo.add_argument("--rgbd", type=Path, metavar="DIR", help="a recorded RGB-D folder instead of a simulated room")
    demo.add_argument(
        "--source", metavar="NAME|X,Y,Z", help="what sounds in the folder (default: its first object); none = silence"
    )
    demo.add_argument("--sound", metavar="WAV|builtin:NAME", help="what it sounds like")
    demo.add_argument("--start-s", type=float, default=0.0, help="begin this far into the folder")
    demo.add_argument("--seconds", type=positive, default=20.0, help="length at most (default %(default)s)")
    add_acoustics(demo)


def _demo(a: argparse.Namespace) -> None:
    require_extras("sim")
    from echoseg_ros.cli.demo_run import DemoSpec, run_demo

    run_demo(
        DemoSpec(
            a.out,
            a.rgbd,
            a.source,
            a.sound,
            a.array,
            a.seed,
            a.rt60,
            a.snr,
            a.start_s,
            a.seconds,
            a.command,
            not a.quiet,
        )
    )
