"""`echoseg bench ros`: the live demo over many cases, each a real node fed by a real-time replay over ROS 2.

Cases: objects of the recorded kitchen with recorded sounds, simulated rooms, silence, and a source in free air. A case
with a metrics.json is not repeated, so an interrupted benchmark continues where it stopped.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from echoseg_ros.eval.bench import Figures, Row, data_folder, processor_ticks, text_table, write_bench
from echoseg_ros.geometry import apply, inverse
from echoseg_ros.io.files import read_json, write_json
from echoseg_ros.io.rgbd_folder import RgbdFolder

SOUNDS = ("dog_bark_1-30226-A", "clock_tick_1-35687-A", "baby_cry_1-211527-B")
# Source in free air: half a metre above the middle of the kitchen's table, map frame, metres; no object is near.
FREE_AIR_MAP_M = (0.0, 1.6, -0.3)
ROOM_SEEDS = (0, 1)
COLUMNS = ("case", "correct_object", "source_error_m", "box_iou", "false_objects", "time_to_right_s", "realtime_factor",
           "latency_p95_ms", "audio_dropped_s", "frames_dropped", "stolen_share", "psnr_db", "peak_rss_mb")  # fmt: skip
# File beside a case's metrics: share of processor time that the host of a virtual machine took away during the case.
STOLEN_FILE = "stolen.json"


@dataclass(frozen=True)
class Case:
    """One run of `echoseg demo`: its name and options."""

    name: str
    options: tuple[str, ...]


def bench_ros(out: Path, runs: Path, data: Path | None, only: str, command: str) -> None:
    """Run the cases whose names contain `only`, print a table, write OUT/ros.json if all cases were selected."""
    cases = [case for case in all_cases(data_folder(data)) if only in case.name]
    rows = []
    for number, case in enumerate(cases, start=1):
        print(f"({number}/{len(cases)}) {case.name}", flush=True)
        rows.append(run_case(case, runs / case.name))
    figures = summary(rows)
    print(text_table(rows, COLUMNS))
    print("\n".join(f"{name:<36} {value if value is None else round(value, 3)}" for name, value in figures.items()))
    if not only:
        write_bench(out / "ros.json", command, figures, rows)


def all_cases(data: Path) -> list[Case]:
    """All cases of the benchmark. data: the folder of recordings."""
    kitchen = data / "real_kitchen"
    folder = RgbdFolder(kitchen)
    base = ("--rgbd", str(kitchen))
    cases = [
        Case(f"kitchen_{name}_{sound.split('_1-')[0]}",
             (*base, "--source", name, "--sound", str(data / "sounds" / f"{sound}.ogg")))
        for name in folder.objects for sound in SOUNDS
    ]  # fmt: skip
    place = ",".join(f"{value:.3f}" for value in apply(inverse(folder.T_map_world), np.array(FREE_AIR_MAP_M)))
    cases.append(Case("kitchen_silent", (*base, "--source", "none")))
    cases.append(Case("kitchen_free_air", (*base, f"--source={place}", "--sound", "builtin:speech")))
    return cases + [Case(f"room_{seed}", ("--seed", str(seed))) for seed in ROOM_SEEDS]


def run_case(case: Case, out: Path) -> Row:
    """Row of a case; runs the case first if it has no metrics yet."""
    if not (out / "metrics.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        with (out.parent / f"{case.name}.log").open("w") as log:
            command = [sys.executable, "-m", "echoseg_ros.cli", "--quiet", "demo", "--out", str(out), *case.options]
            ticks_before = processor_ticks()
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
        stolen, ticks = (after - before for after, before in zip(processor_ticks(), ticks_before, strict=True))
        write_json(out / STOLEN_FILE, {"stolen_share": round(stolen / max(ticks, 1.0), 3)})
    if not (out / "metrics.json").exists():
        return {"case": case.name, "correct_object": "failed"}
    host_load = read_json(out / STOLEN_FILE) if (out / STOLEN_FILE).exists() else {}
    return _row(case.name, {**read_json(out / "metrics.json"), **host_load})


def _row(name: str, metrics: Row) -> Row:
    flat = {
        "case": name,
        "latency_p95_ms": (metrics["latency_ms"] or {}).get("p95"),
        "audio_dropped_s": metrics["audio"]["dropped_s"],
        "frames_dropped": metrics["frames"]["dropped"],
    }
    return {column: flat.get(column, metrics.get(column)) for column in COLUMNS}


def summary(rows: list[Row]) -> Figures:
    """Figures over all cases that have run."""
    kitchen = [
        r for r in rows if r["case"].startswith("kitchen_") and r["case"] not in ("kitchen_silent", "kitchen_free_air")
    ]
    rooms = [r for r in rows if r["case"].startswith("room_")]
    silent = [r for r in rows if r["case"] == "kitchen_silent"]
    free = [r for r in rows if r["case"] == "kitchen_free_air"]
    return {
        "kitchen_runs_count": float(len(kitchen)),
        "kitchen_correct_object_count": float(sum(r["correct_object"] is True for r in kitchen)),
        "kitchen_source_error_m_p50": _statistic(np.median, kitchen, "source_error_m"),
        "kitchen_source_error_m_max": _statistic(np.max, kitchen, "source_error_m"),
        "rooms_count": float(len(rooms)),
        "rooms_correct_object_count": float(sum(r["correct_object"] is True for r in rooms)),
        "rooms_source_error_m_max": _statistic(np.max, rooms, "source_error_m"),
        "silent_false_objects_count": _statistic(np.sum, silent, "false_objects"),
        "free_air_elsewhere_count": float(sum(r["correct_object"] is True for r in free)),
        "free_air_source_error_m": _statistic(np.max, free, "source_error_m"),
        "latency_ms_p95_max": _statistic(np.max, rows, "latency_p95_ms"),
        "realtime_factor_min": _statistic(np.min, rows, "realtime_factor"),
        "audio_dropped_s_max": _statistic(np.max, rows, "audio_dropped_s"),
        "peak_rss_mb_max": _statistic(np.max, rows, "peak_rss_mb"),
        "stolen_share_max": _statistic(np.max, rows, "stolen_share"),
    }


def _statistic(statistic: Any, rows: list[Row], column: str) -> float | None:
    values = [row[column] for row in rows if isinstance(row.get(column), int | float)]
    return float(statistic(values)) if values else None
