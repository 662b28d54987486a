"""Writing of the beam towards each source as a sound file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from echoseg_ros.sound.labels.beamformer import BeamSignal

# Peak level of a written file, dBFS; the recorded sound is often faint.
PEAK_DB = -6.0


def write_beams(out: Path, beams: Mapping[int, BeamSignal]) -> None:
    """Write OUT/source_ID.wav (mono, 16 bit) for each source; files of an earlier run are removed."""
    import soundfile

    for old in Path(out).glob("source_*.wav"):
        old.unlink()
    for source_id, beam in beams.items():
        gain = 10 ** (PEAK_DB / 20) / max(float(np.abs(beam.samples).max(initial=0.0)), 1e-9)
        name = Path(out) / f"source_{source_id}.wav"
        soundfile.write(name, beam.samples * gain, round(beam.sample_rate_hz), subtype="PCM_16")
