"""A small RGB-D folder as a bag with simulated audio and truth."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from echoseg_ros.errors import ConfigError, FolderError
from echoseg_ros.io.bag import BagReader
from echoseg_ros.io.bag_writer import BAG_START_NS
from echoseg_ros.types import AudioChunk, DepthData, ImageData, PoseData
from echoseg_sim.recordings.rgbd_recording import SourceSpec, simulate_rgbd

FRAMES, RATE_HZ = 12, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wall 2 m in front of a camera that looks along the world's y, with -z up, and moves to the right."""
    path = tmp_path_factory.mktemp("rgbd")
    (path / "rgb").mkdir()
    (path / "depth").mkdir()
    lines = []
    for i in range(FRAMES):
        cv2.imwrite(str(path / "rgb" / f"{i:06d}.png"), np.full((24, 32, 3), 10 * i, np.uint8))
        cv2.imwrite(str(path / "depth" / f"{i:06d}.png"), np.full((24, 32), 2000, np.uint16))
        # Optical x, y, z are the world's -x, z, y: half a turn about (0, 1, 1).
        lines.append(f"{5 + i / RATE_HZ:.6f} {-0.05 * i} 0 0 0 0.70710678 0.70710678 0 {i:06d}")
    (path / "poses.txt").write_text("# pose\n" + "\n".join(lines) + "\n")
    camera = {"width": 32, "height": 24, "fx": 30, "fy": 30, "cx": 16, "cy": 12, "depth_scale": 1000.0}
    (path / "camera.json").write_text(json.dumps({**camera, "rate_hz": RATE_HZ, "world_up": [0, 0, -1]}))
    mug = {"center_m": [-0.5, 1.5, 0.2], "size_m": [0.1, 0.1, 0.1], "quaternion_xyzw": [0, 0, 0, 1]}
    (path / "objects.json").write_text(json.dumps({"mug": mug}))
    return path


@pytest.fixture(scope="module")
def bag(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bags") / "bag"
    sources = [
        SourceSpec("mug", "builtin:tick", ((0.5, 9.0),)),
        SourceSpec("0.3,1.0,-0.2", "builtin:noise", ((0.5, 1.0),)),
    ]
    simulate_rgbd(folder, out, sources, "square4", rt60_s=0.2, start_s=0.2)
    return out


def test_truth(bag: Path) -> None:
    truth = json.loads((bag / "truth.json").read_text())
    assert set(truth) == {"sources", "objects", "T_map_world", "room"}
    T_map_world = np.array(truth["T_map_world"])
    mug, point = truth["sources"]
    assert (mug["name"], mug["object"], mug["sound"], mug["on_s"]) == ("mug", "mug", "builtin:tick", [[0.5, 1.0]])
    np.testing.assert_allclose(mug["position_m"], T_map_world[:3, :3] @ [-0.5, 1.5, 0.2])
    assert mug["position_m"] == truth["objects"]["mug"]["center_m"]
    assert mug["position_m"][2] == pytest.approx(-0.2)  # the world's z points down
    assert point["object"] is None
    np.testing.assert_allclose(point["position_m"], T_map_world[:3, :3] @ [0.3, 1.0, -0.2])
    assert truth["objects"]["mug"]["kind"] == "mug"
    assert truth["room"]["rt60_measured_s"] == pytest.approx(0.2, rel=0.15)
    assert truth["room"]["size_m"][2] == pytest.approx(2.5)
    # The wall is seen from -32/60 * 2 m left of the first used frame to as much right of the last one.
    assert truth["room"]["size_m"][0] == pytest.approx(2 * 2 * 16 / 30 + 0.05 * 9 + 0.6, abs=0.6)


def test_bag(bag: Path, folder: Path) -> None:
    reader = BagReader(bag)
    assert reader.start_ns == BAG_START_NS
    assert reader.audio_format is not None
    assert (reader.audio_format.channels, reader.audio_format.sample_rate_hz) == (4, 16000)
    items = list(reader.messages())
    images = [item for item in items if isinstance(item, ImageData)]
    assert [image.stamp_ns - BAG_START_NS for image in images] == [i * 100_000_000 for i in range(10)]
    assert [int(image.rgb[0, 0, 0]) for image in images] == [10 * i for i in range(2, 12)]
    depths = [item for item in items if isinstance(item, DepthData)]
    assert len(depths) == 10 and depths[3].depth_m[5, 5] == pytest.approx(2.0)
    poses = [item for item in items if isinstance(item, PoseData)]
    assert len(poses) == 10
    np.testing.assert_allclose(poses[0].T_map_camera[:3, :3] @ [0, -1, 0], [0, 0, 1], atol=1e-6)  # image-up is map-up


def test_audio(bag: Path) -> None:
    chunks = [item for item in BagReader(bag).messages() if isinstance(item, AudioChunk)]
    samples = np.concatenate([chunk.samples for chunk in chunks])
    assert samples.shape == (16000, 4)
    starts = np.cumsum([0, *(len(chunk.samples) for chunk in chunks)])[:-1]
    np.testing.assert_allclose([c.stamp_ns - BAG_START_NS for c in chunks], starts / 16000 * 1e9, atol=2)
    level_db = [10 * np.log10(np.mean(part.astype(float) ** 2)) for part in (samples[:8000], samples[8000:])]
    assert level_db[0] == pytest.approx(-60, abs=0.3)
    assert level_db[1] == pytest.approx(-40, abs=0.3)


def test_silent_bag(folder: Path, tmp_path: Path) -> None:
    truth = simulate_rgbd(folder, tmp_path / "silent", seconds=0.5, rt60_s=0.2)
    assert truth.sources == ()
    assert json.loads((tmp_path / "silent" / "truth.json").read_text())["sources"] == []


def test_bad_requests_are_named_and_leave_nothing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "bag"
    with pytest.raises(FolderError, match=r"source 'cup': want X,Y,Z .* \(mug\)"):
        simulate_rgbd(folder, out, [SourceSpec("cup")])
    with pytest.raises(FolderError, match="source '1,2': want X,Y,Z"):
        simulate_rgbd(folder, out, [SourceSpec("1,2")])
    with pytest.raises(ConfigError, match="sound on 5.0:6.0 s"):
        simulate_rgbd(folder, out, [SourceSpec("mug", on_s=((5.0, 6.0),))])
    with pytest.raises(ConfigError, match="start 30 s"):
        simulate_rgbd(folder, out, start_s=30)
    assert list(tmp_path.iterdir()) == []
