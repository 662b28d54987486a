"""Rows and figures of `echoseg bench sound`, computed from its runs, and their targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from echoseg_ros.eval.baselines.doa import DOA_METHODS
from echoseg_ros.eval.bench import Figures, Row, Target, mean, percentile, target_rows
from echoseg_ros.eval.sound.bench_sound_cases import FALSE_ALARMS, BenchCase
from echoseg_ros.eval.sound.sound_scoring import RunRow

ARRAYS = ("cube8", "square4", "binaural")
# Decimal digits of the figures.
_DIGITS = 4
# Cases with their runs.
Results = Sequence[tuple[BenchCase, list[RunRow]]]

# Position error of a source that was not found, metres, so that percentiles exist.
NOT_FOUND_ERROR_M = 10.0
# Limits of the figures; shares are in [0, 1].
TARGETS = (
    Target("cube8_direction_deg_p50", most=2.5),
    Target("cube8_direction_deg_p90", most=8.0),
    Target("cube8_reverb_direction_deg_p50", most=4.0),
    Target("cube8_reverb_direction_deg_p90", most=20.0),
    Target("cube8_position_m_p50", most=0.10),
    Target("cube8_position_m_p90", most=0.25),
    Target("cube8_hard_position_m_p50", most=0.15),
    Target("cube8_hard_position_m_p90", most=0.35),
    Target("square4_azimuth_deg_p50", most=3.0),
    Target("square4_position_m_p50", most=0.30),
    Target("binaural_position_m_p50", most=0.10),
    Target("binaural_position_m_p90", most=0.50),
    Target("binaural_right_object", least=0.95),
    Target("right_object_one_source", least=0.98),
    Target("recall_multi", least=0.90),
    Target("count_right_multi", least=0.70),
    Target("ego_direction_deg_p50", most=5.0),
    Target("ego_right_object", least=0.95),
    Target("false_objects_per_hour", most=1.0),
    Target("covariance_coverage_95", 0.90, 0.98),
    Target("calibration_ms_p90", most=10.0),
    Target("calibration_deg_p90", most=1.0),
    Target("core_share_10hz", most=0.10),
)
# Two ears should name the right object in this much more of the runs than the louder side does.
REFERENCE_TARGET = Target("binaural_right_object over reference_", least=0.20)
# Prefixes of the columns of the two variants of the louder side.
REFERENCES = ("reference", "reference_raw")


def figures_of(results: Results) -> Figures:
    """Figures over all runs of the cases that each figure is about; None where no case has run.

    Without a condition in the name: one source, RT60 up to 0.4 s and SNR from 10 dB, all sounds but tones. hard: SNR 0 dB
    or tones, RT60 up to 0.4 s; reverb: RT60 0.7 s, SNR 10 dB; multi: two and three sources; ego: with ego noise; moved:
    another object takes over the sound, times count from there. right_object_one_source, time_to_right_s and
    covariance_coverage_95: all cases of kind "single" of all arrays. calibration: remaining error, which is the whole
    offset or yaw where the estimate states that the motion does not determine it.
    """
    single = _runs(results, lambda case: case.kind == "single")
    multi = _runs(results, lambda case: case.kind == "several")
    return {
        **_position_figures(results),
        **_reference_figures(_runs(_of_array(results, "binaural"), lambda case: case.kind == "single")),
        "right_object_one_source": share(single, "right"),
        **_multi_figures(multi),
        **_condition_figures(results),
        "false_objects_per_hour": _per_hour(_runs(results, lambda case: case.kind in FALSE_ALARMS)),
        "time_to_right_s_p50": percentile(_times_to_right_s(single), 50),
        "covariance_coverage_95": mean(_values(single, "inside_95"), _DIGITS),
        **_calibration_and_cost_figures(results),
        **_baseline_figures(_runs(_of_array(results, "cube8"), _is_fair)),
    }


def _position_figures(results: Results) -> Figures:
    """Errors of direction and position with one source, by array and condition."""
    fair = {array: _runs(_of_array(results, array), _is_fair) for array in ARRAYS}
    hard = _runs(results, lambda case: _is_cube8(case) and case.rt60_s <= 0.4 and _is_hard(case))
    reverb = _runs(results, lambda case: _is_cube8(case) and case.rt60_s == 0.7 and case.snr_db == 10.0)
    return {
        **_percentiles("cube8_direction_deg", _values(fair["cube8"], "direction_deg")),
        **_percentiles("cube8_reverb_direction_deg", _values(reverb, "direction_deg")),
        **_percentiles("cube8_position_m", _values(fair["cube8"], "position_m", True)),
        **_percentiles("cube8_hard_position_m", _values(hard, "position_m", True)),
        "square4_azimuth_deg_p50": percentile(_values(fair["square4"], "azimuth_deg"), 50),
        "square4_position_m_p50": percentile(_values(fair["square4"], "position_m", True), 50),
        **_percentiles("binaural_position_m", _values(fair["binaural"], "position_m", True)),
    }


def _condition_figures(results: Results) -> Figures:
    """Figures with ego noise, with a blocked direct path, and after the sound has moved to another object."""
    ego = _runs(results, lambda case: case.kind == "own_noise")
    blocked = _runs(results, lambda case: case.kind == "blocked")
    moved = _runs(results, lambda case: case.kind == "moved")
    return {
        "ego_direction_deg_p50": percentile(_values(ego, "direction_deg"), 50),
        "ego_right_object": share(ego, "right"),
        "blocked_direction_deg_p50": percentile(_values(blocked, "direction_deg"), 50),
        "blocked_right_object": share(blocked, "right"),
        "blocked_wrong_object": share(blocked, "wrong"),
        "moved_right_object": share(moved, "right"),
        "moved_time_to_right_s_p50": percentile(_times_to_right_s(moved), 50),
    }


def _calibration_and_cost_figures(results: Results) -> Figures:
    calibrations = _runs(results, lambda case: case.kind == "calibration")
    cost = _runs(results, lambda case: case.kind == "cost")
    return {
        "calibration_ms_p90": percentile(_remaining_offset_ms(calibrations), 90),
        "calibration_deg_p90": percentile(_remaining_yaw_deg(calibrations), 90),
        "core_share_10hz": percentile(_values(cost, "core_share"), 50),
        "evidence_core_share_10hz": percentile(_values(cost, "evidence_core_share"), 50),
    }


def _reference_figures(runs: list[RunRow]) -> Figures:
    """Right objects of two ears, and of the better variant of the louder side."""
    shares = [value for name in REFERENCES if (value := share(runs, f"{name}_right")) is not None]
    return {
        "binaural_right_object": share(runs, "right"),
        "reference_binaural_right_object": max(shares) if shares else None,
    }


def _multi_figures(runs: list[RunRow]) -> Figures:
    true_sources = sum(len(run["things"]) for run in runs)
    return {
        "recall_multi": round(sum(run["found"] for run in runs) / true_sources, _DIGITS) if true_sources else None,
        "count_right_multi": mean((run["sources_said"] == len(run["things"]) for run in runs), _DIGITS),
    }


def _baseline_figures(runs: list[RunRow]) -> Figures:
    """Medians of the baselines: directions in the same windows, and positions from the same directions."""
    compared = compared_runs(runs)
    names = (("compared_cube8", "direction_deg"), *((f"{m.lower()}_cube8", f"{m}_direction_deg") for m in DOA_METHODS))
    figures: Figures = {
        f"{name}_direction_deg_p50": percentile(_values(compared, column), 50) for name, column in names
    }
    figures["ransac_cube8_position_m_p50"] = percentile(_values(runs, "ransac_position_m", True), 50)
    return figures


def array_rows(results: Results) -> list[Row]:
    """A row for each array over all its runs with one source, of which right_object_one_source is the total."""
    rows = []
    for array in ARRAYS:
        runs = _runs(_of_array(results, array), lambda case: case.kind == "single")
        if runs:
            rows.append({"case": f"{array}/single", "runs": len(runs), **_shares(runs)})
    return rows


def case_row(case: BenchCase, runs: list[RunRow]) -> Row:
    """Row of a case: statistics over its runs, with their seeds."""
    row: Row = {"case": case.name, "runs": len(runs), "rooms": sorted({run["room"] for run in runs})}
    if case.kind == "calibration":
        return row | _calibration_columns(runs)
    if case.kind == "cost":
        return row | {key: value for key, value in runs[0].items() if key not in ("room", "draw")}
    row["draws"] = sorted({run["draw"] for run in runs})
    row["things"] = [run["things"] for run in runs]
    for column, is_position in (("direction_deg", False), ("azimuth_deg", False), ("position_m", True),
                           ("ransac_position_m", True), ("reference_position_m", True),
                           ("reference_raw_position_m", True),
                           *((f"{method}_direction_deg", False) for method in DOA_METHODS)):  # fmt: skip
        if values := _values(runs, column, is_position):
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
    """Shares of right and wrong runs, for the columns that the runs have."""
    columns = {"right_object": "right", "likeliest_object": "likeliest_right", "wrong_object": "wrong",
               **{f"{name}_right_object": f"{name}_right" for name in REFERENCES}}  # fmt: skip
    shares: Row = {name: share(runs, column) for name, column in columns.items()}
    shares["covariance_coverage_95"] = mean(_values(runs, "inside_95"), _DIGITS)
    if any("time_to_right_s" in run for run in runs):
        shares["time_to_right_s_p50"] = percentile(_times_to_right_s(runs), 50)
    return {name: value for name, value in shares.items() if value is not None}


def _calibration_columns(runs: list[RunRow]) -> Row:
    offset_ms, yaw_deg = _remaining_offset_ms(runs), _remaining_yaw_deg(runs)
    return {
        "sounds": [f"{run['sound'].removeprefix('builtin:')}, {run['path']}" for run in runs],
        "knows_offset": mean([run["knows_offset"] for run in runs], _DIGITS),
        "knows_yaw": mean([run["knows_yaw"] for run in runs], _DIGITS),
        "left_ms": [round(value, 1) for value in offset_ms],
        "left_deg": [round(value, 2) for value in yaw_deg],
        **_percentiles("calibration_ms", offset_ms),
        **_percentiles("calibration_deg", yaw_deg),
        **_percentiles("believed_ms", [abs(run["offset_error_ms"]) for run in runs if run["knows_offset"]]),
        **_percentiles("believed_deg", [abs(run["yaw_error_deg"]) for run in runs if run["knows_yaw"]]),
        "estimate_ms": percentile([run["estimate_ms"] for run in runs], 50),
    }


def sound_target_rows(figures: Figures) -> list[Row]:
    """Lines of the table of targets: the figures, and the margin of two ears over the louder side."""
    ours, theirs = figures.get("binaural_right_object"), figures.get("reference_binaural_right_object")
    margin = round(ours - theirs, 4) if ours is not None and theirs is not None else None
    return [*target_rows(TARGETS, figures), REFERENCE_TARGET.row(margin)]


def compared_runs(runs: Iterable[RunRow]) -> list[RunRow]:
    """The runs in which the baselines of direction had the same windows."""
    return [run for run in runs if f"{DOA_METHODS[0]}_direction_deg" in run]


def share(runs: Iterable[RunRow], column: str) -> float | None:
    """Share of true values of a column over the runs that have it."""
    return mean([run[column] for run in runs if column in run], _DIGITS)


def _percentiles(name: str, values: list[float]) -> Figures:
    return {f"{name}_p{percent}": percentile(values, percent) for percent in (50, 90)}


def _values(runs: Iterable[RunRow], column: str, is_position: bool = False) -> list[float]:
    """All numbers of a column, single or in lists; a missing position counts as NOT_FOUND_ERROR_M."""
    values: list[float] = []
    for run in runs:
        entry = run.get(column, [])
        for value in entry if isinstance(entry, list) else [entry]:
            if value is not None or is_position:
                values.append(NOT_FOUND_ERROR_M if value is None else float(value))
    return values


def _times_to_right_s(runs: Iterable[RunRow]) -> list[float]:
    """Seconds until a run is right for good; for a run that never is, the time that its source sounded."""
    times_s = [(run["time_to_right_s"], run["sounding_s"]) for run in runs if "time_to_right_s" in run]
    return [sounding_s if time_s is None else time_s for time_s, sounding_s in times_s]


def _remaining_offset_ms(runs: Iterable[RunRow]) -> list[float]:
    """Remaining time offset of each calibration: its error, or the whole offset if the estimate does not determine it."""
    return [abs(run["offset_error_ms"] if run["knows_offset"] else run["true_offset_ms"]) for run in runs]


def _remaining_yaw_deg(runs: Iterable[RunRow]) -> list[float]:
    """Remaining yaw of each calibration: its error, or the whole yaw if the estimate does not determine it."""
    return [abs(run["yaw_error_deg"] if run["knows_yaw"] else run["true_yaw_deg"]) for run in runs]


def _runs(results: Results, is_selected: Callable[[BenchCase], bool]) -> list[RunRow]:
    return [run for case, runs in results if is_selected(case) for run in runs]


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
