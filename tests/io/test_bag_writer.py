"""Writing of bags: quality of service, failed writes, other folders."""

from __future__ import annotations

from pathlib import Path

import bag_maker as maker
import numpy as np
import pytest
from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.rosbag2 import Reader

from echoseg_ros.errors import BagError
from echoseg_ros.io.bag import BagReader
from echoseg_ros.io.bag_writer import BagWriter


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return maker.write_bag(tmp_path_factory.mktemp("bags") / "short")


def test_topics_for_late_subscribers_are_latched(bag: Path) -> None:
    assert BagReader(bag).latched == {"/tf_static", "/audio/audio_info", "/ground_truth/sources"}
    with Reader(bag) as reader:
        profiles = [c.ext.offered_qos_profiles for c in reader.connections if isinstance(c.ext, ConnectionExtRosbag2)]
        assert len(profiles) == len(reader.connections)
    assert all(len(profile) == 1 and profile[0].reliability.name == "RELIABLE" for profile in profiles)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), BagWriter(tmp_path / "bag") as writer:
        writer.write_pose(1, np.eye(4))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_a_bag_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BagError, match="will not replace"):
        BagWriter(tmp_path)
