"""The kernels of the spectrogram against plain functions."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from echoseg_ros.sound.labels.spectrogram import (
    FLOOR_FACTOR,
    FLOOR_SHARE,
    SMOOTH_BINS,
    events_above_floor,
    spectrogram,
)


def test_events_exceed_the_lowest_tenth_of_the_smoothed_power() -> None:
    power = np.random.default_rng(1).exponential(1.0, (200, 60)).astype(np.float32)
    smooth = uniform_filter1d(uniform_filter1d(power, SMOOTH_BINS, axis=1), 3, axis=0)
    floor = FLOOR_FACTOR * np.sort(smooth, axis=0)[int(FLOOR_SHARE * len(smooth))]
    events, found = events_above_floor(power)
    np.testing.assert_allclose(found, floor, rtol=1e-5)
    np.testing.assert_allclose(events, np.maximum(smooth - floor, 0), atol=1e-5)


def test_a_spectrogram_holds_the_power_of_each_frame() -> None:
    signal = np.random.default_rng(2).standard_normal(4000).astype(np.float32)
    power, frequencies_hz = spectrogram(signal, 16000.0)
    spectrum = np.abs(np.fft.rfft(signal[256:768] * np.hanning(512))) ** 2  # of the third frame: 8 ms hops
    used = (np.fft.rfftfreq(512, 1 / 16000) >= 80) & (np.fft.rfftfreq(512, 1 / 16000) <= 7600)
    assert len(frequencies_hz) == used.sum()
    np.testing.assert_allclose(power[2], spectrum[used], rtol=1e-3, atol=1e-3)
