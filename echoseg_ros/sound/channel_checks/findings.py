"""What a self-test looks at and what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoseg_ros.geometry import PoseTrack
from echoseg_ros.sound.array.array_geometry import ArrayGeometry

_USUAL_RATES_HZ = np.array([8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000], dtype=float)


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    kind: dead, clipped, inverted, swapped or sample_rate; channels: the audio channels concerned, counted from 0; value:
    the real sample rate in Hz where that is wrong; text: one line for people.
    """

    kind: str
    channels: tuple[int, ...]
    text: str
    value: float | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Recording:
    """What the self-test looks at.

    samples: [S, channels]; first_ns: time of the first one; sample_rate_hz: as audio_info says; poses: the camera's
    track, None without one; stamps: (number of the first sample, stamp in ns) of each message.
    """

    samples: NDArray[np.float32]
    first_ns: int
    sample_rate_hz: float
    poses: PoseTrack | None = None
    stamps: Sequence[tuple[int, int]] = ()


def channel_finding(kind: str, array: ArrayGeometry, microphone: int, what: str) -> Finding:
    """Something wrong with one microphone, `what` to be read after its channel."""
    channel = int(array.channel_order[microphone])
    return Finding(kind, (channel,), f"channel {channel} {what}")


def usual_rate_hz(rate_hz: float) -> float:
    """The usual rate within 4 %, else the rate itself."""
    nearest = float(_USUAL_RATES_HZ[np.argmin(np.abs(np.log(_USUAL_RATES_HZ / rate_hz)))])
    return nearest if abs(rate_hz / nearest - 1) < 0.04 else rate_hz
