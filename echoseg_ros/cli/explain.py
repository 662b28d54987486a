"""`echoseg explain`: the reasons of a run's verdict."""

from __future__ import annotations

import argparse
from pathlib import Path

from echoseg_ros.cli.arguments import Commands, add_command, count


def add_parser(commands: Commands) -> None:
    """Add the command."""
    text = "why an object is said to sound: the windows and views for and against it"
    explain = add_command(commands, "explain", _explain, text)
    explain.add_argument("run", type=Path, metavar="RUN")
    explain.add_argument("--object", type=count, metavar="ID", help="default: every object that sounds")


def _explain(a: argparse.Namespace) -> None:
    from echoseg_ros.report.explain import explanation_text

    print(explanation_text(a.run, a.object))
