"""Delays at the ears of a head: closed form of a sphere, measured responses of a SOFA file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from echoseg_ros.sound.array.array_geometry import SPEED_OF_SOUND_M_PER_S, SPHERE_DELAY_FACTOR, array_from_mapping

PAIR = {"name": "pair", "sample_rate_hz": 16000, "microphones_m": [[0, 0.05, 0], [0, -0.05, 0]]}


def test_the_path_to_a_hidden_ear_is_tangent_and_arc() -> None:
    """From twice the radius: a tangent of sqrt(3) radii and an arc of 180 - 60 degrees."""
    radius_m = 0.0875
    ears = array_from_mapping({**PAIR, "head": radius_m})
    hidden_m = ears.near_field_delays_s(np.array([[0.0, 2 * radius_m, 0.0]]))[0, 1] * SPEED_OF_SOUND_M_PER_S
    assert hidden_m == pytest.approx(SPHERE_DELAY_FACTOR * radius_m * (np.sqrt(3) + 2 * np.pi / 3 - 2))


def test_delays_of_a_measured_head_come_from_its_responses(test_data: Path) -> None:
    """KEMAR: about 0.65 ms between the ears for a sound from the side, later at the far ear, none from ahead."""
    file = test_data / "hrtf" / "mit_kemar_normal_pinna.sofa"
    if not file.exists():
        pytest.skip(f"measured responses not found at {file}: set ECHOSEG_TEST_DATA")
    pytest.importorskip("h5py")
    ears = array_from_mapping({**PAIR, "head": str(file)})
    late_s = np.diff(ears.far_field_delays_s(np.array([[0.0, 1, 0], [0, -1, 0], [1, 0, 0]])), axis=1)[:, 0]
    assert late_s[0] == pytest.approx(6.5e-4, abs=1e-4) and late_s[1] == pytest.approx(-late_s[0], abs=5e-5)
    assert late_s[2] == pytest.approx(0.0, abs=3e-5)
