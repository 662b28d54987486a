"""tools/gpu_check without a GPU: every line but gsplat's kernels, which a stand-in replaces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scene_bag import write_scene_bag

from echoseg_ros import geometry
from echoseg_ros.errors import FolderError
from echoseg_ros.mapping.rasterizers.conventions import Rendered
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer
from echoseg_ros.types import Camera
from gpu_check.cli import main
from gpu_check.correctness import Comparison, compare, largest
from gpu_check.frames import read_frames, synthetic_recording, write_frames
from gpu_check.gsplat_stand_in import sh_colors
from gpu_check.gsplat_trainer import depth_points, scene_scale
from gpu_check.online import proposal_labels
from gpu_check.prepare import fit
from gpu_check.quality import fitted_psnr_db, psnr_db, ssim
from gpu_check.report import correctness_table
from gpu_check.scenes import DENSE_SCENES

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


def test_it_says_why_it_cannot_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "none.json")]
    assert main(["--device", "cpu", *out]) == 2
    assert "for --quick only" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main(out) == 2
        assert "needs a CUDA device" in capsys.readouterr().err
    assert main([str(tmp_path / "nothing"), "--device", "cpu", "--quick", "--trainer-steps", "0", *out]) == 2
    assert "want a folder made by gpu_check --prepare" in capsys.readouterr().err


def test_a_wrong_rasterizer_is_found_out() -> None:
    """Brighter by a part in a thousand, and a part in a thousand too much weight: over the limits, and said so."""

    class Wrong(NumbaRasterizer):
        def render(self, *arguments: object) -> Rendered:
            drawn = super().render(*arguments)  # type: ignore[arg-type]
            return replace(drawn, rgb=drawn.rgb * 1.002)

    comparisons = compare(Wrong(), "cpu", DENSE_SCENES[2:3])
    over = {comparison.what for comparison in comparisons if not comparison.passed}
    assert "forward rgb" in over and "gradient of rgb to means" in over and "forward alpha" not in over
    assert largest(comparisons, "gradient") == pytest.approx(0.002, rel=0.05)
    assert "OVER" in correctness_table(comparisons)
    assert not Comparison("", "", "", *([float("nan")] * 3), 1.0).passed


def test_frames_come_back_as_they_were(tmp_path: Path) -> None:
    recording = synthetic_recording(CAMERA, 9)
    assert write_frames(tmp_path / "wall", recording.frames) == 9
    again = read_frames(tmp_path / "wall")
    assert again.camera == CAMERA and again.name == "wall" and again.size == "48x36"
    assert [frame.index for frame in again.held_out] == [7] and len(again.training) == 8
    for before, after in zip(recording.frames, again.frames, strict=True):
        np.testing.assert_array_equal(before.rgb, after.rgb)
        np.testing.assert_allclose(before.depth_m, after.depth_m, atol=6e-4)
        np.testing.assert_array_equal(before.T_map_camera, after.T_map_camera)
    with pytest.raises(FolderError, match="want a new folder"):
        write_frames(tmp_path / "wall", recording.frames)
    with pytest.raises(FolderError, match="no frame with depth"):
        write_frames(tmp_path / "flat", [replace(recording.frames[0], depth_m=None)])


@pytest.mark.parametrize("size", [(96, 72), (60, 60), (160, 160)])
def test_a_frame_of_another_size_shows_the_same(size: tuple[int, int]) -> None:
    """Cut and resized, a view is what a camera of that size and those intrinsics would have seen."""
    frame = synthetic_recording(Camera(192, 144, 180.0, 180.0, 96.0, 72.0), 1).frames[0]
    small = fit(frame, *size)
    assert small.rgb.shape == (size[1], size[0], 3) and small.depth_m is not None
    truth = synthetic_recording(small.camera, 1).frames[0]
    assert np.mean(np.abs(small.depth_m - truth.depth_m) < 0.05) > 0.95
    assert np.abs(small.rgb.astype(float) - truth.rgb).mean() < 6


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


def test_points_of_the_depth_lie_on_the_surfaces() -> None:
    points, colors = depth_points(synthetic_recording(CAMERA, 9), 400)
    on_wall, on_box = np.abs(points[:, 1] - 2.0) < 1e-5, np.abs(points[:, 1] - 1.2) < 1e-5
    assert (on_wall | on_box).all() and on_box.any()
    np.testing.assert_allclose(colors[on_box], np.broadcast_to(np.array([200, 40, 30]) / 255, (on_box.sum(), 3)))


def test_quality_against_closed_forms() -> None:
    image = torch.rand(40, 50, 3, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    assert psnr_db(image + 0.1, image) == pytest.approx(20.0, abs=1e-3)
    assert fitted_psnr_db(image * 0.8 + 0.05, image) > 60
    assert float(ssim(image, image)) == pytest.approx(1.0, abs=1e-5)
    # Of two flat pictures only the luminance term is left: (2 a b + C1) / (a^2 + b^2 + C1).
    flat = torch.full((20, 20, 3), 0.5)
    assert float(ssim(flat, flat * 0.5)) == pytest.approx((2 * 0.125 + 1e-4) / (0.3125 + 1e-4), abs=1e-4)


def test_labels_are_thirty_proposals() -> None:
    labels = proposal_labels(CAMERA)
    assert labels.shape == (36, 48) and set(np.unique(labels)) == set(range(31))


def test_spherical_harmonics_are_3dgs() -> None:
    """Degree 0 is the same from everywhere; the three of degree 1 are -y, z, -x of the direction that is looked in."""
    means = torch.tensor([[0.0, 0.0, 2.0]])
    viewmat = torch.tensor(geometry.inverse(np.eye(4)), dtype=torch.float32)
    coefficients = torch.zeros(1, 16, 3)
    coefficients[0, 0] = 1.0
    coefficients[0, 2] = torch.tensor([0.1, 0.2, -0.3])
    torch.testing.assert_close(sh_colors(means, viewmat, coefficients, 0), torch.full((1, 3), 0.5 + 0.28209479))
    expected = 0.5 + 0.28209479 + 0.48860251 * torch.tensor([[0.1, 0.2, -0.3]])
    torch.testing.assert_close(sh_colors(means, viewmat, coefficients, 3), expected)
