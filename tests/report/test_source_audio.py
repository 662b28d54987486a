"""Sound files of sources: the same bytes that libsndfile writes, and no files of an earlier run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from echoseg_ros.report.source_audio import PEAK_DB, write_beams
from echoseg_ros.sound.labels.beamformer import BeamSignal

RATE_HZ = 16000


def test_the_file_is_that_of_libsndfile(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    samples = np.random.default_rng(0).normal(0, 0.1, RATE_HZ).astype(np.float32)
    write_beams(tmp_path, {3: BeamSignal(0, samples, float(RATE_HZ))})
    gain = 10 ** (PEAK_DB / 20) / float(np.abs(samples).max())
    soundfile.write(tmp_path / "expected.wav", samples * gain, RATE_HZ, subtype="PCM_16")
    assert (tmp_path / "source_3.wav").read_bytes() == (tmp_path / "expected.wav").read_bytes()


def test_files_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / "source_1.wav").touch()
    write_beams(tmp_path, {})
    assert not list(tmp_path.glob("*.wav"))


def test_silence_stays_silence(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    write_beams(tmp_path, {0: BeamSignal(0, np.zeros(100, np.float32), float(RATE_HZ))})
    samples, rate_hz = soundfile.read(tmp_path / "source_0.wav")
    assert rate_hz == RATE_HZ and len(samples) == 100 and not samples.any()
