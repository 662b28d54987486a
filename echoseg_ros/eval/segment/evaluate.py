"""`echoseg evaluate`: methods x scenes of a data set, in parallel processes, resumable; a table like the paper's, pictures.

A scene's run and each of its scores appear whole when they are done; a later call goes on with what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from echoseg_ros.errors import ConfigError
from echoseg_ros.eval.processes import in_processes
from echoseg_ros.eval.segment.evaluate_report import report
from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings, Row, evaluate_scene, scene_name
from echoseg_ros.eval.segment.segment_methods import METHODS, OURS
from echoseg_ros.eval.segment.segment_pictures import write_examples
from echoseg_ros.io.dataset import find_scenes
from echoseg_ros.io.files import write_json

ALL = "all"


def evaluate(
    root: Path,
    out: Path,
    methods: Sequence[str] = (OURS,),
    jobs: int = 1,
    settings: EvaluateSettings | None = None,
    progress: bool = True,
) -> str:
    """Score methods on every scene below ROOT; write OUT/evaluation.json and OUT/pictures; returns the table.

    Raises ConfigError for an unknown method, DatasetError without scenes, EchosegError for a scene that cannot be used.
    """
    meant = method_names(methods)
    scenes = find_scenes(root)
    rows = evaluate_scenes(scenes, root, out, meant, jobs, settings or EvaluateSettings(), progress)
    write_json(out / "evaluation.json", {"rows": [{k: v for k, v in row.items() if k != "views"} for row in rows]})
    write_examples(out, {scene_name(scene, root): scene for scene in scenes}, rows, meant)
    return "\n\n".join([report(rows, meant), f"best, median and worst views: {out / 'pictures'}"])


def method_names(methods: Sequence[str]) -> tuple[str, ...]:
    """The methods meant, "all" spelled out, in their usual order. Raises ConfigError for one that is unknown."""
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
    """All rows, by scene and method; `jobs` scenes at a time, each in a process with one thread."""
    tasks = [(scene, scene_name(scene, root), out, methods, settings) for scene in scenes]
    done: dict[str, dict[str, Row]] = {}
    results = in_processes(evaluate_scene, tasks, jobs)
    for number, of_scene in tqdm(results, "scenes", len(tasks), unit="scene", disable=not progress):
        done[tasks[number][1]] = of_scene
    return [done[name][method] for _, name, *_ in tasks for method in methods if method in done[name]]
