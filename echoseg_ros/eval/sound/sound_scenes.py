"""Simulated audio windows of an array in a room with known sources.

    scene = make_scene(seed=0, array="cube8", rt60_s=0.4, cache=Path("results/runs/bench_sound/responses"))
    case = SoundCase(sounds=("builtin:speech",), sources=(3,), snr_db=10)
    for window in audio_windows(scene, case):
        evidence = extract(window)

The array stands still during each window of one second and moves between windows, so one response a pose is exact.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from echoseg_ros.eval.sound.sound_responses import Responses, responses_to
from echoseg_ros.eval.sound.sound_rooms import SoundRoom, make_room
from echoseg_ros.geometry import inverse
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, ArrayGeometry, load_array
from echoseg_ros.types import AudioWindow, Float32Array, Float64Array, MapSnapshot
from echoseg_sim.acoustics.reverberation import Shoebox
from echoseg_sim.acoustics.sounds import load_sound

# Length of a window, seconds.
WINDOW_S = 1.0
# Poses of a path by default, one a second; with two ears more.
POSES = 30
BINAURAL_POSES = 120
# Number of the source behind the far wall of the room, where nothing is mapped.
OFF_MAP = -1
# Distance of that source from the wall, and depth of the next room, metres.
_BEHIND_WALL_M = 1.2
_NEXT_ROOM_M = 2.5
# Level of the noise of the microphones.
NOISE_FLOOR_DBFS = -60.0
# Cut-off of the high-pass on all sounds.
_HIGHPASS_HZ = 60.0
# Positions of the fans in the array's frame, metres: left below, and right behind.
FAN_POSITIONS_M = np.array([[0.02, 0.16, -0.12], [-0.12, -0.14, -0.1]])
# Band of the fans' noise, and rate of the blades of each fan.
_FAN_BAND_HZ = (150.0, 5000.0)
_FAN_BLADES_HZ = (118.0, 143.0)
# Harmonics of the blades.
_FAN_HARMONICS = 12
# Plane waves of diffuse noise in each window.
_DIFFUSE_WAVES = 64


@dataclass(frozen=True)
class SoundCase:
    """What sounds in a scene, and at which level.

    sounds, sources: for each source its sound (see echoseg_sim.acoustics.sounds.load_sound) and the number of its object,
    or OFF_MAP; snr_db: level of the sources over the noise of the microphones, mean over the time they are on; fans:
    coherent sources of ego noise, 0 to 2; ego_snr_db: level of the sources over the ego noise; diffuse_db: level of
    diffuse noise over the noise of the microphones, None = none; lead_s: whole seconds at the first pose before the
    sources begin; blocked: no direct path; on_s: when each source is on, seconds since the sources begin, () = always.
    """

    sounds: tuple[str, ...] = ()
    sources: tuple[int, ...] = ()
    snr_db: float = 20.0
    fans: int = 0
    ego_snr_db: float = -5.0
    diffuse_db: float | None = None
    lead_s: int = 0
    blocked: bool = False
    seed: int = 0
    on_s: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class SoundScene:
    """A room with an array. rt60_s: 0 = free field; cache: folder of impulse responses, None = not stored."""

    seed: int
    array: ArrayGeometry
    rt60_s: float
    room: SoundRoom
    cache: Path | None

    @property
    def snapshot(self) -> MapSnapshot:
        """The map; ids of instances are the numbers of objects."""
        return self.room.snapshot

    @property
    def poses(self) -> Float64Array:
        """[P, 4, 4] T_map_array, one a second."""
        return self.room.poses

    @cached_property
    def off_map_m(self) -> Float64Array:
        """[3] position of the source behind the wall."""
        return np.array([self.room.size_m[0] + _BEHIND_WALL_M, 0.4 * self.room.size_m[1], 1.0])

    def source_m(self, source: int) -> Float64Array:
        """[3] position of the source of an object, or of the source OFF_MAP."""
        return self.off_map_m if source == OFF_MAP else self.room.sound_positions_m[source]

    def responses(self, source: int) -> Responses:
        """Responses from a source to the array at each pose; for OFF_MAP, both rooms are one box."""
        next_room_m = np.array([_NEXT_ROOM_M if source == OFF_MAP else 0.0, 0.0, 0.0])
        shoebox = Shoebox(np.zeros(3), self.room.size_m + next_room_m)
        position = self.source_m(source)
        return responses_to(self.array, shoebox, self.rt60_s, position, self.poses, self.seed, self.cache)

    def direction_array(self, source: int, pose: int) -> Float64Array:
        """[3] unit vector from the array at a pose to a source, array frame."""
        offset: Float64Array = (inverse(self.poses[pose]) @ np.append(self.source_m(source), 1.0))[:3]
        direction: Float64Array = offset / np.linalg.norm(offset)
        return direction


@dataclass(frozen=True)
class SimulatedAudio:
    """Windows of a scene in order.

    pose: [W] number of the pose of each window; relative_level_db: [W, K] power of each source in each window over its mean
    power while it is on (-inf before it begins; its last echo afterwards).
    """

    windows: tuple[AudioWindow, ...]
    pose: NDArray[np.int64]
    relative_level_db: Float64Array


def make_scene(
    seed: int, array: str | ArrayGeometry = "cube8", rt60_s: float = 0.4, cache: Path | None = None,
    poses: int | None = None,
) -> SoundScene:  # fmt: skip
    """The room of a seed with an array. poses: by default POSES, for two ears BINAURAL_POSES; rt60_s: 0 = free field."""
    geometry = load_array(array) if isinstance(array, str) else array
    room = make_room(seed, poses or (BINAURAL_POSES if geometry.head is not None else POSES))
    return SoundScene(seed, geometry, rt60_s, room, cache)


def audio_windows(scene: SoundScene, case: SoundCase) -> list[AudioWindow]:
    """The windows of `simulate_audio`."""
    return list(simulate_audio(scene, case).windows)


def simulate_audio(scene: SoundScene, case: SoundCase) -> SimulatedAudio:
    """A window for each second before the sources begin and for each pose. Deterministic by the seeds of scene and case."""
    rate = round(scene.array.sample_rate_hz * WINDOW_S)
    pose = np.concatenate([np.zeros(case.lead_s, dtype=np.int64), np.arange(len(scene.poses))])
    rng = np.random.default_rng([scene.seed, case.seed, 47])
    parts = [_source_part(scene, case, k, pose, rate, rng) for k in range(len(case.sources))]
    levels_db = [_relative_level_db(part, _is_on(case, k, len(pose))) for k, part in enumerate(parts)]
    audio = sum(parts, np.zeros((len(pose), scene.array.microphones, rate), dtype=np.float32))
    floor = 10 ** (NOISE_FLOOR_DBFS / 20)
    audio *= floor * 10 ** (case.snr_db / 20) / _rms(audio[case.lead_s :])
    loudness = floor * 10 ** ((case.snr_db if case.sources else 20.0) / 20)
    if case.fans:
        ego_noise = _ego_noise_audio(scene.array, case.fans, len(pose), rate, rng)
        audio += ego_noise * np.float32(loudness * 10 ** (-case.ego_snr_db / 20) / _rms(ego_noise))
    if case.diffuse_db is not None:
        diffuse = _diffuse(scene.array, len(pose), rate, rng)
        audio += diffuse * np.float32(floor * 10 ** (case.diffuse_db / 20) / _rms(diffuse))
    audio += np.float32(floor) * rng.standard_normal(audio.shape, dtype=np.float32)
    windows = tuple(
        AudioWindow(round((k + 0.5) * WINDOW_S * 1e9), np.ascontiguousarray(audio[k]), scene.array.sample_rate_hz,
                    scene.poses[p])
        for k, p in enumerate(pose)
    )  # fmt: skip
    return SimulatedAudio(windows, pose, np.stack(levels_db, axis=1) if levels_db else np.zeros((len(pose), 0)))


def _source_part(
    scene: SoundScene, case: SoundCase, k: int, pose: NDArray[np.int64], rate: int, rng: np.random.Generator
) -> Float32Array:
    """[W, M, S] audio of one source."""
    source, sound = case.sources[k], case.sounds[k]
    clip = load_sound(sound, scene.array.sample_rate_hz, seed=zlib.crc32(f"{scene.seed} {source} {case.seed}".encode()))
    clip = np.roll(clip, int(rng.integers(len(clip))))
    dry = np.zeros(len(pose) * rate)
    from_s, to_s = case.on_s[k] if case.on_s else (0.0, float(len(pose) - case.lead_s))
    start, stop = round((case.lead_s + from_s) * rate), round((case.lead_s + to_s) * rate)
    dry[start:stop] = np.resize(clip, stop - start)
    dry = sosfilt(butter(2, _HIGHPASS_HZ, "highpass", fs=scene.array.sample_rate_hz, output="sos"), dry)
    response = scene.responses(source).total(case.blocked or source == OFF_MAP, scene.array.sample_rate_hz)
    return _convolved(dry.astype(np.float32), response, pose, rate)


def _convolved(dry: Float32Array, responses: Float32Array, pose: NDArray[np.int64], rate: int) -> Float32Array:
    """[W, M, S] each window convolved with its pose's response [P, M, L], as if the array had always been there."""
    length = responses.shape[-1]
    padded = np.concatenate([np.zeros(length - 1, dtype=np.float32), dry])
    fft_length = scipy.fft.next_fast_len(length - 1 + rate, real=True)
    out = np.empty((len(pose), responses.shape[1], rate), dtype=np.float32)
    for k, p in enumerate(pose):
        segment = scipy.fft.rfft(padded[k * rate : (k + 1) * rate + length - 1], fft_length)
        convolved = scipy.fft.irfft(segment * scipy.fft.rfft(responses[p], fft_length), fft_length)
        out[k] = convolved[:, length - 1 : length - 1 + rate]
    return out


def _ego_noise_audio(array: ArrayGeometry, fans: int, count: int, rate: int, rng: np.random.Generator) -> Float32Array:
    """[W, M, S] fans beside the array, delayed and attenuated by their distance to each microphone."""
    samples = count * rate
    frequencies_hz = np.fft.rfftfreq(samples, 1.0 / array.sample_rate_hz)
    spectra = np.zeros((array.microphones, len(frequencies_hz)), dtype=np.complex128)
    for position_m, blades_hz in zip(FAN_POSITIONS_M[:fans], _FAN_BLADES_HZ, strict=False):
        distance_m = np.linalg.norm(array.microphones_m - position_m, axis=1)
        fan = np.fft.rfft(_fan(samples, array.sample_rate_hz, blades_hz, rng))
        delay_s = distance_m / SPEED_OF_SOUND_M_PER_S
        spectra += fan * np.exp(-2j * np.pi * frequencies_hz * delay_s[:, None]) / distance_m[:, None]
    audio = np.fft.irfft(spectra, samples).astype(np.float32)
    return np.ascontiguousarray(audio.reshape(array.microphones, count, rate).transpose(1, 0, 2))


def _fan(samples: int, rate_hz: float, blades_hz: float, rng: np.random.Generator) -> Float64Array:
    """[samples] a band of noise and harmonics of the blades, of equal power."""
    hiss = sosfilt(butter(2, _FAN_BAND_HZ, "bandpass", fs=rate_hz, output="sos"), rng.standard_normal(samples))
    t = np.arange(samples) / rate_hz
    wobble = 2 * np.pi * blades_hz * (t + 0.0004 * np.sin(2 * np.pi * 0.7 * t))
    hum = np.sum([np.sin(k * wobble + rng.uniform(0, 6)) / k for k in range(1, _FAN_HARMONICS + 1)], axis=0)
    noise: Float64Array = hiss / hiss.std() + hum / hum.std()
    return noise


def _diffuse(array: ArrayGeometry, count: int, rate: int, rng: np.random.Generator) -> Float32Array:
    """[W, M, S] plane waves of independent noise from random directions, new ones in each window."""
    bins, step_hz = rate // 2 + 1, array.sample_rate_hz / rate
    out = np.empty((count, array.microphones, rate), dtype=np.float32)
    for k in range(count):
        directions = rng.standard_normal((_DIFFUSE_WAVES, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        spectra = np.zeros((array.microphones, bins), dtype=np.complex64)
        for delay_s in array.far_field_delays_s(directions):
            wave = rng.standard_normal((2, bins), dtype=np.float32)
            _add_delayed(spectra, wave[0], wave[1], -2 * np.pi * step_hz * delay_s)
        out[k] = scipy.fft.irfft(spectra, rate)
    return out


@njit(cache=True)
def _add_delayed(spectra, real, imag, turn_rad):  # type: ignore[no-untyped-def]
    """Add a wave [F] to spectra [M, F]; its phase turns by turn_rad [M] from bin to bin."""
    for m in range(len(spectra)):
        phase, turn = 1.0 + 0.0j, np.exp(1j * turn_rad[m])
        for f in range(len(real)):
            spectra[m, f] += complex(real[f], imag[f]) * phase
            phase *= turn


def _is_on(case: SoundCase, k: int, count: int) -> NDArray[np.bool_]:
    """[W] whether source k is on at the centre of each of `count` windows."""
    from_s, to_s = case.on_s[k] if case.on_s else (0.0, np.inf)
    at_s = (np.arange(count) + 0.5) * WINDOW_S - case.lead_s
    return np.asarray((at_s > from_s) & (at_s < to_s))


def _relative_level_db(part: Float32Array, is_on: NDArray[np.bool_]) -> Float64Array:
    """[W] power of each window over the mean power of the windows in which the source is on, dB."""
    power = np.mean(np.square(part, dtype=np.float64), axis=(1, 2))
    with np.errstate(divide="ignore"):
        level_db: Float64Array = 10 * np.log10(power / max(float(power[is_on].mean()), 1e-30))
    return level_db


def _rms(signal: Float32Array) -> float:
    return max(float(np.sqrt(np.mean(np.square(signal, dtype=np.float64)))), 1e-15)
