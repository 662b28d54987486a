"""Measurements of `echoseg bench map` on a small recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_map_bench import SMALL_SETTINGS

from echoseg_ros.eval.bench import commit
from echoseg_ros.eval.checkpoint import load_checkpoint, save_checkpoint
from echoseg_ros.eval.map.bench_map_cases import BenchSettings, measure_offline, measure_scale, optimise_to_total
from echoseg_ros.mapping.mapper import Mapper


def test_the_map_does_not_depend_on_the_unit(map_bench_bag: Path) -> None:
    rows = measure_scale("scale/room_0", map_bench_bag, SMALL_SETTINGS)
    assert [row["case"].split("/", 2)[2] for row in rows] == ["rgbd/x1", "rgbd/x10", "rgb_only/x1", "rgb_only/x10"]
    assert rows[0]["psnr_change_db"] == 0 and abs(rows[1]["psnr_change_db"]) < 0.5
    assert rows[1]["depth_error_pct_p50"] == pytest.approx(rows[0]["depth_error_pct_p50"], rel=0.3)


def test_an_offline_case_continues_from_its_checkpoint(map_bench_bag: Path, tmp_path: Path) -> None:
    """The result equals that of an uninterrupted case; a checkpoint of other settings is not used."""
    checkpoint = tmp_path / "state.pickle"
    at_once_to_30 = measure_offline(
        "offline/room_0", map_bench_bag, tmp_path, SMALL_SETTINGS, True, tmp_path / "other.pickle"
    )
    key = (commit(), SMALL_SETTINGS)
    measure_offline("offline/room_0", map_bench_bag, tmp_path, SMALL_SETTINGS, True, checkpoint)
    state = load_checkpoint(checkpoint, key)
    assert (
        state is not None
        and state.mapper.steps_done == 30
        and load_checkpoint(checkpoint, (commit(), BenchSettings())) is None
    )
    longer = replace(SMALL_SETTINGS, offline_steps=(20, 30, 40))
    save_checkpoint(checkpoint, (commit(), longer), state)
    continued = measure_offline("offline/room_0", map_bench_bag, tmp_path, longer, True, checkpoint)
    assert [row["steps"] for row in continued] == [20, 30, 40]
    assert [row["psnr_db"] for row in continued[:2]] == [row["psnr_db"] for row in at_once_to_30]
    at_once = measure_offline(
        "offline/room_0",
        map_bench_bag,
        tmp_path,
        replace(SMALL_SETTINGS, offline_steps=(40,)),
        True,
        tmp_path / "third",
    )
    assert continued[2]["psnr_db"] == at_once[0]["psnr_db"]
    (tmp_path / "broken").write_bytes(b"cut o")
    assert load_checkpoint(tmp_path / "broken", key) is None


def test_an_empty_map_is_not_optimised_without_end(map_bench_bag: Path) -> None:
    mapper = Mapper(SMALL_SETTINGS.config(map_bench_bag))
    optimise_to_total(mapper, 100, "empty", progress=False)
    assert mapper.steps_done == 0
