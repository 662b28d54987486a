"""What `echoseg demo` does: simulate a recording, replay it over ROS 2 into the real node, show its outputs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError
from echoseg_ros.io.bag_writer import ARRAY_FILE
from echoseg_ros.io.files import read_json, write_json
from echoseg_ros.io.rgbd_folder import RgbdFolder
from echoseg_ros.io.topics import TopicNames, bag_topic_of_input
from echoseg_ros.pipeline.replay import HOLD_OUT_EVERY
from echoseg_ros.report.run_completion import complete_run_folder

# The first start compiles the kernels; after that a node is ready in a few seconds.
PATIENCE_S = 300.0


@dataclass(frozen=True)
class DemoSpec:
    """What is simulated and where the results go. rgbd None = a simulated room; source "none" = silence."""

    out: Path
    rgbd: Path | None
    source: str | None
    sound: str | None
    array: str
    seed: int
    rt60_s: float
    snr_db: float
    start_s: float
    seconds: float
    command: str
    progress: bool = True


def run_demo(spec: DemoSpec) -> None:
    """Simulate, replay into a live node, write the results, print the table."""
    start_s = time.monotonic()
    _private_network()
    shutil.rmtree(spec.out, ignore_errors=True)
    spec.out.mkdir(parents=True)
    bag = spec.out / "bag"
    _say(1, "simulating " + (f"the sound in {spec.rgbd}" if spec.rgbd else f"a furnished room, seed {spec.seed}"))
    simulate(spec, bag)
    _say(2, f"starting echoseg_node (ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']}; RViz would see it with the same)")
    recorded = _live(spec, bag)
    _say(3, "measuring and drawing")
    print(complete_run_folder(spec.out, bag, recorded))
    shutil.rmtree(bag)
    print(f"done in {time.monotonic() - start_s:.0f} s; pictures: {spec.out}/overlay_1.png, top_view.png, timeline.png")


def simulate(spec: DemoSpec, bag: Path) -> None:
    """Write the bag that the demo replays."""
    if spec.rgbd is None:
        from echoseg_sim.recordings.room_recording import simulate_room

        sounds = [spec.sound] if spec.sound else []
        simulate_room(bag, seed=spec.seed, array=spec.array, sources=0 if spec.source == "none" else 1, rt60_s=spec.rt60_s,
                      snr_db=spec.snr_db, seconds=spec.seconds, sounds=sounds, progress=spec.progress)  # fmt: skip
        return
    from echoseg_sim.recordings.rgbd_recording import SourceSpec, simulate_rgbd

    place = spec.source or next(iter(RgbdFolder(spec.rgbd).objects), None)
    if place is None:
        raise EchosegError(f"{spec.rgbd} names no objects: say where the sound is with SOURCE=X,Y,Z")
    sources = [] if place == "none" else [SourceSpec(place, spec.sound or "builtin:speech")]
    simulate_rgbd(spec.rgbd, bag, sources, spec.array, spec.rt60_s, spec.snr_db, spec.seed, spec.start_s,
                  spec.seconds, progress=spec.progress)  # fmt: skip


def _private_network() -> None:
    """Keep this demo's ROS graph on this machine and apart from others, unless the user chose otherwise."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(10 + os.getpid() % 90))


def _live(spec: DemoSpec, bag: Path) -> dict[str, Any]:
    """Node, player and recorder together; returns what the recorder adds to the metrics."""
    from echoseg_ros.nodes.recorder import Recorder

    node = subprocess.Popen(node_command(spec, bag), stdout=(spec.out / "node.log").open("w"), stderr=subprocess.STDOUT)
    recorder = Recorder(Config().sound.window_s)
    try:
        subprocess.run(player_command(spec, bag), check=True)
        if node.poll() is not None:
            raise EchosegError(f"echoseg_node ended with code {node.returncode}: see {spec.out / 'node.log'}")
        recorder.save_map(PATIENCE_S)
    finally:
        _stop(node)
        recorder.stop()
    if node.returncode != 0:
        raise EchosegError(f"echoseg_node ended with code {node.returncode}: see {spec.out / 'node.log'}")
    return _recorded(spec, bag, recorder)


def node_command(spec: DemoSpec, bag: Path) -> list[str]:
    """The node as a process of its own, its inputs remapped to the bag's topics."""
    parameters = {
        "use_sim_time": "true",
        "sound.array": str((bag / ARRAY_FILE).resolve()),
        "results_dir": str(spec.out.resolve()),
        "map_path": str((spec.out / "map.ply").resolve()),
        "input.hold_out_every": str(HOLD_OUT_EVERY),
    }
    start = "import sys; from echoseg_ros.nodes.runtime import echoseg_node; sys.exit(echoseg_node())"
    command = [sys.executable, "-c", start, "--ros-args"]
    command += [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
    return command + [word for here, there in bag_topic_of_input().items() for word in ("-r", f"{here}:={there}")]


def player_command(spec: DemoSpec, bag: Path) -> list[str]:
    """The player as a process of its own, as it would be on a robot: it starts when the node listens."""
    topics = TopicNames()
    command = [sys.executable, "-m", "echoseg_ros.cli", *([] if spec.progress else ["--quiet"]), "play", str(bag)]
    return [*command, "--wait-s", str(PATIENCE_S), "--wait-for", topics.audio, topics.image, topics.depth]


def _stop(node: subprocess.Popen[bytes]) -> None:
    if node.poll() is None:
        node.send_signal(signal.SIGINT)
    try:
        node.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        node.kill()
        node.wait()


def _recorded(spec: DemoSpec, bag: Path, recorder: Any) -> dict[str, Any]:
    """What was published is what counts: its timeline replaces the node's own; latency is that of the markers."""
    import numpy as np

    run = read_json(spec.out / "run.json")
    write_json(spec.out / "timeline.json", recorder.timeline.as_json(run["start_ns"]))
    truth = read_json(bag / "truth.json")
    write_json(spec.out / "run.json", {**run, "command": spec.command, "T_map_world": truth["T_map_world"]})
    latencies = recorder.latencies_ms
    percentiles = {f"p{p}": round(float(np.percentile(latencies, p)), 1) for p in (50, 95, 99)} if latencies else None
    return {"latency_ms": percentiles, "messages": dict(recorder.received)}


def _say(step: int, text: str) -> None:
    print(f"[{step}/3] {text}", flush=True)
