"""Compile everything before the node says that it is ready: a made-up second of camera and sound, thrown away."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError
from echoseg_ros.mapping import swept
from echoseg_ros.pipeline import Judge, MapSide, SoundSide
from echoseg_ros.sound.array import ArrayGeometry, load_array
from echoseg_ros.types import AudioChunk, AudioFormat, Camera, DepthData, ImageData, MapSnapshot, PoseData

_log = logging.getLogger(__name__)

_FRAMES = 3
_SIZE_PX = (160, 120)


def warm_up(config: Config, array: ArrayGeometry | None, device: str | None) -> None:
    """Run the map (where a device is given), the sound (where an array is), and the judge once."""
    small = dataclasses.replace(
        config, map=dataclasses.replace(config.map, image_width_px=_SIZE_PX[0], steps_per_s=2.0)
    )
    try:
        snapshot = _map(small, device) if device is not None else None
        if device is not None:
            swept.warm_up()
        if array is not None:
            _sound(small, array, snapshot)
    except EchosegError as error:  # the real data will say the same, with a topic's name
        _log.debug("warm-up: %s", error)


def _map(config: Config, device: str) -> MapSnapshot | None:
    width, height = _SIZE_PX
    side = MapSide(config, device)
    side.add(Camera(width, height, 140.0, 140.0, width / 2, height / 2))
    random = np.random.default_rng(0)
    rgb = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
    depth_m = np.full((height, width), 2.0, np.float32)
    depth_m[40:80, 60:100] = 1.5
    snapshot = None
    for i in range(_FRAMES):
        at_ns = (i + 1) * 1_000_000_000
        T_map_camera = np.eye(4)
        T_map_camera[0, 3] = 0.15 * i
        side.add(PoseData(at_ns, T_map_camera))
        side.add(DepthData(at_ns, depth_m))
        snapshot = next(iter(side.add(ImageData(at_ns, rgb))), snapshot)
    return snapshot


def _sound(config: Config, array: ArrayGeometry, snapshot: MapSnapshot | None) -> None:
    side, judge = SoundSide(config.updated({"label.tagger": "off"}), array), Judge(config)
    rate_hz = round(array.sample_rate_hz)
    samples = np.random.default_rng(0).normal(0, 0.1, (2 * rate_hz, array.channels)).astype(np.float32)
    side.add(AudioFormat(rate_hz, array.channels, "S16LE", "WAVE"))
    for at_ns in (0, 1_000_000_000, 2_000_000_000):
        side.poses.add(at_ns, np.eye(4))
    for i in range(0, len(samples), rate_hz // 10):
        chunk = AudioChunk(round(i / rate_hz * 1e9), samples[i : i + rate_hz // 10])
        for evidence in side.add(chunk):
            if snapshot is not None:
                judge.add(evidence, snapshot)


if __name__ == "__main__":  # what `make setup` calls to fill numba's cache
    warm_up(Config(), load_array("cube8"), "cpu")
