"""`echoseg bench map`: image quality of the map in held-out views, live and with many more steps, and its cost.

A finished case writes its rows to RUNS/cases; a later call reads them and runs only the missing cases. OUT/map.json is
written again after each case, from the rows of all finished cases.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from echoseg_ros.eval.bench import (
    TARGET_COLUMNS,
    Row,
    data_folder,
    figure_lines,
    selected_cases,
    start_conditions,
    target_rows,
    text_table,
    write_bench,
)
from echoseg_ros.eval.map import bench_map_cases
from echoseg_ros.eval.map.bench_map_cases import BenchSettings
from echoseg_ros.eval.map.bench_map_figures import TARGETS, figures_of
from echoseg_ros.eval.map.map_scenes import Scene, all_scenes
from echoseg_ros.io.files import read_json, write_json

_VIEW_COLUMNS = ("case", "psnr_db", "psnr_fitted_db", "ssim", "depth_error_pct_p50", "drawn_pct", "psnr_change_db",
                 "gaussians", "keyframes", "steps", "seconds", "peak_rss_mb", "realtime_factor", "frames_dropped")  # fmt: skip
_LONG_RUN_COLUMNS = (
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
# Width of the names of figures in the printed lists, characters.
_NAME_WIDTH = 34


@dataclass(frozen=True)
class MapCase:
    """A case of the benchmark. name: kind/scene, or kind alone; measure: runs the case and returns its rows."""

    name: str
    measure: Callable[[], list[Row]]

    def file(self, runs: Path) -> Path:
        """File of the case's rows."""
        return runs / "cases" / f"{self.name.replace('/', '_')}.json"


def bench_map(
    out: Path,
    runs: Path,
    data: Path | None,
    only: Sequence[str],
    command: str,
    fresh: bool = False,
    settings: BenchSettings | None = None,
) -> None:
    """Run the cases that `only` names by kind, scene or both (empty: all), print tables, write OUT/map.json.

    fresh: repeat cases that have run before, without their checkpoints. Raises ConfigError if no case is selected,
    FolderError without the recordings.
    """
    settings = settings or BenchSettings()
    cases = all_cases(all_scenes(data_folder(data), settings.progress), runs, settings)
    run_cases(cases, out / "map.json", runs, only, command, fresh)


def all_cases(scenes: Sequence[Scene], runs: Path, settings: BenchSettings) -> list[MapCase]:
    """All cases, those that most figures need first. The step and the long run (in the first room) have one case each."""
    pictures, bags = runs / "pictures", runs / "bags"

    def case(kind: str, scene: Scene, measure: Callable[[str, Path], list[Row]]) -> MapCase:
        name = f"{kind}/{scene.name}"
        return MapCase(name, lambda: measure(name, scene.bag(bags)))

    def online(kind: str, scene: Scene, use_depth: bool) -> MapCase:
        return case(
            kind, scene, lambda name, bag: bench_map_cases.measure_online(name, bag, pictures, settings, use_depth)
        )

    def offline(kind: str, scene: Scene, use_depth: bool) -> MapCase:
        def measure(name: str, bag: Path) -> list[Row]:
            return bench_map_cases.measure_offline(name, bag, pictures, settings, use_depth, _checkpoint(runs, name))

        return case(kind, scene, measure)

    cases = [online("online", scene, True) for scene in scenes]
    cases += [online("rgb_only", scene, False) for scene in scenes]
    cases += [MapCase("step", functools.partial(bench_map_cases.measure_step, "step"))]
    cases += [
        case("scale", scene, functools.partial(bench_map_cases.measure_scale, settings=settings)) for scene in scenes
    ]
    cases += [offline("offline", scene, True) for scene in scenes]
    long_run_scene = next((scene for scene in scenes if scene.name.startswith("room")), scenes[0])
    cases += [
        MapCase("flat", lambda: bench_map_cases.measure_long_run("flat", long_run_scene.bag(bags), runs, settings))
    ]
    return cases + [offline("offline_rgb_only", scene, False) for scene in scenes]


def run_cases(
    cases: Sequence[MapCase], result: Path, runs: Path, only: Sequence[str], command: str, fresh: bool = False
) -> None:
    """Run the selected cases that have no rows yet; write `result` after each case, print tables at the end."""
    selected = selected_cases(cases, only)
    for number, case in enumerate(selected, start=1):
        file = case.file(runs)
        if file.exists() and not fresh:
            tqdm.write(f"({number}/{len(selected)}) {case.name}: has rows of commit {read_json(file)['commit']}")
            continue
        tqdm.write(f"({number}/{len(selected)}) {case.name}")
        if fresh:
            _checkpoint(runs, case.name).unlink(missing_ok=True)
        conditions = start_conditions()
        write_json(file, {"case": case.name, **conditions, "rows": case.measure()})
        _checkpoint(runs, case.name).unlink(missing_ok=True)
        write_bench(result, command, figures_of(_rows(cases, runs)), _rows(cases, runs))
    rows = _rows(cases, runs)
    write_bench(result, command, figures_of(rows), rows)
    print(report(rows))


def _checkpoint(runs: Path, name: str) -> Path:
    return runs / "checkpoints" / f"{name.replace('/', '_')}.pickle"


def report(rows: Sequence[Row]) -> str:
    """All rows, figures and targets as text."""
    minutes = [row for row in rows if row["case"].startswith("flat/")]
    views = [row for row in rows if "psnr_db" in row]
    figures = figures_of(rows)
    parts = [text_table(views, _VIEW_COLUMNS)] if views else []
    parts += [text_table(minutes, _LONG_RUN_COLUMNS)] if minutes else []
    parts += [figure_lines(row, _NAME_WIDTH) for row in rows if row["case"] == "step"]
    parts.append(figure_lines(figures, _NAME_WIDTH))
    parts.append(text_table(target_rows(TARGETS, figures), TARGET_COLUMNS))
    return "\n\n".join(parts)


def _rows(cases: Sequence[MapCase], runs: Path) -> list[Row]:
    """Rows of all cases that have run, each with the commit and the load of the machine at its start."""
    rows: list[Row] = []
    for case in cases:
        if case.file(runs).exists():
            content = read_json(case.file(runs))
            conditions = {name: content[name] for name in ("commit", "load_before")}
            rows += [{**row, **conditions} for row in content["rows"]]
    return rows
