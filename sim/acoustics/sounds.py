"""Sounds for sources: audio files in any format that libsndfile reads, and built-in synthesised sounds."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.signal import butter, lfilter, resample_poly, sosfilt

from echoseg_ros.errors import FolderError
from echoseg_ros.types import Float64Array

# Prefix of the built-in sounds' names.
BUILTIN_PREFIX = "builtin:"
# Length of a built-in sound, s.
BUILTIN_S = 4.0
# Length of the fades at both ends of a sound, s; a sound repeats while its source is on, and must not click.
_FADE_S = 0.005
# Root mean square below which a sound is refused as silent, relative to full scale.
_SILENCE = 1e-7
# Largest denominator of a resampling ratio.
_MAX_RATIO_DENOMINATOR = 10_000

# Formants of five vowels, Hz: male averages of G. E. Peterson and H. L. Barney, "Control methods used in a study of the
# vowels", J. Acoust. Soc. Am. 24, 1952, rounded.
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
# Bandwidths of the three formants, Hz.
_FORMANT_WIDTHS_HZ = (80.0, 110.0, 160.0)

# A built-in sound [n] of times [n] in seconds, the sample rate in Hz and a random generator.
Generator = Callable[[Float64Array, float, np.random.Generator], Float64Array]


def load_sound(sound: str | Path, sample_rate_hz: float, seed: int = 0) -> Float64Array:
    """A sound [n] of unit power at the sample rate. sound: an audio file, or "builtin:" and one of `builtin_names()`.

    Several channels are averaged. A built-in sound is a function of its name, the rate and the seed. Raises FolderError if
    the file cannot be read or is silent, or the built-in sound is unknown.
    """
    name = str(sound)
    if name.startswith(BUILTIN_PREFIX):
        signal = _builtin(name.removeprefix(BUILTIN_PREFIX), sample_rate_hz, seed)
    else:
        signal = _read(Path(sound), sample_rate_hz)
    fade = np.clip((np.arange(len(signal)) + 1) / (_FADE_S * sample_rate_hz + 1), 0.0, 1.0)
    signal = signal * fade * fade[::-1]
    power = float(np.mean(signal**2)) if len(signal) else 0.0
    if not power > _SILENCE**2:
        raise FolderError(f"sound {name}: holds no sound")
    unit_power: Float64Array = signal / np.sqrt(power)
    return unit_power


def builtin_names() -> tuple[str, ...]:
    """Names of the built-in sounds, sorted."""
    return tuple(sorted(_GENERATORS))


def sound_name(sound: str) -> str:
    """Name of a sound in a truth file: of a file without its folder."""
    return sound if sound.startswith(BUILTIN_PREFIX) else Path(sound).name


def _read(path: Path, sample_rate_hz: float) -> Float64Array:
    import soundfile

    if not path.is_file():
        choices = ", ".join(BUILTIN_PREFIX + name for name in builtin_names())
        raise FolderError(f"sound {path}: no such file; want an audio file or one of {choices}")
    try:
        samples, file_rate_hz = soundfile.read(path, always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise FolderError(f"sound {path}: not an audio file that libsndfile reads ({error})") from error
    if not np.isfinite(samples).all():
        raise FolderError(f"sound {path}: holds samples that are not finite")
    ratio = Fraction(sample_rate_hz / file_rate_hz).limit_denominator(_MAX_RATIO_DENOMINATOR)
    if not len(samples):
        return np.zeros(0)
    resampled: Float64Array = resample_poly(samples.mean(axis=1), ratio.numerator, ratio.denominator)
    return resampled


def _builtin(name: str, sample_rate_hz: float, seed: int) -> Float64Array:
    if name not in _GENERATORS:
        raise FolderError(f"unknown sound {BUILTIN_PREFIX}{name}: want one of {', '.join(builtin_names())}")
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    t = np.arange(int(BUILTIN_S * sample_rate_hz)) / sample_rate_hz
    return _GENERATORS[name](t, sample_rate_hz, rng)


def _noise(t: Float64Array, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    return rng.standard_normal(len(t))


def _pink(t: Float64Array, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    spectrum = np.fft.rfft(rng.standard_normal(len(t)))
    frequency = np.fft.rfftfreq(len(t), 1 / rate_hz)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 20.0)), len(t))


def _tone(t: Float64Array, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    """A tone of 440 Hz with four weaker harmonics."""
    return sum((np.sin(2 * np.pi * 440 * k * t + rng.uniform(0, 2 * np.pi)) / k for k in range(1, 6)), np.zeros(len(t)))


def _hum(t: Float64Array, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    """A microwave oven: a transformer's 100 Hz with harmonics, and a fan's noise of the same power."""
    harmonics = 100 * np.arange(1, 25)
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    hum = sum((np.sin(2 * np.pi * f * t + p) / np.sqrt(f) for f, p in zip(harmonics, phases)), np.zeros(len(t)))
    fan = _pink(t, rate_hz, rng)
    mixed: Float64Array = hum / hum.std() + fan / fan.std()
    return mixed


def _beeps(t: Float64Array, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    """An alarm: 2.1 kHz for 0.12 s, twice a second."""
    phase = t % 0.5
    envelope = np.clip(np.minimum(phase, 0.12 - phase) / 0.01, 0, 1)
    return envelope * (np.sin(2 * np.pi * 2100 * t) + 0.3 * np.sin(2 * np.pi * 4200 * t))


def _chirp(t: Float64Array, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    """A bird's chirp: 2 to 5 kHz in 0.2 s, twice a second."""
    phase = t % 0.5
    envelope = np.sin(np.pi * np.clip(phase / 0.2, 0, 1)) ** 2
    return envelope * np.sin(2 * np.pi * (2000 * phase + 7500 * phase**2))


def _tick(t: Float64Array, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    """A clock: a decaying resonance every half second, every other one a little lower."""
    beat, phase = (t // 0.5).astype(int) % 2, t % 0.5
    pitch_hz = np.where(beat == 0, 2600.0, 2300.0)
    return np.exp(-phase / 0.004) * np.sin(2 * np.pi * pitch_hz * phase) + 0.5 * np.exp(
        -phase / 0.002
    ) * rng.standard_normal(len(t))


def _knock(t: Float64Array, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    """Knocks on wood in groups of three: damped modes and a burst of noise."""
    out = np.zeros(len(t))
    for start_s in (0.1, 0.32, 0.54, 2.1, 2.32, 2.54):
        phase = np.maximum(t - start_s, 0.0)
        strength = rng.uniform(0.7, 1.0) * (t >= start_s)
        for mode_hz, decay_s in ((180.0, 0.03), (420.0, 0.02), (910.0, 0.012)):
            out += strength * np.exp(-phase / decay_s) * np.sin(2 * np.pi * mode_hz * phase)
        out += strength * np.exp(-phase / 0.004) * rng.standard_normal(len(t))
    return out


def _speech(t: Float64Array, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    """Speech-like sound: about four syllables a second with falling pitch and changing formants, hisses between them."""
    out = np.zeros(len(t))
    start_s = 0.0
    while start_s < t[-1] - 0.3:
        length_s = rng.uniform(0.14, 0.26)
        syllable = (t >= start_s) & (t < start_s + length_s)
        out[syllable] += _vowel(t[syllable] - start_s, length_s, rate_hz, rng)
        if rng.random() < 0.5:
            hiss = (t >= start_s + length_s) & (t < start_s + length_s + 0.06)
            out[hiss] += _hiss(int(hiss.sum()), rate_hz, rng)
            length_s += 0.06
        # Every fifth syllable on average ends a word: a longer pause.
        start_s += length_s + (rng.uniform(0.2, 0.4) if rng.random() < 0.2 else 0.02)
    return out


def _vowel(t: Float64Array, length_s: float, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    pitch_hz = rng.uniform(100, 140) * (1 - 0.15 * t / length_s)
    phase = np.cumsum(pitch_hz) / rate_hz
    pulses = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(len(t))
    vowel = np.zeros(len(t))
    for formant_hz, width_hz, level in zip(_VOWELS[rng.integers(len(_VOWELS))], _FORMANT_WIDTHS_HZ, (1.0, 0.6, 0.35)):
        radius = np.exp(-np.pi * width_hz / rate_hz)
        poles = [1, -2 * radius * np.cos(2 * np.pi * formant_hz / rate_hz), radius**2]
        resonance = lfilter([1.0], poles, pulses)
        vowel += level * resonance / max(float(resonance.std()), 1e-12)
    return vowel * np.sin(np.pi * np.clip(t / length_s, 0, 1)) ** 0.7


def _hiss(count: int, rate_hz: float, rng: np.random.Generator) -> Float64Array:
    high_hz = min(7500.0, 0.45 * rate_hz)
    sos = butter(2, [min(3000.0, 0.5 * high_hz), high_hz], "bandpass", fs=rate_hz, output="sos")
    hiss: Float64Array = 0.6 * sosfilt(sos, rng.standard_normal(count)) * np.hanning(count)
    return hiss


_GENERATORS: dict[str, Generator] = {
    "noise": _noise,
    "pink": _pink,
    "tone": _tone,
    "hum": _hum,
    "beeps": _beeps,
    "chirp": _chirp,
    "tick": _tick,
    "knock": _knock,
    "speech": _speech,
}
