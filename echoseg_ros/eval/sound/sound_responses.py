"""Simulated impulse responses of a room at constant poses, stored on disk, with direct path and echoes separate."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from echoseg_ros.errors import ConfigError
from echoseg_ros.io.files import read_json, replacing, write_json
from echoseg_ros.sound.array.array_geometry import (
    SPEED_OF_SOUND_M_PER_S,
    ArrayGeometry,
    array_from_mapping,
    array_to_mapping,
)
from echoseg_ros.types import Float64Array
from echoseg_sim.acoustics.receivers import LEAD_SAMPLES, FreeFieldReceiver, make_receiver
from echoseg_sim.acoustics.reverberation import (
    RT60_TOLERANCE,
    TAIL_LENGTH_RT60,
    ImageSources,
    Shoebox,
    find_reflection,
    image_source_model,
    reverberation_time,
)

# Gain of a blocked direct path (closed door or wall), -10 dB.
BLOCKED_GAIN = 10 ** (-10 / 20)
# Cut-off of the low-pass on a blocked direct path, Hz.
BLOCKED_LOWPASS_HZ = 700.0
# Version of the stored responses; raised when the same inputs give other responses.
_FORMAT = 1
# Poses at which the reverberation time is measured.
_MEASURED_POSES = 4
# Sources by which the reflection of the walls is fitted, and their range in the room, share of its size.
_FITTED_SOURCES = 3
_FITTED_RANGE = (0.15, 0.85)


@dataclass(frozen=True)
class Responses:
    """Impulse responses from a source to an array at each pose.

    direct: [P, M, D] float32, direct path, D < L; echoes: [P, M, L] float32, the rest; rt60_s: measured T30.
    """

    direct: NDArray[np.float32]
    echoes: NDArray[np.float32]
    rt60_s: float

    def total(self, blocked: bool, rate_hz: float) -> NDArray[np.float32]:
        """[P, M, L] sum of both parts; blocked: the direct path is attenuated and low-passed."""
        direct = self.direct
        if blocked:
            low_pass = butter(1, BLOCKED_LOWPASS_HZ, fs=rate_hz, output="sos")
            direct = (BLOCKED_GAIN * sosfilt(low_pass, direct, axis=-1)).astype(np.float32)
        total: NDArray[np.float32] = self.echoes.copy()
        total[..., : direct.shape[-1]] += direct
        return total


def responses_to(
    array: ArrayGeometry,
    shoebox: Shoebox,
    rt60_s: float,
    source_m: Float64Array,
    poses: Float64Array,
    seed: int,
    cache: Path | None,
) -> Responses:
    """Responses from a source [3] to an array at poses [P, 4, 4], read from `cache` if stored. rt60_s: 0 = free field.

    Raises ConfigError if the measured T30 differs from rt60_s by more than RT60_TOLERANCE.
    """
    key = _digest(array_to_mapping(array), shoebox.origin_map_m, shoebox.size_m, rt60_s, source_m, poses, seed)
    file = cache / f"{array.name}_{seed}_{rt60_s:g}_{key}.npz" if cache is not None else None
    if file is not None and file.exists():
        with np.load(file) as kept:
            return Responses(kept["direct"], kept["echoes"], float(kept["rt60_s"]))
    made = _simulate_responses(array, shoebox, rt60_s, source_m, poses, seed, cache)
    if file is not None:
        with replacing(file) as temporary:
            np.savez(temporary, direct=made.direct, echoes=made.echoes, rt60_s=made.rt60_s)
    return made


def _simulate_responses(
    array: ArrayGeometry,
    shoebox: Shoebox,
    rt60_s: float,
    source_m: Float64Array,
    poses: Float64Array,
    seed: int,
    cache: Path | None,
) -> Responses:
    rate_hz, receiver = array.sample_rate_hz, make_receiver(array)
    longest_m = float(np.linalg.norm(poses[:, :3, 3] - source_m, axis=1).max()) + 0.5
    short = 2 * LEAD_SAMPLES + int((longest_m / SPEED_OF_SOUND_M_PER_S + 0.01) * rate_hz)
    direct = receiver.responses(ImageSources(np.asarray(source_m, dtype=float)[None], np.ones(1)), poses, short)
    if rt60_s == 0:
        return Responses(direct, np.zeros_like(direct), 0.0)
    pattern = image_source_model(shoebox, source_m, rt60_s, np.random.default_rng([seed, _seed_of(source_m)]))
    echoes = pattern.image_sources(_reflection(shoebox, rt60_s, poses, seed, cache), rt60_s)
    length = max(short, 2 * LEAD_SAMPLES + int((TAIL_LENGTH_RT60 * rt60_s + 0.02) * rate_hz))
    rest = receiver.responses(ImageSources(echoes.positions_map[1:], echoes.gains[1:]), poses, length)
    measured_s = reverberation_time(
        _measurement_pair_responses(echoes, poses, rt60_s), _MEASUREMENT_PAIR.sample_rate_hz
    )
    if abs(measured_s / rt60_s - 1) > RT60_TOLERANCE:
        raise ConfigError(f"rt60 {rt60_s} s: room {seed} has {measured_s:.2f} s, want it within {RT60_TOLERANCE:.0%}")
    return Responses(direct, rest, measured_s)


def _reflection(shoebox: Shoebox, rt60_s: float, poses: Float64Array, seed: int, cache: Path | None) -> float:
    """Amplitude reflection of the room's walls, searched once for all sources and arrays."""
    key = _digest(shoebox.origin_map_m, shoebox.size_m, rt60_s, seed)
    file = cache / f"walls_{seed}_{rt60_s:g}_{key}.json" if cache is not None else None
    if file is not None and file.exists():
        return float(read_json(file)["reflection"])
    rng = np.random.default_rng([seed, 43])
    positions = shoebox.origin_map_m + shoebox.size_m * rng.uniform(*_FITTED_RANGE, (_FITTED_SOURCES, 3))
    patterns = [image_source_model(shoebox, position, rt60_s, rng) for position in positions]

    def measured_s(reflection: float) -> float:
        responses = [
            _measurement_pair_responses(pattern.image_sources(reflection, rt60_s), poses, rt60_s)
            for pattern in patterns
        ]
        return reverberation_time(np.stack(responses), _MEASUREMENT_PAIR.sample_rate_hz)

    reflection, _ = find_reflection(measured_s, shoebox, rt60_s)
    if file is not None:
        write_json(file, {"reflection": reflection})
    return reflection


def _measurement_pair_responses(echoes: ImageSources, poses: Float64Array, rt60_s: float) -> NDArray[np.float32]:
    """[P', M, L] responses of a pair of open microphones at _MEASURED_POSES of the poses."""
    measured_poses = poses[np.linspace(0, len(poses) - 1, _MEASURED_POSES).astype(int)]
    length = 2 * LEAD_SAMPLES + int((TAIL_LENGTH_RT60 * rt60_s + 0.02) * _MEASUREMENT_PAIR.sample_rate_hz)
    return FreeFieldReceiver(_MEASUREMENT_PAIR).responses(echoes, measured_poses, length)


# Pair of microphones that measures the reverberation time.
_MEASUREMENT_PAIR = array_from_mapping(
    {"sample_rate_hz": 16000, "microphones_m": [[0.0, 0.05, 0.0], [0.0, -0.05, 0.0]]}
)


def _seed_of(values: Float64Array) -> int:
    return int(_digest(values), 16) % 2**31


def _digest(*inputs: object) -> str:
    """Digest of the inputs, arrays rounded to 1e-6."""
    plain = [np.round(x, 6).tolist() if isinstance(x, np.ndarray) else x for x in inputs]
    return hashlib.sha1(json.dumps([_FORMAT, *plain]).encode()).hexdigest()[:12]
