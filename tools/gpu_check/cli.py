"""The command line of gpu_check."""

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

QUICK_CAMERA = Camera(48, 36, 45.0, 45.0, 24.0, 18.0)
SYNTHETIC_CAMERAS = (Camera(640, 480, 480.0, 480.0, 320.0, 240.0), Camera(1008, 1008, 756.0, 756.0, 504.0, 504.0))


def main(arguments: Sequence[str] | None = None) -> int:
    """0 = all comparisons within their limits, 1 = one is not, 2 = it cannot run."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    a = parser.parse_args(words)
    try:
        if a.prepare is not None:
            return _prepare(a, parser)
        return _check(a, f"python tools/gpu_check {shlex.join(words)}".strip())
    except EchosegError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpu_check", description="gsplat compared, the map timed, on this machine's GPU"
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER",
                        help="made by --prepare; none: a made-up scene at both sizes")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"), help="(default %(default)s)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N; cpu only with --quick (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny pictures and few steps: does everything run?")
    parser.add_argument("--steps", type=int, default=5, help="steps a keyframe (default %(default)s)")
    parser.add_argument(
        "--trainer-steps", type=int, default=STEPS, help="of gsplat's recipe, 0 = skip it (default %(default)s)"
    )
    parser.add_argument("--max-gaussians", type=int, default=1_000_000, help="of the map (default %(default)s)")
    parser.add_argument(
        "--vram-gb", type=float, default=0.0, help="bound on the process, 0 = none (default %(default)s)"
    )
    making = parser.add_argument_group("making folders, on a development machine")
    making.add_argument("--prepare", type=Path, metavar="OUT", help="write the folder OUT and do nothing else")
    source = making.add_mutually_exclusive_group()
    source.add_argument("--rgbd", type=Path, metavar="DIR", help="from an RGB-D folder")
    source.add_argument("--bag", type=Path, metavar="BAG", help="from a bag with depth")
    source.add_argument("--room", type=int, metavar="SEED", help="from a simulated room, rendered at the size")
    making.add_argument("--width", type=int, default=640, help="px (default %(default)s)")
    making.add_argument("--height", type=int, default=480, help="px (default %(default)s)")
    making.add_argument("--every", type=int, default=1, help="take every n-th frame (default %(default)s)")
    making.add_argument("--count", type=int, help="frames at most")
    return parser


def _prepare(a: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    sources: dict[str, Callable[[], Any]] = {
        "rgbd": lambda: prepare.rgbd_frames(a.rgbd),
        "bag": lambda: prepare.bag_frames(a.bag),
        "room": lambda: prepare.room_frames(a.room, a.width, a.height),
    }
    chosen = [make for name, make in sources.items() if getattr(a, name) is not None]
    if not chosen:
        parser.error("--prepare wants one of --rgbd, --bag, --room")
    written = prepare.prepare(a.prepare, chosen[0](), a.width, a.height, a.every, a.count)
    print(f"{a.prepare}: {written} frames of {a.width}x{a.height}")
    return 0


def _check(a: argparse.Namespace, command: str) -> int:
    device = str(torch.device(a.device))
    on_cpu = torch.device(device).type == "cpu"
    if on_cpu and not a.quick:
        raise EchosegError("--device cpu runs a stand-in for gsplat's kernels: that is for --quick only")
    # As exact as on a CPU: SSIM takes differences of nearly equal numbers.
    torch.backends.cudnn.allow_tf32 = False
    recordings = _recordings(a.folders, a.quick)
    rasterization = gsplat_stand_in.rasterization if on_cpu else None
    comparisons = compare(
        GsplatRasterizer(device, rasterization, a.vram_gb), device,
        DENSE_SCENES[2:3] if a.quick else DENSE_SCENES + LARGE_SCENES,
    )  # fmt: skip
    print(
        f"gsplat compared{' (a stand-in: no GPU)' if on_cpu else ''}\n\n{correctness_table(comparisons)}\n", flush=True
    )
    rows: list[Row] = []
    for recording in recordings():
        rows.append(_measured(recording, device, a))
        print(f"{speed_table(rows[-1:])}\n", flush=True)
        write_json(a.out, command, device, comparisons, rows)
    return _conclude(comparisons, rows, a.out)


def _recordings(folders: Sequence[Path], quick: bool) -> Callable[[], Any]:
    """A function that reads them one at a time: a large one fills gigabytes."""
    if folders:
        return lambda: (read_frames(folder) for folder in folders)
    if quick:
        return lambda: (synthetic_recording(camera, 16) for camera in (QUICK_CAMERA,))
    return lambda: (synthetic_recording(camera, 64) for camera in SYNTHETIC_CAMERAS)


def _measured(recording: Recording, device: str, a: argparse.Namespace) -> Row:
    on_cpu = torch.device(device).type == "cpu"
    config = online_config(recording, "numba" if on_cpu else "gsplat", a.max_gaussians, a.vram_gb)
    online = run_online(recording, config, device, steps_per_keyframe=2 if a.quick else a.steps)
    trainer_steps = min(a.trainer_steps, 4) if a.quick else a.trainer_steps
    trainer = None
    if trainer_steps > 0:
        rasterization, strategy = (
            (gsplat_stand_in.rasterization, gsplat_stand_in.FixedStrategy()) if on_cpu else _gsplat()
        )
        points = 200 if a.quick else MAX_POINTS
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
