"""Writing of the beam towards each source as a sound file."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from echoseg_ros.sound.labels.beamformer import BeamSignal
from echoseg_ros.types import Float32Array

# Peak level of a written file, dBFS; the recorded sound is often faint.
PEAK_DB = -6.0
# Integer value of level 1 in PCM of 16 bit.
FULL_SCALE = 32768


def write_beams(out: Path, beams: Mapping[int, BeamSignal]) -> None:
    """Write OUT/source_ID.wav (mono, 16 bit) for each source; files of an earlier run are removed."""
    for old in Path(out).glob("source_*.wav"):
        old.unlink()
    for source_id, beam in beams.items():
        gain = 10 ** (PEAK_DB / 20) / max(float(np.abs(beam.samples).max(initial=0.0)), 1e-9)
        _write_wav(Path(out) / f"source_{source_id}.wav", beam.samples * gain, round(beam.sample_rate_hz))


def _write_wav(path: Path, samples: Float32Array, sample_rate_hz: int) -> None:
    """Write samples [S] in [-1, 1) as mono PCM, 16 bit, rounded down as libsndfile does."""
    pcm = np.floor(samples * np.float32(FULL_SCALE)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(pcm.itemsize)
        file.setframerate(sample_rate_hz)
        file.writeframes(pcm.tobytes())
