"""Scenes of the data set: frames without a pose, image sizes, sound, sparse points, missing parts."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import dataset_maker
import numpy as np
import pytest
from dataset_maker import image_name, write_scene
from scipy.io import wavfile

from echoseg_ros.errors import DatasetError
from echoseg_ros.io.colmap import read_model
from echoseg_ros.io.dataset import MASKS, MONO, DatasetScene, find_scenes


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("root") / "part_2" / "flat" / "kitchen" / "1", unregistered=(3,))


def test_frames_without_a_pose_are_left_out(scene: Path) -> None:
    read = DatasetScene(scene)
    assert read.unregistered == (3,)
    assert [frame.number for frame in read.frames] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert read.instances == "multi"


def test_the_camera_has_the_size_of_the_image(tmp_path: Path) -> None:
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
    assert written is not None
    np.testing.assert_array_equal(rgb, written[..., ::-1])


def test_clips_are_those_of_the_frame(scene: Path) -> None:
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
    """Neither a COLMAP model inside a scene (distorted images) nor a hidden, unfinished scene is found."""
    root = scene.parents[3]
    (scene / "distorted" / "sparse" / "0").mkdir(parents=True)
    (scene.parent / ".2-half" / "sparse" / "0").mkdir(parents=True)
    assert find_scenes(root) == [scene] == find_scenes(scene)
    with pytest.raises(DatasetError, match="no scene found"):
        find_scenes(tmp_path)
