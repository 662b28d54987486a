"""Impulse responses: reverberation time and blocked direct path."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.eval.sound.sound_responses import BLOCKED_GAIN, responses_to
from echoseg_ros.eval.sound.sound_rooms import make_room
from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_sim.acoustics.reverberation import Shoebox, reverberation_time


def test_reverberation_is_realised_and_blocking_affects_the_direct_path_only() -> None:
    array, room = load_array("square4"), make_room(2, 3)
    made = responses_to(array, Shoebox(np.zeros(3), room.size_m), 0.4, room.sound_positions_m[1], room.poses, 2, None)
    total = made.total(False, array.sample_rate_hz)
    assert reverberation_time(total, array.sample_rate_hz) == pytest.approx(0.4, rel=0.15)
    assert made.rt60_s == pytest.approx(0.4, rel=0.15)
    removed = total - made.total(True, array.sample_rate_hz)
    assert np.abs(removed[..., made.direct.shape[-1] :]).max() == 0
    direct = made.total(True, array.sample_rate_hz) - made.echoes
    assert np.sum(direct**2) < BLOCKED_GAIN**2 * 0.3 * np.sum(made.direct**2)
