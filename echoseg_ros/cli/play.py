"""`echoseg play`: a bag published over ROS 2."""

from __future__ import annotations

import argparse
from pathlib import Path

from echoseg_ros.cli.arguments import Commands, add_command, positive


def add_parser(commands: Commands) -> None:
    """Add the command."""
    play = add_command(commands, "play", _play, "publish a bag over ROS 2 with /clock")
    play.add_argument("bag", type=Path, metavar="BAG")
    play.add_argument("--rate", type=positive, default=1.0, help="times real time (default %(default)s)")
    play.add_argument("--loop", action="store_true", help="start again at the end")
    play.add_argument(
        "--wait-for", nargs="*", metavar="TOPIC", help="start when these have subscribers (image and audio)"
    )
    play.add_argument(
        "--wait-s", type=float, default=60.0, help="start after this time in any case (default %(default)s)"
    )


def _play(a: argparse.Namespace) -> None:
    from echoseg_ros.nodes.player import PlayOptions, play

    wait_for = PlayOptions.wait_for if a.wait_for is None else tuple(a.wait_for)
    play(a.bag, PlayOptions(a.rate, a.loop, wait_for, a.wait_s), progress=not a.quiet)
