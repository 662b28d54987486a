"""`echoseg bench segment`: all methods on the simulated data set, choice of the instance, the kitchen, times.

Finished scenes, runs, scores and cases are kept in RUNS; a later call makes only the missing ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from echoseg_ros.eval.bench import (
    TARGET_COLUMNS,
    Figures,
    Row,
    figure_lines,
    optional_data_folder,
    text_table,
    write_bench,
)
from echoseg_ros.eval.processes import run_in_processes
from echoseg_ros.eval.segment.bench_segment_cases import case_folders, evaluate_choice_cases
from echoseg_ros.eval.segment.bench_segment_figures import figures_of, segment_target_rows
from echoseg_ros.eval.segment.bench_segment_kitchen import kitchen_rows
from echoseg_ros.eval.segment.compared_methods import METHODS
from echoseg_ros.eval.segment.evaluate import evaluate_scenes
from echoseg_ros.eval.segment.evaluate_report import count_choices, report
from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings, run_folder, scene_name
from echoseg_ros.eval.segment.scene_run import SceneRun, code_digest
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.eval.segment.segment_pictures import write_example_views
from echoseg_ros.eval.segment.segment_timing import time_segmentation
from echoseg_ros.io.dataset import find_scenes
from echoseg_ros.io.files import read_json, write_json

# Width of the names of figures in the printed list, characters.
_NAME_WIDTH = 34


@dataclass(frozen=True)
class BenchSettings:
    """The simulated set. scenes: their number; size_px, frames: of each scene; cases: with other sounds in each scene."""

    scenes: int = 34
    size_px: int = 252
    frames: int = 120
    cases: int = 6
    seed: int = 0


# For CI: two small short scenes of each setting.
QUICK = BenchSettings(scenes=4, size_px=96, frames=32, cases=1)


def bench_segment(
    out: Path,
    runs: Path,
    data: Path | None,
    command: str,
    root: Path | None = None,
    scenes: int | None = None,
    quick: bool = False,
    jobs: int = 1,
    evaluation: EvaluateSettings | None = None,
    progress: bool = True,
) -> None:
    """Simulate missing scenes, evaluate all methods and choice cases, print tables, write OUT/segment.json.

    root: an existing simulated set instead of RUNS/scenes; scenes: number of scenes to use; quick: few short scenes,
    with all output in RUNS/quick, so that no result is overwritten. Raises EchosegError if a scene cannot be used.
    """
    settings = QUICK if quick else BenchSettings()
    out, runs = (runs / "quick", runs / "quick") if quick else (out, runs)
    evaluation = evaluation or EvaluateSettings()
    folder = root or runs / "scenes"
    if root is None:
        _simulate(folder, settings, scenes, jobs, progress)
    paths = _first_scenes(find_scenes(folder), scenes)
    scored = evaluate_scenes(paths, folder, runs, METHODS, jobs, evaluation, progress)
    cases = _choice_rows(paths, folder, runs, jobs, evaluation, progress)
    kitchen = kitchen_rows(optional_data_folder(data), runs)
    timing = _timing(paths[0], folder, runs, evaluation.fresh)
    figures = figures_of(scored, cases, kitchen, timing)
    rows = [
        *({"case": f"{row['method']}/{row['scene']}", **_without_views(row)} for row in scored),
        *cases,
        *kitchen,
        timing,
    ]
    write_bench(out / "segment.json", command, figures, rows)
    write_example_views(runs, {scene_name(path, folder): path for path in paths}, scored, METHODS)
    print(summary(scored, cases, kitchen, timing, figures))
    print(f"best, median and worst views: {runs / 'pictures'}")


def summary(scored: Sequence[Row], cases: Sequence[Row], kitchen: Sequence[Row], timing: Row, figures: Figures) -> str:
    """All tables, figures and targets as text."""
    wrong, missed, graded = count_choices(cases)
    parts = [report(scored, METHODS), f"choice of the instance: {graded} cases, {wrong} wrong, {missed} none named"]
    parts += [f"{row['case']}: " + (row.get("skipped") or f"mask IoU {row['mask_iou']:.3f}") for row in kitchen]
    targets = segment_target_rows(figures, graded, timing)
    with_target = {row["figure"] for row in targets}
    parts.append(figure_lines({k: v for k, v in figures.items() if k not in with_target}, _NAME_WIDTH))
    return "\n\n".join([*parts, text_table(targets, TARGET_COLUMNS)])


def _simulate(root: Path, settings: BenchSettings, scenes: int | None, jobs: int, progress: bool) -> None:
    from echoseg_sim.recordings.dataset import simulate_dataset  # here: the simulator needs open3d

    count = settings.scenes if scenes is None else min(scenes, settings.scenes)
    simulate_dataset(
        root,
        count,
        settings.size_px,
        settings.seed,
        settings.frames,
        progress=progress,
        cases=settings.cases,
        jobs=max(jobs, 1),
    )


def _choice_rows(
    paths: Sequence[Path], root: Path, runs: Path, jobs: int, evaluation: EvaluateSettings, progress: bool
) -> list[Row]:
    """Rows of the choice cases of all scenes, in order."""
    tasks = [
        (path, scene_name(path, root), runs, [folder.name for folder in case_folders(path)], evaluation)
        for path in paths
    ]
    tasks = [task for task in tasks if task[3]]
    rows_by_task: dict[int, list[Row]] = {}
    results = run_in_processes(evaluate_choice_cases, tasks, jobs)
    for number, rows in tqdm(results, "choices of scenes", len(tasks), unit="scene", disable=not progress):
        rows_by_task[number] = rows
    return [row for number in sorted(rows_by_task) for row in rows_by_task[number]]


def _timing(path: Path, root: Path, runs: Path, fresh: bool) -> Row:
    """Times on the first scene's map; measured once for each version of the code."""
    name = scene_name(path, root)
    file = runs / "timing" / f"{name}.json"
    row: Row = read_json(file) if file.exists() and not fresh else {}
    if row.get("key") != code_digest():
        times = time_segmentation(EvalScene(path), SceneRun(run_folder(runs, name)))
        row = {"case": f"timing/{name}", "key": code_digest(), **times}
        write_json(file, row)
    return _without_views(row)


def _first_scenes(paths: list[Path], scenes: int | None) -> list[Path]:
    """The first `scenes` scenes, equally many from each part of the set."""
    if scenes is None or scenes >= len(paths):
        return paths
    parts: dict[str, list[Path]] = {}
    for path in paths:
        parts.setdefault(path.parts[-4], []).append(path)
    taken = [path for group in zip(*_padded(list(parts.values())), strict=True) for path in group if path is not None]
    return sorted(taken[:scenes])


def _padded(groups: list[list[Path]]) -> list[list[Path | None]]:
    longest = max(len(group) for group in groups)
    return [[*group, *([None] * (longest - len(group)))] for group in groups]


def _without_views(row: Row) -> Row:
    """The row as results/bench stores it; its views stay in RUNS/scores."""
    return {key: value for key, value in row.items() if key not in ("views", "key", "front_end")}
