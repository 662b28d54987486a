"""The map online as on a robot: frames arrive at 30 Hz; each frame that is not dropped becomes a keyframe and is lifted."""

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

# Rate at which frames arrive, Hz.
INTAKE_HZ = 30.0
# Proposals of a view: columns and rows of cells.
LABEL_COLUMNS, LABEL_ROWS = 6, 5
# Classes of the lifting: the proposals and the background.
CLASSES = LABEL_COLUMNS * LABEL_ROWS + 1


@dataclass(frozen=True)
class OnlineResult:
    """Results of the map for one recording.

    keyframes: number of frames that were mapped; dropped: frames that arrived while the map was busy; keyframes_hz:
    keyframes per second of the recording, at most 30; busy_keyframes_hz: keyframes per second of work on keyframes;
    insert_ms, lift_ms: mean time for each keyframe; steps_hz: optimisation steps per second; psnr_db: mean over the
    held-out views; fitted_psnr_db: the same with the best gain and bias of each view; vram_gb: torch's peak, 0 on a CPU.
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
    """Configuration of the map: the recording's own image size, and every frame becomes a keyframe."""
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
    """Map a recording whose frames arrive at INTAKE_HZ; frames that arrive while the map is busy are dropped.

    The time until the next frame is used for optimisation steps.
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
            _process_keyframe(mapper, training[newest], labels, steps_per_keyframe, device, times)
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
    """Mean PSNR and mean PSNR with fitted exposure over the held-out views, dB."""
    values = [(mapper.psnr_db(frame), mapper.psnr_db(frame, compensate_exposure=True)) for frame in recording.held_out]
    psnr, fitted = np.mean(values, axis=0)
    return float(psnr), float(fitted)


def proposal_labels(camera: Camera) -> NDArray[np.int32]:
    """Label image [H, W]: labels 1 to 30 in a grid of cells, 0 around each cell."""
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


def _process_keyframe(
    mapper: Mapper, frame: CameraFrame, labels: NDArray[np.int32], steps: int, device: str, times: _Times
) -> None:
    """Map, lift and optimise one keyframe and add the times; the device is waited for only to measure them."""
    begin = time.perf_counter()
    taken = mapper.add_frame(frame)
    assert taken, "every frame must become a keyframe"
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
    """Compile the kernels and fill the allocator with a map that is not used afterwards."""
    mapper = Mapper(config, device)
    mapper.warm_up()
    for frame in frames:
        _process_keyframe(mapper, frame, proposal_labels(frame.camera), steps, device, _Times())
