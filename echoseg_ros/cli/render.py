"""`echoseg render`: a finished run seen from given poses."""

from __future__ import annotations

import argparse
from pathlib import Path

from echoseg_ros.cli.arguments import Commands, add_command


def add_parser(commands: Commands) -> None:
    """Add the command."""
    render = add_command(commands, "render", _render, "a finished run seen from given poses: colour, depth, mask")
    render.add_argument("run", type=Path, metavar="RUN")
    poses = render.add_mutually_exclusive_group(required=True)
    poses.add_argument("--rgbd", type=Path, metavar="DIR", help="the poses of an RGB-D folder")
    poses.add_argument("--scene", type=Path, metavar="SCENE", help="the test views of a data-set scene")
    render.add_argument("--out", type=Path, required=True, metavar="OUT")


def _render(a: argparse.Namespace) -> None:
    from echoseg_ros.report.render import render_run

    render_run(a.run, a.out, a.rgbd, a.scene, progress=not a.quiet)
