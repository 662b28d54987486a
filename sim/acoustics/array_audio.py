"""What a moving microphone array hears of sources in a box room: responses along the path, cross-faded, plus noise."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import butter, sosfilt
from scipy.spatial.transform import Rotation, Slerp
from tqdm import tqdm

from echoseg_ros.errors import ConfigError
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry
from echoseg_ros.types import Float64Array
from echoseg_sim.acoustics.receivers import LEAD_SAMPLES, FreeFieldReceiver, Receiver, make_receiver
from echoseg_sim.acoustics.reverberation import (
    TAIL_LENGTH_RT60,
    ImageSources,
    Shoebox,
    direct_path,
    find_reflection,
    image_source_model,
    reverberation_time,
)

__all__ = ["AcousticResult", "Shoebox", "SimulatedSource", "simulate_array"]

logger = logging.getLogger(__name__)

# Half a metre a second moves the array by 1.6 cm between responses: half a wavelength only at 10 kHz.
POSE_STEP_S = 0.032
NOISE_FLOOR_DBFS = -60.0
# Room for 16 bit samples and for gains on the way; louder sounds push the noise floor down instead.
PEAK = 0.5
FADE_S = 0.005
_BLOCK_POSES = 16
_STILL = 1e-9  # an array that moves and turns less than this hears the same responses again
_RT60_POSES = 6
# Image sources add up in phase at the lowest frequencies, which no room does.
_HIGHPASS_HZ = 60.0
# A closed door or a cupboard in the way: what comes straight is weak and dull.
_BLOCKED_GAIN = 10 ** (-10 / 20)
_BLOCKED_LOWPASS_HZ = 700.0


@dataclass(frozen=True)
class SimulatedSource:
    """A point that sounds.

    position_map: [3]; signal: [n] at the array's sample rate, repeated while on; on_s: seconds from the start of the
    recording; blocked: something stands on the direct path; gain: against the other sources.
    """

    name: str
    position_map: Float64Array
    signal: NDArray[np.floating]
    on_s: tuple[tuple[float, float], ...]
    blocked: bool = False
    gain: float = 1.0


@dataclass(frozen=True)
class AcousticResult:
    """What was heard.

    samples: [S, channels] float32 within +-0.5, laid out as the array's channel_order says; rt60_measured_s: T30 of the
    responses it was made with, 0 in the free field.
    """

    samples: NDArray[np.float32]
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
    """Simulate an array that moves along poses T_map_array [4, 4] at pose_times_s (held at both ends).

    rt60_s is the realised T30 (0 = free field). The noise is white, independent between microphones and at
    NOISE_FLOOR_DBFS throughout; the sources' level follows from it: snr_db is their power over the noise's, averaged
    over microphones and over the time any of them is on. Where that would bring samples beyond PEAK, sound and noise
    are both turned down. Deterministic by seed. Raises ConfigError for values that cannot be simulated.
    """
    path = _Path(np.asarray(pose_times_s, dtype=float), np.asarray(poses, dtype=float))
    _check(shoebox, rt60_s, array, path, sources, duration_s)
    rate_hz = array.sample_rate_hz
    count = int(round(duration_s * rate_hz))
    image_sources, rt60_measured_s = _room_echoes(shoebox, rt60_s, array, path, sources, seed)
    reach_s = TAIL_LENGTH_RT60 * rt60_s + float(np.linalg.norm(shoebox.size_m)) / SPEED_OF_SOUND_M_PER_S
    length = 2 * LEAD_SAMPLES + int(np.ceil((reach_s + 0.01) * rate_hz))
    receiver = make_receiver(array)
    heard = np.zeros((array.microphones, count), dtype=np.float32)
    for source, source_echoes in zip(sources, image_sources):
        dry = source.gain * dry_signal(source, count, rate_hz)
        bar = tqdm(desc=f"sound of {source.name}", unit="pose", disable=not progress)
        heard += _heard(
            with_blocked_direct_path(receiver, source.blocked, rate_hz), source_echoes, path, dry, rate_hz, length, bar
        )
    samples = with_noise(heard, active_mask(sources, count, rate_hz), snr_db, np.random.default_rng([seed, 1]))
    return AcousticResult(to_channels(samples, array), rt60_measured_s)


@dataclass(frozen=True)
class _Path:
    """times_s: [P]; poses: [P, 4, 4] T_map_array."""

    times_s: Float64Array
    poses: Float64Array

    def at(self, times_s: Float64Array) -> Float64Array:
        """[T, 4, 4] interpolated poses."""
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
    path: _Path,
    sources: Sequence[SimulatedSource],
    duration_s: float,
) -> None:
    if not (np.isfinite(rt60_s) and 0.0 <= rt60_s <= 5.0):
        raise ConfigError(f"rt60 {rt60_s} s: want 0 (free field) to 5")
    if not (np.isfinite(duration_s) and duration_s > 0):
        raise ConfigError(f"duration {duration_s} s: want more than 0")
    if len(path.times_s) != len(path.poses) or not len(path.poses) or (np.diff(path.times_s) <= 0).any():
        raise ConfigError(f"{len(path.poses)} poses at {len(path.times_s)} times: want one rising time for each")
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
            raise ConfigError(f"source {source.name!r} on at {source.on_s} s: want start < end, both from 0 on")


def _room_echoes(
    shoebox: Shoebox, rt60_s: float, array: ArrayGeometry, path: _Path, sources: Sequence[SimulatedSource], seed: int
) -> tuple[list[ImageSources], float]:
    """The echoes of each source in a room that has the reverberation time, and that time as measured.

    A room without a source is measured with one in its middle.
    """
    if rt60_s == 0:
        return [direct_path(source.position_map) for source in sources], 0.0
    places = [source.position_map for source in sources] or [shoebox.center_map_m]
    patterns = [
        image_source_model(shoebox, place, rt60_s, np.random.default_rng([seed, 2, index]))
        for index, place in enumerate(places)
    ]
    poses = path.at(np.linspace(float(path.times_s[0]), float(path.times_s[-1]), _RT60_POSES))
    length = 2 * LEAD_SAMPLES + int((TAIL_LENGTH_RT60 * rt60_s + 0.02) * array.sample_rate_hz)
    ears = FreeFieldReceiver(array)

    def measured_rt60(reflection: float) -> float:
        responses = [ears.responses(pattern.image_sources(reflection, rt60_s), poses, length) for pattern in patterns]
        return reverberation_time(np.stack(responses), array.sample_rate_hz)

    reflection, measured_s = find_reflection(measured_rt60, shoebox, rt60_s)
    return [pattern.image_sources(reflection, rt60_s) for pattern in patterns][: len(sources)], measured_s


def dry_signal(source: SimulatedSource, count: int, rate_hz: float) -> Float64Array:
    """[count] what the source emits: its clip from the start at each onset, repeated while on, faded at both ends."""
    dry = np.zeros(count)
    fade = int(FADE_S * rate_hz)
    for start_s, end_s in source.on_s:
        start, end = int(round(start_s * rate_hz)), min(count, int(round(end_s * rate_hz)))
        if end <= start:
            continue
        dry[start:end] = np.resize(source.signal, end - start)
        rise = np.arange(1, min(fade, end - start) + 1) / (fade + 1)
        if end - start >= 2 * fade:
            dry[start : start + len(rise)] *= rise
            dry[end - len(rise) : end] *= rise[::-1]
        else:  # shorter than its fades
            steps = np.arange(end - start)
            dry[start:end] *= np.clip(np.minimum(steps + 1, end - start - steps) / (fade + 1), 0.0, 1.0)
    return sosfilt(butter(2, _HIGHPASS_HZ, "highpass", fs=rate_hz, output="sos"), dry)


def active_mask(sources: Sequence[SimulatedSource], count: int, rate_hz: float) -> NDArray[np.bool_]:
    """[count] whether any of the sources is on."""
    mask = np.zeros(count, dtype=bool)
    for source in sources:
        for start_s, end_s in source.on_s:
            mask[int(round(start_s * rate_hz)) : int(round(end_s * rate_hz))] = True
    return mask


def with_blocked_direct_path(receiver: Receiver, blocked: bool, rate_hz: float) -> Receiver:
    """The receiver, with something on the direct path if `blocked`."""
    return _BlockedReceiver(receiver, rate_hz) if blocked else receiver


class _BlockedReceiver:
    """Hears the first of the echoes, the direct path, through an obstacle."""

    def __init__(self, receiver: Receiver, rate_hz: float) -> None:
        self._receiver = receiver
        self._sos = butter(1, _BLOCKED_LOWPASS_HZ, fs=rate_hz, output="sos")

    def responses(self, image_sources: ImageSources, poses_map_array: Float64Array, length: int) -> NDArray[np.float32]:
        """See Receiver."""
        direct = ImageSources(image_sources.positions_map[:1], image_sources.gains[:1] * _BLOCKED_GAIN)
        rest = ImageSources(image_sources.positions_map[1:], image_sources.gains[1:])
        through = sosfilt(self._sos, self._receiver.responses(direct, poses_map_array, length), axis=-1)
        return self._receiver.responses(rest, poses_map_array, length) + through.astype(np.float32)


def _heard(
    receiver: Receiver,
    image_sources: ImageSources,
    path: _Path,
    dry: Float64Array,
    rate_hz: float,
    length: int,
    bar: tqdm,
) -> NDArray[np.float32]:
    """[M, S] the dry signal [S] heard along the path.

    Every POSE_STEP_S the signal is convolved with the responses of that moment; in between the two neighbours are
    cross-faded linearly.
    """
    hop = int(round(POSE_STEP_S * rate_hz))
    steps = len(dry) // hop + 2  # the pose of step k holds at sample k * hop
    padded = np.concatenate([np.zeros(length + hop), dry, np.zeros(2 * hop + LEAD_SAMPLES)]).astype(np.float32)
    window = (1 - np.abs(np.arange(-hop, hop)) / hop).astype(np.float32)
    segment = length + 2 * hop - 1
    fft_length = fft.next_fast_len(segment, real=True)
    # Sample n of the output sees the input from n - (length - 1 - LEAD) to n + LEAD.
    starts = np.arange(steps) * hop + LEAD_SAMPLES + 1
    sounding = [k for k in range(steps) if padded[starts[k] : starts[k] + segment].any()]
    out: NDArray[np.float32] | None = None
    bar.reset(total=len(sounding))
    for first in range(0, len(sounding), _BLOCK_POSES):
        block = np.array(sounding[first : first + _BLOCK_POSES])
        poses = path.at(block * hop / rate_hz)
        moved = np.append(True, np.abs(np.diff(poses, axis=0)).max(axis=(1, 2)) > _STILL)
        responses = receiver.responses(image_sources, poses[moved], length)[np.cumsum(moved) - 1]
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


def with_noise(
    heard: NDArray[np.float32], on: NDArray[np.bool_], snr_db: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """[M, S] the sound at its level over the noise floor, and the noise."""
    noise = rng.standard_normal(heard.shape, dtype=np.float32) * np.float32(10 ** (NOISE_FLOOR_DBFS / 20))
    sounding = heard if on.all() else heard[:, on]
    power = float(np.mean(np.square(sounding, dtype=float))) if on.any() else 0.0
    if power == 0.0:
        return noise
    samples = heard * np.float32(10 ** ((NOISE_FLOOR_DBFS + snr_db) / 20) / np.sqrt(power)) + noise
    loudest = float(np.abs(samples).max())
    if loudest > PEAK:
        logger.info(
            "sound and noise turned down by %.1f dB, to keep the peak at %.2f", 20 * np.log10(loudest / PEAK), PEAK
        )
        samples *= np.float32(PEAK / loudest)
    return samples


def to_channels(samples: NDArray[np.float32], array: ArrayGeometry) -> NDArray[np.float32]:
    """[S, channels] as the array's wiring puts them out: with each microphone's gain, on its channel."""
    out = np.zeros((samples.shape[1], array.channels), dtype=np.float32)
    out[:, array.channel_order] = (samples * (10 ** (array.gains_db / 20))[:, None]).T
    return np.clip(out, -1.0, 1.0)
