"""Long run through one room: neither the time of a frame nor the memory may grow.

    python -m echoseg_ros.eval.map.long_run BAG OUT.json

A process of its own, since its memory is measured. The frames of the bag are played forwards and backwards alternately,
so the pose never jumps; the audio is played forwards each time; stamps always increase.
"""

from __future__ import annotations

from echoseg_ros.cores import share_cores

share_cores()

import argparse  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from echoseg_ros.config import Config  # noqa: E402
from echoseg_ros.eval.map.map_scenes import bag_views  # noqa: E402
from echoseg_ros.eval.map.step_time import visible_scene  # noqa: E402
from echoseg_ros.eval.memory import rss_mb  # noqa: E402
from echoseg_ros.io.bag import BagReader  # noqa: E402
from echoseg_ros.io.files import write_json  # noqa: E402
from echoseg_ros.mapping.rasterizers.numba.backend import NumbaRasterizer  # noqa: E402
from echoseg_ros.pipeline.map_stage import CameraItem  # noqa: E402
from echoseg_ros.pipeline.pipeline import Pipeline  # noqa: E402
from echoseg_ros.pipeline.replay import bag_array  # noqa: E402
from echoseg_ros.pipeline.sound_stage import SoundItem  # noqa: E402
from echoseg_ros.types import AudioChunk, CameraFrame, DepthData, ImageData, PoseData  # noqa: E402

MINUTE_NS = 60_000_000_000
# The fixed kernel is a render by the same code and threads as the map's: width px, height px, number of Gaussians.
_KERNEL_VIEW = (320, 240, 10_000)
# Frames between two measurements of the fixed kernel.
_KERNEL_EVERY_FRAMES = 20
# Renders in each measurement of the fixed kernel.
_KERNEL_REPEATS = 3

Item = CameraItem | SoundItem


def long_run(bag: Path, config: Config, minutes: int, progress: bool = True) -> Iterator[dict[str, Any]]:
    """Yield a row for each recorded minute of the whole pipeline, run without a clock.

    busy_ms: mean time a frame of map and sound, map_ms: of the map alone; kernel_ms: median time of the fixed kernel;
    busy_per_kernel: busy_ms / kernel_ms, which depends little on the load of the machine; rss_mb: resident memory at the
    end of the minute.
    """
    reader = BagReader(bag)
    frames = bag_views(bag, config.input)
    chunks = [item for item in reader.messages() if isinstance(item, AudioChunk)]
    pipeline = Pipeline(config, bag_array(bag, config), "cpu")
    pipeline.add(reader.camera)
    if reader.audio_format is not None:
        pipeline.add(reader.audio_format)
    kernel = fixed_kernel()
    minute = _Minute()
    finished_minutes = 0
    with tqdm(total=minutes * 60, desc="long run", unit=" s recorded", disable=not progress) as bar:
        for at_ns, items in loop_recording(frames, chunks):
            if at_ns >= (finished_minutes + 1) * MINUTE_NS:
                finished_minutes += 1
                yield {"minute": finished_minutes, **minute.figures(pipeline)}
                minute = _Minute()
                bar.update(60)
                if finished_minutes >= minutes:
                    return
            for item in items:
                minute.add(pipeline, item)
            if minute.frames % _KERNEL_EVERY_FRAMES == 0 and isinstance(items[-1], ImageData):
                minute.kernel_ms += [_milliseconds(kernel) for _ in range(_KERNEL_REPEATS)]


def loop_recording(frames: Sequence[CameraFrame], chunks: Sequence[AudioChunk]) -> Iterator[tuple[int, list[Item]]]:
    """Yield (nanoseconds since the start, messages of that moment) of a recording played back and forth without end.

    frames: at a constant rate; chunks: audio that is not longer than the frames.
    """
    period_ns = round(float(np.median(np.diff([frame.stamp_ns for frame in frames]))))
    start_ns, length_ns = frames[0].stamp_ns, period_ns * len(frames)
    audio = [chunk for chunk in chunks if 0 <= chunk.stamp_ns - start_ns < length_ns]
    round_number = 0
    while True:
        begin_ns = start_ns + round_number * length_ns
        order = frames if round_number % 2 == 0 else frames[::-1]
        moments: list[tuple[int, list[Item]]] = [
            (begin_ns + i * period_ns, _messages(frame, begin_ns + i * period_ns)) for i, frame in enumerate(order)
        ]
        moments += [(at_ns := begin_ns + c.stamp_ns - start_ns, [AudioChunk(at_ns, c.samples)]) for c in audio]
        for at_ns, items in sorted(moments, key=lambda moment: moment[0]):
            yield at_ns - start_ns, items
        round_number += 1


def _messages(frame: CameraFrame, at_ns: int) -> list[Item]:
    messages: list[Item] = [PoseData(at_ns, frame.T_map_camera)]
    if frame.depth_m is not None:
        messages.append(DepthData(at_ns, frame.depth_m))
    return [*messages, ImageData(at_ns, frame.rgb)]


def fixed_kernel() -> Callable[[], object]:
    """A fixed amount of work as a function, already compiled: one render of a constant scene."""
    gaussians, camera = visible_scene(*_KERNEL_VIEW, seed=0)
    rasterizer = NumbaRasterizer()

    @torch.no_grad()
    def draw() -> object:
        return rasterizer.render(gaussians, camera, np.eye(4))

    draw()
    return draw


class _Minute:
    """Times and counts of one recorded minute."""

    def __init__(self) -> None:
        self.frames = 0
        self.map_ms = 0.0
        self.sound_ms = 0.0
        self.kernel_ms: list[float] = []

    def add(self, pipeline: Pipeline, item: Item) -> None:
        spent_ms = _milliseconds(lambda: pipeline.add(item))
        if isinstance(item, AudioChunk):
            self.sound_ms += spent_ms
        else:
            self.map_ms += spent_ms
        self.frames += isinstance(item, ImageData)

    def figures(self, pipeline: Pipeline) -> dict[str, float]:
        busy_ms, kernel_ms = (self.map_ms + self.sound_ms) / self.frames, float(np.median(self.kernel_ms))
        return {
            "busy_ms": round(busy_ms, 4),
            "map_ms": round(self.map_ms / self.frames, 4),
            "kernel_ms": round(kernel_ms, 4),
            "busy_per_kernel": round(busy_ms / kernel_ms, 5),
            "rss_mb": round(rss_mb(), 1),
            "gaussians": len(pipeline.map_stage.mapper.gaussians),
            "keyframes": pipeline.map_stage.keyframes,
            "steps": pipeline.map_stage.mapper.steps_done,
        }


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def _main() -> None:
    parser = argparse.ArgumentParser(description="A long run of the map: time and memory of each recorded minute.")
    parser.add_argument("bag", type=Path)
    parser.add_argument("out", type=Path, help="JSON file of the rows")
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--steps-per-s", type=float, default=6.0)
    parser.add_argument("--width", type=int, default=160, help="of the map's images, px")
    parser.add_argument("--quiet", action="store_true")
    a = parser.parse_args()
    config = Config().updated({"map.image_width_px": a.width, "map.steps_per_s": a.steps_per_s})
    rows = []
    for row in long_run(a.bag, config, a.minutes, not a.quiet):
        rows.append(row)
        write_json(a.out, rows)


if __name__ == "__main__":
    _main()
