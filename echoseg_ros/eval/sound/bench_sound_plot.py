"""Plots of `echoseg bench sound`: errors by reverberation and noise, ours beside the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy as np

from echoseg_ros.eval.picture_files import save_figure
from echoseg_ros.eval.sound.bench_sound_cases import BenchCase
from echoseg_ros.eval.sound.bench_sound_figures import NOT_FOUND_ERROR_M, Results, compared_runs
from echoseg_ros.eval.sound.sound_scoring import RunRow

# SNR of the groups, dB.
_SNR_DB = (20.0, 10.0, 0.0)
# Ticks of logarithmic axes: 1, 2 and 5 times powers of ten.
_TICKS = [step * 10.0**power for power in range(-2, 3) for step in (1, 2, 5)]
# Label, column and colour of each method.
_DIRECTION_METHODS = (
    ("echoseg", "direction_deg", "C0"),
    ("SRP-PHAT", "SRP_direction_deg", "C1"),
    ("NormMUSIC", "NormMUSIC_direction_deg", "C2"),
    ("MUSIC", "MUSIC_direction_deg", "C3"),
)
_POSITION_METHODS = (("echoseg", "position_m", "C0"), ("RANSAC over its directions", "ransac_position_m", "C1"))
# Label, column of the error, column of the right object and colour of each method with two ears.
_BINAURAL_METHODS = (
    ("echoseg", "position_m", "right", "C0"),
    ("louder side", "reference_raw_position_m", "reference_raw_right", "C1"),
    ("louder side, averaged (published)", "reference_position_m", "reference_right", "C3"),
)


def plot_all(folder: Path, results: Results) -> list[Path]:
    """Write all plots that have runs; returns the PNG files."""
    files = []
    for array in ("cube8", "square4"):
        single = [(case, runs) for case, runs in results if case.array == array and case.kind == "single"]
        if single:
            compared = [(case, compared_runs(runs)) for case, runs in single]  # only windows that all methods had
            files.append(_plot_by_condition(folder / f"{array}_direction.png", f"{array}: direction error, degrees",
                                      compared, _DIRECTION_METHODS, (0.5, 180.0)))  # fmt: skip
            files.append(_plot_by_condition(folder / f"{array}_position.png", f"{array}: position error after the way, m",
                                      single, _POSITION_METHODS, (0.01, NOT_FOUND_ERROR_M)))  # fmt: skip
    binaural = [run for case, runs in results if case.array == "binaural" and case.kind == "single" for run in runs]
    if binaural:
        files.append(_plot_two_ears(folder / "binaural.png", binaural))
    return files


def _plot_by_condition(
    path: Path, title: str, results: Sequence[tuple[BenchCase, list[RunRow]]], methods: Any, limits: tuple[float, float]
) -> Path:
    """A panel for each reverberation time, a group for each SNR: medians, with lines up to the 90th percentile."""
    times_s = sorted({case.rt60_s for case, _ in results})
    size = (2.2 + 3.0 * len(times_s), 3.8)
    figure, axes = plt.subplots(1, len(times_s), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, rt60_s in zip(axes[0], times_s, strict=True):
        for number, (label, column, color) in enumerate(methods):
            shift = (number - (len(methods) - 1) / 2) * 0.18
            for group, snr_db in enumerate(_SNR_DB):
                values = _values(results, rt60_s, snr_db, column)
                if len(values) == 0:
                    continue
                median, high = np.clip(np.percentile(values, [50, 90]), *limits)
                axis.plot([group + shift] * 2, [median, high], color=color, linewidth=1.5, alpha=0.6)
                axis.plot(group + shift, median, "o", color=color, markersize=6)
                axis.plot(group + shift, high, "_", color=color, markersize=8)
            axis.plot([], [], "o-", color=color, label=label)
        axis.set_title(f"RT60 {rt60_s:g} s", fontsize=10)
        axis.set_xticks(range(len(_SNR_DB)), [f"{snr_db:g}" for snr_db in _SNR_DB])
        axis.set_xlim(-0.6, len(_SNR_DB) - 0.4)
        axis.set_xlabel("SNR, dB")
        axis.set_yscale("log")
        axis.set_yticks([tick for tick in _TICKS if limits[0] <= tick <= limits[1]])
        axis.set_ylim(limits[0] * 0.9, limits[1] * 1.15)
        axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axis.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axis.grid(alpha=0.3, axis="y")
    figure.suptitle(f"{title} (dot: median, bar: 90th percentile)", fontsize=11)
    figure.legend(
        *axes[0][0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(len(methods), 2 + len(times_s)),
        frameon=False,
    )
    save_figure(path, figure)
    return path


def _plot_two_ears(path: Path, runs: list[RunRow]) -> Path:
    """Cumulative distribution of the position error, with the share of right objects in the legend."""
    figure, axis = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for label, column, right, color in _BINAURAL_METHODS:
        errors = np.sort([_number(run.get(column)) for run in runs])
        share = 100 * np.arange(1, len(errors) + 1) / len(errors)
        correct = 100 * np.mean([bool(run.get(right)) for run in runs])
        axis.step(np.append(0.01, errors), np.append(0, share), where="post", color=color,
                  label=f"{label}: right object {correct:.0f} %")  # fmt: skip
    axis.set_xscale("log")
    axis.set_xticks([tick for tick in _TICKS if 0.01 <= tick <= NOT_FOUND_ERROR_M])
    axis.set_xlim(0.01, NOT_FOUND_ERROR_M)
    axis.set_ylim(0, 101)
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.set_xlabel("position error after the way, m")
    axis.set_ylabel(f"share of {len(runs)} runs with less, %")
    axis.set_title("two ears: position and right object", fontsize=11)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    save_figure(path, figure)
    return path


def _values(
    results: Sequence[tuple[BenchCase, list[RunRow]]], rt60_s: float, snr_db: float, column: str
) -> list[float]:
    """All values of a column in the cases of one condition, without tones."""
    values: list[float] = []
    for case, runs in results:
        if case.rt60_s == rt60_s and case.snr_db == snr_db and case.sound != "tones":
            for run in runs:
                entry = run.get(column, [])
                values += [_number(value) for value in (entry if isinstance(entry, list) else [entry])]
    return values


def _number(value: Any) -> float:
    """The number, or the first of a list; a source that was not found counts as NOT_FOUND_ERROR_M."""
    value = value[0] if isinstance(value, list) else value
    return NOT_FOUND_ERROR_M if value is None else float(value)
