"""Recordings of the ego noise: the same filter as from live windows, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from waves import cube, delayed, simulated_window

from echoseg_ros.config import SoundConfig
from echoseg_ros.errors import ConfigError
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S
from echoseg_ros.sound.evidence.extractor import EvidenceExtractor
from echoseg_ros.sound.evidence.noise_recording import read_noise_recording
from echoseg_ros.types import AudioWindow

RATE_HZ = 16000
FAN_M = np.array([-0.1, 0.05, -0.25])


def extractor(ego_noise: str) -> EvidenceExtractor:
    return EvidenceExtractor(cube(), RATE_HZ, SoundConfig(ego_noise=ego_noise))


def fan_window(rng: np.random.Generator) -> AudioWindow:
    """Half a second of noise from a place near the array."""
    distances_m = np.linalg.norm(cube().microphones_m - FAN_M, axis=1)
    waves = delayed(rng.standard_normal(RATE_HZ // 2), distances_m / SPEED_OF_SOUND_M_PER_S, RATE_HZ)
    noise = 0.05 * waves / distances_m[:, None] * distances_m.mean()
    quiet = simulated_window(cube(), np.eye(4), None, rng)
    return AudioWindow(0, (quiet.samples + noise).astype(np.float32), RATE_HZ, np.eye(4))


@pytest.mark.parametrize("suffix", [".wav", ".npz"])
def test_a_recording_gives_the_filter_of_live_windows(suffix: str, tmp_path: Path) -> None:
    import soundfile

    rng, path = np.random.default_rng(6), tmp_path / f"fan{suffix}"
    windows = [fan_window(rng) for _ in range(3)]
    samples = np.concatenate([w.samples.T for w in windows])
    if suffix == ".wav":
        soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    else:
        np.savez(path, samples=samples, sample_rate_hz=RATE_HZ)
    live = extractor("off")
    for w in windows:
        live(w, noise_only=True)
    recorded_filter, live_filter = extractor(str(path)).ego_noise.filter, live.ego_noise.filter
    assert recorded_filter is not None and live_filter is not None
    np.testing.assert_allclose(recorded_filter.metric, live_filter.metric, atol=2e-3)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_samples_of_a_wav_file_are_those_of_libsndfile(subtype: str, tmp_path: Path) -> None:
    soundfile, path = pytest.importorskip("soundfile"), tmp_path / "fan.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.9, 0.9, (500, 8)), RATE_HZ, subtype=subtype)
    expected = soundfile.read(path, always_2d=True)[0].T.astype(np.float32)
    np.testing.assert_array_equal(read_noise_recording(path, cube(), RATE_HZ), expected)


def test_a_recording_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fan.npz"
    for samples, rate_hz, match in (
        (np.zeros((100, 8)), 44100, "44100 Hz: want 16000"),
        (np.zeros((100, 2)), RATE_HZ, "100, 2"),
    ):
        np.savez(path, samples=samples, sample_rate_hz=rate_hz)
        with pytest.raises(ConfigError, match=match):
            extractor(str(path))
    with pytest.raises(ConfigError, match="missing.wav"):
        extractor(str(tmp_path / "missing.wav"))
