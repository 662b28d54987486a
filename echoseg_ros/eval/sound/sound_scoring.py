"""How right a run over a scene of known sounds is: directions, places, objects, counts, calibration, time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from echoseg_ros.config import Config
from echoseg_ros.eval.baselines.doa import DOA_METHODS, DirectionFinder, louder_side, object_at, triangulate
from echoseg_ros.eval.sound.sound_scenes import OFF_MAP, WINDOW_S, Hearing, SoundCase, SoundScene, hear
from echoseg_ros.pipeline.pipeline import SoundBranch
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import peak_direction
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.types import Float64Array, SoundSource, Verdict

RunRow = dict[str, Any]

# In a window that holds this much less than the source's mean there is no direction to be found.
AUDIBLE_DB = -10.0
FOUND_M = 0.3
# Chi-square of three degrees of freedom.
INSIDE_95 = 7.815


@dataclass(frozen=True)
class Errors:
    """Of a direction, degrees; what the array cannot tell by its shape is not held against it.

    direction: of a solid array the angle, of a flat one the angle or that of the mirror image, of a line that between
    the cones. azimuth: about the array's z axis.
    """

    direction: float
    azimuth: float


def score_run(scene: SoundScene, case: SoundCase, config: Config, baseline_windows: int) -> RunRow:
    """One run of the sound side over a scene. baseline_windows: how many of them the other methods get too."""
    heard = hear(scene, case)
    extract = EvidenceExtractor(scene.array, scene.array.sample_rate_hz, config.sound)
    branch = SoundBranch(config, None)
    verdicts: list[Verdict] = []
    directions, extract_ms, judge_ms = [], [], []
    for number, window in enumerate(heard.windows):
        begun = time.process_time()
        evidence = extract(window, noise_only=number < case.lead_s)  # the robot knows that its motors run alone
        between = time.process_time()
        verdicts.append(branch.decide(evidence, scene.snapshot))
        extract_ms.append(1e3 * (between - begun))
        judge_ms.append(1e3 * (time.process_time() - between))
        directions.append(peak_direction(evidence))
    row = {**_judged(scene, case, verdicts), "extract_ms": _middle(extract_ms), "judge_ms": _middle(judge_ms)}
    if len(case.sources) == 1:
        row |= _directions(scene, case, heard, np.array(directions), "")
        row |= _from_lines(scene, case, heard, np.array(directions))
        row |= _others(scene, case, heard, baseline_windows)
    return row


def _judged(scene: SoundScene, case: SoundCase, verdicts: Sequence[Verdict]) -> RunRow:
    """What the verdicts are worth, the last one, of what sounds in the end, and the way there."""
    mapped = {source for source in case.sources if source != OFF_MAP}
    row: RunRow = {"hours": len(verdicts) * WINDOW_S / 3600, "false_objects": _false_onsets(verdicts, mapped)}
    on_s = case.on_s or ((0.0, np.inf),) * len(case.sources)
    at_end = [
        k for k, (_, to_s) in enumerate(on_s) if case.sources[k] in mapped and to_s + case.lead_s >= len(verdicts)
    ]
    true = [case.sources[k] for k in at_end]
    if not true:
        return row
    last = verdicts[-1]
    truths_m = np.stack([scene.source_m(source) for source in true])
    sources = last.sources[: 1 if len(true) == 1 else None]
    pairs = _matched(truths_m, sources)
    errors = [float(np.linalg.norm(sources[pairs[k]].position_m - truths_m[k])) if k in pairs else None
              for k in range(len(true))]  # fmt: skip
    onset_s = case.lead_s + max(on_s[k][0] for k in at_end)
    apart = [_mahalanobis2(sources[found], truths_m[k]) for k, found in sorted(pairs.items())]
    chosen = [{found.instance.id for found in verdict.sounding} for verdict in verdicts]
    if len(true) == 1:
        row["likeliest_right"] = _likeliest(last) == true[0]
    return row | {
        "position_m": [None if error is None else round(error, 4) for error in errors],
        "inside_95": [mahalanobis2 <= INSIDE_95 for mahalanobis2 in apart],
        "mahalanobis2": [round(mahalanobis2, 2) for mahalanobis2 in apart],
        "found": sum(error is not None and error <= FOUND_M for error in errors),
        "sources_said": len(last.sources),
        "wrong": bool(chosen[-1] - set(true)),
        "right": chosen[-1] == set(true) if len(true) > 1 else [x.instance.id for x in last.sounding][:1] == true,
        "time_to_right_s": _time_to_right_s(chosen, set(true), onset_s),
        "sounding_s": len(verdicts) * WINDOW_S - onset_s,
    }


def _false_onsets(verdicts: Sequence[Verdict], true: set[int]) -> int:
    """How often an object that makes no sound is said to begin one."""
    before: set[int] = set()
    count = 0
    for verdict in verdicts:
        false = {found.instance.id for found in verdict.sounding} - true
        count += len(false - before)
        before = false
    return count


def _matched(truths_m: Float64Array, sources: Sequence[SoundSource]) -> dict[int, int]:
    """Which source [index] stands for which truth [index]: least total distance."""
    if not sources:
        return {}
    cost = np.array([[float(np.linalg.norm(source.position_m - truth)) for source in sources] for truth in truths_m])
    rows, columns = linear_sum_assignment(cost)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True)}


def _mahalanobis2(source: SoundSource, truth_m: Float64Array) -> float:
    """Squared distance of the truth in standard deviations of what is said."""
    offset = truth_m - source.position_m
    return float(offset @ np.linalg.solve(source.covariance_m2, offset))


def _likeliest(verdict: Verdict) -> int | None:
    """The likeliest instance of the strongest source, whether it was said to sound or not."""
    candidates = verdict.sources[0].candidates if verdict.sources else ()
    return next((key for key, _ in candidates if key is not None), None)


def _time_to_right_s(chosen: Sequence[set[int]], true: set[int], onset_s: float) -> float | None:
    """Seconds from the onset to the end of the first window from which on exactly the right objects are chosen."""
    wrong = [k for k, objects in enumerate(chosen) if objects != true]
    since = wrong[-1] + 1 if wrong else 0
    return None if since == len(chosen) else max(WINDOW_S, (since + 1) * WINDOW_S - onset_s)


def _audible(heard: Hearing) -> NDArray[np.int64]:
    """[W'] numbers of the windows in which the one source is heard."""
    return np.flatnonzero(heard.share_db[:, 0] > AUDIBLE_DB).astype(np.int64)


def _directions(scene: SoundScene, case: SoundCase, heard: Hearing, directions: Float64Array, prefix: str,
                numbers: NDArray[np.int64] | None = None) -> RunRow:  # fmt: skip
    """Errors of directions [W, 3], or of those of the windows `numbers`."""
    numbers = np.arange(len(heard.windows), dtype=np.int64) if numbers is None else numbers
    audible = set(_audible(heard).tolist())
    errors = [
        direction_errors(scene.array, direction, scene.direction_array(case.sources[0], int(heard.pose[k])))
        for k, direction in zip(numbers, directions, strict=True)
        if int(k) in audible
    ]
    return {
        f"{prefix}direction_deg": [round(error.direction, 2) for error in errors],
        f"{prefix}azimuth_deg": [round(error.azimuth, 2) for error in errors],
    }


def direction_errors(array: ArrayGeometry, said: Float64Array, true: Float64Array) -> Errors:
    """How far unit vector `said` [3] is from `true` [3], both in the array frame."""
    centred = array.microphones_m - array.microphones_m.mean(axis=0)
    axes = np.linalg.svd(centred)[2]
    rank = int(np.linalg.matrix_rank(centred, tol=1e-3))
    turn = float(np.arctan2(said[1], said[0]) - np.arctan2(true[1], true[0]))
    azimuth = abs((turn + np.pi) % (2 * np.pi) - np.pi)
    angle = _angle(said, true)
    if rank == 2:
        angle = min(angle, _angle(said - 2 * (said @ axes[2]) * axes[2], true))
    elif rank == 1:
        angle = abs(_angle(said, axes[0]) - _angle(true, axes[0]))
    return Errors(float(np.degrees(angle)), float(np.degrees(azimuth)))


def _angle(a: Float64Array, b: Float64Array) -> float:
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))


def _from_lines(scene: SoundScene, case: SoundCase, heard: Hearing, directions: Float64Array) -> RunRow:
    """Place and object by RANSAC over our own directions [W, 3] of the windows in which the source is heard."""
    if case.sources == (OFF_MAP,):
        return {}
    audible = _audible(heard)
    poses = scene.poses[heard.pose[audible]]
    place_m = triangulate(poses[:, :3, 3], np.einsum("wij,wj->wi", poses[:, :3, :3], directions[audible]))
    if place_m is None:
        return {"ransac_position_m": None, "ransac_right": False}
    error_m = float(np.linalg.norm(place_m - scene.source_m(case.sources[0])))
    right = object_at(place_m, scene.snapshot) == case.sources[0]
    return {"ransac_position_m": round(error_m, 4), "ransac_right": right}


def _others(scene: SoundScene, case: SoundCase, heard: Hearing, count: int) -> RunRow:
    """The published methods on the same windows: half-plane votes for two ears, direction finders for open arrays."""
    if case.sources == (OFF_MAP,) or count == 0:
        return {}
    row: RunRow = {}
    if scene.array.head is not None:
        for name, averaged in (("reference", True), ("reference_raw", False)):
            found = louder_side(heard.windows, scene.snapshot, averaged)
            error_m = float(np.linalg.norm(found.position_m - scene.source_m(case.sources[0])))
            row |= {f"{name}_position_m": round(error_m, 4), f"{name}_right": found.object_id == case.sources[0]}
        return row
    audible = _audible(heard)
    numbers = audible[np.unique(np.linspace(0, len(audible) - 1, min(count, len(audible))).astype(int))]
    for method in DOA_METHODS:
        find = DirectionFinder(scene.array, method)
        begun = time.perf_counter()
        directions = np.array([find(heard.windows[k]) for k in numbers])
        row[f"{method}_ms"] = round(1e3 * (time.perf_counter() - begun) / len(numbers), 2)
        row |= _directions(scene, case, heard, directions, f"{method}_", numbers)
    return row


def _middle(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 3)
