"""A sound in a few words by its measures alone: ticks, knocks, beeps, tones, voices, engines, noise; no weights.

The bounds follow from what the words mean and from how a room of 0.4 to 0.7 s and noise 10 dB below blur the measures;
they hold for the sounds of the simulator and of the field recordings in the tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.config import LabelConfig
from echoseg_ros.sound.labels.sound_features import SoundFeatures, measure_features

# Below this there is nothing but the microphones' noise.
QUIET_DB = -80.0
# Share of the energy in events: most of it for a sound with pauses, little for a steady one.
PAUSES, STEADY = 0.6, 0.35
# A regular sound is made of even intervals for this share of the time.
REGULAR = 0.7
# Single events rise by so many decades of energy; what fills less of the time than this is made of single events.
SHARP_DECADES, SPARSE = 0.4, 0.3
# A beep lasts longer than a tick, and than what a room makes of one.
TICK_S = 0.07
# Between a knock and what ticks evenly, a knock and a click, a click and a crackle: centroids of what rises.
TICK_HZ, CLICK_HZ, CRACKLE_HZ = 700.0, 1050.0, 2000.0


class FeatureTagger:
    """One text a sound. Its probability is 1: rules do not know how sure they are."""

    def __init__(self, config: LabelConfig) -> None:
        pass

    def tag(self, signal: NDArray[np.floating], rate_hz: float) -> list[tuple[str, float]]:
        """See Tagger; [] for less than half a second."""
        features = measure_features(signal, rate_hz)
        return [] if features is None else [(describe(features), 1.0)]


def describe(sound: SoundFeatures) -> str:
    """The sound in a few words."""
    if sound.level_db < QUIET_DB:
        return "quiet"
    if sound.lines > 0.3 and sound.duty > 0.5:
        return f"steady {'hum' if sound.line_hz < 200 else 'tone'} at {_hertz(sound.line_hz)}"
    pauses = sound.event_share > PAUSES
    if pauses and sound.purity > 0.7 and sound.tone_spread < 0.05 and sound.event_s > TICK_S:
        return f"beeps at {_hertz(sound.tone_hz)}{_rate(sound)}"
    if pauses and _is_voiced(sound) and sound.duty > SPARSE:
        return f"voice-like, pitch about {_hertz(sound.pitch_hz)}"
    if pauses and _is_high_tone(sound) and sound.duty > 0.2 and sound.event_s > TICK_S:
        return f"chirps around {_hertz(sound.tone_hz)}{_rate(sound)}"
    if _is_impulsive(sound):
        return _impulses(sound)
    return _steady(sound)


def _is_voiced(sound: SoundFeatures) -> bool:
    return sound.voicing > 0.33 and sound.pitch_spread < 0.6 and 70 < sound.pitch_hz < 700 and sound.event_s > TICK_S


def _is_high_tone(sound: SoundFeatures) -> bool:
    return sound.purity > 0.4 and sound.tone_hz > 1000 and sound.voicing < 0.3


def _is_impulsive(sound: SoundFeatures) -> bool:
    """Events over silence, or over a hum that they clearly rise from."""
    over_silence = sound.event_share > PAUSES - 0.1 and sound.duty < SPARSE
    return over_silence or (sound.onset_decades > SHARP_DECADES and _is_regular(sound))


def _impulses(sound: SoundFeatures) -> str:
    over_silence = sound.event_share > PAUSES - 0.1
    if (
        over_silence
        and sound.voicing > 0.25
        and sound.pitch_hz > 250
        and sound.event_s > TICK_S
        and sound.pitch_spread < 1.2
    ):
        return f"{_regularity(sound)} calls{_rate(sound)}"
    if not _is_regular(sound) and sound.onset_hz > CRACKLE_HZ:
        return "irregular crackle"
    if _is_regular(sound):
        return f"regular {'tick' if sound.onset_hz > TICK_HZ else 'knocks'}{_rate(sound)}"
    return f"irregular {'clicks' if sound.onset_hz > CLICK_HZ else 'knocks'}"


def _steady(sound: SoundFeatures) -> str:
    if sound.voicing > 0.5:
        return "engine-like buzz"
    if sound.event_share > STEADY:
        return f"{_regularity(sound)} bursts of noise{_rate(sound)}"
    if sound.middle_hz < 350:
        return "steady rumble"
    return "steady hiss" if sound.centroid_hz > 4500 else "steady broadband noise"


def _is_regular(sound: SoundFeatures) -> bool:
    return sound.evenness > REGULAR


def _regularity(sound: SoundFeatures) -> str:
    return "regular" if _is_regular(sound) else "irregular"


def _rate(sound: SoundFeatures) -> str:
    return f", {sound.rate_hz:.1f} per second" if _is_regular(sound) else ""


def _hertz(frequency_hz: float) -> str:
    """Two digits are as much as an ear remembers."""
    if frequency_hz >= 1000:
        return f"{frequency_hz / 1000:.1f} kHz"
    return f"{round(frequency_hz, -1):.0f} Hz"
