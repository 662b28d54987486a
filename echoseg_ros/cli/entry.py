"""The command `echoseg`: only here does an error become an exit code and one line."""

from __future__ import annotations

from echoseg_ros.cores import share_cores

share_cores()

import argparse  # noqa: E402
import logging  # noqa: E402
import sys  # noqa: E402

from echoseg_ros.cli import (  # noqa: E402
    bag_from_dataset,
    bench,
    demo,
    evaluate,
    explain,
    play,
    render,
    run,
    simulate,
)
from echoseg_ros.errors import EchosegError  # noqa: E402

# In the order of the help text.
_COMMANDS = (simulate, run, bag_from_dataset, play, render, explain, evaluate, demo, bench)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 after bad input. Heavy imports wait for the sub-command."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        arguments.call(arguments)
    except EchosegError as error:
        print(f"echoseg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("echoseg", description="Which object in the 3D map makes that sound.")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
