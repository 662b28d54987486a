"""Compressed layout of SuperSplat: bits on disk, quantisation error, and refused files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from echoseg_ros.errors import MapFileError
from echoseg_ros.io.ply import GaussianFile, read_ply, write_ply
from echoseg_ros.io.splats import morton_order


def some_gaussians(count: int, rest: int = 0) -> GaussianFile:
    random = np.random.default_rng(3)
    parts = (random.uniform(-3, 3, (count, 3)), random.normal(size=(count, 3)), random.normal(size=count) * 3,
             random.uniform(-6, -2, (count, 3)), random.normal(size=(count, 4)))  # fmt: skip
    rest_fields = {f"f_rest_{k}": random.uniform(-1, 1, count).astype(np.float32) for k in range(rest)}
    means, f_dc, opacity_logits, log_scales, quats_wxyz = (part.astype(np.float32) for part in parts)
    extra: dict[str, NDArray[Any]] = {"instance_id": np.arange(count), **rest_fields}
    return GaussianFile(means, f_dc, opacity_logits, log_scales, quats_wxyz, extra)


def test_bits_on_disk_are_those_of_supersplat(tmp_path: Path) -> None:
    """One Gaussian at each end of the bounds, read without `read_ply`; the words are computed by hand."""
    half = np.sqrt(0.5)
    gaussians = GaussianFile(
        np.array([[1, 2, 3], [2, 4, 6]], np.float32), np.zeros((2, 3), np.float32), np.array([0.0, 100.0], np.float32),
        np.array([[-5, -5, -25], [-4, -4, -4]], np.float32), np.array([[1, 0, 0, 0], [0, -half, 0, half]], np.float32),
    )  # fmt: skip
    write_ply(tmp_path / "map.compressed.ply", gaussians)
    header, _, body = (tmp_path / "map.compressed.ply").read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"] and lines[2].startswith("comment")
    assert lines[3] == "element chunk 1" and lines[22] == "element vertex 2" and len(lines) == 27
    assert lines[4:10] == [f"property float {name}" for name in "min_x min_y min_z max_x max_y max_z".split()]
    assert lines[23:] == [f"property uint packed_{name}" for name in ("position", "rotation", "scale", "color")]
    bounds = np.frombuffer(body[:72], "<f4").tolist()
    assert bounds == [1, 2, 3, 2, 4, 6, -5, -5, -20, -4, -4, -4, *[0.5] * 6]
    first, second = np.frombuffer(body[72:], "<u4").reshape(2, 4).tolist()
    middle = 512  # floor(0.5 * 1023 + 0.5)
    assert first == [0, middle << 20 | middle << 10 | middle, 0, 128]
    # The largest is the second component, turned positive; then w, y and z, which is -sqrt(1/2): 0 of 1023.
    assert second == [0xFFFFFFFF, 1 << 30 | middle << 20 | middle << 10, 0xFFFFFFFF, 255]


@pytest.mark.parametrize("count", [0, 1, 256, 1000])
def test_a_written_map_is_read_within_the_quantisation(tmp_path: Path, count: int) -> None:
    """Positions to 1/4094 (y: 1/2046) of the bounds of their chunk, rotations to 0.3 degrees; extra fields are lost."""
    gaussians = some_gaussians(count)
    write_ply(tmp_path / "map.compressed.ply", gaussians)
    back, order = read_ply(tmp_path / "map.compressed.ply"), morton_order(gaussians.means)
    assert back.extra == {} and len(back.means) == count
    np.testing.assert_allclose(back.means, gaussians.means[order], atol=6 / 1023 / 2 * 1.01)
    np.testing.assert_allclose(back.log_scales, gaussians.log_scales[order], atol=4 / 1023 / 2 * 1.01)
    np.testing.assert_allclose(back.f_dc, gaussians.f_dc[order], atol=8 / 255 / 2 * 1.01)
    opacity, truth = (1 / (1 + np.exp(-g)) for g in (back.opacity_logits, gaussians.opacity_logits[order]))
    np.testing.assert_allclose(opacity, truth, atol=1.02 / 255 / 2)
    if count:
        turns = [Rotation.from_quat(np.roll(q, -1, axis=1)) for q in (back.quats_wxyz, gaussians.quats_wxyz[order])]
        assert np.rad2deg((turns[0].inv() * turns[1]).magnitude().max()) < 0.3


def test_view_dependent_colour_of_a_trained_file_is_kept(tmp_path: Path) -> None:
    gaussians = some_gaussians(300, rest=9)
    write_ply(tmp_path / "map.compressed.ply", gaussians)
    back, order = read_ply(tmp_path / "map.compressed.ply"), morton_order(gaussians.means)
    assert list(back.extra) == [f"f_rest_{k}" for k in range(9)]
    np.testing.assert_allclose(back.extra["f_rest_8"], gaussians.extra["f_rest_8"][order], atol=8 / 256 / 2 * 1.01)


def test_a_chunk_holds_neighbours() -> None:
    """The extent of a chunk with a thousandth of the Gaussians is a small part of the extent of the map."""
    means = np.random.default_rng(0).uniform(0, 1, (256_000, 3)).astype(np.float32)
    chunks = means[morton_order(means)].reshape(1000, 256, 3)
    assert np.median(chunks.max(axis=1) - chunks.min(axis=1)) < 0.2


def test_files_of_other_programs_are_read(tmp_path: Path) -> None:
    """gsplat writes an element sh without fields for colour that does not depend on the view; old files have no colour bounds."""
    path = tmp_path / "map.compressed.ply"
    write_ply(path, some_gaussians(10))
    header, mark, body = path.read_bytes().partition(b"end_header\n")
    truth = read_ply(path)
    path.write_bytes(header + b"element sh 10\n" + mark + body)
    np.testing.assert_array_equal(read_ply(path).means, truth.means)
    lines = [line for line in header.splitlines() if not line.endswith((b"_r", b"_g", b"_b"))]
    path.write_bytes(b"\n".join([*lines, mark]) + body[:48] + body[72:])
    plain = read_ply(path)
    np.testing.assert_array_equal(plain.quats_wxyz, truth.quats_wxyz)
    assert np.abs(plain.f_dc).max() <= np.float32(0.5 / 0.28209479)


def test_elements_that_do_not_match_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.compressed.ply"
    write_ply(path, some_gaussians(300))
    good = path.read_bytes()
    for bad, reason in (
        (good.replace(b"chunk 2", b"chunk 1"), "chunks do not fit"),
        (good.replace(b"packed_scale", b"packed_snail"), "chunks do not fit"),
        (good.replace(b"uint packed_color", b"float packed_color"), "want uint"),
        (good[:-3], "truncated"),
    ):
        path.write_bytes(bad)
        with pytest.raises(MapFileError, match=reason):
            read_ply(path)
