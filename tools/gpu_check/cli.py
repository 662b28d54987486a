"""Command line of gpu_check."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from echoseg_ros.errors import EchosegError
from echoseg_ros.mapping.rasterizers.gsplat import GsplatRasterizer
from echoseg_ros.types import Camera
from gpu_check import gsplat_stand_in, prepare
from gpu_check.correctness import Comparison, compare
from gpu_check.frames import Recording, read_frames, synthetic_recording
from gpu_check.gsplat_trainer import MAX_POINTS, STEPS, train
from gpu_check.online import online_config, run_online
from gpu_check.report import Row, correctness_table, figures, speed_table, write_json
from gpu_check.scenes import DENSE_SCENES, LARGE_SCENES

# Camera of the synthetic recording with --quick.
QUICK_CAMERA = Camera(48, 36, 45.0, 45.0, 24.0, 18.0)
# Cameras of the synthetic recordings.
SYNTHETIC_CAMERAS = (Camera(640, 480, 480.0, 480.0, 320.0, 240.0), Camera(1008, 1008, 756.0, 756.0, 504.0, 504.0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 = all comparisons within their limits, 1 = at least one is not, 2 = the check cannot run."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(words)
    try:
        if options.prepare is not None:
            return _prepare(options, parser)
        return _check(options, f"python tools/gpu_check {shlex.join(words)}".strip())
    except EchosegError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpu_check", description="Compare gsplat with other rasterizers and time the map on this machine's GPU."
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER",
                        help="folder made by --prepare; none: a synthetic recording at both sizes")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"), help="result file (default %(default)s)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N; cpu only with --quick (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny images and few steps, to test that everything runs")
    parser.add_argument(
        "--steps", type=int, default=5, help="optimisation steps for each keyframe (default %(default)s)"
    )
    parser.add_argument(
        "--trainer-steps", type=int, default=STEPS, help="steps of gsplat's trainer, 0 = none (default %(default)s)"
    )
    parser.add_argument(
        "--max-gaussians", type=int, default=1_000_000, help="most Gaussians of the map (default %(default)s)"
    )
    parser.add_argument(
        "--vram-gb", type=float, default=0.0, help="memory limit of the process, 0 = none (default %(default)s)"
    )
    preparing = parser.add_argument_group("preparation of folders on a development machine")
    preparing.add_argument("--prepare", type=Path, metavar="OUT", help="write the folder OUT only")
    source = preparing.add_mutually_exclusive_group()
    source.add_argument("--rgbd", type=Path, metavar="DIR", help="from an RGB-D folder")
    source.add_argument("--bag", type=Path, metavar="BAG", help="from a bag with depth images")
    source.add_argument("--room", type=int, metavar="SEED", help="from a simulated room, rendered at this size")
    preparing.add_argument("--width", type=int, default=640, help="width in px (default %(default)s)")
    preparing.add_argument("--height", type=int, default=480, help="height in px (default %(default)s)")
    preparing.add_argument("--every", type=int, default=1, help="use every n-th frame (default %(default)s)")
    preparing.add_argument("--count", type=int, help="most frames")
    return parser


def _prepare(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    sources: dict[str, Callable[[], Any]] = {
        "rgbd": lambda: prepare.rgbd_frames(options.rgbd),
        "bag": lambda: prepare.bag_frames(options.bag),
        "room": lambda: prepare.room_frames(options.room, options.width, options.height),
    }
    chosen = [make for name, make in sources.items() if getattr(options, name) is not None]
    if not chosen:
        parser.error("--prepare: want one of --rgbd, --bag, --room")
    written = prepare.prepare(options.prepare, chosen[0](), options.width, options.height, options.every, options.count)
    print(f"{options.prepare}: {written} frames of {options.width}x{options.height}")
    return 0


def _check(options: argparse.Namespace, command: str) -> int:
    device = str(torch.device(options.device))
    on_cpu = torch.device(device).type == "cpu"
    if on_cpu and not options.quick:
        raise EchosegError("--device cpu replaces gsplat's kernels by a stand-in: for --quick only")
    # SSIM subtracts nearly equal numbers and needs full float32 precision.
    torch.backends.cudnn.allow_tf32 = False
    recordings = _recordings(options.folders, options.quick)
    rasterization = gsplat_stand_in.rasterization if on_cpu else None
    comparisons = compare(
        GsplatRasterizer(device, rasterization, options.vram_gb), device,
        DENSE_SCENES[2:3] if options.quick else DENSE_SCENES + LARGE_SCENES,
    )  # fmt: skip
    print(
        f"gsplat compared{' (a stand-in: no GPU)' if on_cpu else ''}\n\n{correctness_table(comparisons)}\n", flush=True
    )
    rows: list[Row] = []
    for recording in recordings():
        rows.append(_measure(recording, device, options))
        print(f"{speed_table(rows[-1:])}\n", flush=True)
        write_json(options.out, command, device, comparisons, rows)
    return _conclude(comparisons, rows, options.out)


def _recordings(folders: Sequence[Path], quick: bool) -> Callable[[], Any]:
    """A function that yields the recordings one at a time: a large one needs gigabytes."""
    if folders:
        return lambda: (read_frames(folder) for folder in folders)
    if quick:
        return lambda: (synthetic_recording(camera, 16) for camera in (QUICK_CAMERA,))
    return lambda: (synthetic_recording(camera, 64) for camera in SYNTHETIC_CAMERAS)


def _measure(recording: Recording, device: str, options: argparse.Namespace) -> Row:
    on_cpu = torch.device(device).type == "cpu"
    config = online_config(recording, "numba" if on_cpu else "gsplat", options.max_gaussians, options.vram_gb)
    online = run_online(recording, config, device, steps_per_keyframe=2 if options.quick else options.steps)
    trainer_steps = min(options.trainer_steps, 4) if options.quick else options.trainer_steps
    trainer = None
    if trainer_steps > 0:
        rasterization, strategy = (
            (gsplat_stand_in.rasterization, gsplat_stand_in.FixedStrategy()) if on_cpu else _gsplat()
        )
        points = 200 if options.quick else MAX_POINTS
        trainer = train(recording, device, rasterization, strategy, trainer_steps, points)
    return Row(recording.name, recording.size, len(recording.frames), online, trainer)


def _gsplat() -> tuple[Callable[..., Any], Any]:
    from gsplat import DefaultStrategy, rasterization

    return rasterization, DefaultStrategy()


def _conclude(comparisons: Sequence[Comparison], rows: Sequence[Row], out: Path) -> int:
    for name, value in figures(comparisons, rows).items():
        print(f"{name:28} {'not measured' if value is None else f'{value:.4g}'}")
    over = [comparison for comparison in comparisons if not comparison.passed]
    for comparison in over:
        print(
            f"OVER: {comparison.scene}, {comparison.judge}: {comparison.what} {comparison.judged:.2e} > {comparison.limit:.0e}"
        )
    print(f"written to {out}; {len(comparisons) - len(over)} of {len(comparisons)} comparisons within their limits")
    return 1 if over else 0
