"""Compile everything before the node says that it is ready: a made-up second of camera and sound, thrown away."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError
from echoseg_ros.geometry import apply, look_at
from echoseg_ros.mapping.plane_sweep import candidates
from echoseg_ros.masks.network.grouping import group
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.votes import VoteTable
from echoseg_ros.pipeline.decision_stage import DecisionStage
from echoseg_ros.pipeline.map_stage import MapStage
from echoseg_ros.pipeline.sound_stage import SoundStage
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry, load_array
from echoseg_ros.sound.calibration.self_calibration import PERIOD_S
from echoseg_ros.types import (
    AudioChunk,
    AudioFormat,
    Camera,
    DepthData,
    Float64Array,
    ImageData,
    MapSnapshot,
    MaskProposal,
    PoseData,
)

_log = logging.getLogger(__name__)

_FRAMES = 3
_SIZE_PX = (160, 120)
# What is heard lasts until the self-calibration has estimated once, from an array that turns and moves.
_SOUND_S, _CHUNK_S = 2 * PERIOD_S + 1.5, 0.1
_SOURCE_M, _SPEED_M_PER_S, _TURN_RAD = np.array([1.5, 0.0, 1.0]), 0.1, 0.3


def warm_up(config: Config, array: ArrayGeometry | None, device: str | None) -> None:
    """Run the map (where a device is given), the sound (where an array is), and the judge once."""
    small = dataclasses.replace(
        config, map=dataclasses.replace(config.map, image_width_px=_SIZE_PX[0], steps_per_s=2.0)
    )
    try:
        snapshot = _map(small, device) if device is not None else None
        if device is not None:
            candidates.warm_up()
        if array is not None:
            _sound(small, array, snapshot)
    except EchosegError as error:  # the real data will say the same, with a topic's name
        _log.debug("warm-up: %s", error)


def _map(config: Config, device: str) -> MapSnapshot | None:
    width, height = _SIZE_PX
    side = MapStage(config, device)
    side.add(Camera(width, height, 140.0, 140.0, width / 2, height / 2))
    random = np.random.default_rng(0)
    rgb = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
    depth_m = np.full((height, width), 2.0, np.float32)
    depth_m[40:80, 60:100] = 1.5
    snapshot = None
    for i in range(_FRAMES):
        at_ns = (i + 1) * 1_000_000_000
        T_map_camera = _pose(0.0, 0.15 * i)
        side.add(PoseData(at_ns, T_map_camera))
        side.add(DepthData(at_ns, depth_m))
        snapshot = next(iter(side.add(ImageData(at_ns, rgb))), snapshot)
    side.mapper.warm_up()
    group(np.ones((8, 8), np.float32), np.zeros((4, 4, 2), np.float32), np.full((4, 4), 8, np.float32))
    VoteTable().rename(np.zeros(0, np.int32))  # instances that merge or go
    _instance(random)
    return snapshot


def _instance(random: np.random.Generator) -> None:
    """One that two views confirm."""
    instances, count = InstanceMap(), 60
    uids, proposal = np.arange(count), MaskProposal(0, np.ones((2, 2), np.int32), np.ones(1, np.float32), "warm-up")
    for _ in range(2):
        instances.update(uids, np.where(uids[:, None] < 40, (0, 3), (3, 0)).astype(np.float32), proposal)
    means = random.uniform(0, 0.2, (count, 3)).astype(np.float32)
    instances.instances(uids, means, random.integers(0, 255, (count, 3), dtype=np.uint8))


def _sound(config: Config, array: ArrayGeometry, snapshot: MapSnapshot | None) -> None:
    tagger = config.label.tagger if config.label.tagger == "features" else "off"  # a model has no kernels of ours
    side = SoundStage(config.updated({"label.tagger": tagger}), array)
    judge = DecisionStage(config)
    rate_hz = round(array.sample_rate_hz)
    side.add(AudioFormat(rate_hz, array.channels, "S16LE", "WAVE"))
    sound = np.random.default_rng(0).normal(0, 0.1, round((_SOUND_S + 1) * rate_hz))
    for i in range(round(_SOUND_S / _CHUNK_S)):
        at_s = i * _CHUNK_S
        T_map_camera = _pose(_TURN_RAD * np.sin(at_s), _SPEED_M_PER_S * at_s)
        side.add(PoseData(round(at_s * 1e9), T_map_camera))
        samples = _arriving(sound, at_s, array, T_map_camera)
        for evidence in side.add(AudioChunk(round(at_s * 1e9), samples)):
            if snapshot is not None:
                side.ear.name(judge.add(evidence, snapshot))
                judge.score(np.zeros((1, 3), np.float32))


def _pose(turn_rad: float, moved_m: float) -> Float64Array:
    """Level, moved to the right and turned from where the wall is straight ahead."""
    eye = np.array([0.0, -moved_m, 1.0])
    return look_at(eye, eye + [np.cos(turn_rad), np.sin(turn_rad), 0.0])


def _arriving(
    sound: Float64Array, at_s: float, array: ArrayGeometry, T_map_camera: Float64Array
) -> NDArray[np.float32]:
    """[N, channels] of a chunk: the sound of one point, later at the microphones that are farther."""
    rate_hz = array.sample_rate_hz
    microphones_map = apply(T_map_camera @ array.T_camera_array, array.microphones_m)
    late_s = np.linalg.norm(_SOURCE_M - microphones_map, axis=1) / SPEED_OF_SOUND_M_PER_S
    at = (0.5 + at_s + np.arange(round(_CHUNK_S * rate_hz))[:, None] / rate_hz - late_s) * rate_hz
    samples = np.zeros((len(at), array.channels), np.float32)
    samples[:, array.channel_order] = np.interp(at, np.arange(len(sound)), sound)
    return samples


if __name__ == "__main__":  # what `make setup` calls to fill numba's cache
    warm_up(Config(), load_array("cube8"), "cpu")
