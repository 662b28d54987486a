"""One short bag through the node over real ROS, through LivePipeline and through Pipeline: the verdicts agree."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: make setup, or a ROS installation")

import scene_bag

from echoseg_ros.config import Config
from echoseg_ros.io.bag import BagReader, Problem
from echoseg_ros.io.topics import NODE_INPUTS, TopicNames
from echoseg_ros.nodes.player import PlayOptions, play
from echoseg_ros.pipeline.live import LiveListener, LivePipeline
from echoseg_ros.pipeline.pipeline import Pipeline
from echoseg_ros.pipeline.timeline import Timeline
from echoseg_ros.sound.array.array_geometry import load_array

SECONDS = 5.0
SETTINGS = {"map.image_width_px": 160, "map.steps_per_s": 3.0}
CONFIG = Config().updated({"sound.array": "cube8", **SETTINGS})
START = "import sys; from echoseg_ros.nodes.runtime import echoseg_node; sys.exit(echoseg_node())"
# Slower than real time, so that a busy machine drops nothing.
RATE = 0.7
# From here on each way has heard enough to decide.
DECIDED_S = 3.0
SAME_PLACE_M = 0.1

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scene_bag.write_scene_bag(tmp_path_factory.mktemp("scene") / "bag", seconds=SECONDS)


@pytest.fixture(scope="module")
def offline(bag: Path) -> Rows:
    pipeline, timeline = Pipeline(CONFIG, load_array("cube8")), Timeline()
    for item in BagReader(bag).messages():
        assert not isinstance(item, Problem)
        for verdict in pipeline.add(item):
            timeline.add(verdict)
    return timeline.as_json(scene_bag.START_NS)


def last_source(rows: Rows) -> dict[str, Any]:
    (source,) = rows[-1]["sources"]
    return dict(source)


def assert_same_verdicts(rows: Rows, expected: Rows) -> None:
    """The same windows; from DECIDED_S on one source at the same place, and on an instance wherever the other is."""
    assert [row["t_s"] for row in rows] == pytest.approx([row["t_s"] for row in expected], abs=1e-3)
    late = [(row, other) for row, other in zip(rows, expected, strict=True) if other["t_s"] >= DECIDED_S]
    assert len(late) > 4
    for row, other in late:
        (source,), (other_source,) = row["sources"], other["sources"]
        assert np.linalg.norm(np.subtract(source["position_m"], other_source["position_m"])) < SAME_PLACE_M
        assert (source["object_id"] is None) == (other_source["object_id"] is None)


def test_the_offline_pipeline_names_the_humming_box(offline: Rows) -> None:
    source = last_source(offline)
    assert source["object_id"] is not None
    assert np.linalg.norm(np.subtract(source["position_m"], scene_bag.SOURCE_M)) < SAME_PLACE_M


def test_the_live_pipeline_agrees(bag: Path, offline: Rows) -> None:
    live = LivePipeline(CONFIG, LiveListener(), load_array("cube8"), "cpu")
    live.start()
    for item in BagReader(bag).messages():
        assert not isinstance(item, Problem)
        live.put(item)
        for worker in live.workers.values():
            assert worker.drain(60.0)
    live.stop()
    assert not live.dropped
    assert_same_verdicts(live.call_sound(lambda _, timeline: timeline.as_json(scene_bag.START_NS)), offline)
    assert live.verdict.get().sounding


def test_the_node_agrees(
    bag: Path, offline: Rows, domain: int, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    names = TopicNames()
    fields = ("image", "camera_info", "depth", "pose", "audio", "audio_info")
    parameters = {"use_sim_time": "true", "sound.array": "cube8", "results_dir": str(tmp_path / "run"), **SETTINGS}
    command = [sys.executable, "-c", START, "--ros-args"]
    command += [word for field in fields for word in ("-r", f"{getattr(NODE_INPUTS, field)}:={getattr(names, field)}")]
    command += [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
    with (tmp_path / "node.log").open("w") as log:
        node = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            play(bag, PlayOptions(rate=RATE, wait_for=(names.image, names.audio), patience_s=100.0))
            node.send_signal(signal.SIGINT)
            assert node.wait(60) == 0, (tmp_path / "node.log").read_text()
        finally:
            node.kill()
            node.wait()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["frames"]["dropped"] == 0 and metrics["audio"]["dropped_s"] == 0
    start_ns = json.loads((tmp_path / "run" / "run.json").read_text())["start_ns"]
    assert start_ns == scene_bag.START_NS
    assert_same_verdicts(json.loads((tmp_path / "run" / "timeline.json").read_text()), offline)
