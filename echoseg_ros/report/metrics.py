"""How right a run is, by the definitions of the project; works on the contents of objects.json, truth.json and timeline.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from echoseg_ros.geometry import box_iou
from echoseg_ros.types import Box

# A chosen object is right only if its box overlaps the true one at least this much.
MIN_BOX_IOU = 0.25


@dataclass(frozen=True)
class TruthMetrics:
    """source_error_m: mean over matched sources, before any snapping; None if a source was missed or there is none."""

    source_error_m: float | None
    correct_object: bool | None
    box_iou: float | None
    false_objects: int
    time_to_right_s: float | None


def compare_with_truth(objects: dict[str, Any], truth: dict[str, Any], timeline: list[dict[str, Any]]) -> TruthMetrics:
    """Compare what a run says at its end (and when it began to say so) with the truth."""
    true_sources, found = truth["sources"], objects["sources"]
    if not true_sources:
        return TruthMetrics(None, None, None, len(objects["objects"]), None)
    pairs = match_sources(true_sources, found)
    false_objects = _false_objects(objects, true_sources, pairs)
    overlaps = [_overlap(true_sources[t], found[f], objects, truth) for t, f in pairs]
    ious = [iou for iou, _ in overlaps if iou is not None]
    box = float(np.mean(ious)) if ious else None
    if len(pairs) < len(true_sources):
        return TruthMetrics(None, False, box, false_objects, None)
    # A scene without metric scale has its positions in its own units; the truth knows how long they are.
    metres = float(truth.get("metres_per_unit", 1.0))
    error_m = metres * float(np.mean([_distance(true_sources[t], found[f]) for t, f in pairs]))
    correct = all(right for _, right in overlaps)
    wanted = [found[f]["object_id"] for _, f in pairs]
    time_s = time_to_right(timeline, wanted, _onset_s(true_sources)) if correct else None
    return TruthMetrics(error_m, correct, box, false_objects, time_s)


def match_sources(true_sources: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Pairs (true, found) of least total distance."""
    if not true_sources or not found:
        return []
    cost = np.array([[_distance(true, source) for source in found] for true in true_sources])
    rows, columns = linear_sum_assignment(cost)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


def time_to_right(timeline: list[dict[str, Any]], wanted: list[int | None], onset_s: float) -> float | None:
    """Seconds from the onset to the first moment from which on the wanted objects stay chosen; None if not at the end."""
    since: float | None = None
    for moment in timeline:
        chosen = [source["object_id"] for source in moment["sources"]]
        right = all(chosen.count(w) >= wanted.count(w) for w in wanted)
        if not right:
            since = None
        elif since is None:
            since = float(moment["t_s"])
    return None if since is None else max(0.0, since - onset_s)


def box_from_json(entry: dict[str, Any]) -> Box:
    """The box of an entry of truth.json (center_m, quaternion_xyzw) or objects.json (position_m, orientation_xyzw)."""
    center = entry.get("center_m", entry.get("position_m"))
    quaternion = entry.get("quaternion_xyzw", entry.get("orientation_xyzw"))
    return Box(np.asarray(center, float), np.asarray(entry["size_m"], float), np.asarray(quaternion, float))


def _overlap(
    true: dict[str, Any], found: dict[str, Any], objects: dict[str, Any], truth: dict[str, Any]
) -> tuple[float | None, bool]:
    """Box IoU of the chosen instance with the true object (None without one), and whether the choice is right."""
    if true["object"] is None:
        return None, found["object_id"] is None
    true_box = box_from_json(truth["objects"][true["object"]])
    ious = {entry["id"]: box_iou(box_from_json(entry), true_box) for entry in objects["instances"]}
    chosen = ious.get(found["object_id"], 0.0)
    return chosen, chosen >= MIN_BOX_IOU and chosen >= max(ious.values())


def _false_objects(objects: dict[str, Any], true_sources: list[dict[str, Any]], pairs: list[tuple[int, int]]) -> int:
    meant = {objects["sources"][f]["object_id"] for t, f in pairs if true_sources[t]["object"] is not None}
    return sum(entry["id"] not in meant for entry in objects["objects"])


def _distance(true: dict[str, Any], found: dict[str, Any]) -> float:
    return float(np.linalg.norm(np.subtract(true["position_m"], found["position_m"])))


def _onset_s(true_sources: list[dict[str, Any]]) -> float:
    return max(min(a for a, _ in source["on_s"]) for source in true_sources)
