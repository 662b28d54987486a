"""The choice of the instance: the same maps with other things sounding, a JSON file a case."""

from __future__ import annotations

import json
from pathlib import Path

from echoseg_ros.errors import DatasetError
from echoseg_ros.eval.bench import commit
from echoseg_ros.eval.segment.decision_on_map import decide_on_map, scene_evidence
from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings, Row, choice_of, run_folder, scene_members
from echoseg_ros.eval.segment.scene_run import SceneRun, code_digest, scene_run
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.eval.segment.segment_methods import rows_mask
from echoseg_ros.eval.segment.truth_gaussians import chosen_object
from echoseg_ros.io.dataset import BINAURAL, TRUTH_FILE
from echoseg_ros.io.files import read_json, write_json

CASES = "cases"


def case_folders(scene: Path) -> list[Path]:
    """The other sounds of a simulated scene, in order."""
    found = [folder for folder in (scene / CASES).glob("*") if (folder / BINAURAL).is_dir()]
    return sorted(found, key=lambda folder: (len(folder.name), folder.name))


def case_file(out: Path, name: str, case: str) -> Path:
    """Where a case's row is kept."""
    return out / "cases" / name / f"{case}.json"


def judge_cases(path: Path, name: str, out: Path, cases: list[str], settings: EvaluateSettings) -> list[Row]:
    """Rows of these cases of a scene, those that are missing judged now. Raises EchosegError if one cannot be used."""
    scene = EvalScene(path)
    run = scene_run(path, run_folder(out, name), settings.overrides, False, settings.reuse)
    rows = []
    for case in cases:
        file = case_file(out, name, case)
        key = f"{run.made['key']}-{code_digest()}"
        kept = read_json(file) if file.exists() and not settings.fresh else None
        if kept is None or (kept["key"] != key and not settings.reuse):
            kept = {"key": key, "commit": commit(), **_judge(scene, run, name, path / CASES / case)}
            write_json(file, kept)
        rows.append(kept)
    return rows


def _judge(scene: EvalScene, run: SceneRun, name: str, case: Path) -> Row:
    """Hear the case's clips of the train seconds and see which instances are named."""
    sources = _sources(case)
    config = run.folder.config
    verdict = decide_on_map(scene_evidence(scene.data.with_sound(case / BINAURAL), config), run.snapshot, config)
    members = scene_members(scene, run)
    named = [rows_mask(found.instance.uids, len(members)) for found in verdict.sounding] if verdict else []
    wanted = scene.ids_of(sources)
    return {
        "case": f"choice/{name}/{case.name}",
        "setting": scene.setting,
        "sounds": [source.get("sound") for source in sources],
        "objects": wanted,
        "named": [chosen_object(rows, members) for rows in named],
        "probability": max((found.probability for found in verdict.sounding), default=None) if verdict else None,
        "choice": choice_of(named, members, wanted),
    }


def _sources(case: Path) -> list[Row]:
    try:
        return list(json.loads((case / TRUTH_FILE).read_text())["sources"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{case / TRUTH_FILE}: no sources in it ({error})") from error
