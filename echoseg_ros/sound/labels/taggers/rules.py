"""Tagger by rules on the features of a sound: ticks, knocks, beeps, tones, voices, engines, noise. Needs no weights.

The bounds follow from the meaning of the words and from the change of the features in a room with a reverberation time of
0.4 to 0.7 s and noise at -10 dB. They hold for the sounds of the simulator and for the field recordings of the tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import LabelConfig
from echoseg_ros.sound.labels.sound_features import SoundFeatures, measure_features

# Level below which there is only the noise of the microphones, dBFS.
QUIET_DB = -80.0
# Share of the energy in events above which a sound has pauses.
PAUSES_SHARE = 0.6
# Above this share of the energy in events, noise has bursts; below, it is steady.
BURSTS_SHARE = 0.35
# Evenness above which a sound is regular.
REGULAR_EVENNESS = 0.7
# Rise at the onsets of single events above a hum, at least, decades of energy.
SHARP_DECADES = 0.4
# Share of the time up to which events are single events.
SPARSE_DUTY = 0.3
# Longest tick, with its reverberation, s; beeps and calls are longer.
TICK_S = 0.07
# Centroid of the onsets that separates regular knocks (below) from ticks, Hz.
TICK_HZ = 700.0
# Centroid of the onsets that separates irregular knocks (below) from clicks, Hz.
CLICK_HZ = 1050.0
# Centroid of the onsets above which irregular clicks are a crackle, Hz.
CRACKLE_HZ = 2000.0
# Share of the energy in events of impulses, at least.
IMPULSES_SHARE = PAUSES_SHARE - 0.1
# Share of the energy in lines and of the time of a steady tone, at least.
TONE_LINES = 0.3
TONE_DUTY = 0.5
# Fundamental below which a steady tone is a hum, Hz.
HUM_HZ = 200.0
# Purity of a beep, at least, and spread of its frequency, at most, octaves.
BEEP_PURITY = 0.7
BEEP_SPREAD = 0.05
# Purity, frequency (Hz) and share of the time of a chirp, at least, and its voicing, at most.
CHIRP_PURITY = 0.4
CHIRP_HZ = 1000.0
CHIRP_DUTY = 0.2
CHIRP_VOICING = 0.3
# Voicing of a voice, at least, spread of its pitch, at most, octaves, and bounds of its pitch, Hz.
VOICE_VOICING = 0.33
VOICE_SPREAD = 0.6
VOICE_HZ = (70.0, 700.0)
# Voicing and pitch (Hz) of the calls of an animal, at least, and spread of the pitch, at most, octaves.
CALL_VOICING = 0.25
CALL_HZ = 250.0
CALL_SPREAD = 1.2
# Voicing of an engine, at least.
BUZZ_VOICING = 0.5
# Middle frequency below which steady noise is a rumble, and centroid above which it is a hiss, Hz.
RUMBLE_HZ = 350.0
HISS_HZ = 4500.0


class FeatureTagger:
    """One name for each sound, with probability 1: the rules give no probability."""

    def __init__(self, config: LabelConfig) -> None:
        pass

    def tag(self, signal: NDArray[np.floating[Any]], rate_hz: float) -> list[tuple[str, float]]:
        """See Tagger; [] without features, for example for less than half a second."""
        features = measure_features(signal, rate_hz)
        return [] if features is None else [(describe(features), 1.0)]


def describe(sound: SoundFeatures) -> str:
    """Name of a sound, by its features."""
    if sound.level_db < QUIET_DB:
        return "quiet"
    if sound.lines > TONE_LINES and sound.duty > TONE_DUTY:
        return f"steady {'hum' if sound.line_hz < HUM_HZ else 'tone'} at {_hertz(sound.line_hz)}"
    has_pauses = sound.event_share > PAUSES_SHARE
    if has_pauses and sound.purity > BEEP_PURITY and sound.tone_spread < BEEP_SPREAD and sound.event_s > TICK_S:
        return f"beeps at {_hertz(sound.tone_hz)}{_rate(sound)}"
    if has_pauses and _is_voiced(sound) and sound.duty > SPARSE_DUTY:
        return f"voice-like, pitch about {_hertz(sound.pitch_hz)}"
    if has_pauses and _is_high_tone(sound) and sound.duty > CHIRP_DUTY and sound.event_s > TICK_S:
        return f"chirps around {_hertz(sound.tone_hz)}{_rate(sound)}"
    if _is_impulsive(sound):
        return _impulses(sound)
    return _steady(sound)


def _is_voiced(sound: SoundFeatures) -> bool:
    is_periodic = sound.voicing > VOICE_VOICING and sound.pitch_spread < VOICE_SPREAD
    return is_periodic and VOICE_HZ[0] < sound.pitch_hz < VOICE_HZ[1] and sound.event_s > TICK_S


def _is_high_tone(sound: SoundFeatures) -> bool:
    return sound.purity > CHIRP_PURITY and sound.tone_hz > CHIRP_HZ and sound.voicing < CHIRP_VOICING


def _is_impulsive(sound: SoundFeatures) -> bool:
    """Whether the sound is made of single events over silence, or of regular, sharp events over a hum."""
    over_silence = sound.event_share > IMPULSES_SHARE and sound.duty < SPARSE_DUTY
    return over_silence or (sound.onset_decades > SHARP_DECADES and _is_regular(sound))


def _impulses(sound: SoundFeatures) -> str:
    over_silence = sound.event_share > IMPULSES_SHARE
    has_pitch = sound.voicing > CALL_VOICING and sound.pitch_hz > CALL_HZ and sound.pitch_spread < CALL_SPREAD
    if over_silence and has_pitch and sound.event_s > TICK_S:
        return f"{_regularity(sound)} calls{_rate(sound)}"
    if not _is_regular(sound) and sound.onset_hz > CRACKLE_HZ:
        return "irregular crackle"
    if _is_regular(sound):
        return f"regular {'tick' if sound.onset_hz > TICK_HZ else 'knocks'}{_rate(sound)}"
    return f"irregular {'clicks' if sound.onset_hz > CLICK_HZ else 'knocks'}"


def _steady(sound: SoundFeatures) -> str:
    if sound.voicing > BUZZ_VOICING:
        return "engine-like buzz"
    if sound.event_share > BURSTS_SHARE:
        return f"{_regularity(sound)} bursts of noise{_rate(sound)}"
    if sound.middle_hz < RUMBLE_HZ:
        return "steady rumble"
    return "steady hiss" if sound.centroid_hz > HISS_HZ else "steady broadband noise"


def _is_regular(sound: SoundFeatures) -> bool:
    return sound.evenness > REGULAR_EVENNESS


def _regularity(sound: SoundFeatures) -> str:
    return "regular" if _is_regular(sound) else "irregular"


def _rate(sound: SoundFeatures) -> str:
    return f", {sound.rate_hz:.1f} per second" if _is_regular(sound) else ""


def _hertz(frequency_hz: float) -> str:
    """A frequency with two significant digits, as a listener would give it."""
    if frequency_hz >= 1000:
        return f"{frequency_hz / 1000:.1f} kHz"
    return f"{round(frequency_hz, -1):.0f} Hz"
