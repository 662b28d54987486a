"""Scenario: all methods on a small scene are scored, stored and resumed, without data of test frames; the benchmark."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import wavfile
from segment_scene import RATE_HZ, SIZE, write_segment_scene

from echoseg_ros.errors import ConfigError, DatasetError
from echoseg_ros.eval.segment.bench_segment import bench_segment
from echoseg_ros.eval.segment.compared_methods import FRONT_END, METHODS, NO_AISRM, OURS
from echoseg_ros.eval.segment.evaluate import evaluate, method_names
from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings, mask_file, run_folder, score_file
from echoseg_ros.eval.segment.front_end import FrontEnd

pytestmark = pytest.mark.slow

COUNT = 16
NAME = "part_2_flat_room_1"
# Masks good enough to be scored in two test views.
GOOD = EvaluateSettings(FrontEnd(miss=0.1, edge=0.05, growth=0.0))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of one scene."""
    folder = tmp_path_factory.mktemp("set")
    write_segment_scene(folder / "part_2" / "flat" / "room" / "1", COUNT)
    return folder


@pytest.fixture(scope="module")
def evaluated(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where all methods were scored, and the table."""
    out = tmp_path_factory.mktemp("runs") / "quick"
    return out, evaluate(root, out, ["all"], settings=GOOD, progress=False)


def test_every_method_is_scored_and_the_table_has_the_papers_columns(evaluated: tuple[Path, str]) -> None:
    out, table = evaluated
    for method in METHODS:
        row = json.loads(score_file(out, method, NAME).read_text())
        assert row["setting"] == "multi"
        assert [view["name"] for view in row["views"]] == ["frame_0000", "frame_0008"]
        assert row["choice"] in (("right", "wrong", "missed") if method != FRONT_END else (None,))
        for view in row["views"]:
            mask = cv2.imread(str(mask_file(out, method, NAME, view["name"])), cv2.IMREAD_GRAYSCALE)
            assert mask is not None and mask.shape == (SIZE, SIZE)
            assert np.mean(np.asarray(mask) > 127) == pytest.approx(view["mask_share"])
    rows = json.loads((out / "evaluation.json").read_text())["rows"]
    assert [row["method"] for row in rows] == list(METHODS)
    assert "0.823" in table and "VOID" in table
    # The simulated 2D masks show the object, and their votes select Gaussians of it.
    scored = {row["method"]: row for row in rows}
    assert scored[FRONT_END]["visible_iou"] > 0.2
    assert scored[NO_AISRM]["iou_3d"] > 0.05
    for name in ("best", "median", "worst"):
        picture = cv2.imread(str(out / "pictures" / f"{FRONT_END}_{name}.png"))
        assert picture is not None and picture.shape[0] == SIZE and picture.shape[1] > 2 * SIZE


def test_stored_scores_and_runs_are_not_repeated(root: Path, evaluated: tuple[Path, str]) -> None:
    out, table = evaluated
    kept = {file: file.stat().st_mtime_ns for file in [*out.rglob("scores/*/*.json"), *out.rglob("made.json")]}
    gone = score_file(out, NO_AISRM, NAME)
    before = json.loads(gone.read_text())
    gone.unlink()
    assert evaluate(root, out, ["all"], settings=GOOD, progress=False) == table
    assert json.loads(gone.read_text()) == {**before, "commit": json.loads(gone.read_text())["commit"]}
    assert {file: file.stat().st_mtime_ns for file in kept if file != gone} == {
        f: t for f, t in kept.items() if f != gone
    }


def test_methods_do_not_use_test_frames(root: Path, evaluated: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "set")
    scene = tmp_path / "set" / "part_2" / "flat" / "room" / "1"
    rng = np.random.default_rng(0)
    for number in range(0, COUNT, 8):
        name = f"frame_{number:04d}.png"
        for part in ("input", "images"):
            cv2.imwrite(str(scene / part / name), rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
        cv2.imwrite(str(scene / "object_ids" / name), np.zeros((SIZE, SIZE), np.uint8))
        noise = rng.integers(-9000, 9000, (RATE_HZ, 2)).astype(np.int16)
        wavfile.write(scene / "audio_clips_binaural" / f"clip_{number}.wav", RATE_HZ, noise)
    out, methods = evaluated[0], [method for method in METHODS if method != FRONT_END]
    evaluate(tmp_path / "set", tmp_path / "out", methods, settings=GOOD, progress=False)
    for part in ("map.ply", "objects.json"):
        there = run_folder(tmp_path / "out", NAME) / "run" / part
        assert there.read_bytes() == (run_folder(out, NAME) / "run" / part).read_bytes()
    for method in methods:
        for view in ("frame_0000", "frame_0008"):
            mask = mask_file(tmp_path / "out", method, NAME, view).read_bytes()
            assert mask == mask_file(out, method, NAME, view).read_bytes()


def test_a_scene_of_the_real_set_has_neither_ids_nor_truth(
    root: Path, evaluated: tuple[Path, str], tmp_path: Path
) -> None:
    scene = tmp_path / "set" / "part_2" / "flat" / "room" / "1"
    shutil.copytree(root / "part_2" / "flat" / "room" / "1", scene)
    shutil.rmtree(scene / "object_ids")
    shutil.rmtree(scene / "cases")
    (scene / "truth.json").unlink()
    shutil.copytree(run_folder(evaluated[0], NAME), run_folder(tmp_path / "out", NAME))  # spares a run
    evaluate(tmp_path / "set", tmp_path / "out", ["all"], settings=EvaluateSettings(reuse=True), progress=False)
    (row,) = json.loads((tmp_path / "out" / "evaluation.json").read_text())["rows"]
    assert row["method"] == OURS
    assert row["choice"] is None and row["miou"] is not None


def test_unknown_methods_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="echosegnet-no-aisrm"):
        method_names(["sam"])
    assert method_names(["owod-bind", "echoseg"]) == ("echoseg", "owod-bind")
    with pytest.raises(DatasetError, match="no scene"):
        evaluate(tmp_path, tmp_path / "out", progress=False)


def test_the_benchmark_continues_from_stored_runs(
    root: Path, evaluated: tuple[Path, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, _ = evaluated
    made_ns = os.stat(run_folder(out, NAME) / "made.json").st_mtime_ns
    bench_segment(
        tmp_path,
        out.parent,
        tmp_path,
        "echoseg bench segment --quick",
        root,
        quick=True,
        evaluation=GOOD,
        progress=False,
    )
    assert os.stat(run_folder(out, NAME) / "made.json").st_mtime_ns == made_ns
    assert not (tmp_path / "segment.json").exists()
    written = json.loads((out / "segment.json").read_text())
    names = "visible_iou avsbench_miou avsbench_f reference_visible_iou gain_over_reference gain_lo95".split()
    single = ["empty_share", "wrong_instance_rate", "wrong_instance_rate_hi95", "false_mask_rate", "iou_3d",
              "kitchen_mask_iou", "lift_ms_30_proposals"]  # fmt: skip
    assert set(written["figures"]) == {f"{name}_{s}" for name in names for s in ("single", "multi")} | set(single)
    assert written["figures"]["lift_ms_30_proposals"] > 0
    assert written["figures"]["kitchen_mask_iou"] is None
    assert written["figures"]["gain_over_reference_multi"] is None  # void: no scene of the single setting
    cases = [row for row in written["rows"] if row["case"].startswith("choice/")]
    assert [case["objects"] for case in cases] == [[2]]
    printed = capsys.readouterr().out
    assert "1 cases" in printed and "lift_ms_30_proposals" in printed and "skipped" not in printed
