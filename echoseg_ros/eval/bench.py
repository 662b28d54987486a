"""What all benchmarks share: a table for the terminal and results/bench/NAME.json."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from echoseg_ros.errors import FolderError
from echoseg_ros.io.files import write_json


def write_bench(path: Path, command: str, figures: dict[str, float | None], rows: list[dict[str, Any]]) -> None:
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
    """What figures of speed depend on."""
    return f"{os.cpu_count()} cores, {_processor()}, {platform.machine()}, {platform.system()}, no GPU used"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown processor")


def processor_time() -> tuple[float, float]:
    """(ticks that the host of a virtual machine gave to others, all ticks) since it started; nothing where that is unknown."""
    try:
        ticks = [float(value) for value in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return 0.0, 0.0
    return ticks[-1] if len(ticks) == 8 else 0.0, sum(ticks)


def text_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Rows as aligned text, one column per key; numbers to the right."""
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    lines = ["  ".join(column.ljust(width) for column, width in zip(columns, widths, strict=True))]
    lines += ["  ".join(cell.rjust(width) if cell[-1:].isdigit() else cell.ljust(width)
                        for cell, width in zip(row, widths, strict=True)) for row in cells]  # fmt: skip
    return "\n".join(lines)


def verdict(value: float | None, sign: str, limit: float) -> str:
    """Whether a figure is at least (">=") or at most ("<=") its limit: "reached", "missed by ..." or "-" without one."""
    if value is None:
        return "-"
    missing = value - limit if sign == "<=" else limit - value
    return "reached" if missing <= 0 else f"missed by {missing:.3g}"


def data_folder(given: Path | None) -> Path:
    """The folder of recordings for tests and benchmarks. Raises FolderError if it is not there."""
    path = given or Path(os.environ.get("ECHOSEG_TEST_DATA", "../shared/data"))
    if not path.is_dir():
        raise FolderError(f"{path}: no such folder of test data; name it with --data or ECHOSEG_TEST_DATA")
    return path


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def commit() -> str:
    """The commit of the working tree, "-dirty" if it was changed since; "unknown" outside of a repository."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
