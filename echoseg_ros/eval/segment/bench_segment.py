"""`echoseg bench segment`: every method on the simulated data set, the choice of the instance, the kitchen, and times.

Scenes, runs, scores and cases are kept in RUNS as they are done; a later call goes on with what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from echoseg_ros.errors import FolderError
from echoseg_ros.eval.bench import data_folder, text_table, write_bench
from echoseg_ros.eval.processes import in_processes
from echoseg_ros.eval.segment.bench_segment_cases import case_folders, judge_cases
from echoseg_ros.eval.segment.bench_segment_figures import figures_of, target_rows
from echoseg_ros.eval.segment.bench_segment_kitchen import kitchen_rows
from echoseg_ros.eval.segment.evaluate import evaluate_scenes
from echoseg_ros.eval.segment.evaluate_report import choice_counts, report
from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings, Row, run_folder, scene_name
from echoseg_ros.eval.segment.scene_run import SceneRun, code_digest
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.eval.segment.segment_methods import METHODS
from echoseg_ros.eval.segment.segment_pictures import write_examples
from echoseg_ros.eval.segment.segment_timing import time_segmentation
from echoseg_ros.io.dataset import find_scenes
from echoseg_ros.io.files import read_json, write_json

_TARGET_COLUMNS = ("figure", "value", "target", "verdict")


@dataclass(frozen=True)
class BenchSettings:
    """Of the simulated set: how many scenes, their images and frames, and cases of other sounds in each scene."""

    scenes: int = 34
    size_px: int = 252
    frames: int = 120
    cases: int = 6
    seed: int = 0


# For CI: a run of each setting twice, short and small.
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
    """Simulate what is missing, evaluate all methods, judge the cases; print tables, write OUT/segment.json.

    root: an existing simulated set instead of RUNS/scenes; scenes: only the first so many; quick: few short scenes, all
    in RUNS/quick, so that no result is overwritten. Raises EchosegError if a scene cannot be used.
    """
    settings = QUICK if quick else BenchSettings()
    out, runs = (runs / "quick", runs / "quick") if quick else (out, runs)
    evaluation = evaluation or EvaluateSettings()
    folder = root or runs / "scenes"
    if root is None:
        _simulate(folder, settings, scenes, jobs, progress)
    paths = _first(find_scenes(folder), scenes)
    scored = evaluate_scenes(paths, folder, runs, METHODS, jobs, evaluation, progress)
    cases = _all_cases(paths, folder, runs, jobs, evaluation, progress)
    kitchen = kitchen_rows(_recordings(data), runs)
    timing = _timing(paths[0], folder, runs, evaluation.fresh)
    figures = figures_of(scored, cases, kitchen, timing)
    rows = [*({"case": f"{row['method']}/{row['scene']}", **_short(row)} for row in scored), *cases, *kitchen, timing]
    write_bench(out / "segment.json", command, figures, rows)
    write_examples(runs, {scene_name(path, folder): path for path in paths}, scored, METHODS)
    print(summary(scored, cases, kitchen, timing, figures))
    print(f"best, median and worst views: {runs / 'pictures'}")


def summary(
    scored: Sequence[Row], cases: Sequence[Row], kitchen: Sequence[Row], timing: Row, figures: dict[str, float | None]
) -> str:
    """The tables of a benchmark, and its figures with what they should be."""
    wrong, missed, told = choice_counts(cases)
    parts = [report(scored, METHODS), f"choice of the instance: {told} cases, {wrong} wrong, {missed} none named"]
    parts += [f"{row['case']}: " + (row.get("skipped") or f"mask IoU {row['mask_iou']:.3f}") for row in kitchen]
    judged = target_rows(figures, told, timing)
    names = {row["figure"] for row in judged}
    parts.append("\n".join(f"{k:<34} {'-' if v is None else f'{v:.4g}'}" for k, v in figures.items() if k not in names))
    return "\n\n".join([*parts, text_table(judged, _TARGET_COLUMNS)])


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


def _all_cases(
    paths: Sequence[Path], root: Path, runs: Path, jobs: int, evaluation: EvaluateSettings, progress: bool
) -> list[Row]:
    """Rows of all cases of the scenes, in order."""
    tasks = [
        (path, scene_name(path, root), runs, [folder.name for folder in case_folders(path)], evaluation)
        for path in paths
    ]
    tasks = [task for task in tasks if task[3]]
    found: dict[int, list[Row]] = {}
    results = in_processes(judge_cases, tasks, jobs)
    for number, rows in tqdm(results, "choices of scenes", len(tasks), unit="scene", disable=not progress):
        found[number] = rows
    return [row for number in sorted(found) for row in found[number]]


def _timing(path: Path, root: Path, runs: Path, fresh: bool) -> Row:
    """Measured once for the code there is, on the first scene's map."""
    name = scene_name(path, root)
    file = runs / "timing" / f"{name}.json"
    row: Row = read_json(file) if file.exists() and not fresh else {}
    if row.get("key") != code_digest():
        times = time_segmentation(EvalScene(path), SceneRun(run_folder(runs, name)))
        row = {"case": f"timing/{name}", "key": code_digest(), **times}
        write_json(file, row)
    return _short(row)


def _first(paths: list[Path], scenes: int | None) -> list[Path]:
    """The first scenes, of each part of the set as many."""
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


def _short(row: Row) -> dict[str, Any]:
    """A row without its views; they stay in RUNS/scores."""
    return {key: value for key, value in row.items() if key not in ("views", "key", "front_end")}


def _recordings(data: Path | None) -> Path | None:
    """The folder of recordings. Raises FolderError only if it was named and is not there."""
    try:
        return data_folder(data)
    except FolderError:
        if data is not None:
            raise
        return None
