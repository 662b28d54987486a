"""Impulse responses of a room at still poses, made by the simulator, kept on disk: direct part and echoes apart."""

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
    image_source_model,
    find_reflection,
    reverberation_time,
)

# A closed door or a wall in the way, as the simulator has it: what comes straight is weak and dull.
BLOCKED_GAIN, BLOCKED_LOWPASS_HZ = 10 ** (-10 / 20), 700.0
# Raised when the same inputs give other responses.
_FORMAT = 1
_MEASURED_POSES = 4


@dataclass(frozen=True)
class Responses:
    """What an array hears of an impulse at each pose.

    direct: [P, M, D] float32 the straight way, D < L; echoes: [P, M, L] float32 the rest; rt60_s: measured T30.
    """

    direct: NDArray[np.float32]
    echoes: NDArray[np.float32]
    rt60_s: float

    def heard(self, blocked: bool, rate_hz: float) -> NDArray[np.float32]:
        """[P, M, L] both together; blocked: the straight way is weak and dull."""
        direct = self.direct
        if blocked:
            low_pass = butter(1, BLOCKED_LOWPASS_HZ, fs=rate_hz, output="sos")
            direct = (BLOCKED_GAIN * sosfilt(low_pass, direct, axis=-1)).astype(np.float32)
        whole = self.echoes.copy()
        whole[..., : direct.shape[-1]] += direct
        return whole


def responses_to(
    array: ArrayGeometry,
    shoebox: Shoebox,
    rt60_s: float,
    source_m: Float64Array,
    poses: Float64Array,
    seed: int,
    cache: Path | None,
) -> Responses:
    """From a source [3] to an array at poses [P, 4, 4]; taken from `cache` if it is there. rt60_s: 0 = free field.

    Raises ConfigError if the room's measured T30 is off by more than 15 %.
    """
    key = _digest(array_to_mapping(array), shoebox.origin_map_m, shoebox.size_m, rt60_s, source_m, poses, seed)
    file = cache / f"{array.name}_{seed}_{rt60_s:g}_{key}.npz" if cache is not None else None
    if file is not None and file.exists():
        with np.load(file) as kept:
            return Responses(kept["direct"], kept["echoes"], float(kept["rt60_s"]))
    made = _responses(array, shoebox, rt60_s, source_m, poses, seed, cache)
    if file is not None:
        with replacing(file) as temporary:
            np.savez(temporary, direct=made.direct, echoes=made.echoes, rt60_s=made.rt60_s)
    return made


def _responses(
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
    pattern = image_source_model(shoebox, source_m, rt60_s, np.random.default_rng([seed, _number(source_m)]))
    echoes = pattern.image_sources(_reflection(shoebox, rt60_s, poses, seed, cache), rt60_s)
    length = max(short, 2 * LEAD_SAMPLES + int((TAIL_LENGTH_RT60 * rt60_s + 0.02) * rate_hz))
    rest = receiver.responses(ImageSources(echoes.positions_map[1:], echoes.gains[1:]), poses, length)
    measured_s = reverberation_time(_open_ear(echoes, poses, rt60_s), _EAR.sample_rate_hz)
    if abs(measured_s / rt60_s - 1) > RT60_TOLERANCE:
        raise ConfigError(f"rt60 {rt60_s} s: room {seed} has {measured_s:.2f} s, more than 15 % off")
    return Responses(direct, rest, measured_s)


def _reflection(shoebox: Shoebox, rt60_s: float, poses: Float64Array, seed: int, cache: Path | None) -> float:
    """What the room's walls reflect of the amplitude: one search for all sources and arrays."""
    key = _digest(shoebox.origin_map_m, shoebox.size_m, rt60_s, seed)
    file = cache / f"walls_{seed}_{rt60_s:g}_{key}.json" if cache is not None else None
    if file is not None and file.exists():
        return float(read_json(file)["reflection"])
    rng = np.random.default_rng([seed, 43])
    places = shoebox.origin_map_m + shoebox.size_m * rng.uniform(0.15, 0.85, (3, 3))
    patterns = [image_source_model(shoebox, place, rt60_s, rng) for place in places]

    def measured_s(reflection: float) -> float:
        heard = [_open_ear(pattern.image_sources(reflection, rt60_s), poses, rt60_s) for pattern in patterns]
        return reverberation_time(np.stack(heard), _EAR.sample_rate_hz)

    reflection, _ = find_reflection(measured_s, shoebox, rt60_s)
    if file is not None:
        write_json(file, {"reflection": reflection})
    return reflection


def _open_ear(echoes: ImageSources, poses: Float64Array, rt60_s: float) -> NDArray[np.float32]:
    """[P', M, L] what a plain pair of microphones hears at a few of the poses."""
    some = poses[np.linspace(0, len(poses) - 1, _MEASURED_POSES).astype(int)]
    length = 2 * LEAD_SAMPLES + int((TAIL_LENGTH_RT60 * rt60_s + 0.02) * _EAR.sample_rate_hz)
    return FreeFieldReceiver(_EAR).responses(echoes, some, length)


_EAR = array_from_mapping({"sample_rate_hz": 16000, "microphones_m": [[0.0, 0.05, 0.0], [0.0, -0.05, 0.0]]})


def _number(values: Float64Array) -> int:
    return int(_digest(values), 16) % 2**31


def _digest(*inputs: object) -> str:
    """A few letters that differ when the inputs do."""
    plain = [np.round(x, 6).tolist() if isinstance(x, np.ndarray) else x for x in inputs]
    return hashlib.sha1(json.dumps([_FORMAT, *plain]).encode()).hexdigest()[:12]
