"""The audio clock against a known offset and drift, with jitter and outliers."""

from __future__ import annotations

import numpy as np
import pytest

from echoseg_ros.sound.evidence.audio_clock import MAX_DRIFT, AudioClock

RATE_HZ = 16000.0
START_NS = 7_000_000_000


def clock_after(seconds: float, drift: float, jitter_s: float = 0.0, outliers: bool = False) -> AudioClock:
    """A clock with a stamp every 20 ms; outliers: every fifth stamp is half a second late."""
    rng, clock = np.random.default_rng(0), AudioClock(RATE_HZ)
    for k in range(round(seconds / 0.02)):
        late_s = jitter_s * rng.uniform(-1, 1) + (0.5 if outliers and k % 5 == 0 else 0.0)
        clock.add(320 * k, START_NS + round((0.02 * k * (1 + drift) + late_s) * 1e9))
    return clock


@pytest.mark.parametrize("drift", [3e-4, -2e-3])
def test_the_drift_is_found_despite_jitter_and_outliers(drift: float) -> None:
    clock = clock_after(8.0, drift, 0.002, outliers=True)
    assert clock.drift == pytest.approx(drift, abs=2e-4)
    true_ns = START_NS + round(4.0 * (1 + drift) * 1e9)
    assert abs(clock.time_ns(4.0 * RATE_HZ) - true_ns) < 1_500_000


def test_no_drift_is_fitted_before_five_seconds() -> None:
    assert clock_after(4.0, 3e-3).drift == 0.0


def test_the_drift_is_bounded() -> None:
    assert clock_after(8.0, 0.05).drift == MAX_DRIFT
