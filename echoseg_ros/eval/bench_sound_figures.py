"""From the runs of `echoseg bench sound` to rows, to the figures that count, and what these should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from echoseg_ros.eval.bench_sound_cases import BenchCase
from echoseg_ros.eval.doa_baselines import DOA_METHODS
from echoseg_ros.eval.sound_scoring import RunRow

Row = dict[str, Any]
Figures = dict[str, float | None]
# A case and its runs.
Results = Sequence[tuple[BenchCase, list[RunRow]]]

# What stands for the error of a source that was not found at all, so that percentiles exist.
MISSED_M = 10.0
# (figure, what it should be: at most or at least)
TARGETS = (
    ("cube8_direction_deg_p50", "<=", 2.5),
    ("cube8_direction_deg_p90", "<=", 8.0),
    ("cube8_position_m_p50", "<=", 0.10),
    ("cube8_position_m_p90", "<=", 0.25),
    ("cube8_snr0_position_m_p50", "<=", 0.15),
    ("cube8_snr0_position_m_p90", "<=", 0.35),
    ("cube8_tones_position_m_p50", "<=", 0.15),
    ("cube8_tones_position_m_p90", "<=", 0.35),
    ("cube8_rt0.7_direction_deg_p50", "<=", 4.0),
    ("cube8_rt0.7_direction_deg_p90", "<=", 20.0),
    ("cube8_right_object_pct", ">=", 98.0),
    ("square4_azimuth_deg_p50", "<=", 3.0),
    ("square4_position_m_p50", "<=", 0.30),
    ("square4_right_object_pct", ">=", 98.0),
    ("binaural_position_m_p50", "<=", 0.10),
    ("binaural_position_m_p90", "<=", 0.50),
    ("binaural_right_object_pct", ">=", 95.0),
    ("binaural_above_reference_points", ">=", 20.0),
    ("several_recall_pct", ">=", 90.0),
    ("several_count_right_pct", ">=", 70.0),
    ("own_noise_direction_deg_p50", "<=", 5.0),
    ("own_noise_right_object_pct", ">=", 95.0),
    ("silence_false_objects_per_h", "<=", 1.0),
    ("diffuse_false_objects_per_h", "<=", 1.0),
    ("off_map_false_objects_per_h", "<=", 1.0),
)


def figures_of(results: Results) -> Figures:
    """Over all runs of the cases a figure is about; None where none has run.

    Without a condition in the name: RT60 up to 0.4 s and SNR from 10 dB, all sounds but tones. Right objects are over
    every case with one source of that array, the hard ones too.
    """
    figures: Figures = {}

    def over(name: str, column: str, runs: list[RunRow], places: bool = False) -> None:
        for percent in (50, 90):
            figures[f"{name}_p{percent}"] = percentile(_values(runs, column, places), percent)

    for array in ("cube8", "square4", "binaural"):
        of_array = [(case, runs) for case, runs in results if case.array == array]
        single = _runs(of_array, lambda case: case.kind == "single")
        fair = _runs(of_array, _is_fair)
        over(f"{array}_direction_deg", "direction_deg", fair)
        over(f"{array}_azimuth_deg", "azimuth_deg", fair)
        over(f"{array}_position_m", "position_m", fair, places=True)
        over(f"{array}_ransac_position_m", "ransac_position_m", fair, places=True)
        over(f"{array}_time_to_right_s", "time_to_right_s", single)
        figures[f"{array}_right_object_pct"] = share(single, "right")
        figures[f"{array}_likeliest_object_pct"] = share(single, "likeliest_right")
        figures[f"{array}_inside_95_pct"] = _mean_pct(_values(single, "inside_95"))
        if array != "binaural":  # ours in the runs that the others were given, to compare like with like
            over(f"{array}_compared_direction_deg", "direction_deg", compared_runs(fair))
        for method in DOA_METHODS if array != "binaural" else ():
            over(f"{array}_{method.lower()}_direction_deg", f"{method}_direction_deg", fair)
        figures[f"{array}_single_false_objects_per_h"] = _per_hour(single)
        figures[f"{array}_window_ms_p50"] = percentile([_cost_ms(run) for run in single], 50)
    noisy = _runs(results, lambda case: _is_cube8(case) and case.snr_db == 0.0 and case.rt60_s <= 0.4)
    over("cube8_snr0_position_m", "position_m", noisy, places=True)
    over("cube8_tones_position_m", "position_m", _runs(results, lambda case: case.sound == "tones"), places=True)
    live = _runs(results, lambda case: _is_cube8(case) and case.rt60_s == 0.7 and (case.snr_db or 0) >= 10)
    over("cube8_rt0.7_direction_deg", "direction_deg", live)
    over("cube8_rt0.7_position_m", "position_m", live, places=True)
    return figures | _reference_figures(results) | _several_figures(results) | _other_figures(results)


def _reference_figures(results: Results) -> Figures:
    runs = _runs(results, lambda case: case.array == "binaural" and case.kind == "single")
    figures: Figures = {}
    for name in ("reference", "reference_raw"):
        figures[f"binaural_{name}_position_m_p50"] = percentile(_values(runs, f"{name}_position_m", True), 50)
        figures[f"binaural_{name}_right_object_pct"] = share(runs, f"{name}_right")
    best = [figures[f"binaural_{name}_right_object_pct"] for name in ("reference", "reference_raw")]
    ours = share(runs, "right")
    known = [value for value in best if value is not None]
    figures["binaural_above_reference_points"] = ours - max(known) if ours is not None and known else None
    return figures


def _several_figures(results: Results) -> Figures:
    runs = _runs(results, lambda case: case.kind == "several")
    true = sum(len(run["things"]) for run in runs)
    counted = [run["sources_said"] == len(run["things"]) for run in runs]
    return {
        "several_recall_pct": 100 * sum(run["found"] for run in runs) / true if true else None,
        "several_count_right_pct": _mean_pct(counted),
        "several_all_right_pct": share(runs, "right"),
        "several_false_objects_per_h": _per_hour(runs),
    }


def _other_figures(results: Results) -> Figures:
    own = _runs(results, lambda case: case.kind == "own_noise")
    figures: Figures = {
        "own_noise_direction_deg_p50": percentile(_values(own, "direction_deg"), 50),
        "own_noise_direction_deg_p90": percentile(_values(own, "direction_deg"), 90),
        "own_noise_position_m_p50": percentile(_values(own, "position_m", True), 50),
        "own_noise_right_object_pct": share(own, "right"),
        "own_noise_false_objects_per_h": _per_hour(own),
    }
    for kind in ("silence", "diffuse", "off_map"):
        figures[f"{kind}_false_objects_per_h"] = _per_hour(
            [run for case, runs in results if case.kind == kind for run in runs]
        )
    return figures


def case_row(case: BenchCase, runs: list[RunRow]) -> Row:
    """One line of the table: the case's runs put together, with their seeds."""
    row: Row = {"case": case.name, "runs": len(runs), "rooms": sorted({run["room"] for run in runs})}
    row["things"] = [run["things"] for run in runs]
    for column, places in (("direction_deg", False), ("azimuth_deg", False), ("position_m", True),
                           ("ransac_position_m", True), ("reference_position_m", True),
                           ("reference_raw_position_m", True), ("time_to_right_s", False),
                           *((f"{method}_direction_deg", False) for method in DOA_METHODS)):  # fmt: skip
        values = _values(runs, column, places)
        row |= {f"{column}_p{p}": percentile(values, p) for p in (50, 90) if values}
    if compared := compared_runs(runs):
        row["compared_direction_deg_p50"] = percentile(_values(compared, "direction_deg"), 50)
    for column in ("right", "likeliest_right", "reference_right", "reference_raw_right"):
        if (value := share(runs, column)) is not None:
            row[f"{column}_pct"] = value
    if case.kind == "several":
        row |= {key.removeprefix("several_"): value for key, value in _several_figures([(case, runs)]).items()}
    row["inside_95_pct"] = _mean_pct(_values(runs, "inside_95"))
    row["false_objects"] = sum(run["false_objects"] for run in runs)
    row["hours"] = round(sum(run["hours"] for run in runs), 4)
    row["extract_ms"] = percentile([run["extract_ms"] for run in runs], 50)
    row["judge_ms"] = percentile([run["judge_ms"] for run in runs], 50)
    return row


def target_rows(figures: Figures) -> list[Row]:
    """figure, value, target and verdict ("reached", "missed by ...", or "-" where it was not measured)."""
    return [
        {"figure": name, "value": figures.get(name), "target": f"{sign} {limit:g}",
         "verdict": _verdict(figures.get(name), sign, limit)}
        for name, sign, limit in TARGETS
    ]  # fmt: skip


def compared_runs(runs: Iterable[RunRow]) -> list[RunRow]:
    """Those in which other direction finders had the same windows."""
    return [run for run in runs if f"{DOA_METHODS[0]}_direction_deg" in run]


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Linear between the values; None of none."""
    numbers = list(values)
    return round(float(np.percentile(numbers, percent)), 4) if numbers else None


def share(runs: Iterable[RunRow], column: str) -> float | None:
    """Percent of the runs that have the column in which it is true."""
    return _mean_pct([run[column] for run in runs if column in run])


def _values(runs: Iterable[RunRow], column: str, places: bool = False) -> list[float]:
    """All numbers of a column, single or in lists; of places the missing ones count as far away."""
    values: list[float] = []
    for run in runs:
        found = run.get(column, [])
        for value in found if isinstance(found, list) else [found]:
            if value is not None or places:
                values.append(MISSED_M if value is None else float(value))
    return values


def _runs(results: Results, is_meant: Callable[[BenchCase], bool]) -> list[RunRow]:
    return [run for case, runs in results if is_meant(case) for run in runs]


def _is_cube8(case: BenchCase) -> bool:
    return case.array == "cube8" and case.kind == "single" and case.sound != "tones"


def _is_fair(case: BenchCase) -> bool:
    return case.kind == "single" and case.rt60_s <= 0.4 and (case.snr_db or 0) >= 10 and case.sound != "tones"


def _cost_ms(run: RunRow) -> float:
    return float(run["extract_ms"] + run["judge_ms"])


def _per_hour(runs: list[RunRow]) -> float | None:
    hours = sum(run["hours"] for run in runs)
    return sum(run["false_objects"] for run in runs) / hours if hours else None


def _mean_pct(flags: Sequence[Any]) -> float | None:
    return 100 * float(np.mean(flags)) if len(flags) else None


def _verdict(value: float | None, sign: str, limit: float) -> str:
    if value is None:
        return "-"
    missing = value - limit if sign == "<=" else limit - value
    return "reached" if missing <= 1e-9 else f"missed by {missing:.3g}"
