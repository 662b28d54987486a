"""Cases and runs of `echoseg bench sound`, made by hand."""

from __future__ import annotations

from echoseg_ros.eval.sound.bench_sound_cases import BenchCase
from echoseg_ros.eval.sound.sound_scoring import RunRow


def case(name: str, sounds: int = 1, runs: int = 2) -> BenchCase:
    array, kind, *rest = name.split("/")
    snr_db = float(rest[1].removeprefix("snr")) if len(rest) > 1 else None
    sources = int(kind[-1]) if kind.startswith("several") else sounds
    kind = "several" if kind.startswith("several") else kind.rstrip("12")
    rt60_s = float(rest[0].removeprefix("rt"))
    return BenchCase(name, array, kind, rt60_s, snr_db, (), "noise", sources, runs=tuple((k, 0) for k in range(runs)))


def run_row(room: int = 0, **values: object) -> RunRow:
    row = {"room": room, "draw": 0, "things": [1], "hours": 0.5, "false_objects": 0, "extract_ms": 8.0, "judge_ms": 2.0}
    single = {"position_m": [0.1], "inside_95": [True], "found": 1, "sources_said": 1, "right": True, "wrong": False,
              "likeliest_right": True, "time_to_right_s": 2.0, "sounding_s": 30.0, "direction_deg": [1.0, 3.0]}  # fmt: skip
    return {**row, **single, **values}


def calibration_run(**values: object) -> RunRow:
    return {"room": 0, "draw": 0, "sound": "builtin:noise", "path": "tour", "true_offset_ms": -80.0, "true_yaw_deg": 4.0,
            "offset_error_ms": -5.0, "yaw_error_deg": 0.5, "knows_offset": True, "knows_yaw": True, "estimate_ms": 90.0,
            **values}  # fmt: skip
