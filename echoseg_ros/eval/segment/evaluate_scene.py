"""One scene of an evaluation: its run, the masks of each method and their scores; a JSON file a method and scene."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.eval.bench import Row, commit
from echoseg_ros.eval.picture_files import write_png
from echoseg_ros.eval.segment.compared_methods import NEED_OBJECT_IDS, OURS, SceneSegmenter, SegmentationResult
from echoseg_ros.eval.segment.front_end import FrontEnd
from echoseg_ros.eval.segment.scene_run import SceneRun, scene_run
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.eval.segment.segmentation_metrics import score_scene, score_view
from echoseg_ros.eval.segment.truth_gaussians import chosen_object, gaussian_iou, lift_truth, majority_objects
from echoseg_ros.io.files import read_json, replacing, write_json

# Source files that scores depend on, beyond those of the run; relative to eval/.
_SCORE_SOURCES = (
    "baselines/echosegnet/*.py",
    "segment/compared_methods.py",
    "segment/decision_on_map.py",
    "segment/evaluate_scene.py",
    "segment/front_end*.py",
    "segment/scene_views.py",
    "segment/segment*.py",
    "segment/truth_gaussians.py",
)
# Grades of a choice of instances.
RIGHT = "right"
WRONG = "wrong"
MISSED = "missed"


@dataclass(frozen=True)
class EvaluateSettings:
    """overrides: settings of the runs; fresh: repeat finished work; reuse: accept runs of other code or settings."""

    front_end: FrontEnd = field(default_factory=FrontEnd)
    overrides: dict[str, Any] = field(default_factory=dict)
    fresh: bool = False
    reuse: bool = False


def scene_name(scene: Path, root: Path) -> str:
    """A scene's name in files and tables: its path below the root, parts joined by underscores."""
    below = Path(scene).relative_to(root).parts
    return "_".join(below) if below else Path(scene).name


def score_file(out: Path, method: str, name: str) -> Path:
    """File of the scores of a method on a scene."""
    return out / "scores" / method / f"{name}.json"


def mask_file(out: Path, method: str, name: str, view: str) -> Path:
    """File of the mask of a test view, values 0 and 255."""
    return out / "masks" / method / name / f"{view}.png"


def run_folder(out: Path, name: str) -> Path:
    """Folder of the run of a scene."""
    return out / "runs" / name


def evaluate_scene(
    path: Path, name: str, out: Path, methods: Sequence[str], settings: EvaluateSettings
) -> dict[str, Row]:
    """Rows of the methods on a scene, by method; missing rows are made.

    Methods that need truth which the scene lacks are left out. Raises EchosegError if the scene cannot be used.
    """
    scene = EvalScene(path)
    usable = [method for method in methods if scene.has_ids or method not in NEED_OBJECT_IDS]
    run = scene_run(path, run_folder(out, name), settings.overrides, settings.fresh, settings.reuse)
    segmenter = SceneSegmenter(scene, run, settings.front_end)
    rows: dict[str, Row] = {}
    for method in usable:
        file = score_file(out, method, name)
        key = _key(run, method, settings.front_end)
        kept = read_json(file) if file.exists() and not settings.fresh else None
        if kept is None or kept["key"] != key:
            kept = {"key": key, "commit": commit(), **_score_method(method, name, scene, run, segmenter, out, settings)}
            write_json(file, kept)
        rows[method] = kept
    return rows


def gaussian_objects(scene: EvalScene, run: SceneRun) -> NDArray[np.int32]:
    """[N] number of the true object of each Gaussian of the run's map (majority_objects); stored beside the run."""
    file = run.folder.path.parent / "truth_members.npy"
    if not file.exists():
        true_objects = majority_objects(lift_truth(scene, run.folder.mapper))
        with replacing(file) as temporary:
            np.save(temporary, true_objects)
    return np.asarray(np.load(file))


def grade_choice(objects: Sequence[NDArray[np.bool_]], true_objects: NDArray[np.int32], sounding: Sequence[int]) -> str:
    """Grade of the named instances: MISSED without any; RIGHT if most Gaussians of each belong to a sounding object.

    objects: [N] Gaussians of each named instance; true_objects: [N] by gaussian_objects; sounding: numbers of the objects
    that sound. WRONG in all other cases.
    """
    majorities = [chosen_object(rows, true_objects) for rows in objects]
    named = [k for k in majorities if k is not None]
    if not named:
        return MISSED
    return RIGHT if all(k in sounding for k in named) else WRONG


def _score_method(
    method: str,
    name: str,
    scene: EvalScene,
    run: SceneRun,
    segmenter: SceneSegmenter,
    out: Path,
    settings: EvaluateSettings,
) -> Row:
    result = segmenter.segment(method)
    views = []
    for view in scene.test:
        mask = result.mask(view)
        views.append(score_view(view.name, mask, scene.truth_mask(view)))
        write_png(mask_file(out, method, name, view.name), mask.astype(np.uint8) * np.uint8(255))
    return {
        "scene": name,
        "setting": scene.setting,
        "method": method,
        "run": run.made["commit"],
        "front_end": settings.front_end.as_json() if method != OURS else None,
        **asdict(score_scene(views)),
        **_scores_3d(result, scene, run),
        "views": [asdict(view) for view in views],
    }


def _scores_3d(result: SegmentationResult, scene: EvalScene, run: SceneRun) -> Row:
    """iou_3d and choice; None if the method has no 3D result or the scene no such truth."""
    if result.objects is None:
        return {"iou_3d": None, "choice": None}
    true_objects = gaussian_objects(scene, run)
    empty = np.zeros(len(true_objects), bool)
    sounding = scene.sounding_ids if scene.has_ids else [1]
    chosen = result.chosen if result.chosen is not None else empty
    choice = grade_choice(result.objects, true_objects, sounding) if scene.has_ids else None
    return {"iou_3d": gaussian_iou(chosen, true_objects, sounding), "choice": choice}


def _key(run: SceneRun, method: str, front_end: FrontEnd) -> str:
    folder = Path(__file__).parents[1]
    files = sorted(file for pattern in _SCORE_SOURCES for file in folder.glob(pattern))
    parts = [run.made["key"], method, None if method == OURS else front_end.as_json(), [f.read_text() for f in files]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
