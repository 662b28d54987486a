"""Self-calibration in the sound benchmark: errors of the estimates of a moving array, and their stated accuracy.

A recording is simulated with the true mounting and clock. Then its audio gets wrong stamps and its array a wrong yaw, and
`SelfCalibration` has to find both.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from echoseg_ros.config import InputConfig, SoundConfig
from echoseg_ros.geometry import PoseTrack, look_at, transform
from echoseg_ros.sound.array.array_geometry import ArrayGeometry, load_array
from echoseg_ros.sound.calibration.self_calibration import CalibrationEstimate, SelfCalibration
from echoseg_ros.sound.evidence.audio_stream import AudioStream
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.types import AudioChunk, AudioFormat, Float64Array
from echoseg_sim.acoustics.array_audio import simulate_array
from echoseg_sim.acoustics.reverberation import Shoebox
from echoseg_sim.acoustics.sounds import load_sound
from echoseg_sim.acoustics.source_signal import SimulatedSource
from echoseg_sim.recordings.room_recording import make_scenario, shoebox_of

# Rate of the poses, Hz.
POSE_RATE_HZ = 50.0
ARRAYS = ("cube8", "square4")
# Largest time offset, seconds, and yaw, radians, of either sign.
MAX_OFFSET_S = 0.15
MAX_YAW_RAD = np.radians(15.0)
# Stamp of the start of a recording.
_START_NS = 100_000_000_000
# Length of an audio chunk, seconds.
_CHUNK_S = 0.1
SOUNDS = ("builtin:noise", "builtin:speech", "builtin:pink", "builtin:chirp")


@dataclass(frozen=True)
class CalibrationRecording:
    """A simulated recording. samples: [S, channels]; times_s: [P]; poses: [P, 4, 4] T_map_camera; source_m: [3]; sound: name."""

    samples: NDArray[np.float32]
    times_s: Float64Array
    poses: Float64Array
    source_m: Float64Array
    sound: str


def calibration_rows(seeds: Sequence[int], arrays: Sequence[str] = ARRAYS) -> list[dict[str, Any]]:
    """A row for each array and seed: true offset (ms) and yaw (degrees), errors, standard deviations, CPU time."""
    rows = []
    for name in arrays:
        for seed in seeds:
            array, rng = load_array(name), np.random.default_rng([seed, 5])
            offset_s, yaw_rad = rng.uniform(-MAX_OFFSET_S, MAX_OFFSET_S), rng.uniform(-MAX_YAW_RAD, MAX_YAW_RAD)
            recording = simulate_calibration_recording(array, seed)
            calibration = calibrate(recording, array, offset_s, yaw_rad)
            start = time.process_time()
            estimate = calibration.estimate()
            estimate_s = time.process_time() - start
            row = {"array": name, "seed": seed, "sound": recording.sound, "path": "tour" if seed % 2 == 0 else "wander"}
            rows.append(row | _figures(estimate, offset_s, yaw_rad) | {"estimate_ms": 1e3 * estimate_s})
    return rows


def calibrate(
    recording: CalibrationRecording, array: ArrayGeometry, offset_s: float, yaw_rad: float
) -> SelfCalibration:
    """Feed a recording with audio stamps that are `offset_s` early, and an array turned back by `yaw_rad`, to a calibration."""
    rate_hz = round(array.sample_rate_hz)
    T_array_turned = transform(Rotation.from_euler("z", -yaw_rad).as_matrix(), np.zeros(3))
    calibration = SelfCalibration(replace(array, T_camera_array=array.T_camera_array @ T_array_turned))
    sound = SoundConfig()
    stream = AudioStream(array, AudioFormat(rate_hz, array.channels, "S16LE", "WAVE"), sound, InputConfig())
    extract = EvidenceExtractor(array, rate_hz, sound)
    poses = pose_track(recording)
    step = round(_CHUNK_S * rate_hz)
    for start in range(0, len(recording.samples), step):
        stamp_ns = _START_NS + round((start / rate_hz - offset_s) * 1e9)
        stream.add(AudioChunk(stamp_ns, recording.samples[start : start + step]))
        for window in stream.take_windows(poses):
            calibration.add(extract(window), poses, window)
    return calibration


def pose_track(recording: CalibrationRecording) -> PoseTrack:
    """The poses of a recording, stamped from _START_NS on."""
    poses = PoseTrack(keep_s=1e9)
    for at_s, T_map_camera in zip(recording.times_s, recording.poses, strict=True):
        poses.add(_START_NS + round(at_s * 1e9), T_map_camera)
    return poses


def _figures(estimate: CalibrationEstimate | None, offset_s: float, yaw_rad: float) -> dict[str, Any]:
    truth = {"true_offset_ms": 1e3 * offset_s, "true_yaw_deg": float(np.degrees(yaw_rad))}
    if estimate is None:
        return truth | {"knows_offset": False, "knows_yaw": False}
    yaw_error_rad = (estimate.yaw_rad - yaw_rad + np.pi) % (2 * np.pi) - np.pi
    return truth | {
        "offset_error_ms": 1e3 * (estimate.offset_s - offset_s),
        "yaw_error_deg": float(np.degrees(yaw_error_rad)),
        "sigma_offset_ms": 1e3 * estimate.sigma_offset_s,
        "sigma_yaw_deg": float(np.degrees(estimate.sigma_yaw_rad)),
        "knows_offset": bool(estimate.knows_offset),
        "knows_yaw": bool(estimate.knows_yaw),
    }


def simulate_calibration_recording(
    array: ArrayGeometry, seed: int, seconds: float = 20.0, sound: str | None = None, rt60_s: float = 0.4,
    snr_db: float = 20.0,
) -> CalibrationRecording:  # fmt: skip
    """A recording that moves past one source: a robot's tour of a furnished room (even seed) or a moving head (odd seed)."""
    rng = np.random.default_rng([seed, 77])
    sound = sound or SOUNDS[seed // 2 % len(SOUNDS)]
    shoebox, source_m, times_s, poses = _tour(seed, seconds) if seed % 2 == 0 else _wander(rng, seconds)
    signal = load_sound(sound, array.sample_rate_hz, seed)
    recorded = simulate_array(
        shoebox, rt60_s, array, list(poses @ array.T_camera_array), times_s,
        [SimulatedSource("source", source_m, signal, ((0.0, seconds),))], seconds, snr_db, seed,
    )  # fmt: skip
    return CalibrationRecording(recorded.samples, times_s, poses, source_m, sound)


def _tour(seed: int, seconds: float) -> tuple[Shoebox, Float64Array, Float64Array, Float64Array]:
    tour = make_scenario(seed, seconds=seconds)
    return shoebox_of(tour.room), tour.sounding[0].box.center_m, tour.path.times_s, tour.path.poses


def _wander(rng: np.random.Generator, seconds: float) -> tuple[Shoebox, Float64Array, Float64Array, Float64Array]:
    """Motion of about a metre around the middle of an empty room, turning left and right, a turn in six seconds at most."""
    size_m = np.array([rng.uniform(4.0, 7.0), rng.uniform(3.5, 5.5), rng.uniform(2.4, 3.0)])
    shoebox = Shoebox(np.array([-size_m[0] / 2, -size_m[1] / 2, 0.0]), size_m)
    times_s = np.arange(round(seconds * POSE_RATE_HZ) + 1) / POSE_RATE_HZ
    eyes = np.column_stack([_sway(rng, times_s, (9.0, 14.0), reach) for reach in (0.2 * size_m[0], 0.2 * size_m[1])])
    eyes = np.column_stack([eyes, 1.2 + _sway(rng, times_s, (7.0, 12.0), 0.1)])
    yaw = rng.uniform(-np.pi, np.pi) + _sway(rng, times_s, (5.0, 9.0), 0.9) + _sway(rng, times_s, (2.5, 4.0), 0.25)
    pitch = _sway(rng, times_s, (4.0, 8.0), 0.15)
    ahead = np.column_stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    poses = np.stack([look_at(eye, eye + sight) for eye, sight in zip(eyes, ahead, strict=True)])
    bearing = rng.uniform(-np.pi, np.pi)
    reach_m = 0.38 * size_m[:2]
    source_m = np.array([reach_m[0] * np.cos(bearing), reach_m[1] * np.sin(bearing), rng.uniform(0.4, 1.6)])
    return shoebox, source_m, times_s, poses


def _sway(
    rng: np.random.Generator, times_s: Float64Array, periods_s: tuple[float, float], reach: float
) -> Float64Array:
    """[P] a sine of amplitude `reach` with random phase and a period between the two given ones."""
    return reach * np.sin(2 * np.pi * times_s / rng.uniform(*periods_s) + rng.uniform(0, 2 * np.pi))
