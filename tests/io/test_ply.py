"""Map files: the 3DGS layout on disk, what comes back, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from echoseg_ros.errors import MapFileError
from echoseg_ros.io.ply import STANDARD_FIELDS, GaussianFile, read_ply, write_ply


def some_gaussians(count: int = 7) -> GaussianFile:
    random = np.random.default_rng(0)
    shapes = ((count, 3), (count, 3), (count,), (count, 3), (count, 4))
    extra = {
        "instance_id": np.arange(count, dtype=np.int32) - 1,
        "audio_intensity": random.uniform(size=count).astype(np.float32),
    }
    return GaussianFile(*(random.normal(size=shape).astype(np.float32) for shape in shapes), extra)


def test_round_trip(tmp_path: Path) -> None:
    gaussians = some_gaussians()
    write_ply(tmp_path / "map.ply", gaussians)
    back = read_ply(tmp_path / "map.ply")
    for name in ("means", "f_dc", "opacity_logits", "log_scales", "quats_wxyz"):
        np.testing.assert_array_equal(getattr(back, name), getattr(gaussians, name))
    assert back.extra.keys() == gaussians.extra.keys() and back.extra["instance_id"].dtype == np.int32
    np.testing.assert_array_equal(back.extra["instance_id"], gaussians.extra["instance_id"])
    np.testing.assert_array_equal(back.extra["audio_intensity"], gaussians.extra["audio_intensity"])


def test_layout_on_disk_is_that_of_3dgs(tmp_path: Path) -> None:
    """Field names, their order and little-endian floats, read without our reader."""
    gaussians = some_gaussians(2)
    write_ply(tmp_path / "map.ply", gaussians)
    header, _, body = (tmp_path / "map.ply").read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 2"]
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
    names += ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert lines[3:20] == [f"property float {name}" for name in names] and tuple(names) == STANDARD_FIELDS
    assert lines[20:] == ["property int instance_id", "property float audio_intensity"]
    first = np.frombuffer(body[: 17 * 4], "<f4")
    np.testing.assert_array_equal(first[:3], gaussians.means[0])
    np.testing.assert_array_equal(first[6:9], gaussians.f_dc[0])
    np.testing.assert_array_equal(first[13:], gaussians.quats_wxyz[0])
    assert len(body) == 2 * 19 * 4


def test_fields_of_others_survive(tmp_path: Path) -> None:
    """Higher spherical harmonics of another trainer come back as extra fields, in any order of fields."""
    gaussians = some_gaussians(3)
    gaussians.extra["f_rest_0"] = np.array([1, 2, 3], np.float32)
    write_ply(tmp_path / "a.ply", gaussians)
    write_ply(tmp_path / "b.ply", read_ply(tmp_path / "a.ply"))
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()


def test_empty_map(tmp_path: Path) -> None:
    write_ply(tmp_path / "map.ply", some_gaussians(0))
    assert len(read_ply(tmp_path / "map.ply").means) == 0


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "map.ply"
    write_ply(path, some_gaussians(4))
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_ply(path, some_gaussians(9))
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["map.ply"]


def broken(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(MapFileError) as caught:
        read_ply(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_bad_files_are_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.ply"
    write_ply(path, some_gaussians(5))
    good = path.read_bytes()
    assert "truncated" in broken(path, good[:-10])
    assert "not a PLY" in broken(path, b"\x89PNG and so on")
    assert "not a PLY" in broken(path, b"")
    assert "not a PLY" in broken(path, good[:100])
    assert "lacks f_dc_0" in broken(path, good.replace(b"f_dc_0", b"f_xx_0"))
    assert "want binary_little_endian" in broken(path, good.replace(b"binary_little_endian", b"ascii"))
    assert "first element" in broken(path, good.replace(b"element vertex", b"element facets"))
    assert "cannot read" in broken(path, good.replace(b"property int instance_id", b"property list uchar int i"))
    nan = np.array([np.nan], "<f4").tobytes()
    start = good.index(b"end_header\n") + len(b"end_header\n")
    assert "not finite" in broken(path, good[:start] + nan + good[start + 4 :])
    with pytest.raises(MapFileError, match="No such file"):
        read_ply(tmp_path / "absent.ply")
