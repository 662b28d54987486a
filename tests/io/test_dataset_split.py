"""The split of a scene: all forms of split files, the rule without a file, refused splits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dataset_maker import image_name, write_scene

from echoseg_ros.errors import DatasetError
from echoseg_ros.io.dataset import DatasetFrame, DatasetScene
from echoseg_ros.io.dataset_split import frame_number

TEST = [2, 5, 9]
TRAIN = [n for n in range(10) if n not in TEST]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("root") / "part_2" / "flat" / "kitchen" / "1", unregistered=(3,))


def numbers(frames: Sequence[DatasetFrame]) -> list[int]:
    return [frame.number for frame in frames]


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
def test_every_form_of_split_file_is_read(scene: Path, tmp_path: Path, form: str) -> None:
    scene = shutil.copytree(scene, tmp_path / "scene")
    (scene / "camera_splits.json").write_text(json.dumps(SPLITS[form]))
    read = DatasetScene(scene)
    assert numbers(read.test) == TEST
    assert numbers(read.train) == [n for n in TRAIN if n != 3]  # 3 has no pose


def test_camera_files_of_the_reference_method_give_the_split(scene: Path, tmp_path: Path) -> None:
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
def test_an_inconsistent_split_is_refused(scene: Path, tmp_path: Path, splits: Any, says: str) -> None:
    scene = shutil.copytree(scene, tmp_path / "scene")
    (scene / "camera_splits.json").write_text(json.dumps(splits))
    with pytest.raises(DatasetError, match=says):
        DatasetScene(scene)


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
