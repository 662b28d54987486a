"""`echoseg bench map`: how good the map is in views it was not built from, online and at best, and what it costs.

Each case writes its rows to RUNS/cases when it is done; a later call takes them from there and goes on with what is
missing. OUT/map.json is written anew after each case, from all rows there are.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from echoseg_ros.errors import ConfigError
from echoseg_ros.eval.bench import commit, data_folder, text_table, write_bench
from echoseg_ros.eval.map import bench_map_cases as cases_of
from echoseg_ros.eval.map.bench_map_cases import BenchSettings, Row
from echoseg_ros.eval.map.bench_map_figures import figures_of, target_rows
from echoseg_ros.eval.map.map_scenes import Scene, all_scenes
from echoseg_ros.io.files import read_json, write_json

_VIEW_COLUMNS = ("case", "psnr_db", "psnr_fitted_db", "ssim", "depth_error_pct_p50", "drawn_pct", "psnr_change_db",
                 "gaussians", "keyframes", "steps", "seconds", "peak_rss_mb", "realtime_factor", "frames_dropped")  # fmt: skip
_FLAT_COLUMNS = (
    "case",
    "busy_ms",
    "map_ms",
    "kernel_ms",
    "busy_per_kernel",
    "rss_mb",
    "gaussians",
    "keyframes",
    "steps",
)
_TARGET_COLUMNS = ("figure", "value", "target", "verdict")


@dataclass(frozen=True)
class MapCase:
    """name: kind/scene, or kind alone; measure: runs it and returns its rows."""

    name: str
    measure: Callable[[], list[Row]]

    def file(self, runs: Path) -> Path:
        """Where its rows are kept."""
        return runs / "cases" / f"{self.name.replace('/', '_')}.json"

    def is_meant(self, only: Sequence[str]) -> bool:
        """Whether one of the texts is its name, its kind or its scene; without any, every case is meant."""
        return not only or any(text in (self.name, *self.name.split("/")) for text in only)


def bench_map(
    out: Path,
    runs: Path,
    data: Path | None,
    only: Sequence[str],
    command: str,
    fresh: bool = False,
    settings: BenchSettings | None = None,
) -> None:
    """Run the cases that `only` names by kind, scene or both (none: all), print tables, write OUT/map.json.

    fresh: also those that have run before, from their start.
    Raises ConfigError if no case is meant, FolderError without the recordings.
    """
    settings = settings or BenchSettings()
    cases = all_cases(all_scenes(data_folder(data), settings.progress), runs, settings)
    run_cases(cases, out / "map.json", runs, only, command, fresh)


def all_cases(scenes: Sequence[Scene], runs: Path, settings: BenchSettings) -> list[MapCase]:
    """Every case, what the figures need first. The step and the long run (in the first room) come once."""
    pictures, bags = runs / "pictures", runs / "bags"

    def case(kind: str, scene: Scene, measure: Callable[[str, Path], list[Row]]) -> MapCase:
        name = f"{kind}/{scene.name}"
        return MapCase(name, lambda: measure(name, scene.bag(bags)))

    def online(kind: str, scene: Scene, use_depth: bool) -> MapCase:
        return case(kind, scene, lambda name, bag: cases_of.online(name, bag, pictures, settings, use_depth))

    def offline(kind: str, scene: Scene, use_depth: bool) -> MapCase:
        def measure(name: str, bag: Path) -> list[Row]:
            return cases_of.offline(name, bag, pictures, settings, use_depth, _checkpoint(runs, name))

        return case(kind, scene, measure)

    cases = [online("online", scene, True) for scene in scenes]
    cases += [online("rgb_only", scene, False) for scene in scenes]
    cases += [MapCase("step", functools.partial(cases_of.step, "step"))]
    cases += [case("scale", scene, functools.partial(cases_of.scale, settings=settings)) for scene in scenes]
    cases += [offline("offline", scene, True) for scene in scenes]
    driven = next((scene for scene in scenes if scene.name.startswith("room")), scenes[0])
    cases += [MapCase("flat", lambda: cases_of.flat("flat", driven.bag(bags), runs, settings))]
    return cases + [offline("offline_rgb_only", scene, False) for scene in scenes]


def run_cases(
    cases: Sequence[MapCase], result: Path, runs: Path, only: Sequence[str], command: str, fresh: bool = False
) -> None:
    """Run what is meant and not there yet; tables at the end, `result` after each case."""
    meant = [case for case in cases if case.is_meant(only)]
    if not meant:
        raise ConfigError(f"--only {' '.join(only)}: no such case; there are {', '.join(case.name for case in cases)}")
    for number, case in enumerate(meant, start=1):
        file = case.file(runs)
        if file.exists() and not fresh:
            tqdm.write(f"({number}/{len(meant)}) {case.name}: there since {read_json(file)['commit']}")
            continue
        tqdm.write(f"({number}/{len(meant)}) {case.name}")
        if fresh:
            _checkpoint(runs, case.name).unlink(missing_ok=True)
        began = {"commit": commit(), "load_before": round(os.getloadavg()[0], 2)}
        write_json(file, {"case": case.name, **began, "rows": case.measure()})
        _checkpoint(runs, case.name).unlink(missing_ok=True)
        write_bench(result, command, figures_of(_rows(cases, runs)), _rows(cases, runs))
    rows = _rows(cases, runs)
    write_bench(result, command, figures_of(rows), rows)
    print(report(rows))


def _checkpoint(runs: Path, name: str) -> Path:
    return runs / "checkpoints" / f"{name.replace('/', '_')}.pickle"


def report(rows: Sequence[Row]) -> str:
    """All rows and figures as text, the figures with what they should be."""
    flat = [row for row in rows if row["case"].startswith("flat/")]
    views = [row for row in rows if "psnr_db" in row]
    figures = figures_of(rows)
    parts = [text_table(views, _VIEW_COLUMNS)] if views else []
    parts += [text_table(flat, _FLAT_COLUMNS)] if flat else []
    parts += ["\n".join(f"{name:<34} {_text(value)}" for name, value in row.items())
              for row in rows if row["case"] == "step"]  # fmt: skip
    parts.append("\n".join(f"{name:<34} {_text(value)}" for name, value in figures.items()))
    parts.append(text_table(target_rows(figures), _TARGET_COLUMNS))
    return "\n\n".join(parts)


def _rows(cases: Sequence[MapCase], runs: Path) -> list[Row]:
    """The rows of all cases that have run, each with the commit and the machine's load it was begun at."""
    rows: list[Row] = []
    for case in cases:
        if case.file(runs).exists():
            content = read_json(case.file(runs))
            began = {name: content[name] for name in ("commit", "load_before")}
            rows += [{**row, **began} for row in content["rows"]]
    return rows


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
