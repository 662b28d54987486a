"""`echoseg bench map|sound|segment|ros`: benchmarks, the only writers of results/bench."""

from __future__ import annotations

import argparse
from pathlib import Path

from echoseg_ros.cli.arguments import (
    Commands,
    add_bench_folders,
    add_command,
    add_reuse,
    count,
    positive_count,
    require_extras,
)


def add_parser(commands: Commands) -> None:
    """Add the command and its benchmarks."""
    bench = commands.add_parser("bench", help="measure, print a table, write results/bench/NAME.json; resumable")
    names = bench.add_subparsers(required=True, metavar="NAME")
    _add_map(names)
    _add_sound(names)
    _add_segment(names)
    _add_ros(names)


def _add_map(names: Commands) -> None:
    view = add_command(names, "map", _bench_map, "held-out views of the map, online and at best; step time; a long run")
    add_bench_folders(view, Path("results/runs/bench_map"))
    view.add_argument(
        "--only", nargs="+", default=[], metavar="CASE", help="by kind, scene or both: online kitchen step scale/room_0"
    )
    view.add_argument("--fresh", action="store_true", help="repeat cases that have run before")


def _add_sound(names: Commands) -> None:
    text = "directions, positions and right objects in rooms with known truth"
    sound = add_command(names, "sound", _bench_sound, text)
    add_bench_folders(sound, Path("results/runs/bench_sound"))
    sound.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="CASE",
        help="by array, kind, condition or all: binaural rt0.4 several2",
    )
    sound.add_argument("--fresh", action="store_true", help="repeat cases that have run before")
    sound.add_argument("--quick", action="store_true", help="a few short cases; results stay in RUNS/quick")
    sound.add_argument("--jobs", type=count, default=2, help="runs at a time (default %(default)s)")
    sound.add_argument("--self-test", type=Path, metavar="BAG", help="check the array of a recording instead")


def _add_segment(names: Commands) -> None:
    text = "masks beside the reference's, and the choice of the instance"
    segment = add_command(names, "segment", _bench_segment, text)
    add_bench_folders(segment, Path("results/runs/bench_segment"))
    segment.add_argument("--root", type=Path, metavar="ROOT", help="an existing simulated set")
    segment.add_argument("--scenes", type=positive_count, metavar="N", help="first N, of single and multi in turn")
    segment.add_argument("--quick", action="store_true", help="four small scenes; results stay in RUNS/quick")
    segment.add_argument("--jobs", type=count, default=2, help="scenes at a time (default %(default)s)")
    add_reuse(segment)


def _add_ros(names: Commands) -> None:
    ros = add_command(names, "ros", _bench_ros, "the live demo over many cases")
    add_bench_folders(ros, Path("results/bench_runs"))
    ros.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this; prints, writes no JSON")


def _bench_map(a: argparse.Namespace) -> None:
    require_extras("sim")
    from echoseg_ros.eval.map.bench_map import bench_map
    from echoseg_ros.eval.map.bench_map_cases import BenchSettings

    bench_map(a.out, a.runs, a.data, a.only, a.command, a.fresh, BenchSettings(progress=not a.quiet))


def _bench_sound(a: argparse.Namespace) -> None:
    require_extras(*([] if a.self_test else ["sim"]), "eval")
    from echoseg_ros.eval.sound.bench_sound import bench_sound, self_test

    if a.self_test is not None:
        self_test(a.self_test)
        return
    bench_sound(a.out, a.runs, a.data, a.only, a.command, a.fresh, a.quick, a.jobs, not a.quiet)


def _bench_segment(a: argparse.Namespace) -> None:
    require_extras("sim", "eval")
    from echoseg_ros.eval.segment.bench_segment import bench_segment
    from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings

    evaluation = EvaluateSettings(fresh=a.fresh, reuse=a.reuse)
    bench_segment(a.out, a.runs, a.data, a.command, a.root, a.scenes, a.quick, a.jobs, evaluation, not a.quiet)


def _bench_ros(a: argparse.Namespace) -> None:
    require_extras("sim")
    from echoseg_ros.eval.ros.bench_ros import bench_ros

    bench_ros(a.out, a.runs, a.data, a.only, a.command)
