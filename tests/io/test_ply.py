"""Map files: the layout on disk, round trips, files of other programs, and refused files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from echoseg_ros.errors import MapFileError
from echoseg_ros.io.ply import STANDARD_FIELDS, GaussianFile, read_ply, write_ply


def some_gaussians(count: int = 7) -> GaussianFile:
    random = np.random.default_rng(0)
    extra = {
        "instance_id": np.arange(count, dtype=np.int32) - 1,
        "audio_intensity": random.uniform(size=count).astype(np.float32),
    }
    means, f_dc, opacity_logits, log_scales, quats_wxyz = (
        random.normal(size=shape).astype(np.float32)
        for shape in ((count, 3), (count, 3), (count,), (count, 3), (count, 4))
    )
    return GaussianFile(means, f_dc, opacity_logits, log_scales, quats_wxyz, extra)


def test_a_written_map_is_read_unchanged(tmp_path: Path) -> None:
    gaussians = some_gaussians()
    write_ply(tmp_path / "map.ply", gaussians)
    back = read_ply(tmp_path / "map.ply")
    for name in ("means", "f_dc", "opacity_logits", "log_scales", "quats_wxyz"):
        np.testing.assert_array_equal(getattr(back, name), getattr(gaussians, name))
    assert back.extra.keys() == gaussians.extra.keys() and back.extra["instance_id"].dtype == np.int32
    np.testing.assert_array_equal(back.extra["instance_id"], gaussians.extra["instance_id"])
    np.testing.assert_array_equal(back.extra["audio_intensity"], gaussians.extra["audio_intensity"])


def test_layout_on_disk_is_that_of_3dgs(tmp_path: Path) -> None:
    """Names and order of the fields and little-endian floats, read without `read_ply`."""
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


def test_fields_of_other_programs_are_kept(tmp_path: Path) -> None:
    """Higher spherical harmonics are read as extra fields and written where the INRIA loader expects them."""
    gaussians = some_gaussians(3)
    gaussians.extra["f_rest_0"] = np.array([1, 2, 3], np.float32)
    write_ply(tmp_path / "a.ply", gaussians)
    write_ply(tmp_path / "b.ply", read_ply(tmp_path / "a.ply"))
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()
    header = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")[0].decode().split()
    assert header.index("f_dc_2") < header.index("f_rest_0") < header.index("opacity")


def foreign(names: list[str], comment: str, byte_order: str = "<", newline: str = "\n") -> bytes:
    """A file of another program: fields in the order of `names`; field k of row i is k + i / 4."""
    order = {"<": "little", ">": "big"}[byte_order]
    lines = ["ply", f"format binary_{order}_endian 1.0", comment, "element vertex 2"]
    lines += [*(f"property float {name}" for name in names), "end_header", ""]
    rows = np.arange(len(names)) + np.array([[0.0], [0.25]])
    return newline.join(lines).encode() + bytes(rows.astype(byte_order + "f4").tobytes())


@pytest.mark.parametrize(
    ("before_opacity", "comment", "byte_order", "newline"),
    [
        (["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "f_rest_0"], "comment INRIA", "<", "\n"),
        (["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2"], "comment gsplat has no normals", "<", "\n"),
        (["f_dc_2", "f_dc_1", "f_dc_0", "z", "y", "x"], "obj_info any order", "<", "\n"),
        (["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2"], "comment end_header not yet", ">", "\n"),
        (["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2"], "comment lines of Windows", "<", "\r\n"),
    ],
)
def test_files_of_other_programs_are_read(
    tmp_path: Path, before_opacity: list[str], comment: str, byte_order: str, newline: str
) -> None:
    names = [*before_opacity, "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    (tmp_path / "map.ply").write_bytes(foreign(names, comment, byte_order, newline))
    back = read_ply(tmp_path / "map.ply")
    assert back.means[1].tolist() == [names.index(name) + 0.25 for name in "xyz"]
    assert back.f_dc[0].tolist() == [names.index(f"f_dc_{k}") for k in range(3)]
    assert back.opacity_logits.tolist() == [names.index("opacity"), names.index("opacity") + 0.25]
    assert back.quats_wxyz[0].tolist() == [names.index(f"rot_{k}") for k in range(4)]
    assert set(back.extra) == {name for name in names if name.startswith(("f_rest", "n"))}


def test_other_elements_are_skipped(tmp_path: Path) -> None:
    """Elements before and after the Gaussians do not matter."""
    path = tmp_path / "map.ply"
    write_ply(path, some_gaussians(3))
    content = path.read_bytes()
    header, mark, body = content.partition(b"end_header\n")
    before = b"element camera 2\nproperty double fx\nproperty uchar id\nelement vertex 3"
    header = header.replace(b"element vertex 3", before) + b"element frame 1\nproperty list uchar int i\n"
    path.write_bytes(header + mark + bytes(18) + body + b"\x01\0\0\0\0")
    np.testing.assert_array_equal(read_ply(path).means, some_gaussians(3).means)


def test_an_empty_map_is_read(tmp_path: Path) -> None:
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


def test_two_simultaneous_writes_do_not_mix(tmp_path: Path) -> None:
    path, sizes = tmp_path / "map.ply", (2000, 3000)
    write_ply(path, some_gaussians(1))

    def save(count: int) -> None:
        for _ in range(10):
            write_ply(path, some_gaussians(count))

    threads = [threading.Thread(target=save, args=(count,)) for count in sizes]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(read_ply(path).means) in (1, *sizes)
    assert len(read_ply(path).means) in sizes and [file.name for file in tmp_path.iterdir()] == ["map.ply"]


def test_bad_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.ply"
    write_ply(path, some_gaussians(5))
    good = path.read_bytes()
    assert "truncated" in broken(path, good[:-10])
    assert "truncated" in broken(path, good.replace(b"vertex 5", b"vertex " + b"9" * 30))
    assert "not a PLY" in broken(path, b"\x89PNG and so on")
    assert "not a PLY file (a zip, as .sog)" in broken(path, b"PK\x03\x04" + bytes(100))
    assert "not a PLY" in broken(path, b"")
    assert "not a PLY" in broken(path, good[:100])
    assert "lacks f_dc_0" in broken(path, good.replace(b"f_dc_0", b"f_xx_0"))
    assert "ascii, want binary_little_endian" in broken(path, good.replace(b"binary_little_endian", b"ascii"))
    assert "cannot read 'element vertex five'" in broken(path, good.replace(b"vertex 5", b"vertex five"))
    assert "cannot read 'property half" in broken(path, good.replace(b"property int", b"property half"))
    assert "lists of element vertex" in broken(path, good.replace(b"property int", b"property list uchar int"))
    nan = np.array([np.nan], "<f4").tobytes()
    start = good.index(b"end_header\n") + len(b"end_header\n")
    assert "not finite" in broken(path, good[:start] + nan + good[start + 4 :])
    with pytest.raises(MapFileError, match="No such file"):
        read_ply(tmp_path / "absent.ply")


def test_files_of_another_kind_are_named_by_their_kind(tmp_path: Path) -> None:
    def header(*lines: str) -> bytes:
        return "\n".join(["ply", "format ascii 1.0", *lines, "end_header", "0 0 0", ""]).encode()

    path, xyz = tmp_path / "other.ply", [f"property float {name}" for name in "xyz"]
    mesh = header("element vertex 8", *xyz, "element face 12", "property list uchar int vertex_indices")
    assert "not 3D Gaussians, a mesh of 8 vertices and 12 faces" in broken(path, mesh)
    cloud = header("element vertex 9", *xyz, "property uchar red", "property uchar green", "property uchar blue")
    assert "not 3D Gaussians, a point cloud of 9 points with x, y, z, red, green, blue" in broken(path, cloud)
    assert "not 3D Gaussians, elements grid with no vertices" in broken(path, header("element grid 2", *xyz))
    packed = header("element vertex 9", "property uint packed_position")
    assert "not 3D Gaussians, elements vertex with packed_position" in broken(path, packed)
