"""Plot of the long run of `echoseg bench map`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from echoseg_ros.eval.picture_files import save_figure

_CURVES = (
    ("time of a frame / time of the fixed kernel", "busy_per_kernel"),
    ("resident memory, MiB", "rss_mb"),
    ("Gaussians", "gaussians"),
)


def plot_minutes(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a PNG with time, memory and size of the map over the minutes of a long run."""
    figure, axes = plt.subplots(len(_CURVES), 1, figsize=(7, 7), sharex=True, layout="constrained")
    for axis, (title, column) in zip(axes, _CURVES, strict=True):
        axis.plot([row["minute"] for row in rows], [row[column] for row in rows], marker="o", markersize=3)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("recorded minute")
    save_figure(path, figure)
