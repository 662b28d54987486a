"""Head-related responses against closed forms and measured ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from echoseg_ros.errors import ArrayError
from echoseg_ros.geometry import transform
from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, Head, load_array
from echoseg_ros.types import Float64Array
from echoseg_sim.acoustics.head_responses import head_table, sphere_responses
from echoseg_sim.acoustics.receivers import HeadReceiver
from echoseg_sim.acoustics.reverberation import direct_path

BINAURAL = load_array("binaural")
RADIUS_M = 0.0875
LEVEL_ROW, PER_DEGREE = 30, 1 / 3


def itd_s(delays_s: Float64Array, azimuth_deg: float) -> float:
    """Interaural time difference in the horizontal plane: arrival at the right minus at the left ear."""
    left, right = delays_s[LEVEL_ROW, int(azimuth_deg * PER_DEGREE)]
    return float(right - left)


def test_sphere_is_transparent_at_low_and_doubles_at_high_frequencies() -> None:
    response = sphere_responses(np.array([0.0]), RADIUS_M, 44100, 512, 88)[0]
    gain_db = 20 * np.log10(np.abs(np.fft.rfft(response)[:-1]))
    assert gain_db[0] == pytest.approx(0.0, abs=0.1)
    assert gain_db[int(12000 / 44100 * 512)] == pytest.approx(6.0, abs=0.7)


def test_sphere_delay_follows_woodworth() -> None:
    table = head_table(BINAURAL)
    for azimuth in (0, 30, 60, 90):
        angle = np.radians(azimuth)
        woodworth_s = RADIUS_M / SPEED_OF_SOUND_M_PER_S * (angle + np.sin(angle))
        assert itd_s(table.delays_s, azimuth) == pytest.approx(woodworth_s, abs=4e-5)


def test_measured_head(test_data: Path) -> None:
    sofa = test_data / "hrtf" / "mit_kemar_normal_pinna.sofa"
    table = head_table(replace(BINAURAL, head=Head(sofa=sofa)))
    assert itd_s(table.delays_s, 90) == pytest.approx(6.9e-4, abs=5e-5)
    assert itd_s(table.delays_s, 270) == pytest.approx(-6.9e-4, abs=5e-5)
    energy = np.sum(table.filters[LEVEL_ROW, 30].astype(float) ** 2, axis=-1)
    assert energy[0] > 5 * energy[1]


def test_measured_head_at_another_sample_rate(test_data: Path) -> None:
    sofa = test_data / "hrtf" / "mit_kemar_normal_pinna.sofa"
    table = head_table(replace(BINAURAL, sample_rate_hz=16000.0, head=Head(sofa=sofa)))
    assert itd_s(table.delays_s, 90) == pytest.approx(6.9e-4, abs=1e-4)


def test_receiver_places_the_sound_in_the_turned_head() -> None:
    """A source in the north is on the right of a head that looks west."""
    west = transform(np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]), np.array([0.0, 0, 0]))
    response = (
        HeadReceiver(BINAURAL).responses(direct_path(np.array([0.0, 2.0, 0.0])), west[None], 600)[0].astype(float)
    )
    assert np.argmax(np.abs(response[1])) < np.argmax(np.abs(response[0])) - 15
    assert np.sum(response[1] ** 2) > 3 * np.sum(response[0] ** 2)
    ear_arrival = 32 + (2.0 - RADIUS_M) / SPEED_OF_SOUND_M_PER_S * 44100
    assert np.argmax(np.abs(response[1])) == pytest.approx(ear_arrival, abs=3)


def test_a_file_that_is_not_sofa_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "head.sofa"
    bad.write_bytes(b"not hdf5")
    with pytest.raises(ArrayError, match="head.sofa: not a SOFA file"):
        head_table(replace(BINAURAL, head=Head(sofa=bad)))
