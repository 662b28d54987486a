"""`echoseg bench sound`: directions, places and right objects in rooms where all is known, beside what others find.

Each case writes its runs to RUNS/cases when it is done; a later call takes them from there and goes on with what is
missing. OUT/sound.json is written anew after each case, from all there are. Responses are kept in RUNS/responses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from echoseg_ros.errors import ConfigError, FolderError
from echoseg_ros.eval.bench import commit, data_folder, text_table, write_bench
from echoseg_ros.eval.processes import in_processes
from echoseg_ros.eval.sound.bench_sound_cases import BenchCase, BenchSettings, all_cases, find_clips, run_case
from echoseg_ros.eval.sound.bench_sound_figures import Results, array_rows, case_row, figures_of, target_rows
from echoseg_ros.eval.sound.sound_scoring import RunRow
from echoseg_ros.io.files import read_json, write_json

# For CI: every kind once, short ways.
_ONE = {"cube8": 1, "square4": 1, "binaural": 1}
QUICK = BenchSettings(_ONE, _ONE, 8, 1, 2, walks=1, cost_seconds=8.0, cost_last_s=4.0)
QUICK_CASES = (
    "cube8/single/rt0.2/snr20/noise",
    "square4/single/rt0.2/snr20/noise",
    "binaural/single/rt0.2/snr20/noise",
    "cube8/blocked/rt0.4/snr20/noise",
    "cube8/several2/rt0.2/snr20/mixed",
    "cube8/own_noise1/rt0.4/snr20/noise",
    "cube8/silence/rt0.4",
    "cube8/diffuse/rt0.4",
    "square4/calibration/rt0.4/snr20/mixed",
    "cube8/cost/rt0.4/snr20/speech",
)
# Of the files of cases; those of another one are made again.
FORMAT = 2
# Seconds of computing for a window, for one of the methods of others, for a recording's calibration and for each of its
# seconds where cost is measured; for the estimate of the time only.
_WINDOW_COST_S = {"cube8": 0.05, "square4": 0.05, "binaural": 0.08}
_BASELINE_COST_S, _WALK_COST_S, _COST_COST_S = 0.55, 10.0, 1.2
# Heads of the tables and the columns below them.
_PLACE_COLUMNS = {
    "case": "case", "runs": "runs", "dir deg": "direction_deg_p50", "p90": "direction_deg_p90",
    "azimuth": "azimuth_deg_p50", "place m": "position_m_p50", "p90 ": "position_m_p90",
    "ransac": "ransac_position_m_p50", "right": "right_object", "likeliest": "likeliest_object", "wrong": "wrong_object",
    "in 95 %": "covariance_coverage_95", "after s": "time_to_right_s_p50", "false": "false_objects", "hours": "hours",
    "ms": "extract_ms", "judge ms": "judge_ms",
}  # fmt: skip
_ARRAY_COLUMNS = {
    "one source": "case", "runs": "runs", "right": "right_object", "likeliest": "likeliest_object",
    "wrong": "wrong_object", "in 95 %": "covariance_coverage_95", "after s": "time_to_right_s_p50",
}  # fmt: skip
_SEVERAL_COLUMNS = {
    "case": "case", "runs": "runs", "recall": "recall", "count right": "count_right", "all right": "right_object",
    "place m": "position_m_p50", "p90": "position_m_p90",
}  # fmt: skip
_OTHER_COLUMNS = {
    "case": "case", "dir deg": "compared_direction_deg_p50", "SRP-PHAT": "SRP_direction_deg_p50",
    "NormMUSIC": "NormMUSIC_direction_deg_p50", "MUSIC": "MUSIC_direction_deg_p50", "place m": "position_m_p50",
    "louder side, averaged": "reference_position_m_p50", "raw": "reference_raw_position_m_p50", "right": "right_object",
    "averaged": "reference_right_object", "raw ": "reference_raw_right_object",
}  # fmt: skip
_CALIBRATION_COLUMNS = {
    "case": "case", "runs": "runs", "left ms": "calibration_ms_p50", "p90": "calibration_ms_p90",
    "left deg": "calibration_deg_p50", "p90 ": "calibration_deg_p90", "knows offset": "knows_offset", "yaw": "knows_yaw",
    "of these ms p90": "believed_ms_p90", "of these deg p90": "believed_deg_p90", "ms": "estimate_ms",
}  # fmt: skip
_COST_COLUMNS = {
    "case": "case", "core share": "core_share", "evidence only": "evidence_core_share", "windows": "windows",
    "listen ms": "listen_ms", "judge ms": "judge_ms", "label ms": "label_ms", "extract ms": "extract_ms",
    "back-project ms": "back_project_ms",
}  # fmt: skip
_TARGET_COLUMNS = ("figure", "value", "target", "verdict")


@dataclass(frozen=True)
class BenchFolders:
    """result: the JSON; runs: cases, responses and plots; data: recordings or None."""

    result: Path
    runs: Path
    data: Path | None

    def case_file(self, case: BenchCase) -> Path:
        """Where a case's runs are kept."""
        return self.runs / "cases" / f"{case.name.replace('/', '_')}.json"


def bench_sound(
    out: Path, runs: Path, data: Path | None, only: Sequence[str], command: str, fresh: bool = False,
    quick: bool = False, jobs: int = 2, progress: bool = True,
) -> None:  # fmt: skip
    """Run the cases that `only` names by array, kind, sound or all of it (none: all), print tables, write OUT/sound.json.

    quick: a handful of short cases, written to RUNS/quick alone, so that no result is overwritten. fresh: also cases
    that have run before. Without recordings their cases are left out. Raises ConfigError if no case is meant.
    """
    settings = QUICK if quick else BenchSettings()
    folders = BenchFolders(out / "sound.json", runs, _recordings(data))
    if quick:
        folders = BenchFolders(runs / "quick" / "sound.json", runs / "quick", folders.data)
    cases = all_cases(settings, find_clips(folders.data))
    if folders.data is None:
        tqdm.write("no recordings (--data, ECHOSEG_TEST_DATA): the cases with clips are left out")
    if quick:
        cases = [case for case in cases if case.name in QUICK_CASES]
    run_cases(cases, settings, folders, only, command, fresh, jobs, progress)


def run_cases(
    cases: Sequence[BenchCase], settings: BenchSettings, folders: BenchFolders, only: Sequence[str], command: str,
    fresh: bool = False, jobs: int = 1, progress: bool = True,
) -> None:  # fmt: skip
    """Run what is meant and not there yet; tables and plots at the end, the result after each case."""
    meant = [case for case in cases if case.is_meant(only)]
    if not meant:
        raise ConfigError(f"--only {' '.join(only)}: no such case; there are {', '.join(case.name for case in cases)}")
    missing = [case for case in meant if fresh or not has_run(case, folders)]
    cost_s = {case.name: _cost_s(case, settings) for case in missing}
    total_s = sum(cost * len(case.runs) for case, cost in zip(missing, cost_s.values(), strict=True))
    tqdm.write(f"{len(meant)} cases, {len(missing)} of them to run: about {total_s / 60 / max(jobs, 1):.0f} min")
    began = {"commit": commit(), "load_before": round(os.getloadavg()[0], 2)}
    done: dict[str, list[RunRow]] = {case.name: [] for case in missing}
    with _bar(total_s, progress) as bar:
        for case, row in _all_runs(missing, settings, folders.runs / "responses", jobs):
            done[case.name].append(row)
            bar.update(round(cost_s[case.name], 1))
            if len(done[case.name]) < len(case.runs):
                continue
            rows = sorted(done[case.name], key=lambda run: (run["room"], run["draw"]))
            write_json(folders.case_file(case), {"case": case.name, "format": FORMAT, **began, "runs": rows})
            _write(cases, folders, command)
            bar.set_postfix_str(case.name)
    _write(cases, folders, command)
    results = read_results(cases, folders)
    from echoseg_ros.eval.sound.bench_sound_plot import plot_all

    plots = plot_all(folders.runs / "plots", results)
    print(report(results))
    print("plots: " + " ".join(map(str, plots)))


def _bar(total_s: float, progress: bool) -> Any:
    form = "{l_bar}{bar}| {elapsed}<{remaining} {postfix}"
    return tqdm(total=round(total_s, 1), desc="runs", unit="s", disable=not progress, bar_format=form)


def _all_runs(
    cases: Sequence[BenchCase], settings: BenchSettings, cache: Path, jobs: int
) -> Iterator[tuple[BenchCase, RunRow]]:
    """Every run of the cases as it is done, `jobs` at a time, each in a process with one thread."""
    runs = [(case, room, draw) for case in cases for room, draw in case.runs]
    tasks = [(case, room, draw, settings, cache) for case, room, draw in runs]
    for number, row in in_processes(run_case, tasks, jobs):
        yield runs[number][0], row


def _cost_s(case: BenchCase, settings: BenchSettings) -> float:
    """Of one run, by experience."""
    if case.kind in ("calibration", "cost"):
        return _WALK_COST_S if case.kind == "calibration" else _COST_COST_S * settings.cost_seconds
    with_others = sum(case.has_baselines(room, draw, settings) for room, draw in case.runs) / max(len(case.runs), 1)
    others = 0.0 if case.array == "binaural" else 3 * settings.baseline_windows * _BASELINE_COST_S * with_others
    several = 2.0 if case.kind == "several" else 1.0
    return 1.0 + (settings.poses or case.poses) * several * _WINDOW_COST_S[case.array] + others


def has_run(case: BenchCase, folders: BenchFolders) -> bool:
    """Whether the case's runs are there, those of the rooms and draws that are meant now."""
    file = folders.case_file(case)
    kept = read_json(file) if file.exists() else {}
    is_readable = kept.get("format") == FORMAT
    return is_readable and {(run["room"], run["draw"]) for run in kept["runs"]} == set(case.runs)


def read_results(cases: Sequence[BenchCase], folders: BenchFolders) -> Results:
    """All cases that have run."""
    return [(case, read_json(folders.case_file(case))["runs"]) for case in cases if has_run(case, folders)]


def _write(cases: Sequence[BenchCase], folders: BenchFolders, command: str) -> None:
    results = read_results(cases, folders)
    rows = array_rows(results)
    for case, runs in results:
        kept = read_json(folders.case_file(case))
        rows.append({**case_row(case, runs), "commit": kept["commit"], "load_before": kept["load_before"]})
    write_bench(folders.result, command, figures_of(results), rows)


def report(results: Results) -> str:
    """All cases and figures as text, the figures with what they should be."""
    rows = [(case.kind, case_row(case, runs)) for case, runs in results]
    tables = [
        ([row for kind, row in rows if kind not in ("calibration", "cost")], _PLACE_COLUMNS),
        (array_rows(results), _ARRAY_COLUMNS),
        ([row for kind, row in rows if kind == "several"], _SEVERAL_COLUMNS),
        ([row for _, row in rows if "SRP_direction_deg_p50" in row or "reference_right_object" in row], _OTHER_COLUMNS),
        ([row for kind, row in rows if kind == "calibration"], _CALIBRATION_COLUMNS),
        ([row for kind, row in rows if kind == "cost"], _COST_COLUMNS),
    ]
    parts = [_table(some, columns) for some, columns in tables if some]
    figures, targets = figures_of(results), target_rows(figures_of(results))
    judged = {row["figure"] for row in targets}
    free = [f"{name:<42} {_text(value)}" for name, value in figures.items() if name not in judged and value is not None]
    parts += ["\n".join(free)] if free else []
    return "\n\n".join([*parts, _table(targets, {column: column for column in _TARGET_COLUMNS})])


def self_test(bag: Path) -> None:
    """Print what is wrong with the microphones of a recording, a line for each finding."""
    from echoseg_ros.sound.channel_checks.channel_check import check_bag_channels

    findings = check_bag_channels(bag)
    for finding in findings:
        print(finding)
    if not findings:
        print("microphones: nothing wrong found")


def _recordings(data: Path | None) -> Path | None:
    """The folder of recordings. Raises FolderError only if it was named and is not there."""
    try:
        return data_folder(data)
    except FolderError:
        if data is not None:
            raise
        return None


def _table(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> str:
    """Columns that no row has a value for are left out."""
    used = {head: key for head, key in columns.items() if any(row.get(key) is not None for row in rows)}
    shown = [{head: _text(row.get(key)) for head, key in used.items()} for row in rows]
    return text_table(shown, tuple(used))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, (str, int)) else f"{value:.4g}"
