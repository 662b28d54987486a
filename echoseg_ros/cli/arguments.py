"""Types and groups of arguments that several commands share."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from echoseg_ros.errors import BackendError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, call: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    """A sub-command whose parsed arguments are given to `call`; `text` is its help."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(call=call, command=shlex.join(["echoseg", *sys.argv[1:]]))
    return parser


# Modules that commands import only with an extra of setup.py.
EXTRAS = {"sim": ("open3d", "pyroomacoustics", "soundfile"), "eval": ("sklearn",)}


def require_extras(*extras: str) -> None:
    """Raises BackendError, naming the extras, where one of their modules is not installed."""
    missing = {extra: [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None] for extra in extras}
    lacking = [extra for extra, names in missing.items() if names]
    if lacking:
        names = ", ".join(name for extra in lacking for name in missing[extra])
        raise BackendError(f"this command needs {names}: pip install 'echoseg_ros[{','.join(lacking)}]'")


def add_acoustics(parser: argparse.ArgumentParser) -> None:
    """Array, reverberation, noise, seed."""
    parser.add_argument(
        "--array", default="cube8", help="cube8, square4, binaural, or a YAML file (default %(default)s)"
    )
    parser.add_argument("--rt60", type=positive, default=0.4, help="reverberation time in s (default %(default)s)")
    parser.add_argument("--snr", type=float, default=20.0, help="signal to noise in dB (default %(default)s)")
    parser.add_argument("--seed", type=count, default=0, help="(default %(default)s)")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """--set, which may be repeated."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.name=value", help="one setting; may be repeated"
    )


def add_reuse(parser: argparse.ArgumentParser) -> None:
    """--fresh and --reuse, which exclude each other."""
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--fresh", action="store_true", help="repeat all runs and scores")
    again.add_argument("--reuse", action="store_true", help="score the existing runs, whatever code made them")


def add_bench_folders(bench: argparse.ArgumentParser, runs: Path) -> None:
    """--out, --runs, --data."""
    bench.add_argument("--out", type=Path, default=Path("results/bench"), help="(default %(default)s)")
    bench.add_argument("--runs", type=Path, default=runs, help="folder of the cases (default %(default)s)")
    bench.add_argument(
        "--data", type=Path, metavar="DIR", help="recordings (default: ECHOSEG_TEST_DATA, ../shared/data)"
    )


def positive(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def count(text: str) -> int:
    """A whole number from 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def positive_count(text: str) -> int:
    """A whole number from 1."""
    value = count(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text}: want at least 1")
    return value


def span(text: str) -> tuple[float, float]:
    """A:B in seconds, 0 <= A < B."""
    start, colon, end = text.partition(":")
    try:
        found = float(start), float(end)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: want A:B in seconds") from error
    if not colon or not 0 <= found[0] < found[1]:
        raise argparse.ArgumentTypeError(f"{text!r}: want A:B with 0 <= A < B")
    return found
