"""Compiles all kernels before a node says that it is ready: a made-up second of camera and sound through the pipeline."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import Config
from echoseg_ros.errors import EchosegError
from echoseg_ros.geometry import apply, look_at
from echoseg_ros.mapping.plane_sweep import keyframe_candidates
from echoseg_ros.masks.network.vote_clustering import cluster_votes
from echoseg_ros.objects.instances import InstanceMap
from echoseg_ros.objects.votes import VoteTable
from echoseg_ros.pipeline.map_stage import CameraItem
from echoseg_ros.pipeline.pipeline import Pipeline, SoundBranch
from echoseg_ros.pipeline.sound_stage import SoundItem
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry, load_array
from echoseg_ros.sound.calibration.running_calibration import FIRST_PERIOD_S
from echoseg_ros.types import (
    AudioChunk,
    AudioFormat,
    Camera,
    DepthData,
    Float64Array,
    ImageData,
    MaskProposal,
    PoseData,
)

logger = logging.getLogger(__name__)

# Frames, and their size, that make a small map.
_FRAMES = 3
_WIDTH_PX, _HEIGHT_PX = 160, 120
# Length of the sound: until self-calibration has estimated once, from an array that turns and moves.
_SOUND_S = 2 * FIRST_PERIOD_S + 1.5
_CHUNK_S = 0.1
# The source, and the motion of the array.
_SOURCE_M = np.array([1.5, 0.0, 1.0])
_SPEED_M_PER_S = 0.1
_TURN_RAD = 0.3
# Time of the first sample: after the frames, so that decisions find the map.
_SOUND_START_NS = 10_000_000_000


def warm_up(config: Config, array: ArrayGeometry | None, device: str | None) -> None:
    """Run the map (where a device is given), the sound (where an array is), and the decision (where both are) once."""
    tagger = config.label.tagger if config.label.tagger == "features" else "off"  # a model has no kernels of ours
    small = dataclasses.replace(
        config, map=dataclasses.replace(config.map, image_width_px=_WIDTH_PX, steps_per_s=2.0)
    ).updated({"label.tagger": tagger})
    try:
        if device is not None:
            _run_pipeline(small, array or load_array("cube8"), device, with_sound=array is not None)
        elif array is not None:
            branch = SoundBranch(small, array)
            for item in _sound_items(array):
                branch.hear(item, None)
    except EchosegError as error:  # the real data will raise the same, with a topic's name
        logger.debug("warm-up: %s", error)


def _run_pipeline(config: Config, array: ArrayGeometry, device: str, with_sound: bool) -> None:
    pipeline = Pipeline(config, array, device)
    for camera_item in _camera_items():
        pipeline.add(camera_item)
    pipeline.map_stage.mapper.warm_up()
    keyframe_candidates.warm_up()
    _warm_up_instances()
    if with_sound:
        for sound_item in _sound_items(array):
            pipeline.sound.hear(sound_item, pipeline.snapshot)
        pipeline.sound.decision_stage.score(np.zeros((1, 3), np.float32))


def _camera_items() -> Iterator[CameraItem]:
    """A wall with a box in front of it, from a few positions."""
    yield Camera(_WIDTH_PX, _HEIGHT_PX, 140.0, 140.0, _WIDTH_PX / 2, _HEIGHT_PX / 2)
    rgb = np.random.default_rng(0).integers(0, 255, (_HEIGHT_PX, _WIDTH_PX, 3), dtype=np.uint8)
    depth_m = np.full((_HEIGHT_PX, _WIDTH_PX), 2.0, np.float32)
    depth_m[40:80, 60:100] = 1.5
    for i in range(_FRAMES):
        at_ns = (i + 1) * 1_000_000_000
        yield PoseData(at_ns, _pose(0.0, 0.15 * i))
        yield DepthData(at_ns, depth_m)
        yield ImageData(at_ns, rgb)


def _warm_up_instances() -> None:
    """Kernels that so short a recording does not reach: grouping, merging, and an instance that two views confirm."""
    cluster_votes(np.ones((8, 8), np.float32), np.zeros((4, 4, 2), np.float32), np.full((4, 4), 8, np.float32))
    VoteTable().relabel(np.zeros(0, np.int32))
    random = np.random.default_rng(0)
    instances, count = InstanceMap(), 60
    uids, proposal = np.arange(count), MaskProposal(0, np.ones((2, 2), np.int32), np.ones(1, np.float32), "warm-up")
    for _ in range(2):
        instances.update(uids, np.where(uids[:, None] < 40, (0, 3), (3, 0)).astype(np.float32), proposal)
    means = random.uniform(0, 0.2, (count, 3)).astype(np.float32)
    instances.refresh(uids, means, random.integers(0, 255, (count, 3), dtype=np.uint8))


def _sound_items(array: ArrayGeometry) -> Iterator[SoundItem]:
    """Noise from one point, recorded by an array that turns and moves."""
    rate_hz = round(array.sample_rate_hz)
    yield AudioFormat(rate_hz, array.channels, "S16LE", "WAVE")
    sound = np.random.default_rng(0).normal(0, 0.1, round((_SOUND_S + 1) * rate_hz))
    for i in range(round(_SOUND_S / _CHUNK_S)):
        at_s = i * _CHUNK_S
        at_ns = _SOUND_START_NS + round(at_s * 1e9)
        T_map_camera = _pose(_TURN_RAD * np.sin(at_s), _SPEED_M_PER_S * at_s)
        yield PoseData(at_ns, T_map_camera)
        yield AudioChunk(at_ns, _recorded(sound, at_s, array, T_map_camera))


def _pose(turn_rad: float, moved_m: float) -> Float64Array:
    """Level, moved to the right and turned from where the wall is straight ahead."""
    eye = np.array([0.0, -moved_m, 1.0])
    return look_at(eye, eye + [np.cos(turn_rad), np.sin(turn_rad), 0.0])


def _recorded(
    sound: Float64Array, at_s: float, array: ArrayGeometry, T_map_camera: Float64Array
) -> NDArray[np.float32]:
    """[N, channels] of a chunk: the sound of the source, later at microphones that are farther away."""
    rate_hz = array.sample_rate_hz
    microphones_map = apply(T_map_camera @ array.T_camera_array, array.microphones_m)
    delays_s = np.linalg.norm(_SOURCE_M - microphones_map, axis=1) / SPEED_OF_SOUND_M_PER_S
    at = (0.5 + at_s + np.arange(round(_CHUNK_S * rate_hz))[:, None] / rate_hz - delays_s) * rate_hz
    samples = np.zeros((len(at), array.channels), np.float32)
    samples[:, array.channel_order] = np.interp(at, np.arange(len(sound)), sound)
    return samples


if __name__ == "__main__":  # `make setup` calls this to fill numba's cache
    warm_up(Config(), load_array("cube8"), "cpu")
