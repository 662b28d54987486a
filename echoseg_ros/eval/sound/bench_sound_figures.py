"""From the runs of `echoseg bench sound` to rows, to the figures that count, and what these should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from echoseg_ros.eval.baselines.doa import DOA_METHODS
from echoseg_ros.eval.sound.bench_sound_cases import FALSE_ALARMS, BenchCase
from echoseg_ros.eval.sound.sound_scoring import RunRow

Row = dict[str, Any]
Figures = dict[str, float | None]
ARRAYS = ("cube8", "square4", "binaural")
# A case and its runs.
Results = Sequence[tuple[BenchCase, list[RunRow]]]

# What stands for the error of a source that was not found at all, so that percentiles exist.
MISSED_M = 10.0
# (figure, the least and the most that it should be)
TARGETS: tuple[tuple[str, float | None, float | None], ...] = (
    ("cube8_direction_deg_p50", None, 2.5),
    ("cube8_direction_deg_p90", None, 8.0),
    ("cube8_reverb_direction_deg_p50", None, 4.0),
    ("cube8_reverb_direction_deg_p90", None, 20.0),
    ("cube8_position_m_p50", None, 0.10),
    ("cube8_position_m_p90", None, 0.25),
    ("cube8_hard_position_m_p50", None, 0.15),
    ("cube8_hard_position_m_p90", None, 0.35),
    ("square4_azimuth_deg_p50", None, 3.0),
    ("square4_position_m_p50", None, 0.30),
    ("binaural_position_m_p50", None, 0.10),
    ("binaural_position_m_p90", None, 0.50),
    ("binaural_right_object", 0.95, None),
    ("right_object_one_source", 0.98, None),
    ("recall_multi", 0.90, None),
    ("count_right_multi", 0.70, None),
    ("ego_direction_deg_p50", None, 5.0),
    ("ego_right_object", 0.95, None),
    ("false_objects_per_hour", None, 1.0),
    ("covariance_coverage_95", 0.90, 0.98),
    ("calibration_ms_p90", None, 10.0),
    ("calibration_deg_p90", None, 1.0),
    ("core_share_10hz", None, 0.10),
)
# Two ears should name the right object in so much more of the runs than the louder side does.
ABOVE_REFERENCE = 0.20
REFERENCES = ("reference", "reference_raw")


def figures_of(results: Results) -> Figures:
    """Over all runs of the cases a figure is about; None where none has run. Shares are in [0, 1].

    Without a condition in the name: one source, RT60 up to 0.4 s and SNR from 10 dB, all sounds but tones. hard: 0 dB, or
    tones, RT60 up to 0.4 s; reverb: RT60 0.7 s, 10 dB; multi: two and three sources; ego: own noise; moved:
    from the second on at which another thing sounds instead.
    right_object_one_source, time_to_right_s and covariance_coverage_95: every case of kind "single" of every array, the hard
    and the live ones too. calibration: what is left uncorrected, which is all of the offset or the yaw where the
    estimate says that the motion does not tell it.
    """
    fair = {array: _runs(_of_array(results, array), _is_fair) for array in ARRAYS}
    hard = _runs(results, lambda case: _is_cube8(case) and case.rt60_s <= 0.4 and _is_hard(case))
    reverb = _runs(results, lambda case: _is_cube8(case) and case.rt60_s == 0.7 and case.snr_db == 10.0)
    single = _runs(results, lambda case: case.kind == "single")
    figures: Figures = {}
    figures |= _percentiles("cube8_direction_deg", _values(fair["cube8"], "direction_deg"))
    figures |= _percentiles("cube8_reverb_direction_deg", _values(reverb, "direction_deg"))
    figures |= _percentiles("cube8_position_m", _values(fair["cube8"], "position_m", True))
    figures |= _percentiles("cube8_hard_position_m", _values(hard, "position_m", True))
    figures["square4_azimuth_deg_p50"] = percentile(_values(fair["square4"], "azimuth_deg"), 50)
    figures["square4_position_m_p50"] = percentile(_values(fair["square4"], "position_m", True), 50)
    figures |= _percentiles("binaural_position_m", _values(fair["binaural"], "position_m", True))
    figures |= _reference_figures(_runs(_of_array(results, "binaural"), lambda case: case.kind == "single"))
    figures["right_object_one_source"] = share(single, "right")
    figures |= _multi_figures(_runs(results, lambda case: case.kind == "several"))
    own = _runs(results, lambda case: case.kind == "own_noise")
    figures["ego_direction_deg_p50"] = percentile(_values(own, "direction_deg"), 50)
    figures["ego_right_object"] = share(own, "right")
    blocked = _runs(results, lambda case: case.kind == "blocked")
    figures["blocked_direction_deg_p50"] = percentile(_values(blocked, "direction_deg"), 50)
    figures["blocked_right_object"] = share(blocked, "right")
    figures["blocked_wrong_object"] = share(blocked, "wrong")
    moved = _runs(results, lambda case: case.kind == "moved")
    figures["moved_right_object"] = share(moved, "right")
    figures["moved_time_to_right_s_p50"] = percentile(_times_to_right_s(moved), 50)
    figures["false_objects_per_hour"] = _per_hour(_runs(results, lambda case: case.kind in FALSE_ALARMS))
    figures["time_to_right_s_p50"] = percentile(_times_to_right_s(single), 50)
    figures["covariance_coverage_95"] = _mean(_values(single, "inside_95"))
    walks = _runs(results, lambda case: case.kind == "calibration")
    figures["calibration_ms_p90"] = percentile(_left_ms(walks), 90)
    figures["calibration_deg_p90"] = percentile(_left_deg(walks), 90)
    cost = _runs(results, lambda case: case.kind == "cost")
    figures["core_share_10hz"] = percentile(_values(cost, "core_share"), 50)
    figures["evidence_core_share_10hz"] = percentile(_values(cost, "evidence_core_share"), 50)
    return figures | _others_figures(fair["cube8"])


def _reference_figures(runs: list[RunRow]) -> Figures:
    """Of two ears, beside the better of the two ways to read the louder side."""
    known = [value for name in REFERENCES if (value := share(runs, f"{name}_right")) is not None]
    return {
        "binaural_right_object": share(runs, "right"),
        "reference_binaural_right_object": max(known) if known else None,
    }


def _multi_figures(runs: list[RunRow]) -> Figures:
    true = sum(len(run["things"]) for run in runs)
    return {
        "recall_multi": round(sum(run["found"] for run in runs) / true, 4) if true else None,
        "count_right_multi": _mean([run["sources_said"] == len(run["things"]) for run in runs]),
    }


def _others_figures(runs: list[RunRow]) -> Figures:
    """Medians of what others find in the same windows (directions) and from the same directions (places)."""
    compared = compared_runs(runs)
    names = (("compared_cube8", "direction_deg"), *((f"{m.lower()}_cube8", f"{m}_direction_deg") for m in DOA_METHODS))
    figures: Figures = {
        f"{name}_direction_deg_p50": percentile(_values(compared, column), 50) for name, column in names
    }
    figures["ransac_cube8_position_m_p50"] = percentile(_values(runs, "ransac_position_m", True), 50)
    return figures


def array_rows(results: Results) -> list[Row]:
    """For each array all its runs with one source together, which right_object_one_source puts into one."""
    rows = []
    for array in ARRAYS:
        runs = _runs(_of_array(results, array), lambda case: case.kind == "single")
        if runs:
            rows.append({"case": f"{array}/single", "runs": len(runs), **_shares(runs)})
    return rows


def case_row(case: BenchCase, runs: list[RunRow]) -> Row:
    """One line of the table: the case's runs put together, with their seeds."""
    row: Row = {"case": case.name, "runs": len(runs), "rooms": sorted({run["room"] for run in runs})}
    if case.kind == "calibration":
        return row | _calibration_columns(runs)
    if case.kind == "cost":
        return row | {key: value for key, value in runs[0].items() if key not in ("room", "draw")}
    row["draws"] = sorted({run["draw"] for run in runs})
    row["things"] = [run["things"] for run in runs]
    for column, places in (("direction_deg", False), ("azimuth_deg", False), ("position_m", True),
                           ("ransac_position_m", True), ("reference_position_m", True),
                           ("reference_raw_position_m", True),
                           *((f"{method}_direction_deg", False) for method in DOA_METHODS)):  # fmt: skip
        if values := _values(runs, column, places):
            row |= _percentiles(column, values)
    if compared := compared_runs(runs):
        row["compared_direction_deg_p50"] = percentile(_values(compared, "direction_deg"), 50)
    if case.kind == "several":
        row |= {name.removesuffix("_multi"): value for name, value in _multi_figures(runs).items()}
    row |= _shares(runs)
    row["false_objects"] = sum(run["false_objects"] for run in runs)
    row["hours"] = round(sum(run["hours"] for run in runs), 4)
    row["extract_ms"] = percentile([run["extract_ms"] for run in runs], 50)
    row["judge_ms"] = percentile([run["judge_ms"] for run in runs], 50)
    return row


def _shares(runs: list[RunRow]) -> Row:
    """What of the runs is right, for those of the columns that they have."""
    columns = {"right_object": "right", "likeliest_object": "likeliest_right", "wrong_object": "wrong",
               **{f"{name}_right_object": f"{name}_right" for name in REFERENCES}}  # fmt: skip
    found: Row = {name: share(runs, column) for name, column in columns.items()}
    found["covariance_coverage_95"] = _mean(_values(runs, "inside_95"))
    if any("time_to_right_s" in run for run in runs):
        found["time_to_right_s_p50"] = percentile(_times_to_right_s(runs), 50)
    return {name: value for name, value in found.items() if value is not None}


def _calibration_columns(runs: list[RunRow]) -> Row:
    left_ms, left_deg = _left_ms(runs), _left_deg(runs)
    return {
        "sounds": [f"{run['sound'].removeprefix('builtin:')}, {run['path']}" for run in runs],
        "knows_offset": _mean([run["knows_offset"] for run in runs]),
        "knows_yaw": _mean([run["knows_yaw"] for run in runs]),
        "left_ms": [round(value, 1) for value in left_ms],
        "left_deg": [round(value, 2) for value in left_deg],
        **_percentiles("calibration_ms", left_ms),
        **_percentiles("calibration_deg", left_deg),
        **_percentiles("believed_ms", [abs(run["offset_error_ms"]) for run in runs if run["knows_offset"]]),
        **_percentiles("believed_deg", [abs(run["yaw_error_deg"]) for run in runs if run["knows_yaw"]]),
        "estimate_ms": percentile([run["estimate_ms"] for run in runs], 50),
    }


def target_rows(figures: Figures) -> list[Row]:
    """figure, value, target and verdict ("reached", "missed by ...", or "-" where it was not measured)."""
    values = dict(figures)
    over = "binaural_right_object over reference_"
    ours, theirs = figures.get("binaural_right_object"), figures.get("reference_binaural_right_object")
    values[over] = round(ours - theirs, 4) if ours is not None and theirs is not None else None
    return [
        {"figure": name, "value": values.get(name), "target": _target(least, most),
         "verdict": _verdict(values.get(name), least, most)}
        for name, least, most in (*TARGETS, (over, ABOVE_REFERENCE, None))
    ]  # fmt: skip


def compared_runs(runs: Iterable[RunRow]) -> list[RunRow]:
    """Those in which other direction finders had the same windows."""
    return [run for run in runs if f"{DOA_METHODS[0]}_direction_deg" in run]


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Linear between the values; None of none."""
    numbers = list(values)
    return round(float(np.percentile(numbers, percent)), 4) if numbers else None


def share(runs: Iterable[RunRow], column: str) -> float | None:
    """Share of the runs that have the column in which it is true."""
    return _mean([run[column] for run in runs if column in run])


def _percentiles(name: str, values: list[float]) -> Figures:
    return {f"{name}_p{percent}": percentile(values, percent) for percent in (50, 90)}


def _values(runs: Iterable[RunRow], column: str, places: bool = False) -> list[float]:
    """All numbers of a column, single or in lists; of places the missing ones count as far away."""
    values: list[float] = []
    for run in runs:
        found = run.get(column, [])
        for value in found if isinstance(found, list) else [found]:
            if value is not None or places:
                values.append(MISSED_M if value is None else float(value))
    return values


def _times_to_right_s(runs: Iterable[RunRow]) -> list[float]:
    """Of runs that never were right the whole time that they had for it."""
    times_s = [(run["time_to_right_s"], run["sounding_s"]) for run in runs if "time_to_right_s" in run]
    return [whole_s if time_s is None else time_s for time_s, whole_s in times_s]


def _left_ms(runs: Iterable[RunRow]) -> list[float]:
    """What a calibration leaves of the offset: its error, or all there was if it says itself that it knows nothing."""
    return [abs(run["offset_error_ms"] if run["knows_offset"] else run["true_offset_ms"]) for run in runs]


def _left_deg(runs: Iterable[RunRow]) -> list[float]:
    """The same of the yaw."""
    return [abs(run["yaw_error_deg"] if run["knows_yaw"] else run["true_yaw_deg"]) for run in runs]


def _runs(results: Results, is_meant: Callable[[BenchCase], bool]) -> list[RunRow]:
    return [run for case, runs in results if is_meant(case) for run in runs]


def _of_array(results: Results, array: str) -> Results:
    return [(case, runs) for case, runs in results if case.array == array]


def _is_cube8(case: BenchCase) -> bool:
    return case.array == "cube8" and case.kind == "single"


def _is_hard(case: BenchCase) -> bool:
    return case.snr_db == 0.0 or case.sound == "tones"


def _is_fair(case: BenchCase) -> bool:
    return case.kind == "single" and case.rt60_s <= 0.4 and (case.snr_db or 0) >= 10 and case.sound != "tones"


def _per_hour(runs: list[RunRow]) -> float | None:
    hours = sum(run["hours"] for run in runs)
    return round(sum(run["false_objects"] for run in runs) / hours, 4) if hours else None


def _mean(flags: Sequence[Any]) -> float | None:
    return round(float(np.mean(flags)), 4) if len(flags) else None


def _target(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{least:g} to {most:g}"
    return f">= {least:g}" if least is not None else f"<= {most:g}"


def _verdict(value: float | None, least: float | None, most: float | None) -> str:
    if value is None:
        return "-"
    missing = max(0.0 if least is None else least - value, 0.0 if most is None else value - most)
    return "reached" if missing <= 1e-9 else f"missed by {missing:.3g}"
