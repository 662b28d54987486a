"""Times and kitchen runs of `echoseg bench segment` are made again for other code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from echoseg_ros.eval.segment import bench_segment, bench_segment_kitchen


def test_times_and_kitchen_runs_of_other_code_are_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once they were kept whatever code had made them, so a table showed figures of older code."""
    code = ["a"]  # the digest of the code
    timed: list[float] = []
    ran: list[tuple[Any, ...]] = []

    def fake_times(*given: object) -> dict[str, float]:
        timed.append(1.0)
        return {"relabel_s": float(len(timed))}

    for module in (bench_segment, bench_segment_kitchen):
        monkeypatch.setattr(module, "code_digest", lambda: code[0])
    monkeypatch.setattr(bench_segment, "EvalScene", str)
    monkeypatch.setattr(bench_segment, "SceneRun", str)
    monkeypatch.setattr(bench_segment, "time_segmentation", fake_times)
    monkeypatch.setattr(bench_segment_kitchen, "run_bag", lambda *given, **options: ran.append(given))
    monkeypatch.setattr(bench_segment_kitchen, "bag_config", lambda bag: None)
    monkeypatch.setattr(bench_segment_kitchen, "RunFolder", str)
    (tmp_path / "mug_bag").mkdir()
    scene = tmp_path / "part_1" / "flat_1" / "kitchen" / "1"

    def times() -> float:
        bench_segment_kitchen._kitchen_run("mug", None, tmp_path)  # type: ignore[arg-type]
        return bench_segment._timing(scene, tmp_path, tmp_path, fresh=False)["relabel_s"]  # type: ignore[no-any-return]

    assert [times(), times()] == [1.0, 1.0] and len(ran) == 1
    code[0] = "b"
    assert [times(), times()] == [2.0, 2.0] and len(ran) == 2
