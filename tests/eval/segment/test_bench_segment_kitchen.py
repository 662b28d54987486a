"""The recorded kitchen: outlines of the truth, and rows without recording or truth."""

from __future__ import annotations

from pathlib import Path

from echoseg_ros.eval.segment.bench_segment_kitchen import TRUTH_FILE, fill_polygon, kitchen_rows
from echoseg_ros.io.files import read_json


def test_kitchen_without_recording_or_truth_is_left_out_with_a_reason(tmp_path: Path) -> None:
    (row,) = kitchen_rows(None, tmp_path)
    assert "real_kitchen" in row["skipped"]
    (tmp_path / "real_kitchen").mkdir()
    (row,) = kitchen_rows(tmp_path, tmp_path, tmp_path / "masks.json")
    assert "truth" in row["skipped"]


def test_outlines_are_filled_and_each_object_has_ten() -> None:
    mask = fill_polygon([[2, 1], [6, 1], [6, 4], [2, 4]], 8, 10)
    assert mask[1:5, 2:7].all() and mask.sum() == 20
    outlines = read_json(Path(__file__).parents[3] / TRUTH_FILE)
    assert sorted(outlines) == ["floral_mug", "gamepad", "plastic_box", "white_mug"]
    for frames in outlines.values():
        assert len(frames) == 10
        assert all(fill_polygon(outline, 480, 640).sum() > 700 for outline in frames.values())
