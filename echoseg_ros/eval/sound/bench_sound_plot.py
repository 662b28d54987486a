"""`echoseg bench sound` as pictures: errors by reverberation and noise, ours beside those of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy as np

from echoseg_ros.eval.sound.bench_sound_cases import BenchCase
from echoseg_ros.eval.sound.bench_sound_figures import MISSED_M, Results, compared_runs
from echoseg_ros.eval.sound.sound_scoring import RunRow
from echoseg_ros.io.files import replacing

_SNR_DB = (20.0, 10.0, 0.0)
_TICKS = [step * 10.0**power for power in range(-2, 3) for step in (1, 2, 5)]
_DIRECTIONS = (("echoseg", "direction_deg", "C0"), ("SRP-PHAT", "SRP_direction_deg", "C1"),
               ("NormMUSIC", "NormMUSIC_direction_deg", "C2"), ("MUSIC", "MUSIC_direction_deg", "C3"))  # fmt: skip
_PLACES = (("echoseg", "position_m", "C0"), ("RANSAC over its directions", "ransac_position_m", "C1"))
_EARS = (("echoseg", "position_m", "right", "C0"), ("louder side", "reference_raw_position_m", "reference_raw_right", "C1"),
         ("louder side, averaged (published)", "reference_position_m", "reference_right", "C3"))  # fmt: skip


def plot_all(folder: Path, results: Results) -> list[Path]:
    """Every picture there is something for; returns the PNGs."""
    made = []
    for array in ("cube8", "square4"):
        single = [(case, runs) for case, runs in results if case.array == array and case.kind == "single"]
        if single:
            same = [(case, compared_runs(runs)) for case, runs in single]  # only what all methods were given
            made.append(_by_condition(folder / f"{array}_direction.png", f"{array}: direction error, degrees",
                                      same, _DIRECTIONS, (0.5, 180.0)))  # fmt: skip
            made.append(_by_condition(folder / f"{array}_position.png", f"{array}: position error after the way, m",
                                      single, _PLACES, (0.01, MISSED_M)))  # fmt: skip
    ears = [run for case, runs in results if case.array == "binaural" and case.kind == "single" for run in runs]
    if ears:
        made.append(_two_ears(folder / "binaural.png", ears))
    return made


def _by_condition(
    path: Path, title: str, results: Sequence[tuple[BenchCase, list[RunRow]]], methods: Any, limits: tuple[float, float]
) -> Path:
    """A panel for each reverberation time, a group for each noise level: medians, lines up to the 90th percentile."""
    times_s = sorted({case.rt60_s for case, _ in results})
    size = (2.2 + 3.0 * len(times_s), 3.8)
    figure, axes = plt.subplots(1, len(times_s), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, rt60_s in zip(axes[0], times_s, strict=True):
        for number, (label, column, color) in enumerate(methods):
            shift = (number - (len(methods) - 1) / 2) * 0.18
            for place, snr_db in enumerate(_SNR_DB):
                values = _values(results, rt60_s, snr_db, column)
                if len(values) == 0:
                    continue
                middle, high = np.clip(np.percentile(values, [50, 90]), *limits)
                axis.plot([place + shift] * 2, [middle, high], color=color, linewidth=1.5, alpha=0.6)
                axis.plot(place + shift, middle, "o", color=color, markersize=6)
                axis.plot(place + shift, high, "_", color=color, markersize=8)
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
    return _saved(figure, path)


def _two_ears(path: Path, runs: list[RunRow]) -> Path:
    """How many runs have an error below each, and the right objects in the legend."""
    figure, axis = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for label, column, right, color in _EARS:
        errors = np.sort([_number(run.get(column)) for run in runs])
        share = 100 * np.arange(1, len(errors) + 1) / len(errors)
        correct = 100 * np.mean([bool(run.get(right)) for run in runs])
        axis.step(np.append(0.01, errors), np.append(0, share), where="post", color=color,
                  label=f"{label}: right object {correct:.0f} %")  # fmt: skip
    axis.set_xscale("log")
    axis.set_xticks([tick for tick in _TICKS if 0.01 <= tick <= MISSED_M])
    axis.set_xlim(0.01, MISSED_M)
    axis.set_ylim(0, 101)
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.set_xlabel("position error after the way, m")
    axis.set_ylabel(f"share of {len(runs)} runs with less, %")
    axis.set_title("two ears: position and right object", fontsize=11)
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    return _saved(figure, path)


def _values(
    results: Sequence[tuple[BenchCase, list[RunRow]]], rt60_s: float, snr_db: float, column: str
) -> list[float]:
    """All of a column in the cases of one condition, tones apart."""
    values: list[float] = []
    for case, runs in results:
        if case.rt60_s == rt60_s and case.snr_db == snr_db and case.sound != "tones":
            for run in runs:
                found = run.get(column, [])
                values += [_number(value) for value in (found if isinstance(found, list) else [found])]
    return values


def _number(value: Any) -> float:
    """The number, or what a list of one holds; a missed source is far away."""
    value = value[0] if isinstance(value, list) else value
    return MISSED_M if value is None else float(value)


def _saved(figure: Any, path: Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
    return path
