"""Pictures of a run: overlays of the sounding objects, a top view of the map, a timeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, Polygon
from numpy.typing import NDArray

from echoseg_ros.geometry import box_corners
from echoseg_ros.io.files import replacing
from echoseg_ros.report import draw
from echoseg_ros.report.metrics import box_from_json
from echoseg_ros.report.run_folder import RunFolder
from echoseg_ros.types import CameraFrame, Float64Array, RgbImage

# Least share of the image that a sounding object covers in a frame for an overlay.
MIN_MASK_SHARE = 0.0005
# Number of overlays.
OVERLAYS = 4
# Least width of an overlay; smaller images are enlarged.
OVERLAY_WIDTH_PX = 960
# Width at which masks are compared to choose the frames of overlays.
MASK_WIDTH_PX = 160
# Least audio intensity of a Gaussian, relative to the loudest, to be drawn in the top view.
MIN_INTENSITY = 0.6
# Share of the Gaussians, from below, that the top view draws: the ceiling is left out.
BELOW_CEILING_SHARE = 0.98
# Quantile of chi squared with two degrees of freedom: 95 % of a plane normal distribution.
CHI_SQUARED_95 = 5.991
# Objects in the timeline.
TIMELINE_OBJECTS = 6


def write_pictures(run: RunFolder, frames: list[CameraFrame], path_m: Float64Array) -> list[Path]:
    """Write overlay_*.png, top_view.png and timeline.png into the folder of a run; path_m: [F, 3] camera positions."""
    written = write_overlays(run, frames)
    written.append(write_figure(run.path / "top_view.png", lambda ax: draw_top_view(ax, run, path_m), (9, 7.5)))
    written.append(write_figure(run.path / "timeline.png", lambda ax: draw_timeline(ax, run), (10, 3.6)))
    return written


def write_overlays(run: RunFolder, frames: list[CameraFrame]) -> list[Path]:
    """Write overlay_1.png ...: the sounding objects in the frames that show most of them, spread over time."""
    candidates = [(frame, mask) for frame in frames if (mask := _small_mask(run, frame)).mean() > MIN_MASK_SHARE]
    groups = np.array_split(np.arange(len(candidates)), OVERLAYS) if candidates else []
    best = [candidates[max(group, key=lambda i: candidates[i][1].mean())][0] for group in groups if len(group)]
    if not best:  # nothing sounds: the caption of the pictures tells
        best = [frames[i] for i in np.linspace(0, len(frames) - 1, min(OVERLAYS, len(frames))).astype(int)]
    written = []
    for number, frame in enumerate(best, start=1):
        path = run.path / f"overlay_{number}.png"
        with replacing(path) as temporary:
            cv2.imwrite(str(temporary), cv2.cvtColor(overlay_image(run, frame), cv2.COLOR_RGB2BGR))
        written.append(path)
    return written


def overlay_image(run: RunFolder, frame: CameraFrame) -> RgbImage:
    """The image of a frame with every sounding object marked and named."""
    image = enlarged(frame.rgb)
    for number, instance_id in enumerate(run.sounding_ids):
        entry = next(entry for entry in run.objects["objects"] if entry["id"] == instance_id)
        mask = run.mask([instance_id], frame.camera, frame.T_map_camera)
        mask = draw.resized_mask(mask, image.shape[1], image.shape[0])
        image = draw.object_overlay(image, mask, f"{entry['label']}, {entry['probability']:.0%}", number)
    if not run.sounding_ids:
        elsewhere = any(source["object_id"] is None for source in run.objects["sources"])
        draw.caption(image, "a source elsewhere" if elsewhere else "nothing sounds", (12, 30), (255, 255, 255))
    return image


def enlarged(rgb: RgbImage) -> RgbImage:
    """The image; a small one is enlarged to OVERLAY_WIDTH_PX: outlines and words would cover it."""
    factor = OVERLAY_WIDTH_PX / rgb.shape[1]
    if factor <= 1:
        return rgb
    return cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def _small_mask(run: RunFolder, frame: CameraFrame) -> NDArray[np.bool_]:
    """[H, W] mask of all sounding objects at a width of MASK_WIDTH_PX."""
    camera = frame.camera.resized(
        MASK_WIDTH_PX, max(1, round(MASK_WIDTH_PX * frame.camera.height / frame.camera.width))
    )
    return run.mask(run.sounding_ids, camera, frame.T_map_camera)


def draw_top_view(ax: Axes, run: RunFolder, path_m: Float64Array) -> None:
    """Draw the map from above with the audio intensity, the camera path, objects, sources and the truth."""
    means = run.mapper.gaussians.means.detach().cpu().numpy()
    rgb = run.mapper.gaussians.rgb.detach().cpu().numpy().clip(0, 1)
    below_ceiling = np.argsort(means[:, 2])[: int(BELOW_CEILING_SHARE * len(means))]
    ax.scatter(
        means[below_ceiling, 0], means[below_ceiling, 1], c=rgb[below_ceiling], s=1.5, linewidths=0, rasterized=True
    )
    _draw_intensity(ax, means, run.audio_intensity)
    ax.plot(*path_m[:, :2].T, color="#333333", lw=1.4, label="camera path")
    ax.plot(*path_m[0, :2], marker="o", ms=5, color="#333333", ls="none", label="start")
    for number, instance_id in enumerate(run.sounding_ids):
        entry = next(entry for entry in run.objects["objects"] if entry["id"] == instance_id)
        name = f"{entry['label']} ({entry['probability']:.0%})"
        _draw_box(ax, entry, tuple(c / 255 for c in draw.colour(number)), name)
    for source in run.objects["sources"]:
        _draw_source(ax, source)
    for true in (run.truth or {"sources": []})["sources"]:
        ax.plot(
            *true["position_m"][:2], marker="*", ms=15, color="#d40000", mec="white", ls="none", label="true source"
        )
    ax.set_aspect("equal")
    _limit(ax, means, path_m)
    ax.set(xlabel="x (m)", ylabel="y (m)", title="Map from above with objects and sources")
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique.keys(), loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)


def _draw_intensity(ax: Axes, means: NDArray[np.float32], intensity: NDArray[np.float32]) -> None:
    """Draw the Gaussians with the largest audio intensity, the largest last."""
    is_loud = intensity > MIN_INTENSITY
    if is_loud.any():
        order = np.argsort(intensity[is_loud])
        points, values = means[is_loud][order], intensity[is_loud][order]
        ax.scatter(
            points[:, 0],
            points[:, 1],
            c=values,
            cmap="autumn_r",
            vmin=MIN_INTENSITY,
            vmax=1.0,
            s=4,
            alpha=0.35,
            linewidths=0,
        )
        ax.plot([], [], marker="o", ms=5, color="#ff8000", ls="none", label="audio intensity")


def _draw_box(ax: Axes, entry: dict[str, Any], colour: tuple[float, ...], name: str) -> None:
    """Draw the footprint of the box of an object."""
    corners = box_corners(box_from_json(entry))[[0, 1, 3, 2], :2]
    ax.add_patch(Polygon(corners, closed=True, fill=False, lw=4, ec="white"))
    ax.add_patch(Polygon(corners, closed=True, fill=False, lw=2.2, ec=colour, label=name))


def _draw_source(ax: Axes, source: dict[str, Any]) -> None:
    """Draw the position of a source and its 95 % ellipse."""
    values, vectors = np.linalg.eigh(np.asarray(source["covariance_m2"])[:2, :2])
    width, height = 2 * np.sqrt(CHI_SQUARED_95 * np.maximum(values, 0))
    angle = float(np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0])))
    position_m = source["position_m"][:2]
    ax.add_patch(Ellipse(position_m, width, height, angle=angle, fill=False, ec="black", lw=1.3, ls="--"))
    label = "source, 95 % ellipse" if source["object_id"] is not None else "source elsewhere, 95 % ellipse"
    ax.plot(*position_m, marker="x", ms=9, mew=2.2, color="black", ls="none", label=label)


def _limit(ax: Axes, means: NDArray[np.float32], path_m: Float64Array) -> None:
    """Limit the axes to the map without outliers and to the camera path."""
    low = np.minimum(np.quantile(means[:, :2], 0.005, axis=0), path_m[:, :2].min(axis=0)) - 0.2
    high = np.maximum(np.quantile(means[:, :2], 0.995, axis=0), path_m[:, :2].max(axis=0)) + 0.2
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])


def draw_timeline(ax: Axes, run: RunFolder) -> None:
    """Draw rows of bars: true sounds, heard intervals of the sounding objects, and the object assigned at each time."""
    rows: list[str] = []
    for true in (run.truth or {"sources": []})["sources"]:
        spans = [(a, b - a) for a, b in true["on_s"]]
        ax.broken_barh(spans, (len(rows) - 0.35, 0.7), color="#d40000", alpha=0.75)
        rows.append(f"truth: {true['object'] or true['name']}")
    for number, entry in enumerate(run.objects["objects"]):
        spans = [(a, b - a) for a, b in entry["heard_s"]]
        ax.broken_barh(spans, (len(rows) - 0.35, 0.7), color=[c / 255 for c in draw.colour(number)])
        rows.append(f"heard: {entry['label']}")
        rows += _draw_reasons(ax, run, entry["id"], len(rows))
    rows += _draw_assignments(ax, run, len(rows))
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    end_s = max([moment["t_s"] for moment in run.timeline], default=1.0)
    ax.set_xlim(0, end_s)
    ax.grid(axis="x", alpha=0.3)
    ax.set(xlabel="time (s)", title="True sounds, heard intervals and assigned objects")


def _draw_reasons(ax: Axes, run: RunFolder, object_id: int, row: int) -> list[str]:
    """Draw a row of marks for the audio windows for an object (up) and for its rival (down); height: their share."""
    reasons = [r for why in run.reasons if why["object_id"] == object_id and why["rank"] == 0 for r in why["windows"]]
    if not reasons:
        return []
    most = max(abs(reason["share"]) for reason in reasons)
    for reason in reasons:
        is_for = reason["share"] > 0
        height = 0.45 * abs(reason["share"]) / most
        ax.plot([reason["t_s"]] * 2, [row, row - height if is_for else row + height], lw=3, solid_capstyle="butt",
                color="#2a7a2a" if is_for else "#b03030")  # fmt: skip
    ax.axhline(row, color="#999999", lw=0.5)
    return ["why: for (up), against (down)"]


def _draw_assignments(ax: Axes, run: RunFolder, first_row: int) -> list[str]:
    """Draw one row for each of the most frequently assigned objects; darker where the probability is larger."""
    assignments: dict[int | None, list[tuple[float, float]]] = {}
    for moment in run.timeline:
        for source in moment["sources"]:
            assignments.setdefault(source["object_id"], []).append((moment["t_s"], source["probability"]))
    most_frequent = sorted(assignments, key=lambda key: -len(assignments[key]))[:TIMELINE_OBJECTS]
    hop_s = float(run.config.sound.hop_s)
    for offset, key in enumerate(most_frequent):
        for t_s, probability in assignments[key]:
            colour = (0.15, 0.3, 0.55, float(np.clip(probability, 0.1, 1.0)))
            ax.broken_barh([(t_s - hop_s, hop_s)], (first_row + offset - 0.35, 0.7), color=colour, linewidth=0)
    return ["assigned: elsewhere" if key is None else f"assigned: object {key}" for key in most_frequent]


def write_figure(path: Path, draw_into: Callable[[Axes], None], size_in: tuple[float, float]) -> Path:
    """Write a figure of `size_in` inches, whose axes `draw_into` fills, as PNG."""
    figure, ax = plt.subplots(figsize=size_in, dpi=130)
    try:
        draw_into(ax)
        with replacing(path) as temporary:
            figure.savefig(temporary, bbox_inches="tight")
    finally:
        plt.close(figure)
    return path
