"""Models of COLMAP: binary and text, poses in closed form, refused files."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import dataset_maker
import numpy as np
import pytest

from echoseg_ros.errors import DatasetError
from echoseg_ros.io.colmap import ColmapModel, read_model, write_model


def assert_models_equal(a: ColmapModel, b: ColmapModel) -> None:
    assert a.cameras == b.cameras and a.images.keys() == b.images.keys()
    for image, other in zip(a.images.values(), b.images.values(), strict=True):
        assert (image.name, image.camera_id) == (other.name, other.camera_id)
        np.testing.assert_allclose(image.T_world_camera, other.T_world_camera, atol=1e-12)
        np.testing.assert_array_equal(image.keypoints_px, other.keypoints_px)
        np.testing.assert_array_equal(image.point_ids, other.point_ids)
    for name in ("ids", "positions", "rgb"):
        np.testing.assert_array_equal(getattr(a.points, name), getattr(b.points, name))
    for name in ("tracks", "keypoints"):
        for track, other_track in zip(getattr(a.points, name), getattr(b.points, name), strict=True):
            np.testing.assert_array_equal(track, other_track)


def test_binary_and_text_models_are_equal(tmp_path: Path) -> None:
    model = dataset_maker.make_model([0, 1, 2, 5])
    without_keypoints = replace(model.images[100], keypoints_px=np.zeros((0, 2)), point_ids=np.zeros(0, np.int64))
    model = replace(model, images={**model.images, 100: without_keypoints})  # its second line is empty in the text
    write_model(tmp_path / "bin", model)
    dataset_maker.write_text_model(tmp_path / "txt", model)
    assert_models_equal(read_model(tmp_path / "bin"), model)
    assert_models_equal(read_model(tmp_path / "txt"), model)


def test_poses_are_of_the_camera_in_the_world(tmp_path: Path) -> None:
    """A camera at (1, 2, 3) turned by 90 degrees about y, as COLMAP writes it: R = Ry(-90), t = -R c."""
    half = np.sqrt(0.5)
    (tmp_path / "cameras.txt").write_text("1 SIMPLE_PINHOLE 40 30 25 20.5 15.5\n")
    (tmp_path / "images.txt").write_text(f"7 {half} 0 {-half} 0 3 -2 -1 1 a b_12.jpg\n\n")
    (tmp_path / "points3D.txt").write_text("")
    model = read_model(tmp_path)
    image = model.images[7]
    assert image.name == "a b_12.jpg"
    np.testing.assert_allclose(image.T_world_camera[:3, 3], [1, 2, 3], atol=1e-9)
    np.testing.assert_allclose(image.T_world_camera[:3, 2], [1, 0, 0], atol=1e-9)
    camera = model.cameras[1]
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (40, 30, 25, 25, 20.5, 15.5)


@pytest.mark.parametrize("binary", [True, False])
def test_a_distorted_camera_is_refused_by_name(tmp_path: Path, binary: bool) -> None:
    write_model(tmp_path, dataset_maker.make_model([0, 1]))
    if binary:
        (tmp_path / "cameras.bin").write_bytes(struct.pack("<QiiQQ8d", 1, 1, 4, 9, 9, *[1.0] * 8))
    else:
        (tmp_path / "cameras.bin").unlink()
        (tmp_path / "cameras.txt").write_text("1 OPENCV 9 9 1 1 1 1 0 0 0 0\n")
    with pytest.raises(DatasetError, match=r"cameras\.\w+: camera model OPENCV has distortion: want SIMPLE_PINHOLE or"):
        read_model(tmp_path)


@pytest.mark.parametrize("part", ["cameras", "images", "points3D"])
def test_a_truncated_model_is_named(tmp_path: Path, part: str) -> None:
    write_model(tmp_path, dataset_maker.make_model([0, 1, 2]))
    file = tmp_path / f"{part}.bin"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DatasetError, match=f"{part}.bin: not a complete COLMAP {part} file"):
        read_model(tmp_path)
