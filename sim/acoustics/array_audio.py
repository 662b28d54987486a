"""Audio of a moving microphone array in a box room: responses along the path, cross-faded, plus noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft
from scipy.spatial.transform import Rotation, Slerp
from tqdm import tqdm

from echoseg_ros.errors import ConfigError
from echoseg_ros.sound.array.array_geometry import ArrayGeometry
from echoseg_ros.types import Float32Array, Float64Array
from echoseg_sim.acoustics.microphone_signal import to_channels, with_noise
from echoseg_sim.acoustics.receivers import (
    LEAD_SAMPLES,
    Receiver,
    make_receiver,
    response_length,
    with_blocked_direct_path,
)
from echoseg_sim.acoustics.reverberation import ImageSources, Shoebox, direct_path, image_source_model
from echoseg_sim.acoustics.room_reflection import RT60_POSES, reflection_for_array
from echoseg_sim.acoustics.source_signal import SimulatedSource, active_mask, dry_signal

# Time between two poses whose responses are computed, s; responses in between are cross-faded.
POSE_STEP_S = 0.032
# Longest reverberation time that is simulated, s.
_MAX_RT60_S = 5.0
# Poses whose responses are held in memory at a time.
_BLOCK_POSES = 16
# Change of a pose's matrix elements below which the previous responses are reused.
_SAME_POSE = 1e-9


@dataclass(frozen=True)
class AcousticResult:
    """Audio of an array.

    samples: [S, channels] float32 within +-0.5, in the array's channel order; rt60_measured_s: T30 of the responses, 0 in
    the free field.
    """

    samples: Float32Array
    rt60_measured_s: float


def simulate_array(
    shoebox: Shoebox,
    rt60_s: float,
    array: ArrayGeometry,
    poses: Sequence[Float64Array],
    pose_times_s: Sequence[float] | Float64Array,
    sources: Sequence[SimulatedSource],
    duration_s: float,
    snr_db: float = 20.0,
    seed: int = 0,
    progress: bool = False,
) -> AcousticResult:
    """Simulate an array that moves along poses T_map_array [4, 4] at pose_times_s (held before the first and after the last).

    rt60_s: T30 of the room, 0 = free field; snr_db: power of the sources over the noise's, mean over microphones and over
    the time in which any source is on. The noise is white, independent between microphones and at NOISE_FLOOR_DBFS; if
    samples exceed PEAK, sources and noise are both turned down. Deterministic by seed. Raises ConfigError for values that
    cannot be simulated.
    """
    path = _ArrayPath(np.asarray(pose_times_s, dtype=float), np.asarray(poses, dtype=float))
    _check(shoebox, rt60_s, array, path, sources, duration_s)
    rate_hz = array.sample_rate_hz
    count = int(round(duration_s * rate_hz))
    image_sources, rt60_measured_s = _image_sources(shoebox, rt60_s, array, path, sources, seed)
    length = response_length(shoebox, rt60_s, rate_hz)
    receiver = make_receiver(array)
    received = np.zeros((array.microphones, count), dtype=np.float32)
    for source, images in zip(sources, image_sources):
        dry = source.gain * dry_signal(source, count, rate_hz)
        bar = tqdm(desc=f"sound of {source.name}", unit="pose", disable=not progress)
        source_receiver = with_blocked_direct_path(receiver, rate_hz) if source.blocked else receiver
        received += _convolved_along_path(source_receiver, images, path, dry, rate_hz, length, bar)
    samples = with_noise(received, active_mask(sources, count, rate_hz), snr_db, np.random.default_rng([seed, 1]))
    return AcousticResult(to_channels(samples, array), rt60_measured_s)


@dataclass(frozen=True)
class _ArrayPath:
    """times_s: [P]; poses: [P, 4, 4] T_map_array."""

    times_s: Float64Array
    poses: Float64Array

    def at(self, times_s: Float64Array) -> Float64Array:
        """Interpolated poses [T, 4, 4] at times [T]."""
        times_s = np.clip(times_s, self.times_s[0], self.times_s[-1])
        out = np.tile(np.eye(4), (len(times_s), 1, 1))
        for axis in range(3):
            out[:, axis, 3] = np.interp(times_s, self.times_s, self.poses[:, axis, 3])
        if len(self.times_s) == 1:
            out[:, :3, :3] = self.poses[0, :3, :3]
        else:
            out[:, :3, :3] = Slerp(self.times_s, Rotation.from_matrix(self.poses[:, :3, :3]))(times_s).as_matrix()
        return out


def _check(
    shoebox: Shoebox,
    rt60_s: float,
    array: ArrayGeometry,
    path: _ArrayPath,
    sources: Sequence[SimulatedSource],
    duration_s: float,
) -> None:
    if not (np.isfinite(rt60_s) and 0.0 <= rt60_s <= _MAX_RT60_S):
        raise ConfigError(f"rt60 {rt60_s} s: want 0 (free field) to {_MAX_RT60_S:g}")
    if not (np.isfinite(duration_s) and duration_s > 0):
        raise ConfigError(f"duration {duration_s} s: want more than 0")
    if len(path.times_s) != len(path.poses) or not len(path.poses) or (np.diff(path.times_s) <= 0).any():
        raise ConfigError(f"{len(path.poses)} poses at {len(path.times_s)} times: want one rising time for each pose")
    if not shoebox.contains(path.poses[:, :3, 3]):
        raise ConfigError("the array leaves the room: want a room around the whole path")
    for source in sources:
        if not shoebox.contains(source.position_map):
            raise ConfigError(
                f"source {source.name!r} at {np.round(source.position_map, 2).tolist()}: outside the room"
            )
        if not len(source.signal) or not np.isfinite(source.signal).all():
            raise ConfigError(f"source {source.name!r}: want a signal of finite samples")
        if any(not 0 <= start_s < end_s for start_s, end_s in source.on_s):
            raise ConfigError(f"source {source.name!r} on at {source.on_s} s: want start < end, both 0 or later")


def _image_sources(
    shoebox: Shoebox,
    rt60_s: float,
    array: ArrayGeometry,
    path: _ArrayPath,
    sources: Sequence[SimulatedSource],
    seed: int,
) -> tuple[list[ImageSources], float]:
    """Image sources of each source in a room with the reverberation time, and the measured T30 in seconds.

    T30 of a recording without sources is measured with a source in the room's centre.
    """
    if rt60_s == 0:
        return [direct_path(source.position_map) for source in sources], 0.0
    positions = [source.position_map for source in sources] or [shoebox.center_map_m]
    models = [
        image_source_model(shoebox, position, rt60_s, np.random.default_rng([seed, 2, index]))
        for index, position in enumerate(positions)
    ]
    poses = path.at(np.linspace(float(path.times_s[0]), float(path.times_s[-1]), RT60_POSES))
    reflection, measured_s = reflection_for_array(models, shoebox, rt60_s, array, poses)
    return [model.image_sources(reflection, rt60_s) for model in models][: len(sources)], measured_s


def _convolved_along_path(
    receiver: Receiver,
    image_sources: ImageSources,
    path: _ArrayPath,
    dry: Float64Array,
    rate_hz: float,
    length: int,
    bar: tqdm[Any],
) -> Float32Array:
    """Microphone signals [M, S] of the dry signal [S], or [1, S] zeros if the dry signal is silent.

    The dry signal is convolved with responses of `length` samples at a pose every POSE_STEP_S; the results of neighbouring
    poses are cross-faded linearly.
    """
    hop = int(round(POSE_STEP_S * rate_hz))
    steps = len(dry) // hop + 2  # the pose of step k holds at sample k * hop
    padded = np.concatenate([np.zeros(length + hop), dry, np.zeros(2 * hop + LEAD_SAMPLES)]).astype(np.float32)
    window = (1 - np.abs(np.arange(-hop, hop)) / hop).astype(np.float32)
    segment = length + 2 * hop - 1
    fft_length = fft.next_fast_len(segment, real=True)
    # Sample n of the output depends on the input from n - (length - 1 - LEAD_SAMPLES) to n + LEAD_SAMPLES.
    starts = np.arange(steps) * hop + LEAD_SAMPLES + 1
    sounding = [k for k in range(steps) if padded[starts[k] : starts[k] + segment].any()]
    out: Float32Array | None = None
    bar.reset(total=len(sounding))
    for first in range(0, len(sounding), _BLOCK_POSES):
        block = np.array(sounding[first : first + _BLOCK_POSES])
        poses = path.at(block * hop / rate_hz)
        changed = np.append(True, np.abs(np.diff(poses, axis=0)).max(axis=(1, 2)) > _SAME_POSE)
        responses = receiver.responses(image_sources, poses[changed], length)[np.cumsum(changed) - 1]
        if out is None:
            out = np.zeros((responses.shape[1], (steps + 1) * hop), dtype=np.float32)
        segments = np.stack([padded[starts[k] : starts[k] + segment] for k in block])
        spectra = fft.rfft(segments, fft_length)[:, None] * fft.rfft(responses, fft_length)
        pieces = fft.irfft(spectra, fft_length)[..., length - 1 : length - 1 + 2 * hop] * window
        for k, piece in zip(block, pieces):
            out[:, k * hop : (k + 2) * hop] += piece
        bar.update(len(block))
    bar.close()
    if out is None:
        return np.zeros((1, len(dry)), dtype=np.float32)
    return out[:, hop : hop + len(dry)]
