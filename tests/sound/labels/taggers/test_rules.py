"""Descriptions of built-in sounds, recordings and made-up signals by rules."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sound_descriptions import DESCRIPTIONS, RATE_HZ

from echoseg_ros.config import LabelConfig
from echoseg_ros.sound.labels.filters import resampled
from echoseg_ros.sound.labels.sound_features import measure_features
from echoseg_ros.sound.labels.taggers.factory import make_tagger
from echoseg_ros.sound.labels.taggers.rules import describe
from echoseg_sim.acoustics.sounds import load_sound

Signal = NDArray[np.floating[Any]]

# The pitch of a baby's cry is 400 to 600 Hz; both clocks beat about once a second, the dog at most 2.3 times.
CLIPS = {
    "baby_cry_1-211527-B": r"voice-like, pitch about (4[0-9]|5[0-9])0 Hz",
    "chainsaw_1-47250-B": r"engine-like buzz",
    "clock_tick_1-21934-A": r"regular tick, 1\.0 per second",
    "clock_tick_1-35687-A": r"regular tick, 1\.1 per second",
    "dog_bark_1-30226-A": r"(irregular calls|regular calls, 2\.[0-3] per second)",
    "fire_1-17150-A": r"irregular crackle",
    "helicopter_1-172649-A": r"steady rumble",
    "rain_1-17367-A": r"steady broadband noise",
}


def said(signal: Signal, rate_hz: float = RATE_HZ) -> str:
    features = measure_features(signal, rate_hz)
    assert features is not None
    return describe(features)


loaded = lru_cache(maxsize=4)(load_sound)


def stretch(sound: str, start_s: float = 1.0) -> Signal:
    """Five seconds of a sound that repeats."""
    return 0.05 * np.resize(loaded(sound, RATE_HZ), round(12 * RATE_HZ))[round(start_s * RATE_HZ) :][: 5 * 16000]


@pytest.fixture(scope="module")
def sounds(test_data: Path) -> Path:
    if not (test_data / "sounds").is_dir():
        pytest.skip(f"no recordings in {test_data / 'sounds'}: set ECHOSEG_TEST_DATA")
    return test_data / "sounds"


@pytest.mark.parametrize("sound", DESCRIPTIONS)
def test_the_built_in_sounds_are_what_they_are(sound: str) -> None:
    for start_s in (1.0, 1.75, 2.5):
        assert re.fullmatch(DESCRIPTIONS[sound], said(stretch(sound, start_s)))


@pytest.mark.parametrize("clip", CLIPS)
def test_real_recordings_are_what_their_names_say(clip: str, sounds: Path) -> None:
    for start_s in (1.0, 1.75, 2.5):
        assert re.fullmatch(CLIPS[clip], said(stretch(str(sounds / f"{clip}.ogg"), start_s)))


def test_loudness_and_sample_rate_do_not_matter() -> None:
    sound = load_sound("builtin:tick", 44100.0)
    texts = {said(gain * np.resize(sound, 5 * 44100), 44100.0) for gain in (1e-3, 1.0)}
    assert texts == {"regular tick, 2.0 per second"}
    assert said(resampled(np.resize(sound, 5 * 44100), 44100.0, 48000.0), 48000.0) == texts.pop()


def clicks(times_s: Signal, centre_hz: float, decay_s: float, rng: np.random.Generator) -> Signal:
    t = np.arange(5 * 16000) / RATE_HZ
    out = 1e-3 * rng.standard_normal(len(t))
    for at_s in times_s:
        after_s = np.maximum(t - at_s, 0)
        out += (t >= at_s) * np.exp(-after_s / decay_s) * np.sin(2 * np.pi * centre_hz * after_s)
    return 0.1 * out


@pytest.mark.parametrize("rate", [0.9, 1.5, 3.0, 5.0, 8.0, 10.0])
def test_the_rate_of_ticks_is_within_three_percent(rate: float) -> None:
    features = measure_features(clicks(np.arange(0.2, 5, 1 / rate), 2500.0, 0.004, np.random.default_rng(0)), RATE_HZ)
    assert features is not None
    assert features.rate_hz == pytest.approx(rate, rel=0.03)
    assert describe(features).startswith("regular tick")


@pytest.mark.parametrize("seed", range(5))
def test_knocks_at_random_are_irregular(seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = said(clicks(0.1 + np.cumsum(rng.exponential(0.3, 14) + 0.1), 300.0, 0.02, rng))
    assert text == "irregular knocks"


@pytest.mark.parametrize("hertz", [100, 150, 330, 1000, 3000])
def test_tones_are_named_by_their_frequency(hertz: int) -> None:
    t = np.arange(5 * 16000) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * k * hertz * t) / k for k in range(1, 4))
    text = said(0.1 * wave + 0.003 * np.random.default_rng(0).standard_normal(len(t)))
    shown = f"{hertz / 1000:.1f} kHz" if hertz >= 1000 else f"{hertz} Hz"
    assert text == f"steady {'hum' if hertz < 200 else 'tone'} at {shown}"


@pytest.mark.parametrize("pitch_hz", [90.0, 140.0, 210.0, 350.0])
def test_the_pitch_of_a_buzz_is_within_two_percent(pitch_hz: float) -> None:
    t = np.arange(5 * 16000) / RATE_HZ
    wobble = np.cumsum(pitch_hz * (1 + 0.01 * np.sin(2 * np.pi * 0.7 * t))) / RATE_HZ
    pulses = np.diff(np.floor(wobble), prepend=0.0)
    features = measure_features(pulses + 0.01 * np.random.default_rng(1).standard_normal(len(t)), RATE_HZ)
    assert features is not None
    assert features.pitch_hz == pytest.approx(pitch_hz, rel=0.02)
    assert features.voicing > 0.9


def test_nothing_and_too_little_are_said_to_be_so() -> None:
    assert said(1e-6 * np.random.default_rng(0).standard_normal(32000)) == "quiet"
    assert measure_features(np.zeros(32000), RATE_HZ) is None
    assert measure_features(np.ones(1000), RATE_HZ) is None
    assert measure_features(np.full(32000, np.nan), RATE_HZ) is None
    assert make_tagger(LabelConfig()).tag(np.zeros(32000), RATE_HZ) == []
