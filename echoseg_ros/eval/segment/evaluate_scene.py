"""One scene of an evaluation: its run, what each method makes of it, and the scores, a JSON file a method and scene."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from echoseg_ros.errors import FolderError
from echoseg_ros.eval.baselines.echosegnet.front_end import FrontEnd
from echoseg_ros.eval.bench import commit
from echoseg_ros.eval.segment.scene_run import SceneRun, scene_run
from echoseg_ros.eval.segment.scene_views import EvalScene
from echoseg_ros.eval.segment.segment_methods import NEED_IDS, OURS, SceneMethods, Segmented
from echoseg_ros.eval.segment.segmentation_metrics import score_scene, score_view
from echoseg_ros.eval.segment.truth_gaussians import chosen_object, gaussian_iou, lifted_truth, truth_members
from echoseg_ros.io.files import read_json, replacing, write_json

Row = dict[str, Any]
# Files that make a score, beyond those that make the run; relative to eval/.
_SCORED_BY = (
    "baselines/echosegnet/*.py",
    "segment/decision_on_map.py",
    "segment/evaluate_scene.py",
    "segment/front_end*.py",
    "segment/scene_views.py",
    "segment/segment*.py",
    "segment/truth_gaussians.py",
)
RIGHT, WRONG, MISSED = "right", "wrong", "missed"


@dataclass(frozen=True)
class EvaluateSettings:
    """overrides: settings of the runs; fresh: make all again; reuse: take runs as they are, whatever made them."""

    front_end: FrontEnd = field(default_factory=FrontEnd)
    overrides: dict[str, Any] = field(default_factory=dict)
    fresh: bool = False
    reuse: bool = False


def scene_name(scene: Path, root: Path) -> str:
    """A scene's name in files and tables: its path below the root."""
    below = Path(scene).relative_to(root).parts
    return "_".join(below) if below else Path(scene).name


def score_file(out: Path, method: str, name: str) -> Path:
    """Where the scores of a method on a scene are kept."""
    return out / "scores" / method / f"{name}.json"


def mask_file(out: Path, method: str, name: str, view: str) -> Path:
    """Where the mask of a test view is kept, 0 or 255."""
    return out / "masks" / method / name / f"{view}.png"


def run_folder(out: Path, name: str) -> Path:
    """Where the run of a scene is kept."""
    return out / "runs" / name


def evaluate_scene(
    path: Path, name: str, out: Path, methods: Sequence[str], settings: EvaluateSettings
) -> dict[str, Row]:
    """Score the methods on a scene, those that have not been; returns all their rows by method.

    Methods that need truth which the scene lacks are left out. Raises EchosegError if the scene cannot be used.
    """
    scene = EvalScene(path)
    meant = [method for method in methods if scene.has_ids or method not in NEED_IDS]
    run = scene_run(path, run_folder(out, name), settings.overrides, settings.fresh, settings.reuse)
    of_scene = SceneMethods(scene, run, settings.front_end)
    rows: dict[str, Row] = {}
    for method in meant:
        file = score_file(out, method, name)
        key = _key(run, method, settings.front_end)
        kept = read_json(file) if file.exists() and not settings.fresh else None
        if kept is None or kept["key"] != key:
            kept = {"key": key, "commit": commit(), **_scored(method, name, scene, run, of_scene, out, settings)}
            write_json(file, kept)
        rows[method] = kept
    return rows


def scene_members(scene: EvalScene, run: SceneRun) -> NDArray[np.int32]:
    """[N] true object of each Gaussian of the run's map (truth_members), kept beside the run."""
    file = run.folder.path.parent / "truth_members.npy"
    if not file.exists():
        members = truth_members(lifted_truth(scene, run.folder.mapper))
        with replacing(file) as temporary:
            np.save(temporary, members)
    return np.asarray(np.load(file))


def choice_of(objects: Sequence[NDArray[np.bool_]], members: NDArray[np.int32], sounding: Sequence[int]) -> str:
    """RIGHT if every named object is mostly Gaussians of what sounds, WRONG if one is not, MISSED if none is named."""
    found = [chosen_object(rows, members) for rows in objects]
    named = [k for k in found if k is not None]
    if not named:
        return MISSED
    return RIGHT if all(k in sounding for k in named) else WRONG


def _scored(
    method: str,
    name: str,
    scene: EvalScene,
    run: SceneRun,
    methods: SceneMethods,
    out: Path,
    settings: EvaluateSettings,
) -> Row:
    found = methods.segment(method)
    views = []
    for view in scene.test:
        mask = found.mask(view)
        views.append(score_view(view.name, mask, scene.truth_mask(view)))
        _write_mask(mask_file(out, method, name, view.name), mask)
    return {
        "scene": name,
        "setting": scene.setting,
        "method": method,
        "run": run.made["commit"],
        "front_end": settings.front_end.as_json() if method != OURS else None,
        **asdict(score_scene(views)),
        **_in_3d(found, scene, run),
        "views": [asdict(view) for view in views],
    }


def _in_3d(found: Segmented, scene: EvalScene, run: SceneRun) -> Row:
    """iou_3d and choice; None where the method, or the truth, does not say."""
    if found.objects is None:
        return {"iou_3d": None, "choice": None}
    members = scene_members(scene, run)
    nothing = np.zeros(len(members), bool)
    wanted = scene.sounding_ids if scene.has_ids else [1]
    chosen = found.chosen if found.chosen is not None else nothing
    choice = choice_of(found.objects, members, wanted) if scene.has_ids else None
    return {"iou_3d": gaussian_iou(chosen, members, wanted), "choice": choice}


def _key(run: SceneRun, method: str, front_end: FrontEnd) -> str:
    folder = Path(__file__).parents[1]
    files = sorted(file for pattern in _SCORED_BY for file in folder.glob(pattern))
    parts = [run.made["key"], method, None if method == OURS else front_end.as_json(), [f.read_text() for f in files]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _write_mask(file: Path, mask: NDArray[np.bool_]) -> None:
    with replacing(file) as temporary:
        if not cv2.imwrite(str(temporary), mask.astype(np.uint8) * np.uint8(255)):
            raise FolderError(f"{file}: cannot be written")
