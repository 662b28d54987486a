"""`echoseg evaluate`: scores of methods on the scenes of a data set, in parallel processes; a table and pictures.

Runs and scores are files that are written when they are complete; a later call makes only the missing ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from echoseg_ros.errors import ConfigError
from echoseg_ros.eval.bench import Row
from echoseg_ros.eval.processes import run_in_processes
from echoseg_ros.eval.segment.compared_methods import METHODS, OURS
from echoseg_ros.eval.segment.evaluate_report import report
from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings, evaluate_scene, scene_name
from echoseg_ros.eval.segment.segment_pictures import write_example_views
from echoseg_ros.io.dataset import find_scenes
from echoseg_ros.io.files import write_json

# Name that stands for all methods.
ALL = "all"


def evaluate(
    root: Path,
    out: Path,
    methods: Sequence[str] = (OURS,),
    jobs: int = 1,
    settings: EvaluateSettings | None = None,
    progress: bool = True,
) -> str:
    """Score methods on all scenes below ROOT; write OUT/evaluation.json and OUT/pictures; return the tables as text.

    Raises ConfigError for an unknown method, DatasetError without scenes, EchosegError for a scene that cannot be used.
    """
    selected = method_names(methods)
    scenes = find_scenes(root)
    rows = evaluate_scenes(scenes, root, out, selected, jobs, settings or EvaluateSettings(), progress)
    write_json(out / "evaluation.json", {"rows": [{k: v for k, v in row.items() if k != "views"} for row in rows]})
    write_example_views(out, {scene_name(scene, root): scene for scene in scenes}, rows, selected)
    return "\n\n".join([report(rows, selected), f"best, median and worst views: {out / 'pictures'}"])


def method_names(methods: Sequence[str]) -> tuple[str, ...]:
    """The selected methods in the order of METHODS, "all" expanded. Raises ConfigError for an unknown method."""
    for method in methods:
        if method not in (*METHODS, ALL):
            raise ConfigError(f"--method {method}: want {', '.join(METHODS)} or {ALL}")
    return METHODS if ALL in methods else tuple(method for method in METHODS if method in methods)


def evaluate_scenes(
    scenes: Sequence[Path],
    root: Path,
    out: Path,
    methods: Sequence[str],
    jobs: int,
    settings: EvaluateSettings,
    progress: bool = True,
) -> list[Row]:
    """Rows of all scenes and methods, in this order; `jobs` scenes at a time, each in a process with one thread."""
    tasks = [(scene, scene_name(scene, root), out, methods, settings) for scene in scenes]
    rows: dict[str, dict[str, Row]] = {}  # by scene and method
    results = run_in_processes(evaluate_scene, tasks, jobs)
    for number, scene_rows in tqdm(results, "scenes", len(tasks), unit="scene", disable=not progress):
        rows[tasks[number][1]] = scene_rows
    return [rows[name][method] for _, name, *_ in tasks for method in methods if method in rows[name]]
