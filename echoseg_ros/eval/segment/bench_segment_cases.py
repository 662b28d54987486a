"""Choice cases: the maps of the scenes with other objects sounding; each case has a JSON file."""

from __future__ import annotations

import json
from pathlib import Path

from echoseg_ros.errors import DatasetError
from echoseg_ros.eval.bench import Row, commit
from echoseg_ros.eval.segment.compared_methods import row_mask
from echoseg_ros.eval.segment.decision_on_map import decide_on_map, scene_evidence
from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings, gaussian_objects, grade_choice, run_folder
from echoseg_ros.eval.segment.scene_run import SceneRun, code_digest, scene_run
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.eval.segment.truth_gaussians import chosen_object
from echoseg_ros.io.dataset import BINAURAL, TRUTH_FILE
from echoseg_ros.io.files import read_json, write_json

# Folder of the cases, in a simulated scene and in the output folder.
CASES = "cases"


def case_folders(scene: Path) -> list[Path]:
    """Folders of the cases of a simulated scene, in order of their numbers."""
    found = [folder for folder in (scene / CASES).glob("*") if (folder / BINAURAL).is_dir()]
    return sorted(found, key=lambda folder: (len(folder.name), folder.name))


def case_file(out: Path, name: str, case: str) -> Path:
    """File of a case's row."""
    return out / CASES / name / f"{case}.json"


def evaluate_choice_cases(path: Path, name: str, out: Path, cases: list[str], settings: EvaluateSettings) -> list[Row]:
    """Rows of these cases of a scene; missing rows are made. Raises EchosegError if a case cannot be used."""
    scene = EvalScene(path)
    run = scene_run(path, run_folder(out, name), settings.overrides, False, settings.reuse)
    rows = []
    for case in cases:
        file = case_file(out, name, case)
        key = f"{run.made['key']}-{code_digest()}"
        kept = read_json(file) if file.exists() and not settings.fresh else None
        if kept is None or (kept["key"] != key and not settings.reuse):
            kept = {"key": key, "commit": commit(), **_case_row(scene, run, name, path / CASES / case)}
            write_json(file, kept)
        rows.append(kept)
    return rows


def _case_row(scene: EvalScene, run: SceneRun, name: str, case: Path) -> Row:
    """Decide on the case's audio of the train seconds and grade the instances that are named."""
    sources = _sources(case)
    config = run.folder.config
    verdict = decide_on_map(scene_evidence(scene.data.with_sound(case / BINAURAL), config), run.snapshot, config)
    true_objects = gaussian_objects(scene, run)
    named = [row_mask(found.instance.uids, len(true_objects)) for found in verdict.sounding] if verdict else []
    true_ids = scene.ids_of_sources(sources)
    return {
        "case": f"choice/{name}/{case.name}",
        "setting": scene.setting,
        "sounds": [source.get("sound") for source in sources],
        "objects": true_ids,
        "named": [chosen_object(rows, true_objects) for rows in named],
        "probability": max((found.probability for found in verdict.sounding), default=None) if verdict else None,
        "choice": grade_choice(named, true_objects, true_ids),
    }


def _sources(case: Path) -> list[Row]:
    try:
        return list(json.loads((case / TRUTH_FILE).read_text())["sources"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{case / TRUTH_FILE}: want JSON with a list of sources ({error})") from error
