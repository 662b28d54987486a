"""The measures' kernels beside the plain functions they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d
from scipy.signal import resample_poly

from echoseg_ros.sound.labels.sound_features import (
    FLOOR_FACTOR,
    FLOOR_SHARE,
    SMOOTH_BINS,
    _events,
    resampled,
    spectrogram,
)


@pytest.mark.parametrize("samples", [4000, 4001])
def test_halving_the_rate_is_scipys(samples: int) -> None:
    signal = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    halved = resampled(signal, 16000.0, 8000.0)
    np.testing.assert_allclose(halved, resample_poly(signal, 1, 2), atol=1e-6)


def test_events_stand_above_the_quietest_tenth_of_the_smoothed_power() -> None:
    power = np.random.default_rng(1).exponential(1.0, (200, 60)).astype(np.float32)
    smooth = uniform_filter1d(uniform_filter1d(power, SMOOTH_BINS, axis=1), 3, axis=0)
    floor = FLOOR_FACTOR * np.sort(smooth, axis=0)[int(FLOOR_SHARE * len(smooth))]
    events, found = _events(power)
    np.testing.assert_allclose(found, floor, rtol=1e-5)
    np.testing.assert_allclose(events, np.maximum(smooth - floor, 0), atol=1e-5)


def test_a_spectrogram_holds_the_power_of_each_frame() -> None:
    signal = np.random.default_rng(2).standard_normal(4000).astype(np.float32)
    power, frequencies_hz = spectrogram(signal, 16000.0)
    spectrum = np.abs(np.fft.rfft(signal[256:768] * np.hanning(512))) ** 2  # of the third frame: 8 ms hops
    used = (np.fft.rfftfreq(512, 1 / 16000) >= 80) & (np.fft.rfftfreq(512, 1 / 16000) <= 7600)
    assert len(frequencies_hz) == used.sum()
    np.testing.assert_allclose(power[2], spectrum[used], rtol=1e-3, atol=1e-3)
