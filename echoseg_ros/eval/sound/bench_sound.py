"""`echoseg bench sound`: directions, positions and right objects in simulated rooms, beside baselines.

A finished case writes its runs to RUNS/cases; a later call reads them and makes only the missing ones. OUT/sound.json is
written again after each case, from all finished cases. Impulse responses are kept in RUNS/responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from echoseg_ros.eval.bench import optional_data_folder, selected_cases, start_conditions, write_bench
from echoseg_ros.eval.processes import run_in_processes
from echoseg_ros.eval.sound.bench_sound_cases import BenchCase, BenchSettings, all_cases, find_clips, run_case
from echoseg_ros.eval.sound.bench_sound_figures import Results, array_rows, case_row, figures_of
from echoseg_ros.eval.sound.bench_sound_tables import report
from echoseg_ros.eval.sound.sound_scoring import RunRow
from echoseg_ros.io.files import read_json, write_json

# For CI: one short run of each kind.
_ONE_EACH = {"cube8": 1, "square4": 1, "binaural": 1}
QUICK = BenchSettings(_ONE_EACH, _ONE_EACH, 8, 1, 2, calibration_runs=1, cost_seconds=8.0, cost_last_s=4.0)
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
# Version of the files of cases; cases with files of another version are repeated.
FORMAT = 2
# Computing times for the estimate of the total time only. Seconds a window:
_WINDOW_TIME_S = {"cube8": 0.05, "square4": 0.05, "binaural": 0.08}
# Seconds a window and baseline method.
_BASELINE_TIME_S = 0.55
# Seconds a run of a calibration case.
_CALIBRATION_TIME_S = 10.0
# Seconds a recorded second of a cost case.
_COST_CASE_TIME_S = 1.2


@dataclass(frozen=True)
class BenchFolders:
    """Where files are. result: the JSON; runs: cases, responses and plots; data: folder of recordings or None."""

    result: Path
    runs: Path
    data: Path | None

    def case_file(self, case: BenchCase) -> Path:
        """File of a case's runs."""
        return self.runs / "cases" / f"{case.name.replace('/', '_')}.json"


def bench_sound(
    out: Path, runs: Path, data: Path | None, only: Sequence[str], command: str, fresh: bool = False,
    quick: bool = False, jobs: int = 2, progress: bool = True,
) -> None:  # fmt: skip
    """Run the cases that `only` names by full name or a part (array, kind, sound; empty: all), write OUT/sound.json.

    Prints tables at the end. quick: a few short cases with all output in RUNS/quick, so that no result is overwritten;
    fresh: repeat cases that have run before. Without recordings, cases with recorded sounds are left out. Raises
    ConfigError if no case is selected.
    """
    settings = QUICK if quick else BenchSettings()
    folders = BenchFolders(out / "sound.json", runs, optional_data_folder(data))
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
    """Run the selected cases that have no runs yet; write the result after each case, tables and plots at the end."""
    selected = selected_cases(cases, only)
    missing = [case for case in selected if fresh or not has_run(case, folders)]
    time_s = {case.name: _estimated_time_s(case, settings) for case in missing}
    total_s = sum(run_s * len(case.runs) for case, run_s in zip(missing, time_s.values(), strict=True))
    tqdm.write(f"{len(selected)} cases, {len(missing)} of them to run: about {total_s / 60 / max(jobs, 1):.0f} min")
    conditions = start_conditions()
    done: dict[str, list[RunRow]] = {case.name: [] for case in missing}
    with _progress_bar(total_s, progress) as bar:
        for case, row in _all_runs(missing, settings, folders.runs / "responses", jobs):
            done[case.name].append(row)
            bar.update(round(time_s[case.name], 1))
            if len(done[case.name]) < len(case.runs):
                continue
            rows = sorted(done[case.name], key=lambda run: (run["room"], run["draw"]))
            write_json(folders.case_file(case), {"case": case.name, "format": FORMAT, **conditions, "runs": rows})
            _write_result(cases, folders, command)
            bar.set_postfix_str(case.name)
    _write_result(cases, folders, command)
    results = read_results(cases, folders)
    from echoseg_ros.eval.sound.bench_sound_plot import plot_all

    plots = plot_all(folders.runs / "plots", results)
    print(report(results))
    print("plots: " + " ".join(map(str, plots)))


def _progress_bar(total_s: float, progress: bool) -> Any:
    form = "{l_bar}{bar}| {elapsed}<{remaining} {postfix}"
    return tqdm(total=round(total_s, 1), desc="runs", unit="s", disable=not progress, bar_format=form)


def _all_runs(
    cases: Sequence[BenchCase], settings: BenchSettings, cache: Path, jobs: int
) -> Iterator[tuple[BenchCase, RunRow]]:
    """Yield (case, row) of all runs of the cases as they finish, `jobs` at a time, each in a process with one thread."""
    runs = [(case, room, draw) for case in cases for room, draw in case.runs]
    tasks = [(case, room, draw, settings, cache) for case, room, draw in runs]
    for number, row in run_in_processes(run_case, tasks, jobs):
        yield runs[number][0], row


def _estimated_time_s(case: BenchCase, settings: BenchSettings) -> float:
    """Estimated computing time of one run, seconds."""
    if case.kind in ("calibration", "cost"):
        return _CALIBRATION_TIME_S if case.kind == "calibration" else _COST_CASE_TIME_S * settings.cost_seconds
    baseline_share = sum(case.has_baselines(room, draw, settings) for room, draw in case.runs) / max(len(case.runs), 1)
    baselines_s = 0.0 if case.array == "binaural" else 3 * settings.baseline_windows * _BASELINE_TIME_S * baseline_share
    source_factor = 2.0 if case.kind == "several" else 1.0
    return 1.0 + (settings.poses or case.poses) * source_factor * _WINDOW_TIME_S[case.array] + baselines_s


def has_run(case: BenchCase, folders: BenchFolders) -> bool:
    """Whether the case has a file with exactly its runs: these rooms and draws."""
    file = folders.case_file(case)
    kept = read_json(file) if file.exists() else {}
    return kept.get("format") == FORMAT and {(run["room"], run["draw"]) for run in kept["runs"]} == set(case.runs)


def read_results(cases: Sequence[BenchCase], folders: BenchFolders) -> Results:
    """All cases that have run, with their runs."""
    return [(case, read_json(folders.case_file(case))["runs"]) for case in cases if has_run(case, folders)]


def _write_result(cases: Sequence[BenchCase], folders: BenchFolders, command: str) -> None:
    results = read_results(cases, folders)
    rows = array_rows(results)
    for case, runs in results:
        kept = read_json(folders.case_file(case))
        rows.append({**case_row(case, runs), "commit": kept["commit"], "load_before": kept["load_before"]})
    write_bench(folders.result, command, figures_of(results), rows)


def self_test(bag: Path) -> None:
    """Print the channel faults of a recording, one a line."""
    from echoseg_ros.sound.channel_checks.channel_check import check_bag_channels

    findings = check_bag_channels(bag)
    for finding in findings:
        print(finding)
    if not findings:
        print("microphones: nothing wrong found")
