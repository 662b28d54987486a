"""The data set's layout: models, splits, frames that are not registered, sizes, and parts that are missing."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import dataset_maker
import numpy as np
import pytest
from dataset_maker import image_name, write_scene
from scipy.io import wavfile

from echoseg_ros.errors import DatasetError
from echoseg_ros.io.colmap import ColmapModel, read_model, write_model
from echoseg_ros.io.dataset import MASKS, MONO, DatasetScene, find_scenes
from echoseg_ros.io.dataset_split import frame_number

TEST = [2, 5, 9]
TRAIN = [n for n in range(10) if n not in TEST]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("root") / "part_2" / "flat" / "kitchen" / "1", unregistered=(3,))


def numbers(frames: Any) -> list[int]:
    return [frame.number for frame in frames]


def assert_equal(a: ColmapModel, b: ColmapModel) -> None:
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
    blind = replace(model.images[100], keypoints_px=np.zeros((0, 2)), point_ids=np.zeros(0, np.int64))
    model = replace(model, images={**model.images, 100: blind})  # its second line is empty in the text
    write_model(tmp_path / "bin", model)
    dataset_maker.write_text_model(tmp_path / "txt", model)
    assert_equal(read_model(tmp_path / "bin"), model)
    assert_equal(read_model(tmp_path / "txt"), model)


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


NAMES = {split: [image_name(n) for n in chosen] for split, chosen in (("train", TRAIN), ("test", TEST))}
SPLITS: dict[str, Any] = {
    "names": NAMES,
    "numbers": {"train": TRAIN, "test": TEST},
    "texts of numbers": {"train": [str(n) for n in TRAIN], "test": [str(n) for n in TEST]},
    "names without suffix": {split: [name[:-4] for name in names] for split, names in NAMES.items()},
    "paths": {split: [f"input/{name}" for name in names] for split, names in NAMES.items()},
    "entries": {split: [{"img_name": name, "position": [0, 0, 0]} for name in names] for split, names in NAMES.items()},
    "entries with numbers": {"train": [{"id": n} for n in TRAIN], "test": [{"id": n} for n in TEST]},
    "only test": {"test": TEST},
    "only train": {"train_frames": NAMES["train"]},
    "test and validation": {"Train": TRAIN, "Test": TEST[:1], "val": TEST[1:]},
    "nested": {"scene": "kitchen", "splits": {"train": {"frames": TRAIN, "count": 7}, "test": {"frames": TEST, "count": 3}}},
    "camel": {"trainCameras": TRAIN, "testCameras": TEST, "seed": 3},
    "mapping of entries": {split: {name: {"fov": 90} for name in names} for split, names in NAMES.items()},
    "list with split": [{"name": image_name(n), "split": "test" if n in TEST else "train"} for n in range(10)],
    "list with flag": {"frames": [{"file_path": f"a/{image_name(n)}", "is_test": n in TEST} for n in range(10)]},
    "names to splits": {image_name(n): "test" if n in TEST else "train" for n in range(10)},
    "names to entries": {image_name(n)[:-4]: {"split": "TEST" if n in TEST else "Train"} for n in range(10)},
}  # fmt: skip


@pytest.mark.parametrize("form", SPLITS)
def test_every_form_of_split(scene: Path, tmp_path: Path, form: str) -> None:
    scene = shutil.copytree(scene, tmp_path / "scene")
    (scene / "camera_splits.json").write_text(json.dumps(SPLITS[form]))
    read = DatasetScene(scene)
    assert numbers(read.test) == TEST
    assert numbers(read.train) == [n for n in TRAIN if n != 3]  # 3 has no pose


def test_the_references_own_camera_files(scene: Path, tmp_path: Path) -> None:
    scene = shutil.copytree(scene, tmp_path / "scene")
    for split, chosen in (("train", TRAIN), ("test", TEST)):
        cameras = [{"id": i, "img_name": image_name(n)[:-4], "position": [0, 0, 0]} for i, n in enumerate(chosen)]
        (scene / f"{split}_cameras.json").write_text(json.dumps(cameras))
    assert numbers(DatasetScene(scene).test) == TEST


def test_without_a_file_every_eighth_registered_frame_in_name_order_is_test(tmp_path: Path) -> None:
    """Unpadded names: view_a_10 and view_a_11 come after view_a_1, so the ninth name is view_a_6, not view_a_8."""
    scene = write_scene(tmp_path / "scene", count=12, unregistered=(0,), width=1)
    read = DatasetScene(scene)
    assert numbers(read.test) == [1, 7]  # of 1, 10, 11, 2, 3, 4, 5, 6 | 7, 8, 9
    assert numbers(read.frames) == list(range(1, 12))


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        ({"train": [1, 2], "test": [2]}, "frame 2 is both train and test"),
        ({"train": [1, 77]}, "no frame of the scene is 77"),
        ({"training": True}, "no split found"),
    ],
)
def test_a_split_that_makes_no_sense(scene: Path, tmp_path: Path, splits: Any, says: str) -> None:
    scene = shutil.copytree(scene, tmp_path / "scene")
    (scene / "camera_splits.json").write_text(json.dumps(splits))
    with pytest.raises(DatasetError, match=says):
        DatasetScene(scene)


def test_frames_without_a_pose_are_left_out(scene: Path) -> None:
    read = DatasetScene(scene)
    assert read.unregistered == (3,)
    assert numbers(read.frames) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert read.instances == "multi"


def test_cameras_follow_the_size_of_the_picture(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene", input_size=2 * dataset_maker.SIZE)
    read = DatasetScene(scene)
    rgb, camera = read.picture(read.frames[4])
    assert rgb.shape == (24, 24, 3) and camera == dataset_maker.CAMERA
    assert read.mask(read.frames[4]).shape == (48, 48)
    assert read.mask(read.frames[4]).sum() == 25
    shutil.rmtree(scene / "images")
    rgb, camera = DatasetScene(scene).picture(read.frames[4])
    assert rgb.shape == (48, 48, 3) and camera == dataset_maker.CAMERA.resized(48, 48)
    written = cv2.imread(str(scene / "input" / image_name(4)))
    np.testing.assert_array_equal(rgb, written[..., ::-1])


def test_sound_belongs_to_its_frame(scene: Path) -> None:
    read = DatasetScene(scene)
    for frame in read.frames[::3]:
        rate_hz, samples = wavfile.read(scene / "audio_clips_binaural" / f"clip_b_{frame.number}.wav")
        clip, mono = read.binaural(frame), read.mono(frame)
        assert clip is not None and mono is not None and rate_hz == read.sample_rate_hz
        np.testing.assert_array_equal(np.round(clip * 2**15), samples)
        assert mono[0] == rate_hz and mono[1].shape == (2 * rate_hz,)


def test_seed_points_are_those_that_two_train_images_show(scene: Path) -> None:
    read = DatasetScene(scene)
    model = read_model(scene / "sparse" / "0")
    train = {frame.image_id for frame in read.train}
    wanted = [len(set(track.tolist()) & train) >= 2 for track in model.points.tracks]
    assert 0 < sum(wanted) < sum(len(track) >= 2 for track in model.points.tracks)
    np.testing.assert_array_equal(read.seed_points(), model.points.positions[wanted])


def test_every_missing_part_is_named(scene: Path, tmp_path: Path) -> None:
    scene = shutil.copytree(scene, tmp_path / "scene")
    for part in ("input", "images", "audio_clips_binaural", "semantic_masks"):
        shutil.rmtree(scene / part)
    (scene / "sparse" / "0" / "points3D.bin").unlink()
    with pytest.raises(DatasetError) as error:
        DatasetScene(scene, require=(MASKS, MONO))
    text = str(error.value)
    assert "\n" not in text
    for part in ("sparse/0/points3D (.bin or .txt)", "images/ or input/", "audio_clips_binaural/", "semantic_masks/"):
        assert part in text
    assert "audio_clips_mono" not in text and "cameras" not in text


def test_scenes_are_found_at_any_depth(scene: Path, tmp_path: Path) -> None:
    """But not COLMAP's model of the distorted images inside a scene, nor a scene that is being written."""
    root = scene.parents[3]
    (scene / "distorted" / "sparse" / "0").mkdir(parents=True)
    (scene.parent / ".2-half" / "sparse" / "0").mkdir(parents=True)
    assert find_scenes(root) == [scene] == find_scenes(scene)
    with pytest.raises(DatasetError, match="no scene found"):
        find_scenes(tmp_path)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("frame_7.png", 7),
        ("a_1_0012.jpg", 12),
        ("0003.png", 3),
        ("clip_9", 9),
        ("frame_3.png.png", 3),
        ("x7.png", None),
    ],
)
def test_the_number_after_the_last_underscore_counts(name: str, number: int | None) -> None:
    assert frame_number(name) == number
