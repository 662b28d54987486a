"""Reading of incomplete and damaged bags: the readable messages are delivered, the damage is reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import bag_maker as maker
import numpy as np
import pytest
from bag_maker import items_of
from rosbags.rosbag2 import StoragePlugin

from echoseg_ros.errors import BagError
from echoseg_ros.io.bag import BagReader, Problem
from echoseg_ros.types import AudioChunk, ImageData, PoseData


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return maker.write_bag(tmp_path_factory.mktemp("bags") / "short")


@pytest.fixture
def copied_bag(bag: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bag, tmp_path / "copy"))


def test_a_path_without_a_bag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="no such file"):
        BagReader(tmp_path / "nothing")
    with pytest.raises(BagError, match=r"no metadata.yaml and no \.mcap or \.db3"):
        BagReader(tmp_path)


def test_missing_metadata_is_reported_and_the_file_is_read(copied_bag: Path) -> None:
    (copied_bag / "metadata.yaml").unlink()
    items = list(BagReader(copied_bag).messages())
    assert ["metadata.yaml is missing" in p.text for p in items_of(Problem, items)] == [True]
    assert len(items_of(ImageData, items)) == maker.FRAMES


def test_damaged_metadata_is_reported_and_the_file_is_read(copied_bag: Path) -> None:
    (copied_bag / "metadata.yaml").write_text("rosbag2_bagfile_information: [1, 2")
    items = list(BagReader(copied_bag).messages())
    assert len(items_of(Problem, items)) == 1
    assert len(items_of(ImageData, items)) == maker.FRAMES


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_truncated_bag_gives_its_complete_messages(copied_bag: Path, share: float) -> None:
    file = next(copied_bag.glob("*.mcap"))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    items = list(BagReader(copied_bag).messages())
    images = items_of(ImageData, items)
    assert share * maker.FRAMES - 3 <= len(images) <= maker.FRAMES
    np.testing.assert_array_equal(images[-1].rgb, maker.rgb(len(images) - 1))
    assert any("ends in the middle of a record" in p.text for p in items_of(Problem, items))


def test_a_truncated_compressed_bag_gives_its_complete_messages(bag: Path, tmp_path: Path) -> None:
    path = maker.rewrite_bag(bag, tmp_path / "zstd", StoragePlugin.MCAP, compress=True)
    file = next(path.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.6)])
    items = list(BagReader(path).messages())
    assert 8 <= len(items_of(ImageData, items)) <= 12
    assert items_of(Problem, items)


def test_an_unfinished_bag_is_read_in_sequence(copied_bag: Path) -> None:
    """A killed recorder leaves chunks without an index and no metadata.yaml."""
    (copied_bag / "metadata.yaml").unlink()
    file = next(copied_bag.glob("*.mcap"))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) - 2000])
    items = list(BagReader(copied_bag).messages())
    assert len(items_of(ImageData, items)) == maker.FRAMES
    assert items_of(Problem, items)


def test_a_damaged_message_is_skipped(copied_bag: Path) -> None:
    """The lengths inside one image are overwritten; the rest of the bag is whole."""
    file = next(copied_bag.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    at = data.index(b"rgb8", len(data) // 2)
    data[at - 4 : at] = b"\xff\xff\xff\x7f"
    file.write_bytes(bytes(data))
    items = list(BagReader(copied_bag).messages())
    assert len(items_of(ImageData, items)) == maker.FRAMES - 1
    assert [p.topic for p in items_of(Problem, items)] == ["/camera/image_raw"]
    assert len(items_of(AudioChunk, items)) == maker.FRAMES


def test_a_damaged_chunk_does_not_end_the_reading(tmp_path: Path, bag: Path) -> None:
    path = maker.rewrite_bag(bag, tmp_path / "lz", StoragePlugin.MCAP, compress=True, rounds=6)
    file = next(path.glob("*.mcap"))
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    file.write_bytes(bytes(data))
    items = list(BagReader(path).messages())
    problems = items_of(Problem, items)
    assert problems and "damaged" in problems[0].text
    stamps = [i.stamp_ns for i in items_of(PoseData, items)]
    assert 20 <= len(stamps) < 6 * maker.FRAMES
    assert len(stamps) == len(set(stamps)), "nothing comes twice"
    assert max(stamps) == maker.last_stamp_ns(rounds=6)


def test_sqlite3_bags_are_read(bag: Path, tmp_path: Path) -> None:
    path = maker.rewrite_bag(bag, tmp_path / "db", StoragePlugin.SQLITE3)
    assert len(items_of(ImageData, BagReader(path).messages())) == maker.FRAMES


def test_a_damaged_sqlite3_bag_does_not_raise_while_reading(bag: Path, tmp_path: Path) -> None:
    path = maker.rewrite_bag(bag, tmp_path / "db", StoragePlugin.SQLITE3)
    file = next(path.glob("*.db3"))
    reader = BagReader(path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    file.write_bytes(bytes(data))
    items = list(reader.messages())
    assert items_of(Problem, items)
