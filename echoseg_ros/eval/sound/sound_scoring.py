"""Scores of a run over a scene with known sources: directions, positions, objects, counts, times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from echoseg_ros.config import Config
from echoseg_ros.eval.baselines.doa import DOA_METHODS, DirectionFinder, louder_side, nearest_instance, triangulate
from echoseg_ros.eval.bench import median
from echoseg_ros.eval.sound.sound_scenes import OFF_MAP, WINDOW_S, SimulatedAudio, SoundCase, SoundScene, simulate_audio
from echoseg_ros.pipeline.pipeline import SoundBranch
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.sound.array.directions import peak_direction
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.types import Float64Array, SoundSource, Verdict

# Scores of one run; lists hold one value a window or source.
RunRow = dict[str, Any]

# Level of a source in a window, over its mean level, below which its direction is not scored.
AUDIBLE_DB = -10.0
# Largest position error of a source that counts as found, metres.
FOUND_M = 0.3
# 95 % quantile of chi-square with three degrees of freedom.
INSIDE_95 = 7.815


@dataclass(frozen=True)
class DirectionErrors:
    """Errors of a direction of arrival, degrees; ambiguities of the array's shape do not count.

    direction: angle to the true direction; for a flat array the smaller one of the direction and its mirror image, for a
    line the angle between the cones. azimuth: about the array's z axis.
    """

    direction: float
    azimuth: float


def score_run(scene: SoundScene, case: SoundCase, config: Config, baseline_windows: int) -> RunRow:
    """Scores of one run of the sound side over a scene. baseline_windows: number of windows for the slow baselines."""
    audio = simulate_audio(scene, case)
    extract = EvidenceExtractor(scene.array, scene.array.sample_rate_hz, config.sound)
    branch = SoundBranch(config, None)
    verdicts: list[Verdict] = []
    directions, extract_ms, decide_ms = [], [], []
    for number, window in enumerate(audio.windows):
        start = time.process_time()
        evidence = extract(window, noise_only=number < case.lead_s)  # the robot reports that only its motors run
        extracted = time.process_time()
        verdicts.append(branch.decide(evidence, scene.snapshot))
        extract_ms.append(1e3 * (extracted - start))
        decide_ms.append(1e3 * (time.process_time() - extracted))
        directions.append(peak_direction(evidence))
    row = {
        **_verdict_scores(scene, case, verdicts),
        "extract_ms": median(extract_ms, 3),
        "judge_ms": median(decide_ms, 3),
    }
    if len(case.sources) == 1:
        row |= _direction_scores(scene, case, audio, np.array(directions), "")
        row |= _triangulation_scores(scene, case, audio, np.array(directions))
        row |= _baseline_rows(scene, case, audio, baseline_windows)
    return row


def _verdict_scores(scene: SoundScene, case: SoundCase, verdicts: Sequence[Verdict]) -> RunRow:
    """Scores of the last verdict for the sources that sound at the end, and time until the objects were right."""
    mapped = {source for source in case.sources if source != OFF_MAP}
    row: RunRow = {"hours": len(verdicts) * WINDOW_S / 3600, "false_objects": _false_onsets(verdicts, mapped)}
    on_s = case.on_s or ((0.0, np.inf),) * len(case.sources)
    sounding_at_end = [
        k for k, (_, to_s) in enumerate(on_s) if case.sources[k] in mapped and to_s + case.lead_s >= len(verdicts)
    ]
    true_ids = [case.sources[k] for k in sounding_at_end]
    if not true_ids:
        return row
    last = verdicts[-1]
    truths_m = np.stack([scene.source_m(source) for source in true_ids])
    sources = last.sources[: 1 if len(true_ids) == 1 else None]
    pairs = _match_sources(truths_m, sources)
    errors = [float(np.linalg.norm(sources[pairs[k]].position_m - truths_m[k])) if k in pairs else None
              for k in range(len(true_ids))]  # fmt: skip
    onset_s = case.lead_s + max(on_s[k][0] for k in sounding_at_end)
    mahalanobis2_values = [_mahalanobis2(sources[found], truths_m[k]) for k, found in sorted(pairs.items())]
    chosen = [{found.instance.id for found in verdict.sounding} for verdict in verdicts]
    if len(true_ids) == 1:
        row["likeliest_right"] = _most_probable_instance(last) == true_ids[0]
    return row | {
        "position_m": [None if error is None else round(error, 4) for error in errors],
        "inside_95": [mahalanobis2 <= INSIDE_95 for mahalanobis2 in mahalanobis2_values],
        "mahalanobis2": [round(mahalanobis2, 2) for mahalanobis2 in mahalanobis2_values],
        "found": sum(error is not None and error <= FOUND_M for error in errors),
        "sources_said": len(last.sources),
        "wrong": bool(chosen[-1] - set(true_ids)),
        "right": chosen[-1] == set(true_ids)
        if len(true_ids) > 1
        else [x.instance.id for x in last.sounding][:1] == true_ids,
        "time_to_right_s": _time_to_right_s(chosen, set(true_ids), onset_s),
        "sounding_s": len(verdicts) * WINDOW_S - onset_s,
    }


def _false_onsets(verdicts: Sequence[Verdict], true: set[int]) -> int:
    """How often an object that does not sound begins to be named."""
    false_before: set[int] = set()
    count = 0
    for verdict in verdicts:
        false = {found.instance.id for found in verdict.sounding} - true
        count += len(false - false_before)
        false_before = false
    return count


def _match_sources(truths_m: Float64Array, sources: Sequence[SoundSource]) -> dict[int, int]:
    """Index of the source matched to each true position, by least total distance."""
    if not sources:
        return {}
    cost = np.array([[float(np.linalg.norm(source.position_m - truth)) for source in sources] for truth in truths_m])
    rows, columns = linear_sum_assignment(cost)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True)}


def _mahalanobis2(source: SoundSource, truth_m: Float64Array) -> float:
    """Squared Mahalanobis distance of the true position from a source."""
    offset = truth_m - source.position_m
    return float(offset @ np.linalg.solve(source.covariance_m2, offset))


def _most_probable_instance(verdict: Verdict) -> int | None:
    """Most probable instance of the strongest source, named or not; None without one."""
    candidates = verdict.sources[0].candidates if verdict.sources else ()
    return next((key for key, _ in candidates if key is not None), None)


def _time_to_right_s(chosen: Sequence[set[int]], true: set[int], onset_s: float) -> float | None:
    """Seconds from the onset to the end of the first window after which only and all true objects stay named."""
    wrong = [k for k, objects in enumerate(chosen) if objects != true]
    first_right = wrong[-1] + 1 if wrong else 0
    return None if first_right == len(chosen) else max(WINDOW_S, (first_right + 1) * WINDOW_S - onset_s)


def _audible_windows(audio: SimulatedAudio) -> NDArray[np.int64]:
    """[W'] numbers of the windows in which the only source is audible."""
    return np.flatnonzero(audio.relative_level_db[:, 0] > AUDIBLE_DB).astype(np.int64)


def _direction_scores(scene: SoundScene, case: SoundCase, audio: SimulatedAudio, directions: Float64Array, prefix: str,
                numbers: NDArray[np.int64] | None = None) -> RunRow:  # fmt: skip
    """Errors of directions [W, 3] of the windows `numbers` (None: all), with a prefix for the columns."""
    numbers = np.arange(len(audio.windows), dtype=np.int64) if numbers is None else numbers
    audible = set(_audible_windows(audio).tolist())
    errors = [
        direction_errors(scene.array, direction, scene.direction_array(case.sources[0], int(audio.pose[k])))
        for k, direction in zip(numbers, directions, strict=True)
        if int(k) in audible
    ]
    return {
        f"{prefix}direction_deg": [round(error.direction, 2) for error in errors],
        f"{prefix}azimuth_deg": [round(error.azimuth, 2) for error in errors],
    }


def direction_errors(array: ArrayGeometry, estimated: Float64Array, true: Float64Array) -> DirectionErrors:
    """Errors of a unit vector [3] against the true one [3], both in the array frame."""
    centred = array.microphones_m - array.microphones_m.mean(axis=0)
    axes = np.linalg.svd(centred)[2]
    rank = int(np.linalg.matrix_rank(centred, tol=1e-3))
    turn = float(np.arctan2(estimated[1], estimated[0]) - np.arctan2(true[1], true[0]))
    azimuth = abs((turn + np.pi) % (2 * np.pi) - np.pi)
    angle = _angle(estimated, true)
    if rank == 2:
        angle = min(angle, _angle(estimated - 2 * (estimated @ axes[2]) * axes[2], true))
    elif rank == 1:
        angle = abs(_angle(estimated, axes[0]) - _angle(true, axes[0]))
    return DirectionErrors(float(np.degrees(angle)), float(np.degrees(azimuth)))


def _angle(a: Float64Array, b: Float64Array) -> float:
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))


def _triangulation_scores(
    scene: SoundScene, case: SoundCase, audio: SimulatedAudio, directions: Float64Array
) -> RunRow:
    """Position and object by triangulation over our directions [W, 3] of the windows in which the source is audible."""
    if case.sources == (OFF_MAP,):
        return {}
    audible = _audible_windows(audio)
    poses = scene.poses[audio.pose[audible]]
    position_m = triangulate(poses[:, :3, 3], np.einsum("wij,wj->wi", poses[:, :3, :3], directions[audible]))
    if position_m is None:
        return {"ransac_position_m": None, "ransac_right": False}
    error_m = float(np.linalg.norm(position_m - scene.source_m(case.sources[0])))
    right = nearest_instance(position_m, scene.snapshot) == case.sources[0]
    return {"ransac_position_m": round(error_m, 4), "ransac_right": right}


def _baseline_rows(scene: SoundScene, case: SoundCase, audio: SimulatedAudio, count: int) -> RunRow:
    """Scores of the baselines on the same windows: louder side for two ears, directions of arrival for open arrays."""
    if case.sources == (OFF_MAP,) or count == 0:
        return {}
    row: RunRow = {}
    if scene.array.head is not None:
        for name, averaged in (("reference", True), ("reference_raw", False)):
            result = louder_side(audio.windows, scene.snapshot, averaged)
            error_m = float(np.linalg.norm(result.position_m - scene.source_m(case.sources[0])))
            row |= {f"{name}_position_m": round(error_m, 4), f"{name}_right": result.object_id == case.sources[0]}
        return row
    audible = _audible_windows(audio)
    numbers = audible[np.unique(np.linspace(0, len(audible) - 1, min(count, len(audible))).astype(int))]
    for method in DOA_METHODS:
        find_direction = DirectionFinder(scene.array, method)
        start = time.perf_counter()
        directions = np.array([find_direction(audio.windows[k]) for k in numbers])
        row[f"{method}_ms"] = round(1e3 * (time.perf_counter() - start) / len(numbers), 2)
        row |= _direction_scores(scene, case, audio, directions, f"{method}_", numbers)
    return row
