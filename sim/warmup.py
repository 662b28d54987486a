"""Compilation of the simulator's kernels into numba's cache; `make setup` runs this module."""

from __future__ import annotations

import numpy as np

from echoseg_ros.sound.array.array_geometry import load_array
from echoseg_sim.acoustics.array_audio import simulate_array
from echoseg_sim.acoustics.reverberation import Shoebox
from echoseg_sim.acoustics.source_signal import SimulatedSource
from echoseg_sim.recordings.room_recording import camera_of
from echoseg_sim.rooms.render import render
from echoseg_sim.rooms.room import make_room


def warm_up() -> None:
    """Simulate 0.1 s of audio of a free-field array and of a head, and render one small view."""
    shoebox = Shoebox(np.zeros(3), np.array([4.0, 3.0, 2.5]))
    pose = np.eye(4)
    pose[:3, 3] = 1.0, 1.0, 1.2
    for name in ("cube8", "binaural"):
        array = load_array(name)
        signal = np.random.default_rng(0).normal(size=round(0.1 * array.sample_rate_hz))
        source = SimulatedSource("noise", np.array([3.0, 2.0, 1.0]), signal, ((0.0, 0.1),))
        simulate_array(shoebox, 0.2, array, [pose, pose], [0.0, 0.1], [source], 0.1)
    render(make_room(0), camera_of((64, 48)), pose)


if __name__ == "__main__":
    warm_up()
