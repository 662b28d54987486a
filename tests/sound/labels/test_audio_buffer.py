"""Bounds of the audio buffer and its reaction to a restart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from echoseg_ros.sound.labels.audio_buffer import AudioBuffer
from echoseg_ros.types import AudioWindow

HOP_S = 0.25


def test_memory_is_bounded_and_a_restart_clears_it() -> None:
    window = AudioWindow(0, np.zeros((4, 8000), np.float32), 16000.0, np.eye(4))
    buffer = AudioBuffer(16000.0, HOP_S, 3.0)
    for k in range(50):
        buffer.add(replace(window, stamp_ns=round(k * HOP_S * 1e9)))
    assert len(buffer.windows()) == 12
    assert len(buffer.windows(1.0)) == 4
    buffer.add(replace(window, stamp_ns=0))
    assert len(buffer.windows()) == 1
    buffer.add(replace(window, stamp_ns=round(60e9)))
    assert len(buffer.windows()) == 1
