"""What `echoseg bench map` measures: each function runs one case and returns its rows.

online: a replay at the recording's pace, the live map optimising in its spare time, masks, objects and sound beside it.
offline: the same frames in the same order without a clock, then many more steps: what the same code can reach at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError
from echoseg_ros.eval.bench import commit
from echoseg_ros.eval.checkpoint import load_checkpoint, save_checkpoint
from echoseg_ros.eval.map.bench_map_plot import plot_minutes
from echoseg_ros.eval.map.held_out_scores import score_views, summary, write_side_by_side
from echoseg_ros.eval.map.map_scenes import bag_views, is_held_out
from echoseg_ros.eval.map.step_time import step_times
from echoseg_ros.eval.memory import forget_peak, peak_rss_mb
from echoseg_ros.io.bag import BagReader
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.mapping.plane_sweep import keyframe_candidates
from echoseg_ros.pipeline.replay import ReplayOptions, bag_array, bag_config, replay_bag
from echoseg_ros.pipeline.warmup import warm_up
from echoseg_ros.types import CameraFrame
from echoseg_ros.units import scaled_frame

Row = dict[str, Any]
# Between two updates of the progress bar, and between two checkpoints.
_STEPS_AT_ONCE, _CHECKPOINT_STEPS = 50, 2_500


@dataclass(frozen=True)
class BenchSettings:
    """How much is done.

    image_width_px: of the map; offline_steps: totals at which an offline map is judged; scale_factors: 1 is the one
    the others are compared with; fed_steps_per_s: per recorded second while frames come in offline; flat_minutes,
    flat_steps_per_s: of the long run.
    """

    image_width_px: int = 160
    offline_steps: tuple[int, ...] = (7_000, 30_000)
    scale_factors: tuple[float, ...] = (1.0, 0.1, 10.0)
    fed_steps_per_s: float = 20.0
    flat_minutes: int = 30
    flat_steps_per_s: float = 6.0
    progress: bool = True

    def config(self, bag: Path) -> Config:
        """What a run of that bag is made with: every 8th frame held out."""
        return bag_config(bag).updated({"map.image_width_px": self.image_width_px})


def online(name: str, bag: Path, pictures: Path, settings: BenchSettings, use_depth: bool) -> list[Row]:
    """One row: the whole pipeline in real time. Without depth the recording's own still judges the map's."""
    config = settings.config(bag)
    array = bag_array(bag, config)
    warm_up(config, array, "cpu")
    keyframe_candidates.warm_up()
    forget_peak()
    options = ReplayOptions("cpu", use_depth, realtime=True, progress=settings.progress)
    start = time.perf_counter()
    run = replay_bag(BagReader(bag), config, array, options)
    counters = run.counters
    seconds, peak_mb = time.perf_counter() - start, peak_rss_mb()
    stamps = {frame.stamp_ns for frame in run.map_stage.held_out.frames}
    views = [v for v in bag_views(bag, config.input, settings.image_width_px) if v.stamp_ns in stamps]
    row = {
        **_judged(name, run.map_stage.mapper, views, pictures),
        "keyframes": counters.keyframes,
        "seconds": round(seconds, 2),
        "peak_rss_mb": round(peak_mb, 1),
        "realtime_factor": round(counters.recorded_s / max(counters.busy_s.values()), 3),
        "frames_dropped": counters.frames_dropped,
    }
    return [row]


@dataclass
class _Offline:
    """How far an offline case has come. seconds: of mapping alone."""

    mapper: Mapper
    keyframes: int
    seconds: float
    rows: list[Row]


def offline(
    name: str, bag: Path, pictures: Path, settings: BenchSettings, use_depth: bool, checkpoint: Path
) -> list[Row]:
    """A row for each number of steps in `offline_steps`. seconds: of all work up to there.

    Goes on from `checkpoint`, written every few thousand steps, if the same code left it with the same settings.
    """
    config = settings.config(bag)
    frames = bag_views(bag, config.input, settings.image_width_px)
    held_out = _held_out(frames, config)
    key = (commit(), replace(settings, progress=False))
    forget_peak()
    done: _Offline = load_checkpoint(checkpoint, key) or _fed(frames, config, settings, use_depth)
    for steps in settings.offline_steps[len(done.rows) :]:
        for target in [*range(0, steps, _CHECKPOINT_STEPS), steps]:
            start = time.perf_counter()
            optimise_to(done.mapper, target, name, settings.progress)
            done.seconds += time.perf_counter() - start
            if target == done.mapper.steps_done:
                save_checkpoint(checkpoint, key, done)
        row = _judged(f"{name}/{steps}", done.mapper, held_out, pictures)
        cost = {"seconds": round(done.seconds, 2), "peak_rss_mb": round(peak_rss_mb(), 1)}
        done.rows.append({**row, "keyframes": done.keyframes, **cost})
        save_checkpoint(checkpoint, key, done)
    return done.rows


def _fed(frames: Sequence[CameraFrame], config: Config, settings: BenchSettings, use_depth: bool) -> _Offline:
    mapper = Mapper(config)
    mapper.warm_up()
    start = time.perf_counter()
    keyframes = feed(mapper, frames, config, settings, use_depth)
    return _Offline(mapper, keyframes, time.perf_counter() - start, [])


def scale(name: str, bag: Path, settings: BenchSettings) -> list[Row]:
    """A row for each factor by which poses and depths are multiplied, with and without depth.

    psnr_change_db: against factor 1; the depth's error is relative, so it needs no unit.
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
            keyframes = feed(mapper, scaled, config, settings, use_depth)
            seconds = time.perf_counter() - start
            row = _judged(f"{name}/{mode}/x{factor:g}", mapper, _held_out(scaled, config), None)
            first_db = row["psnr_db"] if first_db is None else first_db
            change_db = round(row["psnr_db"] - first_db, 4)
            rows.append({**row, "keyframes": keyframes, "seconds": round(seconds, 2), "psnr_change_db": change_db})
    return rows


def step(name: str) -> list[Row]:
    """One row: how long an optimisation step takes, next to tiled torch."""
    return [{"case": name, **step_times()}]


def flat(name: str, bag: Path, runs: Path, settings: BenchSettings) -> list[Row]:
    """A row for each minute of a long run in a process of its own, so that its memory is its own; and a plot.

    Raises EchosegError if that process fails.
    """
    result = runs / "flat_minutes.json"
    options = ["--minutes", str(settings.flat_minutes), "--steps-per-s", str(settings.flat_steps_per_s)]
    options += ["--width", str(settings.image_width_px)] + ([] if settings.progress else ["--quiet"])
    command = [sys.executable, "-m", "echoseg_ros.eval.map.long_run", str(bag), str(result), *options]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise EchosegError(f"the long run ended with exit code {code} (what it said stands above)")
    rows = [{"case": f"{name}/{row['minute']}", **row} for row in json.loads(result.read_text())]
    plot_minutes(runs / "flat.png", rows)
    return rows


def feed(
    mapper: Mapper, frames: Iterable[CameraFrame], config: Config, settings: BenchSettings, use_depth: bool
) -> int:
    """The frames that are not held out into the map in their order, with the steps due; returns how many joined it."""
    joined, due, newest_ns = 0, 0.0, None
    for frame in tqdm(list(frames), "frames", unit="frame", disable=not settings.progress, leave=False):
        if is_held_out(frame, config.input.hold_out_every):
            continue
        joined += len(mapper.add_frame(frame if use_depth else replace(frame, depth_m=None)))
        due += 0.0 if newest_ns is None else settings.fed_steps_per_s * (frame.stamp_ns - newest_ns) / 1e9
        newest_ns = frame.stamp_ns
        mapper.optimise(int(due))
        due -= int(due)
    return joined + len(mapper.finish())


def optimise_to(mapper: Mapper, steps: int, name: str, progress: bool) -> None:
    """Optimise until that many steps were done in total; a map without a keyframe stays as it is."""
    with tqdm(total=steps, initial=mapper.steps_done, desc=name, unit="step", disable=not progress, leave=False) as bar:
        while (missing := steps - mapper.steps_done) > 0:
            before = mapper.steps_done
            mapper.optimise(min(missing, _STEPS_AT_ONCE))
            if mapper.steps_done == before:
                return
            bar.update(mapper.steps_done - before)


def _held_out(frames: Sequence[CameraFrame], config: Config) -> list[CameraFrame]:
    return [frame for frame in frames if is_held_out(frame, config.input.hold_out_every)]


def _judged(name: str, mapper: Mapper, views: Sequence[CameraFrame], pictures: Path | None) -> Row:
    """What the map is worth in those views; with `pictures` also side by side."""
    scores = score_views(mapper, views)
    if pictures is not None:
        write_side_by_side(pictures, name.replace("/", "_"), scores)
    return {"case": name, "steps": mapper.steps_done, **summary(scores), "gaussians": len(mapper.gaussians)}
