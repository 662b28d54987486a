"""Shared parts of all benchmarks: statistics, targets, text tables, choice of cases and results/bench/NAME.json."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from echoseg_ros.errors import ConfigError, FolderError
from echoseg_ros.io.files import write_json

Row = dict[str, Any]
Figures = dict[str, float | None]

TARGET_COLUMNS = ("figure", "value", "target", "verdict")
# A figure that misses its limit by no more than this has reached it: rounding of sums of floats.
TARGET_TOLERANCE = 1e-9


class NamedCase(Protocol):
    """A case of a benchmark; its name has parts separated by slashes: kind/scene or array/kind/condition."""

    @property
    def name(self) -> str:
        """The full name."""
        ...


Case = TypeVar("Case", bound=NamedCase)


@dataclass(frozen=True)
class Target:
    """Limits of a figure: it should be at least `least` and at most `most`; None = no limit on that side."""

    figure: str
    least: float | None = None
    most: float | None = None

    @property
    def text(self) -> str:
        """The limits as the tables print them."""
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        return f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"

    def verdict(self, value: float | None) -> str:
        """ "reached", "missed by ..." or, without a value, "-"."""
        if value is None:
            return "-"
        below = 0.0 if self.least is None else self.least - value
        above = 0.0 if self.most is None else value - self.most
        missing = max(below, above)
        return "reached" if missing <= TARGET_TOLERANCE else f"missed by {missing:.3g}"

    def row(self, value: float | None) -> Row:
        """The line of the table of targets, by TARGET_COLUMNS."""
        return {"figure": self.figure, "value": value, "target": self.text, "verdict": self.verdict(value)}


def target_rows(targets: Iterable[Target], figures: Mapping[str, float | None]) -> list[Row]:
    """A line for each target; a figure that was not measured has the verdict "-"."""
    return [target.row(figures.get(target.figure)) for target in targets]


def mean(values: Iterable[float | None], digits: int | None = None) -> float | None:
    """Mean of the values that are not None, rounded to `digits`; None without any. Of flags it is their share."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return None
    value = float(np.mean(numbers))
    return value if digits is None else round(value, digits)


def percentile(values: Iterable[float], percent: float, digits: int = 4) -> float | None:
    """Percentile with linear interpolation, rounded to `digits`; None without values."""
    numbers = list(values)
    return round(float(np.percentile(numbers, percent)), digits) if numbers else None


def median(values: Iterable[float], digits: int = 4) -> float | None:
    """Median, rounded to `digits`; None without values."""
    numbers = list(values)
    return round(float(np.median(numbers)), digits) if numbers else None


def text_table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as aligned text, one column per key; numbers are aligned to the right."""
    cells = [[_table_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    lines = ["  ".join(column.ljust(width) for column, width in zip(columns, widths, strict=True))]
    lines += ["  ".join(cell.rjust(width) if cell[-1:].isdigit() else cell.ljust(width)
                        for cell, width in zip(row, widths, strict=True)) for row in cells]  # fmt: skip
    return "\n".join(lines)


def figure_lines(figures: Mapping[str, Any], width: int) -> str:
    """Figures as text, one a line, names padded to `width` characters."""
    return "\n".join(f"{name:<{width}} {figure_text(value)}" for name, value in figures.items())


def figure_text(value: Any) -> str:
    """A value with four significant digits; "-" for None; integers and text as they are."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table_cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def selected_cases(cases: Sequence[Case], only: Sequence[str]) -> list[Case]:
    """The cases whose name, or a part of it between slashes, is one of the texts; without texts all cases.

    Raises ConfigError if no case is selected.
    """
    selected = [case for case in cases if not only or any(text in (case.name, *case.name.split("/")) for text in only)]
    if not selected:
        raise ConfigError(f"--only {' '.join(only)}: no such case; there are {', '.join(case.name for case in cases)}")
    return selected


def start_conditions() -> Row:
    """Commit of the code and load of the machine when a case starts; stored with its rows."""
    return {"commit": commit(), "load_before": round(os.getloadavg()[0], 2)}


def data_folder(given: Path | None) -> Path:
    """The folder of recordings for tests and benchmarks. Raises FolderError if it does not exist."""
    path = given or Path(os.environ.get("ECHOSEG_TEST_DATA", "../shared/data"))
    if not path.is_dir():
        raise FolderError(f"{path}: no such folder of recordings; name one with --data or ECHOSEG_TEST_DATA")
    return path


def optional_data_folder(given: Path | None) -> Path | None:
    """The folder of recordings, None if there is none. Raises FolderError if `given` does not exist."""
    try:
        return data_folder(given)
    except FolderError:
        if given is not None:
            raise
        return None


def write_bench(path: Path, command: str, figures: Figures, rows: Sequence[Row]) -> None:
    """Write a benchmark's JSON: command, commit, date, machine, figures (unit and statistic in their names), rows."""
    content = {
        "command": command,
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "figures": figures,
        "rows": rows,
    }
    write_json(path, content)


def machine() -> str:
    """Description of the computer that figures of speed depend on."""
    return f"{os.cpu_count()} cores, {_processor()}, {platform.machine()}, {platform.system()}, no GPU used"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown processor")


def processor_ticks() -> tuple[float, float]:
    """(ticks that the host of a virtual machine took away, all ticks) since the system started; (0, 0) if unknown."""
    try:
        ticks = [float(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return 0.0, 0.0
    return ticks[-1] if len(ticks) == 8 else 0.0, sum(ticks)


def commit() -> str:
    """The commit of the working tree, with "-dirty" if files were changed since; "unknown" outside a repository."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
