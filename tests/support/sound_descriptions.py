"""How the built-in sounds are described."""

from __future__ import annotations

RATE_HZ = 16000.0

# Regular expression of the description of each built-in sound.
DESCRIPTIONS = {
    "builtin:beeps": r"beeps at 2\.1 kHz, 2\.0 per second",
    "builtin:chirp": r"chirps around 3\.[4-6] kHz, 2\.0 per second",
    "builtin:knock": r"irregular knocks",
    "builtin:noise": r"steady broadband noise",
    "builtin:pink": r"steady broadband noise",
    "builtin:speech": r"voice-like, pitch about 1[0-3]0 Hz",
    "builtin:tick": r"regular tick, 2\.0 per second",
    "builtin:tone": r"steady tone at 440 Hz",
}
