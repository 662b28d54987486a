"""The map as on a robot: frames come at 30 Hz whether it is ready or not; every frame it takes is mapped and lifted."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import Config, settings
from echoseg_ros.mapping.mapper import Mapper
from echoseg_ros.types import Camera, CameraFrame
from gpu_check.frames import Recording
from gpu_check.memory import peak_vram_gb, reset_peak, wait

INTAKE_HZ = 30.0
# Proposals in a picture: 6 x 5 cells, and the background.
LABEL_COLUMNS, LABEL_ROWS = 6, 5
CLASSES = LABEL_COLUMNS * LABEL_ROWS + 1


@dataclass(frozen=True)
class OnlineResult:
    """What the map did with a recording.

    keyframes_hz: keyframes mapped, lifted and optimised by the set number of steps per second of intake (30 at most);
    busy_keyframes_hz: the same per second of work on them, so what it could do; steps_hz: optimisation steps per second;
    psnr_db: mean over held-out views, fitted with the best gain and bias for each; vram_gb: torch's peak, 0 on a CPU.
    """

    keyframes: int
    dropped: int
    keyframes_hz: float
    busy_keyframes_hz: float
    insert_ms: float
    lift_ms: float
    steps_hz: float
    psnr_db: float
    fitted_psnr_db: float
    vram_gb: float
    gaussians: int


def online_config(recording: Recording, backend: str, max_gaussians: int, vram_gb: float) -> Config:
    """The map at the recording's own size, every frame it is given a keyframe."""
    at_least = [key for key, _ in settings() if key.startswith("keyframes.min_")]
    return Config().updated(
        {
            "map.backend": backend,
            "map.image_width_px": recording.camera.width,
            "map.max_gaussians": max_gaussians,
            "map.vram_gb": vram_gb,
            **dict.fromkeys(at_least, 0.0),
            "keyframes.max_count": 1000,
        }
    )


def run_online(recording: Recording, config: Config, device: str, steps_per_keyframe: int) -> OnlineResult:
    """Map a recording whose frames come at INTAKE_HZ; those that come while the map is busy are dropped.

    Time that is left until the next frame goes into optimisation steps.
    """
    training = recording.training
    _warm_up(training[:2], config, device, steps_per_keyframe)
    reset_peak(device)
    mapper = Mapper(config, device)
    labels = proposal_labels(recording.camera)
    times = _Times()
    steps, keyframes, last = 0, 0, -1
    start = time.perf_counter()
    while last < len(training) - 1:
        newest = min(int((time.perf_counter() - start) * INTAKE_HZ), len(training) - 1)
        if newest > last:
            _take(mapper, training[newest], labels, steps_per_keyframe, device, times)
            keyframes += 1
            last = newest
        else:
            mapper.optimise(1)
            steps += 1
    wait(device)
    elapsed_s = time.perf_counter() - start
    steps += keyframes * steps_per_keyframe
    psnr, fitted = held_out_quality(mapper, recording)
    return OnlineResult(
        keyframes=keyframes,
        dropped=len(training) - keyframes,
        keyframes_hz=keyframes / elapsed_s,
        busy_keyframes_hz=keyframes / (times.insert_s + times.lift_s + times.steps_s),
        insert_ms=1000 * times.insert_s / keyframes,
        lift_ms=1000 * times.lift_s / keyframes,
        steps_hz=steps / elapsed_s,
        psnr_db=psnr,
        fitted_psnr_db=fitted,
        vram_gb=peak_vram_gb(device),
        gaussians=len(mapper.gaussians),
    )


def held_out_quality(mapper: Mapper, recording: Recording) -> tuple[float, float]:
    """(PSNR, PSNR with fitted exposure) in dB, means over the held-out views."""
    values = [(mapper.psnr_db(frame), mapper.psnr_db(frame, compensate_exposure=True)) for frame in recording.held_out]
    psnr, fitted = np.mean(values, axis=0)
    return float(psnr), float(fitted)


def proposal_labels(camera: Camera) -> NDArray[np.int32]:
    """[H, W] labels 1..30, a cell of the picture each, and 0 around every cell."""
    column, column_part = np.divmod(np.arange(camera.width) * LABEL_COLUMNS / camera.width, 1)
    row, row_part = np.divmod(np.arange(camera.height) * LABEL_ROWS / camera.height, 1)
    cells = 1 + row[:, None] * LABEL_COLUMNS + column[None]
    inside = (np.abs(row_part - 0.5) < 0.4)[:, None] & (np.abs(column_part - 0.5) < 0.4)[None]
    return np.where(inside, cells, 0).astype(np.int32)


@dataclass
class _Times:
    insert_s: float = 0.0
    lift_s: float = 0.0
    steps_s: float = 0.0


def _take(
    mapper: Mapper, frame: CameraFrame, labels: NDArray[np.int32], steps: int, device: str, times: _Times
) -> None:
    """One keyframe; the waits between the stages are for the times only."""
    begin = time.perf_counter()
    taken = mapper.add_frame(frame)
    assert taken, "every frame given is a keyframe, at its own size"
    wait(device)
    inserted = time.perf_counter()
    mapper.lift(frame.camera, frame.T_map_camera, labels, CLASSES)
    wait(device)
    lifted = time.perf_counter()
    mapper.optimise(steps)
    wait(device)
    times.insert_s += inserted - begin
    times.lift_s += lifted - inserted
    times.steps_s += time.perf_counter() - lifted


def _warm_up(frames: tuple[CameraFrame, ...], config: Config, device: str, steps: int) -> None:
    """Compile kernels and fill the allocator, on a map that is thrown away."""
    mapper = Mapper(config, device)
    mapper.warm_up()
    for frame in frames:
        _take(mapper, frame, proposal_labels(frame.camera), steps, device, _Times())
