"""How bad the reference's simulated 2D masks must be to score as published, and whether they do.

    python -m echoseg_ros.eval.segment.front_end_calibration ROOT --out OUT [--search]

OUT is that of `echoseg evaluate ROOT`, whose runs are used. Without --search it prints what the defaults give; with it,
it tries other parameters one after the other and prints the best, to be written into FrontEnd.
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
from echoseg_ros.eval.baselines.echosegnet.front_end import FrontEnd
from echoseg_ros.eval.bench import text_table
from echoseg_ros.eval.segment.evaluate_report import PUBLISHED, calibration, is_void, mean_of, of_method
from echoseg_ros.eval.segment.evaluate_scene import Row, run_folder, scene_name
from echoseg_ros.eval.segment.scene_run import SceneRun
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.eval.segment.segment_methods import FRONT_END, NO_AISRM, SceneMethods
from echoseg_ros.eval.segment.segmentation_metrics import score_scene, score_view
from echoseg_ros.io.dataset import find_scenes

# Steps of the search, tried in both directions and halved when none of them helps.
STEPS = {"miss": 0.1, "false_mask": 0.15, "confused": 0.25, "edge": 0.08, "growth": 0.06}
HALVINGS = 2


def score_front_end(scenes: Sequence[tuple[EvalScene, SceneMethods]], front_end: FrontEnd) -> list[Row]:
    """Rows of the two methods that tell whether the 2D stage is as published."""
    rows: list[Row] = []
    for scene, of_scene in scenes:
        methods = of_scene.with_front_end(front_end)
        for method in (FRONT_END, NO_AISRM):
            found = methods.segment(method)
            score = score_scene([score_view(v.name, found.mask(v), scene.truth_mask(v)) for v in scene.test])
            rows.append({"method": method, "setting": scene.setting, "miou": score.miou, "f": score.f})
    return rows


def misfit(rows: Sequence[Row]) -> float:
    """The largest distance from what is published, single, plus a tenth of the mean one."""
    away = [abs(entry["value"] - entry["published"]) for entry in calibration(rows)]
    return max(away) + 0.1 * float(np.mean(away)) if away else np.inf


def search(scenes: Sequence[tuple[EvalScene, SceneMethods]], start: FrontEnd, progress: bool = True) -> FrontEnd:
    """The parameters of the least misfit on the single-instance scenes, by steps along one of them at a time."""
    best, least = start, misfit(score_front_end(scenes, start))
    steps = dict(STEPS)
    bar = tqdm(desc="front ends tried", disable=not progress)
    for _ in range(HALVINGS + 1):
        moved = True
        while moved:
            moved = False
            for name, step in steps.items():
                for change in (step, -step):
                    value = getattr(best, name) + change
                    if value < 0 and name != "growth" or value > 1:
                        continue
                    tried = replace(best, **{name: round(value, 4)})
                    now = misfit(score_front_end(scenes, tried))
                    bar.update()
                    bar.set_postfix_str(f"misfit {min(now, least):.4f}")
                    if now < least - 1e-6:
                        best, least, moved = tried, now, True
        steps = {name: step / 2 for name, step in steps.items()}
    bar.close()
    return best


def with_runs(root: Path, out: Path, setting: str | None) -> list[tuple[EvalScene, SceneMethods]]:
    """The scenes of a setting (None: all) that have been run. Raises EchosegError if there is none."""
    found = []
    for path in find_scenes(root):
        folder = run_folder(out, scene_name(path, root))
        if (folder / "made.json").exists():
            scene = EvalScene(path)
            if setting in (None, scene.setting) and scene.has_ids:
                found.append((scene, SceneMethods(scene, SceneRun(folder), FrontEnd())))
    if not found:
        raise EchosegError(f"{out}: no runs of scenes of {root}: make them with `echoseg evaluate {root} --out {out}`")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if the parameters hold, 1 if they do not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--out", type=Path, required=True, help="of `echoseg evaluate`, for its runs")
    parser.add_argument("--search", action="store_true", help="look for better parameters, on the single scenes")
    arguments = parser.parse_args(argv)
    front_end = FrontEnd()
    if arguments.search:
        front_end = search(with_runs(arguments.root, arguments.out, "single"), front_end)
    rows = score_front_end(with_runs(arguments.root, arguments.out, None), front_end)
    sys.stdout.write(f"{front_end}\n{table(rows)}\n")
    sys.stdout.write("VOID: not as published\n" if is_void(rows) else "as published\n")
    return int(is_void(rows))


def table(rows: Sequence[Row]) -> str:
    """Both settings beside what is published; only the single one is held to it."""
    lines = []
    for method in (FRONT_END, NO_AISRM):
        for setting, wanted in PUBLISHED[method].items():
            some = of_method(rows, method, setting)
            for measure, value in zip(("miou", "f"), wanted, strict=True):
                mean = mean_of(rows, method, setting, measure)
                lines.append({"method": method, "setting": setting, "measure": measure, "value": mean,
                              "published": value, "scenes": len(some)})  # fmt: skip
    return text_table(lines, ("method", "setting", "measure", "value", "published", "scenes"))


if __name__ == "__main__":
    sys.exit(main())
