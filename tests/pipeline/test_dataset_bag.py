"""A data-set scene as a bag: the train frames and their seconds, and nothing of the test frames."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dataset_maker
import numpy as np
import pytest
from dataset_maker import RATE_HZ, T_world_level, image_name, write_scene

from echoseg_ros.config import load_config
from echoseg_ros.errors import DatasetError
from echoseg_ros.geometry import apply, look_at
from echoseg_ros.io.bag import BagReader, Problem
from echoseg_ros.io.bag_writer import BAG_START_NS
from echoseg_ros.io.colmap import ColmapModel, read_model, write_model
from echoseg_ros.io.dataset import DatasetScene
from echoseg_ros.io.dataset_map_frame import level_transform
from echoseg_ros.pipeline.dataset_bag import write_dataset_bag
from echoseg_ros.pipeline.replay import bag_array, bag_config
from echoseg_ros.pipeline.sound_stage import SoundStage
from echoseg_ros.types import AudioChunk, AudioFormat, ImageData, PoseData, SeedPoints

TEST = (0, 5, 6)
UNREGISTERED = (8,)
TRAIN = (1, 2, 3, 4, 7, 9)
TRUTH = {
    "sources": [{"name": "hum", "position_m": [0.5, 0.2, 1.0], "sound": "hum", "on_s": [[0, 10]], "object": "box"}],
    "objects": {"box": {"kind": "box", "center_m": [0.5, 0.2, 1.0], "size_m": [1, 2, 3], "quaternion_xyzw": [0, 0, 0, 1]}},
    "T_map_world": np.eye(4).tolist(),
    "room": {"size_m": None, "rt60_measured_s": None},
    "metres_per_unit": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_scene(tmp_path_factory.mktemp("data") / "scene", unregistered=UNREGISTERED, splits={"test": TEST})
    (path / "truth.json").write_text(json.dumps(TRUTH))
    return path


@pytest.fixture(scope="module")
def bag(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "bag"
    write_dataset_bag(scene, out)
    return out


def content(bag: Path) -> dict[str, bytes]:
    return {str(file.relative_to(bag)): file.read_bytes() for file in sorted(bag.rglob("*")) if file.is_file()}


def changed_model(scene: Path, change: Callable[[ColmapModel], ColmapModel]) -> None:
    write_model(scene / "sparse" / "0", change(read_model(scene / "sparse" / "0")))


def poison_test_files(scene: Path) -> None:
    """Other pictures, sounds and masks of the test frames and of those without a pose."""
    rng = np.random.default_rng(99)
    for number in (*TEST, *UNREGISTERED):
        for part in ("input", "images", "semantic_masks"):
            dataset_maker.write_image(scene / part, image_name(number), rng)
        dataset_maker.write_clip(scene / "audio_clips_binaural", number, rng, 1, 2, "clip_b")
        dataset_maker.write_clip(scene / "audio_clips_mono", number, rng, 2, 1, "frame")


def poison_test_poses(model: ColmapModel) -> ColmapModel:
    """The test cameras stand elsewhere, upside down."""
    elsewhere = look_at(np.array([9.0, 9.0, 9.0]), np.zeros(3), (0.1, -0.9, 0.2))
    images = {n: replace(i, T_world_camera=elsewhere) if n - 100 in TEST else i for n, i in model.images.items()}
    return replace(model, images=images)


def poison_points(model: ColmapModel) -> ColmapModel:
    """Points that fewer than two train images show are elsewhere, and all colours are others."""
    train = {100 + number for number in TRAIN}
    hidden = np.array([len(train & set(track.tolist())) < 2 for track in model.points.tracks])
    assert 0 < hidden.sum() < len(hidden)
    positions = np.where(hidden[:, None], 50.0, model.points.positions)
    return replace(model, points=replace(model.points, positions=positions, rgb=255 - model.points.rgb))


def without_test_files(scene: Path) -> None:
    for number in (*TEST, *UNREGISTERED):
        for file in [*scene.rglob(f"*_{number}.wav"), *scene.rglob(f"*_{number:04d}.png")]:
            file.unlink()


def garbage_for_test_files(scene: Path) -> None:
    """What cannot even be read: nothing looks into a test frame's files."""
    for number in (*TEST, *UNREGISTERED):
        for file in [*scene.rglob(f"*_{number}.wav"), *scene.rglob(f"*_{number:04d}.png")]:
            file.write_bytes(b"neither a picture nor a sound")


FILE_LEAKS: dict[str, Callable[[Path], None]] = {
    "other images, masks and sounds": poison_test_files,
    "garbage": garbage_for_test_files,
    "files that are not there": without_test_files,
}
MODEL_LEAKS: dict[str, Callable[[ColmapModel], ColmapModel]] = {"poses": poison_test_poses, "points": poison_points}


@pytest.mark.parametrize("leak", FILE_LEAKS)
def test_nothing_of_a_test_frames_files_gets_in(scene: Path, bag: Path, tmp_path: Path, leak: str) -> None:
    """The bag is the same, byte for byte, whatever the test frames' files hold."""
    poisoned = shutil.copytree(scene, tmp_path / "scene")
    FILE_LEAKS[leak](poisoned)
    assert content(poisoned) != content(scene)
    write_dataset_bag(poisoned, tmp_path / "bag")
    assert content(tmp_path / "bag") == content(bag)


@pytest.fixture(scope="module")
def rewritten(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bag of the same model, read and written once: its quaternions differ in the last bit."""
    folder = tmp_path_factory.mktemp("rewritten")
    changed_model(shutil.copytree(scene, folder / "scene"), lambda model: model)
    write_dataset_bag(folder / "scene", folder / "bag")
    return content(folder / "bag")


@pytest.mark.parametrize("leak", MODEL_LEAKS)
def test_nothing_of_a_test_frame_in_the_model_gets_in(
    scene: Path, rewritten: dict[str, bytes], tmp_path: Path, leak: str
) -> None:
    """Nor do poses of test frames, points that fewer than two train frames show, and any point's colour."""
    changed_model(shutil.copytree(scene, tmp_path / "scene"), MODEL_LEAKS[leak])
    write_dataset_bag(tmp_path / "scene", tmp_path / "bag")
    assert content(tmp_path / "bag") == rewritten


@pytest.mark.parametrize("part", ["picture", "sound", "pose", "point"])
def test_the_train_frames_do_get_in(scene: Path, bag: Path, tmp_path: Path, part: str) -> None:
    """What the test above changes makes a difference where a train frame has it."""
    changed = shutil.copytree(scene, tmp_path / "scene")
    rng = np.random.default_rng(1)
    if part == "picture":
        dataset_maker.write_image(changed / "images", image_name(3), rng)
    elif part == "sound":
        dataset_maker.write_clip(changed / "audio_clips_binaural", 3, rng, 1, 2, "clip_b")
    elif part == "pose":
        moved = np.eye(4)
        moved[:3, 3] = 0.1
        changed_model(changed, lambda m: replace(m, images={
            n: replace(i, T_world_camera=moved @ i.T_world_camera) if n == 103 else i for n, i in m.images.items()
        }))  # fmt: skip
    else:
        changed_model(changed, lambda m: replace(m, points=replace(m.points, positions=m.points.positions + 0.1)))
    write_dataset_bag(changed, tmp_path / "bag")
    assert content(tmp_path / "bag") != content(bag)


def test_the_bag_holds_the_train_frames_in_the_middle_of_their_seconds(scene: Path, bag: Path) -> None:
    reader = BagReader(bag)
    items = list(reader.messages())
    assert reader.start_ns == BAG_START_NS
    assert not [item for item in items if isinstance(item, Problem)]
    images = [item for item in items if isinstance(item, ImageData)]
    assert [image.stamp_ns - BAG_START_NS for image in images] == [n * 1_000_000_000 + 500_000_000 for n in TRAIN]
    read = DatasetScene(scene)
    np.testing.assert_array_equal(images[2].rgb, read.picture(read.train[2])[0])
    assert reader.camera == dataset_maker.CAMERA


def test_the_sound_is_that_of_the_train_seconds_with_gaps_between(scene: Path, bag: Path) -> None:
    chunks = [item for item in BagReader(bag).messages() if isinstance(item, AudioChunk)]
    read = DatasetScene(scene)
    for frame in read.train:
        second = [c for c in chunks if (c.stamp_ns - BAG_START_NS) // 1_000_000_000 == frame.number]
        clip = read.binaural(frame)
        assert clip is not None
        np.testing.assert_array_equal(np.concatenate([c.samples for c in second]), clip)
    assert sum(len(c.samples) for c in chunks) == len(TRAIN) * RATE_HZ


def test_every_window_within_a_train_second_has_the_frames_own_pose(scene: Path, bag: Path) -> None:
    """And windows across two seconds, which hear the camera in two places, have none."""
    config = bag_config(bag)
    side = SoundStage(config, bag_array(bag, config))
    heard = []
    for item in BagReader(bag).messages():
        if isinstance(item, AudioFormat | AudioChunk | PoseData):
            heard += [one.evidence for one in side.add(item)]
    read = DatasetScene(scene)
    T_map_world = level_transform(np.stack([frame.T_world_camera for frame in read.train]))
    poses = {frame.number: T_map_world @ frame.T_world_camera for frame in read.train}
    seconds: Counter[int] = Counter()
    for evidence in heard:
        number, within_ns = divmod(evidence.stamp_ns - BAG_START_NS, 1_000_000_000)
        assert 0.24e9 < within_ns < 0.76e9
        np.testing.assert_allclose(evidence.T_map_array, poses[number] @ side.array.T_camera_array, atol=1e-9)
        seconds[number] += 1
    assert seconds == dict.fromkeys(TRAIN, 3)


def test_the_map_is_level_and_keeps_its_units(scene: Path, bag: Path) -> None:
    read = DatasetScene(scene)
    T_map_world = level_transform(np.stack([frame.T_world_camera for frame in read.train]))
    up = T_map_world[:3, :3] @ T_world_level()[:3, 2]
    assert up[2] > np.cos(np.deg2rad(0.1))
    np.testing.assert_array_equal(T_map_world[:3, 3], 0.0)
    items = list(BagReader(bag).messages())
    seeds = [item for item in items if isinstance(item, SeedPoints)]
    assert len(seeds) == 1
    np.testing.assert_allclose(seeds[0].points_map, apply(T_map_world, read.seed_points()), atol=1e-6)
    written = json.loads((bag / "truth.json").read_text())
    np.testing.assert_allclose(written["sources"][0]["position_m"], apply(T_map_world, np.array([0.5, 0.2, 1.0])))
    np.testing.assert_allclose(written["objects"]["box"]["center_m"], written["sources"][0]["position_m"])
    np.testing.assert_allclose(written["T_map_world"], T_map_world)
    assert written["objects"]["box"]["size_m"] == [1, 2, 3] and written["metres_per_unit"] == 0.5


def test_settings_that_belong_to_the_recording_lie_beneath_the_others(bag: Path, tmp_path: Path) -> None:
    config = bag_config(bag)
    assert (config.input.pose_units, config.input.hold_out_every) == ("arbitrary", 0)
    other = tmp_path / "other.yaml"
    other.write_text("input: {hold_out_every: 4}")
    assert load_config(other, base=config).input.hold_out_every == 4
    assert load_config(other, base=config).input.pose_units == "arbitrary"
    assert bag_config(tmp_path).input.hold_out_every == 8


def test_a_scene_without_train_frames(scene: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(scene, tmp_path / "scene")
    (changed / "camera_splits.json").write_text(json.dumps({"train": [8], "test": [0, 1, 2, 3, 4, 5, 6, 7, 9]}))
    with pytest.raises(DatasetError, match="no train frame"):
        write_dataset_bag(changed, tmp_path / "bag")
    assert not (tmp_path / "bag").exists()
