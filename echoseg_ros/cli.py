"""The command `echoseg`: only here does an error become an exit code and one line."""

from __future__ import annotations

from echoseg_ros.cores import share_cores

share_cores()

import argparse  # noqa: E402
import logging  # noqa: E402
import shlex  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from echoseg_ros.errors import ConfigError, EchosegError  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 after bad input. Heavy imports wait for the sub-command."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        arguments.call(arguments)
    except EchosegError as error:
        print(f"echoseg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _simulate_rgbd(a: argparse.Namespace) -> None:
    from echoseg_sim.recordings.rgbd_recording import simulate_rgbd

    simulate_rgbd(
        a.folder,
        a.out,
        _source_specs(a.source, a.sound, a.sound_on),
        array=a.array,
        rt60_s=a.rt60,
        snr_db=a.snr,
        seed=a.seed,
        start_s=a.start_s,
        seconds=a.seconds,
        progress=not a.quiet,
    )


def _simulate_room(a: argparse.Namespace) -> None:
    from echoseg_sim.recordings.room_recording import simulate_room

    simulate_room(
        a.out,
        seed=a.seed,
        array=a.array,
        sources=a.sources,
        instances=a.instances,
        rt60_s=a.rt60,
        snr_db=a.snr,
        seconds=a.seconds,
        sounds=a.sound,
        progress=not a.quiet,
    )


def _simulate_dataset(a: argparse.Namespace) -> None:
    from echoseg_sim.recordings.dataset import simulate_dataset

    simulate_dataset(
        a.root,
        a.scenes,
        a.size,
        a.seed,
        a.seconds,
        a.head,
        progress=not a.quiet,
        cases=a.cases,
        jobs=a.jobs,
    )


def _bag_from_dataset(a: argparse.Namespace) -> None:
    from echoseg_ros.pipeline.dataset_bag import write_dataset_bag

    write_dataset_bag(a.scene, a.out, progress=not a.quiet)


def _source_specs(names: list[str], sounds: list[str], spans: list[tuple[float, float]]) -> list[Any]:
    """Sources paired with sounds in the order given; one span for all, or one for each."""
    from echoseg_sim.recordings.rgbd_recording import SourceSpec

    if len(sounds) > len(names):
        raise ConfigError(f"{len(sounds)} times --sound for {len(names)} times --source: want one --source for each")
    if len(spans) not in (0, 1, len(names)):
        raise ConfigError(f"{len(spans)} times --sound-on for {len(names)} times --source: want one, or one for each")
    sounds = sounds + ["builtin:speech"] * (len(names) - len(sounds))
    spans = spans * len(names) if len(spans) == 1 else spans
    if not spans:
        return [SourceSpec(name, sound) for name, sound in zip(names, sounds, strict=True)]
    return [SourceSpec(name, sound, (span,)) for name, sound, span in zip(names, sounds, spans, strict=True)]


def _run(a: argparse.Namespace) -> None:
    from echoseg_ros.config import load_config, parse_override
    from echoseg_ros.pipeline.replay import bag_config, run_bag
    from echoseg_ros.report.run_completion import complete_run_folder

    overrides = dict(parse_override(text) for text in a.set)
    config = load_config(a.config, overrides, bag_config(a.bag))
    run_bag(a.bag, a.out, config, a.command, a.device, not a.no_depth, a.realtime, not a.quiet)
    print(complete_run_folder(a.out, a.bag))


def _play(a: argparse.Namespace) -> None:
    from echoseg_ros.nodes.player import PlayOptions, play

    wait_for = PlayOptions.wait_for if a.wait_for is None else tuple(a.wait_for)
    play(a.bag, PlayOptions(a.rate, a.loop, wait_for, a.wait_s), progress=not a.quiet)


def _render(a: argparse.Namespace) -> None:
    from echoseg_ros.report.render import render_run

    render_run(a.run, a.out, a.rgbd, a.scene, progress=not a.quiet)


def _explain(a: argparse.Namespace) -> None:
    from echoseg_ros.report.explain import explanation_text

    print(explanation_text(a.run, a.object))


def _demo(a: argparse.Namespace) -> None:
    from echoseg_ros.nodes.demo import DemoSpec, run_demo

    run_demo(
        DemoSpec(
            a.out,
            a.rgbd,
            a.source,
            a.sound,
            a.array,
            a.seed,
            a.rt60,
            a.snr,
            a.start_s,
            a.seconds,
            a.command,
            not a.quiet,
        )
    )


def _bench_map(a: argparse.Namespace) -> None:
    from echoseg_ros.eval.map.bench_map import BenchSettings, bench_map

    bench_map(a.out, a.runs, a.data, a.only, a.command, a.fresh, BenchSettings(progress=not a.quiet))


def _bench_sound(a: argparse.Namespace) -> None:
    from echoseg_ros.eval.sound.bench_sound import bench_sound, self_test

    if a.self_test is not None:
        self_test(a.self_test)
        return
    bench_sound(a.out, a.runs, a.data, a.only, a.command, a.fresh, a.quick, a.jobs, not a.quiet)


def _bench_segment(a: argparse.Namespace) -> None:
    from echoseg_ros.eval.segment.bench_segment import bench_segment
    from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings

    evaluation = EvaluateSettings(fresh=a.fresh, reuse=a.reuse)
    bench_segment(a.out, a.runs, a.data, a.command, a.root, a.scenes, a.quick, a.jobs, evaluation, not a.quiet)


def _evaluate(a: argparse.Namespace) -> None:
    from echoseg_ros.config import parse_override
    from echoseg_ros.eval.segment.evaluate import evaluate
    from echoseg_ros.eval.segment.evaluate_scene import EvaluateSettings

    settings = EvaluateSettings(overrides=dict(parse_override(text) for text in a.set), fresh=a.fresh, reuse=a.reuse)
    print(evaluate(a.root, a.out, a.method, a.jobs, settings, not a.quiet))


def _bench_ros(a: argparse.Namespace) -> None:
    from echoseg_ros.eval.ros.bench_ros import bench_ros

    bench_ros(a.out, a.runs, a.data, a.only, a.command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("echoseg", description="Which object in the 3D map makes that sound.")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    simulate = commands.add_parser("simulate", help="make a bag with known truth")
    kinds = simulate.add_subparsers(required=True, metavar="KIND")
    _add_room(kinds)
    _add_rgbd(kinds)
    _add_dataset(kinds)
    _add_run(commands)
    convert = _command(
        commands,
        "bag-from-dataset",
        _bag_from_dataset,
        "a data-set scene as a bag: train frames and their seconds only",
    )
    convert.add_argument("scene", type=Path, metavar="SCENE")
    convert.add_argument("out", type=Path, metavar="OUT")
    play = _command(commands, "play", _play, "publish a bag over ROS 2 with /clock")
    play.add_argument("bag", type=Path, metavar="BAG")
    play.add_argument("--rate", type=_positive, default=1.0, help="times real time (default %(default)s)")
    play.add_argument("--loop", action="store_true", help="start again at the end")
    play.add_argument(
        "--wait-for", nargs="*", metavar="TOPIC", help="start when these have subscribers (image and audio)"
    )
    play.add_argument("--wait-s", type=float, default=60.0, help="start after this all the same (default %(default)s)")
    render = _command(commands, "render", _render, "a finished run seen from given poses: colour, depth, mask")
    render.add_argument("run", type=Path, metavar="RUN")
    poses = render.add_mutually_exclusive_group(required=True)
    poses.add_argument("--rgbd", type=Path, metavar="DIR", help="the poses of an RGB-D folder")
    poses.add_argument("--scene", type=Path, metavar="SCENE", help="the test views of a data-set scene")
    render.add_argument("--out", type=Path, required=True, metavar="OUT")
    explain = _command(commands, "explain", _explain, "why an object is believed to sound: what was heard and seen")
    explain.add_argument("run", type=Path, metavar="RUN")
    explain.add_argument("--object", type=_count, metavar="ID", help="default: every object that sounds")
    _add_evaluate(commands)
    _add_demo(commands)
    _add_bench(commands)
    return parser


def _add_room(kinds: Any) -> None:
    room = _command(kinds, "room", _simulate_room, "a furnished room, rendered and heard from a moving robot")
    room.add_argument("out", type=Path, metavar="OUT")
    room.add_argument("--sources", type=_count, default=1, help="objects that sound; 0 = silence (default %(default)s)")
    room.add_argument("--instances", choices=("single", "multi"), default="single",
                      help="multi: several objects of the sounding kind (default %(default)s)")  # fmt: skip
    room.add_argument(
        "--sound", action="append", default=[], metavar="WAV|builtin:NAME", help="instead of the kind's own"
    )
    room.add_argument("--seconds", type=_positive, default=20.0, help="length of the recording (default %(default)s)")
    _add_acoustics(room)


def _add_rgbd(kinds: Any) -> None:
    rgbd = _command(kinds, "rgbd", _simulate_rgbd, "sounds in a recorded RGB-D folder")
    rgbd.add_argument("folder", type=Path, metavar="DIR")
    rgbd.add_argument("out", type=Path, metavar="OUT")
    rgbd.add_argument("--source", action="append", default=[], metavar="NAME|X,Y,Z",
                      help="an object of objects.json or a point in the folder's world; none = silence")  # fmt: skip
    rgbd.add_argument("--sound", action="append", default=[], metavar="WAV|builtin:NAME", help="one for each source")
    rgbd.add_argument("--start-s", type=float, default=0.0, help="begin this far into the folder (default %(default)s)")
    rgbd.add_argument("--seconds", type=_positive, default=None, help="length of the recording (default: to the end)")
    rgbd.add_argument("--sound-on", action="append", default=[], type=_span, metavar="A:B",
                      help="seconds of the bag in which a source sounds (default: always)")  # fmt: skip
    _add_acoustics(rgbd)


def _add_dataset(kinds: Any) -> None:
    dataset = _command(
        kinds, "dataset", _simulate_dataset, "scenes in the layout of 3DAVS-S34-O7, half of them multi-instance"
    )
    dataset.add_argument("root", type=Path, metavar="ROOT")
    dataset.add_argument("--scenes", type=_count, default=34, help="how many (default %(default)s, the full set)")
    dataset.add_argument("--size", type=_count, default=1008, metavar="PX", help="of the images (default %(default)s)")
    dataset.add_argument("--seed", type=_count, default=0, help="(default %(default)s)")
    dataset.add_argument(
        "--seconds", type=_count, default=120, help="frames of a scene, one a second (default %(default)s)"
    )
    dataset.add_argument(
        "--cases", type=_count, default=6, metavar="N", help="other sounds in each scene (default %(default)s)"
    )
    dataset.add_argument("--jobs", type=_count, default=1, help="scenes at a time (default %(default)s)")
    dataset.add_argument("--head", type=Path, metavar="SOFA", help="measured responses instead of a spherical head's")


def _add_acoustics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--array", default="cube8", help="cube8, square4, binaural, or a YAML file (default %(default)s)"
    )
    parser.add_argument("--rt60", type=_positive, default=0.4, help="reverberation time in s (default %(default)s)")
    parser.add_argument("--snr", type=float, default=20.0, help="signal to noise in dB (default %(default)s)")
    parser.add_argument("--seed", type=_count, default=0, help="(default %(default)s)")


def _add_run(commands: Any) -> None:
    run = _command(commands, "run", _run, "a bag through the whole pipeline, without ROS")
    run.add_argument("bag", type=Path, metavar="BAG")
    run.add_argument("--out", type=Path, required=True, metavar="DIR")
    run.add_argument("--config", type=Path, metavar="F", help="YAML with settings, or a ROS parameter file")
    run.add_argument(
        "--set", action="append", default=[], metavar="stage.key=value", help="one setting; may be repeated"
    )
    run.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default %(default)s)")
    run.add_argument(
        "--no-depth", action="store_true", help="ignore the bag's depth images: sources without a map, so far"
    )
    run.add_argument(
        "--realtime", action="store_true", help="at the pace of the recording, dropping what comes too fast"
    )


def _add_demo(commands: Any) -> None:
    demo = _command(commands, "demo", _demo, "simulate, replay over ROS 2 into a live node, and show what it found")
    demo.add_argument("--out", type=Path, default=Path("results/demo"), help="(default %(default)s)")
    demo.add_argument("--rgbd", type=Path, metavar="DIR", help="a recorded RGB-D folder instead of a simulated room")
    demo.add_argument(
        "--source", metavar="NAME|X,Y,Z", help="what sounds in the folder (default: its first object); none = silence"
    )
    demo.add_argument("--sound", metavar="WAV|builtin:NAME", help="what it sounds like")
    demo.add_argument("--start-s", type=float, default=0.0, help="begin this far into the folder")
    demo.add_argument("--seconds", type=_positive, default=20.0, help="length at most (default %(default)s)")
    _add_acoustics(demo)


def _add_evaluate(commands: Any) -> None:
    evaluate = _command(
        commands,
        "evaluate",
        _evaluate,
        "masks of one or more methods in the test views of a data set, scored; resumable",
    )
    evaluate.add_argument("root", type=Path, metavar="ROOT", help="scenes at any depth below it")
    evaluate.add_argument("--out", type=Path, required=True, metavar="DIR", help="runs, scores, masks and pictures")
    evaluate.add_argument(
        "--method", nargs="+", default=["echoseg"], metavar="NAME",
        help="echoseg, echoseg-front-end (ours on the reference's 2D masks), echosegnet (and -eps, -heading, "
        "-eps-heading: other readings of it), echosegnet-no-aisrm, owod-bind (its 2D masks), all (default: echoseg)",
    )  # fmt: skip
    evaluate.add_argument("--jobs", type=_count, default=1, help="scenes at a time (default %(default)s)")
    evaluate.add_argument(
        "--set", action="append", default=[], metavar="stage.key=value", help="one setting of the runs; may be repeated"
    )
    _add_reuse(evaluate)


def _add_reuse(parser: argparse.ArgumentParser) -> None:
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--fresh", action="store_true", help="make all runs and scores again")
    again.add_argument("--reuse", action="store_true", help="score the runs that are there, whatever code made them")


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser("bench", help="measure, print a table, write results/bench/NAME.json; resumable")
    names = bench.add_subparsers(required=True, metavar="NAME")
    view = _command(names, "map", _bench_map, "held-out views of the map, online and at best; step time; a long run")
    _add_bench_folders(view, Path("results/runs/bench_map"))
    view.add_argument(
        "--only", nargs="+", default=[], metavar="CASE", help="by kind, scene or both: online kitchen step scale/room_0"
    )
    view.add_argument("--fresh", action="store_true", help="run cases again that have run before")
    sound = _command(names, "sound", _bench_sound, "directions, places and right objects in rooms where all is known")
    _add_bench_folders(sound, Path("results/runs/bench_sound"))
    sound.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="CASE",
        help="by array, kind, condition or all: binaural rt0.4 several2",
    )
    sound.add_argument("--fresh", action="store_true", help="run cases again that have run before")
    sound.add_argument("--quick", action="store_true", help="a few short cases; results stay in RUNS/quick")
    sound.add_argument("--jobs", type=_count, default=2, help="runs at a time (default %(default)s)")
    sound.add_argument("--self-test", type=Path, metavar="BAG", help="check the array of a recording instead")
    segment = _command(names, "segment", _bench_segment, "masks beside the reference's, and the choice of the instance")
    _add_bench_folders(segment, Path("results/runs/bench_segment"))
    segment.add_argument("--root", type=Path, metavar="ROOT", help="a simulated set that is there already")
    segment.add_argument(
        "--scenes", type=_positive_count, metavar="N", help="only so many, of single and multi in turn"
    )
    segment.add_argument("--quick", action="store_true", help="four small scenes; results stay in RUNS/quick")
    segment.add_argument("--jobs", type=_count, default=2, help="scenes at a time (default %(default)s)")
    _add_reuse(segment)
    ros = _command(names, "ros", _bench_ros, "the live demo over many cases")
    _add_bench_folders(ros, Path("results/bench_runs"))
    ros.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this; prints, writes no JSON")


def _add_bench_folders(bench: argparse.ArgumentParser, runs: Path) -> None:
    bench.add_argument("--out", type=Path, default=Path("results/bench"), help="(default %(default)s)")
    bench.add_argument("--runs", type=Path, default=runs, help="the cases (default %(default)s)")
    bench.add_argument(
        "--data", type=Path, metavar="DIR", help="recordings (default: ECHOSEG_TEST_DATA, ../shared/data)"
    )


def _command(commands: Any, name: str, call: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(call=call, command=shlex.join(["echoseg", *sys.argv[1:]]))
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _positive_count(text: str) -> int:
    value = _count(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text}: want at least 1")
    return value


def _span(text: str) -> tuple[float, float]:
    start, colon, end = text.partition(":")
    try:
        span = float(start), float(end)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: want A:B in seconds") from error
    if not colon or not 0 <= span[0] < span[1]:
        raise argparse.ArgumentTypeError(f"{text!r}: want A:B with 0 <= A < B")
    return span


if __name__ == "__main__":
    sys.exit(main())
