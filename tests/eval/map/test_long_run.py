"""The long run: the endless recording, and a row for each minute."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from small_map_bench import SMALL_SETTINGS

from echoseg_ros.config import InputConfig
from echoseg_ros.eval.map.long_run import long_run, loop_recording
from echoseg_ros.eval.map.map_scenes import bag_views
from echoseg_ros.types import AudioChunk, ImageData, PoseData


def test_the_endless_recording_goes_back_and_forth_without_jumps(map_bench_bag: Path) -> None:
    frames = bag_views(map_bench_bag, InputConfig())
    chunks = [AudioChunk(frames[0].stamp_ns + i * 100_000_000, np.full((1600, 8), i, np.float32)) for i in range(30)]
    moments = list(itertools.islice(loop_recording(frames, chunks), 4 * (len(frames) + len(chunks))))
    times_ns = [at_ns for at_ns, _ in moments]
    assert times_ns == sorted(times_ns) and times_ns[-1] == 4 * 3_000_000_000 - 100_000_000
    items = [item for _, entries in moments for item in entries]
    images = [item for item in items if isinstance(item, ImageData)]
    assert set(np.diff([image.stamp_ns for image in images])) == {100_000_000}
    assert images[len(frames)].rgb is frames[-1].rgb and images[2 * len(frames)].rgb is frames[0].rgb
    positions = np.array([item.T_map_camera[:3, 3] for item in items if isinstance(item, PoseData)])
    assert np.linalg.norm(np.diff(positions, axis=0), axis=1).max() < 0.06
    sounds = [item for item in items if isinstance(item, AudioChunk)]
    assert [int(chunk.samples[0, 0]) for chunk in sounds] == [*range(30)] * 4


def test_a_long_run_has_a_row_for_each_minute(map_bench_bag: Path) -> None:
    config = SMALL_SETTINGS.config(map_bench_bag).updated(
        {"map.steps_per_s": 1.0, "sound.hop_s": 2.0, "sound.directions": 200}
    )
    rows = list(long_run(map_bench_bag, config, minutes=1, progress=False))
    assert [row["minute"] for row in rows] == [1]
    assert rows[0]["busy_ms"] > rows[0]["map_ms"] > 0 and rows[0]["rss_mb"] > 50 and rows[0]["gaussians"] > 100
