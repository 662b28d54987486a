"""Measurements of `echoseg bench map`: each `measure_...` function runs one case and returns its rows.

online: a replay in real time through the whole pipeline, in which the map is optimised in spare time.
offline: the same frames in the same order without a clock, then many more steps: the ceiling of the same code.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError
from echoseg_ros.eval.bench import Row, commit
from echoseg_ros.eval.checkpoint import load_checkpoint, save_checkpoint
from echoseg_ros.eval.map.bench_map_plot import plot_minutes
from echoseg_ros.eval.map.held_out_scores import score_views, summary, write_side_by_side
from echoseg_ros.eval.map.map_scenes import bag_views, is_held_out
from echoseg_ros.eval.map.step_time import step_times
from echoseg_ros.eval.memory import peak_rss_mb, reset_peak_rss
from echoseg_ros.io.bag import BagReader
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.mapping.plane_sweep import keyframe_candidates
from echoseg_ros.pipeline.replay import ReplayOptions, bag_array, bag_config, replay_bag
from echoseg_ros.pipeline.warmup import warm_up
from echoseg_ros.types import CameraFrame
from echoseg_ros.units import scaled_frame

# Optimisation steps between two updates of the progress bar.
_PROGRESS_STEPS = 50
# Optimisation steps between two checkpoints.
_CHECKPOINT_STEPS = 2_500


@dataclass(frozen=True)
class BenchSettings:
    """Extent of the measurements.

    image_width_px: width of the map's images; offline_steps: total numbers of steps after which an offline map is
    scored; scale_factors: factors of poses and depths, compared with factor 1; feeding_steps_per_s: optimisation steps
    a recorded second while frames are added offline; flat_minutes, flat_steps_per_s: length of the long run and its
    steps a recorded second.
    """

    image_width_px: int = 160
    offline_steps: tuple[int, ...] = (7_000, 30_000)
    scale_factors: tuple[float, ...] = (1.0, 0.1, 10.0)
    feeding_steps_per_s: float = 20.0
    flat_minutes: int = 30
    flat_steps_per_s: float = 6.0
    progress: bool = True

    def config(self, bag: Path) -> Config:
        """Configuration of a run of that bag, in which every 8th frame is held out."""
        return bag_config(bag).updated({"map.image_width_px": self.image_width_px})


def measure_online(name: str, bag: Path, pictures: Path, settings: BenchSettings, use_depth: bool) -> list[Row]:
    """One row: the whole pipeline in real time. Without `use_depth`, recorded depth is only used to score the map."""
    config = settings.config(bag)
    array = bag_array(bag, config)
    warm_up(config, array, "cpu")
    keyframe_candidates.warm_up()
    reset_peak_rss()
    options = ReplayOptions("cpu", use_depth, realtime=True, progress=settings.progress)
    start = time.perf_counter()
    run = replay_bag(BagReader(bag), config, array, options)
    counters = run.counters
    seconds, peak_mb = time.perf_counter() - start, peak_rss_mb()
    stamps = {frame.stamp_ns for frame in run.map_stage.held_out.frames}
    views = [v for v in bag_views(bag, config.input, settings.image_width_px) if v.stamp_ns in stamps]
    row = {
        **_score_row(name, run.map_stage.mapper, views, pictures),
        "keyframes": counters.keyframes,
        "seconds": round(seconds, 2),
        "peak_rss_mb": round(peak_mb, 1),
        "realtime_factor": round(counters.recorded_s / max(counters.busy_s.values()), 3),
        "frames_dropped": counters.frames_dropped,
    }
    return [row]


@dataclass
class _OfflineState:
    """Progress of an offline case. seconds: time spent on mapping alone."""

    mapper: Mapper
    keyframes: int
    seconds: float
    rows: list[Row]


def measure_offline(
    name: str, bag: Path, pictures: Path, settings: BenchSettings, use_depth: bool, checkpoint: Path
) -> list[Row]:
    """A row for each number of steps in `offline_steps`. seconds: time of all mapping up to that number.

    Continues from `checkpoint`, written every _CHECKPOINT_STEPS steps, if the same code wrote it with the same settings.
    """
    config = settings.config(bag)
    frames = bag_views(bag, config.input, settings.image_width_px)
    held_out = _held_out(frames, config)
    key = (commit(), replace(settings, progress=False))
    reset_peak_rss()
    state: _OfflineState = load_checkpoint(checkpoint, key) or _feed_offline_map(frames, config, settings, use_depth)
    for steps in settings.offline_steps[len(state.rows) :]:
        for target in [*range(0, steps, _CHECKPOINT_STEPS), steps]:
            start = time.perf_counter()
            optimise_to_total(state.mapper, target, name, settings.progress)
            state.seconds += time.perf_counter() - start
            if target == state.mapper.steps_done:
                save_checkpoint(checkpoint, key, state)
        row = _score_row(f"{name}/{steps}", state.mapper, held_out, pictures)
        cost = {"seconds": round(state.seconds, 2), "peak_rss_mb": round(peak_rss_mb(), 1)}
        state.rows.append({**row, "keyframes": state.keyframes, **cost})
        save_checkpoint(checkpoint, key, state)
    return state.rows


def _feed_offline_map(
    frames: Sequence[CameraFrame], config: Config, settings: BenchSettings, use_depth: bool
) -> _OfflineState:
    mapper = Mapper(config)
    mapper.warm_up()
    start = time.perf_counter()
    keyframes = feed_frames(mapper, frames, config, settings, use_depth)
    return _OfflineState(mapper, keyframes, time.perf_counter() - start, [])


def measure_scale(name: str, bag: Path, settings: BenchSettings) -> list[Row]:
    """A row for each factor by which poses and depths are multiplied, with and without depth.

    psnr_change_db: difference to factor 1. Depth errors are relative and do not depend on the unit.
    """
    config = settings.config(bag).updated({"input.pose_units": "arbitrary"})
    frames = bag_views(bag, config.input, settings.image_width_px)
    rows: list[Row] = []
    for mode, use_depth in (("rgbd", True), ("rgb_only", False)):
        first_db: float | None = None
        for factor in settings.scale_factors:
            scaled = [scaled_frame(frame, factor) for frame in frames]
            start = time.perf_counter()
            mapper = Mapper(config)
            keyframes = feed_frames(mapper, scaled, config, settings, use_depth)
            seconds = time.perf_counter() - start
            row = _score_row(f"{name}/{mode}/x{factor:g}", mapper, _held_out(scaled, config), None)
            first_db = row["psnr_db"] if first_db is None else first_db
            change_db = round(row["psnr_db"] - first_db, 4)
            rows.append({**row, "keyframes": keyframes, "seconds": round(seconds, 2), "psnr_change_db": change_db})
    return rows


def measure_step(name: str) -> list[Row]:
    """One row: time of an optimisation step, ours and that of tiled torch."""
    return [{"case": name, **step_times()}]


def measure_long_run(name: str, bag: Path, runs: Path, settings: BenchSettings) -> list[Row]:
    """A row for each minute of a long run, and a plot. Raises EchosegError if the process of the run fails.

    The run has a process of its own, so that its memory can be measured.
    """
    result = runs / "flat_minutes.json"
    options = ["--minutes", str(settings.flat_minutes), "--steps-per-s", str(settings.flat_steps_per_s)]
    options += ["--width", str(settings.image_width_px)] + ([] if settings.progress else ["--quiet"])
    command = [sys.executable, "-m", "echoseg_ros.eval.map.long_run", str(bag), str(result), *options]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise EchosegError(f"the long run ended with exit code {code}: see its messages above")
    rows = [{"case": f"{name}/{row['minute']}", **row} for row in json.loads(result.read_text())]
    plot_minutes(runs / "flat.png", rows)
    return rows


def feed_frames(
    mapper: Mapper, frames: Iterable[CameraFrame], config: Config, settings: BenchSettings, use_depth: bool
) -> int:
    """Add the frames that are not held out to the map, with the steps due in between; returns the number of keyframes."""
    keyframes, due_steps, newest_ns = 0, 0.0, None
    for frame in tqdm(list(frames), "frames", unit="frame", disable=not settings.progress, leave=False):
        if is_held_out(frame, config.input.hold_out_every):
            continue
        keyframes += len(mapper.add_frame(frame if use_depth else replace(frame, depth_m=None)))
        due_steps += 0.0 if newest_ns is None else settings.feeding_steps_per_s * (frame.stamp_ns - newest_ns) / 1e9
        newest_ns = frame.stamp_ns
        mapper.optimise(int(due_steps))
        due_steps -= int(due_steps)
    return keyframes + len(mapper.finish())


def optimise_to_total(mapper: Mapper, steps: int, name: str, progress: bool) -> None:
    """Optimise until the map has had `steps` steps in total; a map without a keyframe is left unchanged."""
    with tqdm(total=steps, initial=mapper.steps_done, desc=name, unit="step", disable=not progress, leave=False) as bar:
        while (missing := steps - mapper.steps_done) > 0:
            before = mapper.steps_done
            mapper.optimise(min(missing, _PROGRESS_STEPS))
            if mapper.steps_done == before:
                return
            bar.update(mapper.steps_done - before)


def _held_out(frames: Sequence[CameraFrame], config: Config) -> list[CameraFrame]:
    return [frame for frame in frames if is_held_out(frame, config.input.hold_out_every)]


def _score_row(name: str, mapper: Mapper, views: Sequence[CameraFrame], pictures: Path | None) -> Row:
    """Scores of the map in held-out views; `pictures`: folder for views beside the truth, None for no pictures."""
    scores = score_views(mapper, views)
    if pictures is not None:
        write_side_by_side(pictures, name.replace("/", "_"), scores)
    return {"case": name, "steps": mapper.steps_done, **summary(scores), "gaussians": len(mapper.gaussians)}
