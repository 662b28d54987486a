"""Metrics of a run against the truth, from the contents of objects.json, truth.json and timeline.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from echoseg_ros.geometry import box_iou
from echoseg_ros.types import Box

# Least box IoU of a correct object with the true one.
MIN_BOX_IOU = 0.25


@dataclass(frozen=True)
class TruthMetrics:
    """Metrics of one run.

    source_error_m: mean distance of matched sources, None if a source was missed or the truth has none; correct_object:
    whether all sources have the right object, None without true sources; box_iou: mean IoU of the boxes of the assigned
    instances with the true ones, None without any; false_objects: number of sounding objects that are wrong;
    time_to_right_s: see time_to_right.
    """

    source_error_m: float | None
    correct_object: bool | None
    box_iou: float | None
    false_objects: int
    time_to_right_s: float | None


def compare_with_truth(objects: dict[str, Any], truth: dict[str, Any], timeline: list[dict[str, Any]]) -> TruthMetrics:
    """Metrics of the last verdict of a run, and of the time from which it was right."""
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
    # Without metric scale, positions are in map units; the truth has their length in metres.
    metres_per_unit = float(truth.get("metres_per_unit", 1.0))
    error_m = metres_per_unit * float(np.mean([_distance(true_sources[t], found[f]) for t, f in pairs]))
    correct = all(is_right for _, is_right in overlaps)
    right_ids = [found[f]["object_id"] for _, f in pairs]
    time_s = time_to_right(timeline, right_ids, _onset_s(true_sources)) if correct else None
    return TruthMetrics(error_m, correct, box, false_objects, time_s)


def match_sources(true_sources: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Pairs (index of the true source, index of the found source) with the least total distance."""
    if not true_sources or not found:
        return []
    cost = np.array([[_distance(true, source) for source in found] for true in true_sources])
    rows, columns = linear_sum_assignment(cost)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


def time_to_right(timeline: list[dict[str, Any]], right_ids: list[int | None], onset_s: float) -> float | None:
    """Seconds from the onset to the verdict after which all verdicts have the right objects; None if the last has not.

    right_ids: the right object_id of each source, None = elsewhere.
    """
    right_since_s: float | None = None
    for moment in timeline:
        chosen = [source["object_id"] for source in moment["sources"]]
        is_right = all(chosen.count(i) >= right_ids.count(i) for i in right_ids)
        if not is_right:
            right_since_s = None
        elif right_since_s is None:
            right_since_s = float(moment["t_s"])
    return None if right_since_s is None else max(0.0, right_since_s - onset_s)


def box_from_json(entry: dict[str, Any]) -> Box:
    """The box of an entry of truth.json (center_m, quaternion_xyzw) or objects.json (position_m, orientation_xyzw)."""
    center = entry.get("center_m", entry.get("position_m"))
    quaternion = entry.get("quaternion_xyzw", entry.get("orientation_xyzw"))
    return Box(np.asarray(center, float), np.asarray(entry["size_m"], float), np.asarray(quaternion, float))


def _overlap(
    true: dict[str, Any], found: dict[str, Any], objects: dict[str, Any], truth: dict[str, Any]
) -> tuple[float | None, bool]:
    """Box IoU of the assigned instance with the true object, None for a true source elsewhere; whether it is right.

    Right is the instance with the largest IoU of all, if that is at least MIN_BOX_IOU, or elsewhere for elsewhere.
    """
    if true["object"] is None:
        return None, found["object_id"] is None
    true_box = box_from_json(truth["objects"][true["object"]])
    ious = {entry["id"]: box_iou(box_from_json(entry), true_box) for entry in objects["instances"]}
    iou = ious.get(found["object_id"], 0.0)
    return iou, iou >= MIN_BOX_IOU and iou >= max(ious.values())


def _false_objects(objects: dict[str, Any], true_sources: list[dict[str, Any]], pairs: list[tuple[int, int]]) -> int:
    """Number of sounding objects that no source matched to a true object is assigned to."""
    matched_ids = {objects["sources"][f]["object_id"] for t, f in pairs if true_sources[t]["object"] is not None}
    return sum(entry["id"] not in matched_ids for entry in objects["objects"])


def _distance(true: dict[str, Any], found: dict[str, Any]) -> float:
    return float(np.linalg.norm(np.subtract(true["position_m"], found["position_m"])))


def _onset_s(true_sources: list[dict[str, Any]]) -> float:
    """Time at which the last source begins to sound."""
    return float(max(min(a for a, _ in source["on_s"]) for source in true_sources))
