"""The command gpu_check without a GPU: a stand-in replaces gsplat's kernels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from scene_bag import write_scene_bag

from echoseg_ros.types import Camera
from gpu_check.cli import main
from gpu_check.frames import read_frames, synthetic_recording, write_frames
from gpu_check.gsplat_trainer import depth_points, scene_scale

CAMERA = Camera(48, 36, 45.0, 45.0, 24.0, 18.0)
FIGURES = ("gpu_keyframes_hz_640x480", "gpu_keyframes_hz_1008", "gpu_vram_gb", "gpu_psnr_db", "gsplat_7k_psnr_db",
           "gpu_max_gradient_error")  # fmt: skip


@pytest.mark.timeout(300)
def test_the_whole_check_runs_on_a_prepared_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path / "wall", synthetic_recording(CAMERA, 9).frames)
    out = tmp_path / "gpu_check.json"
    assert main([str(tmp_path / "wall"), "--device", "cpu", "--quick", "--out", str(out)]) == 0
    content = json.loads(out.read_text())
    assert set(FIGURES) <= set(content["figures"])
    assert content["figures"]["gpu_keyframes_hz_640x480"] is None and content["figures"]["gpu_psnr_db"] > 12
    assert 0 < content["figures"]["gpu_max_gradient_error"] < 1e-4
    (row,) = content["rows"]
    assert row["recording"] == "wall" and row["online"]["keyframes"] >= 1 and row["trainer"]["steps"] > 0
    assert all(comparison["passed"] for comparison in content["comparisons"])
    printed = capsys.readouterr().out
    assert "a stand-in: no GPU" in printed and "gsplat, 4 steps" in printed


def test_the_reason_is_named_if_the_check_cannot_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "none.json")]
    assert main(["--device", "cpu", *out]) == 2
    assert "for --quick only" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main(out) == 2
        assert "needs a CUDA device" in capsys.readouterr().err
    assert main([str(tmp_path / "nothing"), "--device", "cpu", "--quick", "--trainer-steps", "0", *out]) == 2
    assert "want a folder made by gpu_check --prepare" in capsys.readouterr().err


def test_prepare_writes_a_folder(test_data: Path, tmp_path: Path) -> None:
    arguments = ["--rgbd", str(test_data / "real_kitchen"), "--width", "64", "--height", "64"]
    assert main(["--prepare", str(tmp_path / "kitchen"), *arguments, "--every", "20", "--count", "9"]) == 0
    recording = read_frames(tmp_path / "kitchen")
    assert recording.size == "64x64" and len(recording.frames) == 9 and len(recording.held_out) == 1
    assert len(depth_points(recording, 800)[0]) == 800 and 0 < scene_scale(recording) < 5


def test_prepare_reads_a_bag(tmp_path: Path) -> None:
    write_scene_bag(tmp_path / "bag", seconds=1.0)
    assert (
        main(["--prepare", str(tmp_path / "room"), "--bag", str(tmp_path / "bag"), "--width", "80", "--height", "60"])
        == 0
    )
    recording = read_frames(tmp_path / "room")
    assert recording.size == "80x60" and len(recording.frames) >= 8
    assert recording.frames[3].depth_m is not None and recording.frames[3].depth_m.max() > 1
