"""Sounds of sources: repeatable, of unit power, and with messages that name the fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from echoseg_ros.errors import FolderError
from echoseg_sim.acoustics.sounds import builtin_names, load_sound


@pytest.mark.parametrize("name", builtin_names())
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_builtins_are_repeatable_and_of_unit_power(name: str, rate_hz: int) -> None:
    sound = load_sound(f"builtin:{name}", rate_hz, seed=5)
    np.testing.assert_array_equal(sound, load_sound(f"builtin:{name}", rate_hz, seed=5))
    assert np.isfinite(sound).all()
    assert np.mean(sound**2) == pytest.approx(1.0)
    assert len(sound) == 4 * rate_hz


def test_files_become_mono_at_the_rate_asked_for(tmp_path: Path) -> None:
    t = np.arange(22050) / 22050
    soundfile.write(tmp_path / "tone.wav", np.stack([np.sin(2 * np.pi * 1000 * t), np.zeros(22050)], axis=1), 22050)
    sound = load_sound(tmp_path / "tone.wav", 16000)
    assert len(sound) == 16000
    assert np.argmax(np.abs(np.fft.rfft(sound))) == 1000
    assert np.mean(sound**2) == pytest.approx(1.0)


def test_ends_are_faded_so_that_a_repetition_does_not_click(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "flat.wav", np.full(16000, 0.5), 16000)
    sound = load_sound(tmp_path / "flat.wav", 16000)
    assert abs(sound[0]) < 0.02 and abs(sound[-1]) < 0.02


def test_bad_sounds_are_named(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="no such file.*builtin:noise"):
        load_sound(tmp_path / "none.wav", 16000)
    with pytest.raises(FolderError, match="builtin:moo: want one of beeps, chirp"):
        load_sound("builtin:moo", 16000)
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(FolderError, match="text.wav: not an audio file"):
        load_sound(tmp_path / "text.wav", 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), 16000)
    with pytest.raises(FolderError, match="silent.wav: holds no sound"):
        load_sound(tmp_path / "silent.wav", 16000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    with pytest.raises(FolderError, match="empty.wav: holds no sound"):
        load_sound(tmp_path / "empty.wav", 16000)
