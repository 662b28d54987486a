"""Results of the check as tables and as JSON."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_check.correctness import Comparison, largest
from gpu_check.gsplat_trainer import TrainerResult
from gpu_check.online import OnlineResult

# Bytes of a GiB.
GIB = 2**30


@dataclass(frozen=True)
class Row:
    """Results of the map and of gsplat's trainer for one recording."""

    recording: str
    size: str
    frames: int
    online: OnlineResult
    trainer: TrainerResult | None


def figures(comparisons: Sequence[Comparison], rows: Sequence[Row]) -> dict[str, float | None]:
    """Figures by name, None = not measured.

    A rate is that of the slowest recording, a PSNR the mean over the recordings, memory the maximum.
    """

    def slowest(size: str) -> float | None:
        rates = [row.online.keyframes_hz for row in rows if row.size == size]
        return min(rates) if rates else None

    trained = [row.trainer.psnr_db for row in rows if row.trainer is not None]
    return {
        "gpu_keyframes_hz_640x480": slowest("640x480"),
        "gpu_keyframes_hz_1008": slowest("1008x1008"),
        "gpu_vram_gb": max((row.online.vram_gb for row in rows), default=None),
        "gpu_psnr_db": float(np.mean([row.online.psnr_db for row in rows])) if rows else None,
        "gsplat_7k_psnr_db": float(np.mean(trained)) if trained else None,
        "gpu_max_gradient_error": largest(comparisons, "gradient"),
        "gpu_max_forward_error": largest(comparisons, "forward"),
        "gpu_max_lifting_error": largest(comparisons, "lifting"),
    }


def write_json(path: Path, command: str, device: str, comparisons: Sequence[Comparison], rows: Sequence[Row]) -> None:
    """Write all results in the layout of results/bench/*.json."""
    content = {
        "command": command,
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(device),
        "figures": figures(comparisons, rows),
        "rows": [asdict(row) for row in rows],
        "comparisons": [{**asdict(comparison), "passed": comparison.passed} for comparison in comparisons],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def machine(device: str) -> dict[str, Any]:
    """Versions of the software and properties of the device."""
    found: dict[str, Any] = {"device": device, "python": platform.python_version(), "torch": torch.__version__}
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found.update(gpu=properties.name, vram_gb=properties.total_memory / GIB, cuda=torch.version.cuda)
        found["capability"] = ".".join(str(part) for part in torch.cuda.get_device_capability(device))
    try:
        from gsplat import __version__ as version

        found["gsplat"] = version
    except ImportError:
        found["gsplat"] = None
    return found


def correctness_table(comparisons: Sequence[Comparison]) -> str:
    """Table with one line for each scene, reference and kind of comparison: the largest difference over its limit."""
    lines = ["| scene | against | what | largest error | mean | |", "| --- | --- | --- | --- | --- | --- |"]
    groups: dict[tuple[str, str, str], list[Comparison]] = {}
    for comparison in comparisons:
        key = (comparison.scene, comparison.judge, comparison.what.split()[0])
        groups.setdefault(key, []).append(comparison)
    for (scene, judge, _), group in groups.items():
        worst = max(group, key=lambda comparison: comparison.judged / comparison.limit)
        verdict = "ok" if all(comparison.passed for comparison in group) else f"OVER {worst.limit:.0e}"
        lines.append(f"| {scene} | {judge} | {worst.what} | {worst.error:.1e} | {worst.mean:.1e} | {verdict} |")
    return "\n".join(lines)


def speed_table(rows: Sequence[Row]) -> str:
    """Table with two lines for each recording: the map online, and gsplat's trainer."""
    lines = [
        "| recording | size | what | keyframes/s | could do | dropped | insert ms | lift ms | steps/s | PSNR dB "
        "| with fitted exposure | VRAM GiB | Gaussians | s |",
        "| --- " * 14 + "|",
    ]
    for row in rows:
        online, head = row.online, f"| {row.recording} | {row.size} |"
        lines.append(
            f"{head} map, online | {online.keyframes_hz:.1f} | {online.busy_keyframes_hz:.1f} | {online.dropped} "
            f"| {online.insert_ms:.1f} | {online.lift_ms:.1f} | {online.steps_hz:.0f} | {online.psnr_db:.2f} "
            f"| {online.fitted_psnr_db:.2f} | {online.vram_gb:.2f} | {online.gaussians} "
            f"| {online.keyframes / online.keyframes_hz:.1f} |"
        )
        if row.trainer is not None:
            trainer = row.trainer
            lines.append(
                f"{head} gsplat, {trainer.steps} steps | | | | | | {trainer.steps / trainer.seconds:.0f} | {trainer.psnr_db:.2f} "
                f"| {trainer.fitted_psnr_db:.2f} | {trainer.vram_gb:.2f} | {trainer.gaussians} | {trainer.seconds:.1f} |"
            )
    return "\n".join(lines)


def _commit() -> str | None:
    """The checkout's commit, None where there is no git or no repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
