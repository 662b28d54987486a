"""A bag through the whole pipeline offline: the right object, the same bits twice, and files that others can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scene_bag

from echoseg_ros.config import Config
from echoseg_ros.geometry import look_at, pixel_rays
from echoseg_ros.io.bag import BagReader, Problem
from echoseg_ros.io.bag_writer import BagWriter
from echoseg_ros.pipeline.pipeline import Pipeline
from echoseg_ros.pipeline.replay import ReplayOptions
from echoseg_ros.report.run_bag import run_bag
from echoseg_ros.report.run_completion import complete_run_folder
from echoseg_ros.report.run_folder import RunFolder
from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_ros.types import AudioFormat, Float64Array

CONFIG = Config().updated(
    {"sound.array": "cube8", "map.image_width_px": 160, "map.steps_per_s": 4, "input.hold_out_every": 8}
)
FILES = {"run.json", "objects.json", "why.json", "timeline.json", "metrics.json", "map.ply"}


def truth_of_scene() -> dict[str, Any]:
    objects = {
        name: {
            "kind": "box",
            "center_m": center.tolist(),
            "size_m": (2 * half).tolist(),
            "quaternion_xyzw": [0, 0, 0, 1],
        }
        for name, (center, half) in zip(("humming", "quiet"), scene_bag.BOXES, strict=True)
    }
    source = {
        "name": "hum",
        "position_m": scene_bag.SOURCE_M.tolist(),
        "sound": "hum",
        "on_s": [[0, 6]],
        "object": "humming",
    }
    return {"sources": [source], "objects": objects, "T_map_world": np.eye(4).tolist(),
            "room": {"size_m": None, "rt60_measured_s": None}}  # fmt: skip


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = scene_bag.write_scene_bag(tmp_path_factory.mktemp("scene") / "bag", seconds=6.0)
    (path / "truth.json").write_text(json.dumps(truth_of_scene()))
    return path


@pytest.fixture(scope="module")
def run(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    run_bag(bag, out, CONFIG, "test", ReplayOptions(progress=False))
    return out


def test_the_humming_box_is_found(bag: Path, run: Path) -> None:
    assert {path.name for path in run.iterdir()} >= FILES
    text = complete_run_folder(run, bag)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["correct_object"] is True, text
    assert metrics["source_error_m"] < 0.15
    assert metrics["false_objects"] == 0
    assert metrics["frames"]["dropped"] == 0 and metrics["audio"]["dropped_s"] == 0
    assert metrics["psnr_db"] > 15
    assert {"top_view.png", "timeline.png", "overlay_1.png", "truth.json"} <= {path.name for path in run.iterdir()}


def test_the_same_bag_gives_the_same_bits(bag: Path, run: Path, tmp_path: Path) -> None:
    run_bag(bag, tmp_path, CONFIG, "test", ReplayOptions(progress=False))
    for name in ("objects.json", "timeline.json", "map.ply"):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name


def test_the_mask_covers_the_box_and_what_hides_it_hides_the_mask(run: Path) -> None:
    folder = RunFolder(run)
    T_map_camera = scene_bag.pose(3.0)
    mask = folder.mask(folder.sounding_ids, scene_bag.CAMERA, T_map_camera)
    _, depth_m = scene_bag.render(T_map_camera)
    center, half = scene_bag.BOXES[0]
    points = T_map_camera[:3, 3] + _rays(T_map_camera) * depth_m[..., None]
    truth = (np.abs(points - center) < half + 1e-3).all(axis=-1)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.6
    behind_the_wall = look_at(np.array([4.0, 0.25, 0.5]), scene_bag.BOXES[0][0])
    assert folder.mask(folder.sounding_ids, scene_bag.CAMERA, behind_the_wall).mean() < 0.01


def _rays(T_map_camera: Float64Array) -> Float64Array:
    rays: Float64Array = pixel_rays(scene_bag.CAMERA) @ T_map_camera[:3, :3].T
    return rays


def test_a_recording_that_starts_again_keeps_the_map_and_finds_the_object_again(bag: Path) -> None:
    """Offline, every message after the jump back in time was refused as older than the newest pose."""
    pipeline = Pipeline(CONFIG, load_array("cube8"))
    items = [item for item in BagReader(bag).messages() if not isinstance(item, Problem)]
    first = [verdict for item in items for verdict in pipeline.add(item)]
    keyframes = pipeline.map_stage.keyframes
    again = [verdict for item in items for verdict in pipeline.add(item)]
    assert pipeline.map_stage.keyframes > keyframes
    assert len(again) >= len(first) - 2
    assert first[-1].sounding and again[-1].sounding
    assert np.linalg.norm(again[-1].sources[0].position_m - scene_bag.SOURCE_M) < 0.15


def test_a_silent_bag_has_no_sounding_object(tmp_path: Path) -> None:
    array = load_array("cube8")
    rng = np.random.default_rng(3)
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_audio_info(scene_bag.START_NS, AudioFormat(16000, array.microphones, "S16LE", "WAVE"))
        for i in range(40):
            at_ns = scene_bag.START_NS + i * 100_000_000
            rgb, depth_m = scene_bag.render(scene_bag.pose(i / 10))
            writer.write_camera_info(at_ns, scene_bag.CAMERA)
            writer.write_pose(at_ns, scene_bag.pose(i / 10))
            writer.write_image(at_ns, rgb)
            writer.write_depth(at_ns, depth_m)
            writer.write_audio(at_ns, rng.normal(0, 1e-3, (1600, array.microphones)).astype(np.float32))
    run_bag(tmp_path / "bag", tmp_path / "run", CONFIG, "test", ReplayOptions(progress=False))
    objects = json.loads((tmp_path / "run" / "objects.json").read_text())
    assert objects["objects"] == [] and objects["sources"] == []
    assert len(objects["instances"]) >= 1
