"""The bag of a simulated room, and the messages for bad arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echoseg_ros.errors import ConfigError
from echoseg_ros.io.bag import BagReader
from echoseg_ros.types import ImageData, PoseData
from echoseg_sim.recordings import room_recording
from echoseg_sim.recordings.room_recording import simulate_room
from echoseg_sim.rooms.room import Room


def test_bag_of_a_room(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_recording, "make_room", lambda seed, instances: room)
    out = tmp_path / "bag"
    truth = simulate_room(out, seed=3, array="square4", seconds=2.0, size_px=(64, 48), rt60_s=0.2, progress=False)
    written = json.loads((out / "truth.json").read_text())
    source = written["sources"][0]
    assert source["object"] == truth.sources[0].object
    np.testing.assert_allclose(source["position_m"], written["objects"][source["object"]]["center_m"])
    assert set(written["objects"]) == {item.name for item in room.objects}
    np.testing.assert_allclose(written["T_map_world"], np.eye(4))
    np.testing.assert_allclose(written["room"]["size_m"], room.size_m)
    messages = list(BagReader(out).messages())
    images = [m for m in messages if isinstance(m, ImageData)]
    assert len(images) == 20
    assert images[0].rgb.shape == (48, 64, 3)
    assert sum(isinstance(m, PoseData) for m in messages) == 101


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sources": -1}, "sources"),
        ({"seconds": 0.5}, "seconds"),
        ({"instances": "two"}, "instances"),
        ({"size_px": (4, 4)}, "size"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        simulate_room(tmp_path / "bag", **wrong)
