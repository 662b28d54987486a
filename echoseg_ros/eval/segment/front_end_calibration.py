"""Calibration of the reference's simulated 2D masks: their parameters are right if the masks score as published.

    python -m echoseg_ros.eval.segment.front_end_calibration ROOT --out OUT [--search]

OUT is the output folder of `echoseg evaluate ROOT`, whose runs are used. Without --search, the scores of the default
parameters are printed; with it, the best parameters of a coordinate search, to be copied into FrontEnd.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from echoseg_ros.errors import EchosegError
from echoseg_ros.eval.bench import Row, text_table
from echoseg_ros.eval.segment.compared_methods import FRONT_END, NO_AISRM, SceneSegmenter
from echoseg_ros.eval.segment.evaluate_report import PUBLISHED, calibration, is_comparison_void, mean_of, rows_of_method
from echoseg_ros.eval.segment.evaluate_scene import run_folder, scene_name
from echoseg_ros.eval.segment.front_end import FrontEnd
from echoseg_ros.eval.segment.scene_run import SceneRun
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.eval.segment.segmentation_metrics import score_scene, score_view
from echoseg_ros.io.dataset import find_scenes

# First steps of the search, tried in both directions and halved when no step improves the fit.
STEPS = {"miss": 0.1, "false_mask": 0.15, "confused": 0.25, "edge": 0.08, "growth": 0.06}
# Number of times that the steps are halved.
HALVINGS = 2
# Smallest improvement of the misfit that counts.
MIN_IMPROVEMENT = 1e-6


def score_front_end(scenes: Sequence[tuple[EvalScene, SceneSegmenter]], front_end: FrontEnd) -> list[Row]:
    """Rows of the two methods by which the 2D stage is calibrated."""
    rows: list[Row] = []
    for scene, scene_segmenter in scenes:
        segmenter = scene_segmenter.with_front_end(front_end)
        for method in (FRONT_END, NO_AISRM):
            result = segmenter.segment(method)
            score = score_scene([score_view(v.name, result.mask(v), scene.truth_mask(v)) for v in scene.test])
            rows.append({"method": method, "setting": scene.setting, "miou": score.miou, "f": score.f})
    return rows


def misfit(rows: Sequence[Row]) -> float:
    """Largest difference from the published scores, single setting, plus a tenth of the mean difference."""
    differences = [abs(entry["value"] - entry["published"]) for entry in calibration(rows)]
    return max(differences) + 0.1 * float(np.mean(differences)) if differences else np.inf


def search(scenes: Sequence[tuple[EvalScene, SceneSegmenter]], start: FrontEnd, progress: bool = True) -> FrontEnd:
    """Parameters of the least misfit on the single-instance scenes, by a search along one parameter at a time."""
    best, least = start, misfit(score_front_end(scenes, start))
    steps = dict(STEPS)
    bar = tqdm(desc="front ends tried", disable=not progress)
    for _ in range(HALVINGS + 1):
        improved = True
        while improved:
            improved = False
            for name, step in steps.items():
                for change in (step, -step):
                    value = getattr(best, name) + change
                    if value < 0 and name != "growth" or value > 1:
                        continue
                    tried = replace(best, **{name: round(value, 4)})
                    tried_misfit = misfit(score_front_end(scenes, tried))
                    bar.update()
                    bar.set_postfix_str(f"misfit {min(tried_misfit, least):.4f}")
                    if tried_misfit < least - MIN_IMPROVEMENT:
                        best, least, improved = tried, tried_misfit, True
        steps = {name: step / 2 for name, step in steps.items()}
    bar.close()
    return best


def scenes_with_runs(root: Path, out: Path, setting: str | None) -> list[tuple[EvalScene, SceneSegmenter]]:
    """The scenes of a setting (None: all) that have a run, with their methods. Raises EchosegError if there is none."""
    scenes = []
    for path in find_scenes(root):
        folder = run_folder(out, scene_name(path, root))
        if (folder / "made.json").exists():
            scene = EvalScene(path)
            if setting in (None, scene.setting) and scene.has_ids:
                scenes.append((scene, SceneSegmenter(scene, SceneRun(folder), FrontEnd())))
    if not scenes:
        raise EchosegError(
            f"{out}: no runs of the scenes of {root}; make them with `echoseg evaluate {root} --out {out}`"
        )
    return scenes


def main(argv: Sequence[str] | None = None) -> int:
    """Print the scores; exit code 0 if the parameters are calibrated, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--out", type=Path, required=True, help="of `echoseg evaluate`, for its runs")
    parser.add_argument("--search", action="store_true", help="look for better parameters, on the single scenes")
    arguments = parser.parse_args(argv)
    front_end = FrontEnd()
    if arguments.search:
        front_end = search(scenes_with_runs(arguments.root, arguments.out, "single"), front_end)
    rows = score_front_end(scenes_with_runs(arguments.root, arguments.out, None), front_end)
    sys.stdout.write(f"{front_end}\n{score_table(rows)}\n")
    sys.stdout.write("VOID: not as published\n" if is_comparison_void(rows) else "as published\n")
    return int(is_comparison_void(rows))


def score_table(rows: Sequence[Row]) -> str:
    """Table of the scores of both settings beside the published ones; only the single setting is calibrated."""
    lines = []
    for method in (FRONT_END, NO_AISRM):
        for setting, published in PUBLISHED[method].items():
            setting_rows = rows_of_method(rows, method, setting)
            for measure, value in zip(("miou", "f"), published, strict=True):
                mean = mean_of(rows, method, setting, measure)
                lines.append({"method": method, "setting": setting, "measure": measure, "value": mean,
                              "published": value, "scenes": len(setting_rows)})  # fmt: skip
    return text_table(lines, ("method", "setting", "measure", "value", "published", "scenes"))


if __name__ == "__main__":
    sys.exit(main())
